"""Predictions beside the truth: of classes, of ranks, of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from staytuned.errors import UsageError
from staytuned.plots._axes import MOST_POINTS, PLAIN, many, numbers, shown, thinned, ticks
from staytuned.plots._style import BLUE, GREY, INK, RED, canvas, line, sheet, styled


class RocCurve(NamedTuple):
    """A ROC curve.

    Args:
        fpr, tpr: (n,) false and true positive rates, as scikit-learn's ``roc_curve`` gives them.
        auc: area under it.
    """

    fpr: npt.ArrayLike
    tpr: npt.ArrayLike
    auc: float


@styled
def plot_confusion(matrix: npt.ArrayLike, classes: Sequence[Any]) -> Figure:
    """How many rows of each class were taken for which; coloured by the share of the true class.

    Args:
        matrix: (k, k) counts, a row per true class.
        classes: (k,) their names.

    Raises:
        UsageError: the matrix is not k by k.
    """
    counts = np.asarray(matrix, dtype=float)
    k = len(classes)
    if counts.shape != (k, k):
        raise UsageError(f"a confusion matrix of shape {counts.shape} does not fit {k} classes; it needs shape ({k}, {k})")
    every = math.ceil(k / 30) if k else 1
    names = [shown(c, 18) for c in classes][::every]
    cell, margin = (0.62 if k <= 6 else 0.45 if k <= 12 else 0.25), 0.07 * max(map(len, names), default=0)  # inches
    side = min(cell * k, 6.0)
    fig, ax = canvas(side + 0.8 + 0.6 * margin, width=side + margin + (1.0 if k <= 12 else 1.6))
    ax.grid(False)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    edges = np.arange(k + 1) - 0.5
    image = ax.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1, rasterized=k > 20)
    if k <= 12:
        for i, j in np.ndindex(k, k):
            text = f"{counts[i, j]:,.0f}\n{shares[i, j]:.0%}" if k <= 6 else f"{counts[i, j]:,.0f}"
            ax.text(j, i, text, ha="center", va="center", fontsize=8 if k <= 6 else 7, color="white" if shares[i, j] > 0.55 else INK)
    else:
        bar = fig.colorbar(image, ax=ax, format=PercentFormatter(1.0, decimals=0), label="share of the true class", pad=0.02, shrink=0.8)
        bar.outline.set_visible(False)
    ticks(ax, "x", list(range(0, k, every)), names, room=side / 0.075)
    ax.set_yticks(range(0, k, every), names)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return fig


@styled
def plot_roc(curves: Mapping[str, RocCurve | tuple[npt.ArrayLike, npt.ArrayLike, float]]) -> Figure:
    """ROC curves by name, such as baseline and tuned, or one per class.

    Args:
        curves: name to (fpr, tpr, auc).
    """
    fig, ax = canvas(3.8, width=6.0 if len(curves) > 1 else 4.4)
    for place, (name, (fpr, tpr, auc)) in enumerate(curves.items()):
        x = numbers(fpr, "fpr")
        y = numbers(tpr, "tpr", like=x)
        colour, dashes = line(place)
        kept = thinned(len(x), MOST_POINTS)
        ax.plot(x[kept], y[kept], dashes, color=colour, label=f"{shown(name, 24)} ({auc:.3f})")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="guessing (0.500)")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate")
    ax.set_aspect("equal")
    if len(curves) > 1:
        fig.legend(loc="outside right upper", title="area under the curve")
    else:
        ax.legend(loc="lower right")
    return fig


@styled
def plot_residuals(y: npt.ArrayLike, predicted: npt.ArrayLike, unit: str = "") -> Figure:
    """Predicted against true values, and the errors against the prediction.

    Args:
        y, predicted: (n,) true and predicted values.
        unit: of both, such as "USD".

    Raises:
        UsageError: arrays of different lengths.
    """
    true = numbers(y, "y")
    guess = numbers(predicted, "predicted", like=true)
    known = np.isfinite(true) & np.isfinite(guess)
    true, guess = true[known], guess[known]
    fig = sheet(3.2)
    left, right = fig.subplots(1, 2)
    suffix = f" ({shown(unit, 12)})" if unit else ""
    dots: dict[str, Any] = {"s": 12, "color": BLUE, "alpha": 0.45, "linewidths": 0, "rasterized": many(true)}
    left.scatter(guess, true, **dots)
    right.scatter(guess, true - guess, **dots)
    if true.size:
        ends = [min(true.min(), guess.min()), max(true.max(), guess.max())]
        left.plot(ends, ends, color=RED, linewidth=1.2)
    right.axhline(0, color=RED, linewidth=1.2)
    left.set(xlabel=f"predicted{suffix}", ylabel=f"true{suffix}")
    right.set(xlabel=f"predicted{suffix}", ylabel=f"true minus predicted{suffix}")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.xaxis.set_major_formatter(PLAIN)
        ax.yaxis.set_major_formatter(PLAIN)
    return fig
