"""How well a model does: its scores with their intervals, fold by fold, and as it learns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from staytuned.insight.axis import label
from staytuned.plots._axes import names_down, numbers, shown
from staytuned.plots._style import BLUE, CYCLE, ORANGE, RED, canvas, finished, styled


class ScoreBar(NamedTuple):
    """A score with its interval.

    Args:
        name: whose score it is, such as "baseline" or "tuned".
        score: the estimate.
        low, high: ends of its interval; NaN for none.
    """

    name: str
    score: float
    low: float = math.nan
    high: float = math.nan


@styled
def plot_scores(rows: Sequence[ScoreBar | tuple[str, float, float, float]], metric: str = "score") -> Figure:
    """Scores with their intervals, one below the other: baseline against tuned.

    Args:
        rows: (name, score, low, high) from top to bottom.
        metric: what the scores are.
    """
    fig, ax = canvas(0.9 + 0.32 * max(len(rows), 2))
    for place, row in enumerate(rows):
        _, score, low, high = row
        colour = CYCLE[place] if len(rows) <= 3 else BLUE
        if math.isfinite(low) and math.isfinite(high):
            ax.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        ax.plot([score], [place], "o", color=colour, markersize=7)
        ax.annotate(_interval(score, low, high), (1.01, place), xycoords=ax.get_yaxis_transform(), va="center", fontsize=8.5, annotation_clip=False)
    names_down(ax, [str(row[0]) for row in rows])
    ax.margins(x=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel(shown(metric))
    return finished(fig, ax, "" if rows else "nothing was scored")


@styled
def plot_folds(folds: Mapping[str, npt.ArrayLike], metric: str = "score") -> Figure:
    """The score of every fold, a line per model, with the mean as a bar.

    Args:
        folds: name to (k,) scores; NaN for a fold that was not run.
        metric: what the scores are.
    """
    fig, ax = canvas(0.9 + 0.32 * max(len(folds), 2))
    for place, (name, values) in enumerate(folds.items()):
        scores = numbers(values, name)
        scores = scores[np.isfinite(scores)]
        ax.scatter(scores, np.full(len(scores), place), s=22, color=BLUE, alpha=0.6, linewidths=0, label="one fold" if place == 0 else None)
        if scores.size:
            ax.plot([scores.mean()] * 2, [place - 0.3, place + 0.3], color=RED, linewidth=2.2, label="mean" if place == 0 else None)
    names_down(ax, list(folds))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel(shown(metric))
    return finished(fig, ax, "" if folds else "nothing was scored")


@styled
def plot_curves(
    x: npt.ArrayLike,
    train: npt.ArrayLike,
    validation: npt.ArrayLike,
    *,
    xlabel: str = "step",
    ylabel: str = "score",
    train_sd: npt.ArrayLike | None = None,
    validation_sd: npt.ArrayLike | None = None,
) -> Figure:
    """A learning curve or a loss curve: training beside validation.

    Args:
        x: (n,) steps, or numbers of training rows.
        train, validation: (n,) scores there; NaN where not measured.
        xlabel, ylabel: what they are, with units.
        train_sd, validation_sd: (n,) standard deviations, drawn as bands.

    Raises:
        UsageError: arrays of different lengths.
    """
    fig, ax = canvas(3.2)
    steps = numbers(x, "x")
    for name, values, sd, colour, mark in (("train", train, train_sd, ORANGE, "s"), ("validation", validation, validation_sd, BLUE, "o")):
        scores = numbers(values, name, like=steps)
        known = np.isfinite(scores)
        ax.plot(
            steps[known], scores[known], color=colour, marker=mark if known.sum() <= 20 else "", markersize=4, label="training" if name == "train" else name
        )
        if sd is not None:
            band = numbers(sd, f"{name}_sd", like=steps)
            ax.fill_between(steps, scores - band, scores + band, color=colour, alpha=0.15, linewidth=0)
    ax.set_xlabel(shown(xlabel))
    ax.set_ylabel(shown(ylabel))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=bool((steps == np.round(steps)).all())))
    return finished(fig, ax, "" if steps.size else "nothing was measured on the way")


def _interval(score: float, low: float, high: float) -> str:
    texts = [f"{v:.3f}" if abs(score) < 10 else label(float(v)) for v in (score, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if math.isfinite(low) and math.isfinite(high) else texts[0]
