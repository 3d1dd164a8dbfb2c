"""Draws the tables of insight and monitor; the only module that draws.

Every function returns a :class:`matplotlib.figure.Figure` that no window and no global state knows of. The colours are
Okabe and Ito's (2008), which the colour-blind can tell apart; where colour stands for a number, brighter is better.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeAlias

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from staytuned.errors import UsageError
from staytuned.insight.axis import Axis, label
from staytuned.insight.column import ColumnCurve
from staytuned.insight.effects import Effect, Surface
from staytuned.insight.front import Front, FrontRow, front
from staytuned.insight.importance import Importance
from staytuned.insight.progress import Progress, ProgressRow
from staytuned.insight.strategies import Strategies, StrategyCurve
from staytuned.study import Study
from staytuned.trial import Status

Array: TypeAlias = npt.NDArray[np.float64]
P = ParamSpec("P")

_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
_CYCLE = (_BLUE, _RED, _GREEN, _PURPLE, _ORANGE, _SKY)
_INK, _GREY, _FAINT = "#333333", "#8c8c8c", "#e8e8e8"
_WIDTH = 6.6  # inches; a page's column
_MOST_POINTS = 400  # points beyond which a cloud goes into the picture as an image, and a line is thinned
_STYLE: Any = {  # matplotlib types such keys differently from version to version
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": _INK,
    "text.usetex": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _INK,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": _FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "staytuned",
}


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


class RocCurve(NamedTuple):
    """A ROC curve.

    Args:
        fpr, tpr: (n,) false and true positive rates, as scikit-learn's ``roc_curve`` gives them.
        auc: area under it.
    """

    fpr: npt.ArrayLike
    tpr: npt.ArrayLike
    auc: float


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # in a page, the reader's own fonts will have it
        yield


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _style():
            fig = draw(*args, **kwargs)
            if engine := fig.get_layout_engine():
                engine.execute(fig)
            fig.set_layout_engine("none")  # a live layout creeps from one drawing to the next; settled once, every copy is the same
            return fig

    return styled


def figure_svg(fig: Figure, alt: str = "") -> str:
    """The figure as an ``<svg>`` element to put into a page: the same bytes for the same figure, its text kept as text.

    Args:
        fig: any matplotlib figure.
        alt: what a screen reader says.
    """
    page = io.StringIO()
    with _style():
        fig.savefig(page, format="svg", dpi=144, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = page.getvalue()
    return _slimmed(text[text.index("<svg") :], alt)


def figure_png(fig: Figure, path: str | Path, dpi: int = 150) -> Path:
    """Write the figure as a PNG file; its path."""
    with _style():
        fig.savefig(path, format="png", dpi=dpi, metadata={"Software": None})
    return Path(path)


@_styled
def plot_progress(progress: Progress, by: str = "trial") -> Figure:
    """Every trial's score and the best so far.

    Args:
        progress: from :func:`staytuned.insight.progress.progress`.
        by: "trial" for the trial's number along x, "seconds" for the time at which it ended.

    Raises:
        UsageError: ``by`` is neither.
    """
    if by not in ("trial", "seconds"):
        raise UsageError(f"by={by!r} must be 'trial' or 'seconds'")
    fig, ax = _canvas(3.2)
    rows = sorted((r for r in progress.rows if math.isfinite(getattr(r, by))), key=lambda r: float(getattr(r, by)))
    scored = [r for r in rows if math.isfinite(r.score)]
    view = _view([r.score for r in scored], progress.direction)
    done = [r for r in scored if r.status is Status.DONE]
    _cloud(ax, [r for r in done if r.feasible], by, view, color=_BLUE, label="finished")
    _cloud(ax, [r for r in done if not r.feasible], by, view, facecolors="white", edgecolors=_RED, label="breaks a limit")
    _cloud(ax, [r for r in scored if r.status is Status.PRUNED], by, view, facecolors="white", edgecolors=_GREY, label="stopped early")
    failed = [getattr(r, by) for r in rows if r.status.failed]
    if failed:
        ax.scatter(
            failed, np.full(len(failed), 0.02), marker="x", s=22, color=_RED, transform=ax.get_xaxis_transform(), label="failed", rasterized=_many(failed)
        )
    best = _best_so_far(rows, progress.direction)
    if best:
        ax.step([getattr(r, by) for r, _ in best], [b for _, b in best], where="post", color=_ORANGE, linewidth=2.2, label="best so far")
    if view:
        ax.set_ylim(*view)
    ax.set_xlabel("trial" if by == "trial" else "seconds since the start")
    ax.set_ylabel(_with_direction(progress.metric, progress.direction))
    if by == "trial":
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _finished(fig, ax, "no trial has ended yet" if not (scored or failed) else "")


@_styled
def plot_front(study: Study | Front) -> Figure:
    """The finished trials by two objectives, those on the front joined by the line that no trial lies beyond.

    Args:
        study: a study with two objectives, or its table from :func:`staytuned.insight.front.front`.

    Raises:
        UsageError: there are not two objectives.
    """
    table = study if isinstance(study, Front) else front(study.trials, study.goal)
    if len(table.metrics) != 2:
        raise UsageError(f"a front is drawn of two objectives, not of {len(table.metrics)} ({', '.join(table.metrics)}); use study.to_frame() for the numbers")
    fig, ax = _canvas(3.8)
    others = [row for row in table.rows if not row.on_front and row.feasible]
    broken = [row for row in table.rows if not row.on_front and not row.feasible]
    chosen = table.chosen
    promised = bool(chosen) and chosen[0].feasible
    view = [_view_with([row.values[side] for row in table.rows], [row.values[side] for row in chosen], table.directions[side]) for side in (0, 1)]
    marks: tuple[tuple[Sequence[FrontRow], dict[str, Any]], ...] = (
        (others, {"s": 18, "color": _BLUE, "alpha": 0.55, "linewidths": 0, "label": "finished"}),
        (broken, {"s": 18, "facecolors": "white", "edgecolors": _GREY, "linewidths": 0.9, "label": "breaks a limit"}),
        (
            chosen,
            {
                "s": 34,
                "color": _ORANGE if promised else _RED,
                "edgecolors": "white",
                "linewidths": 0.6,
                "zorder": 4,
                "label": None if promised else "breaks the limits least",
            },
        ),
    )
    for rows, look in marks:
        if rows:
            x, y = (np.array([row.values[side] for row in rows]) for side in (0, 1))
            ax.scatter(x, y, rasterized=_many(x), **look)
    for limit in table.limits:
        if limit.metric in table.metrics:
            (ax.axvline if limit.metric == table.metrics[0] else ax.axhline)(limit.bound, color=_GREY, linestyle=":", linewidth=1.2, label=_shown(str(limit)))
    if promised:
        _draw_front(ax, chosen, table.directions, view)
    for side, span in enumerate(view):
        if span:
            (ax.set_xlim if side == 0 else ax.set_ylim)(*span)
    ax.xaxis.set_major_formatter(_PLAIN)
    ax.yaxis.set_major_formatter(_PLAIN)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel(_with_direction(table.metrics[0], table.directions[0]))
    ax.set_ylabel(_with_direction(table.metrics[1], table.directions[1]))
    return _finished(fig, ax, "" if table.rows else "no trial has finished yet")


@_styled
def plot_importance(importance: Importance, limit: int = 12) -> Figure:
    """The share of the score's variance that each dimension explains, the largest on top.

    Args:
        importance: from :func:`staytuned.insight.importance.importance`.
        limit: so many dimensions at most.
    """
    rows = importance.rows[:limit]
    fig, ax = _canvas(0.9 + 0.27 * max(len(rows), 4))
    for place, row in enumerate(rows):
        ax.barh(place, row.share, height=0.62, color=_BLUE, alpha=1.0 if importance.reliable else 0.55)
        ax.plot([max(row.share - row.sd, 0.0), min(row.share + row.sd, 1.0)], [place, place], color=_INK, linewidth=1.1)
    _names_down(ax, [row.name for row in rows])
    ax.set_xlim(0, None if rows and rows[0].share > 0 else 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    ax.set_xlabel("share of the differences in score" + ("" if importance.reliable else " (a hint only)"))
    return _finished(fig, ax, "" if rows else "too few trials to tell")


@_styled
def plot_surface(surface: Surface) -> Figure:
    """A heatmap of the predicted score over two dimensions, the trials as dots and the best one as a star.

    Args:
        surface: from :func:`staytuned.insight.effects.surface`.
    """
    fig, ax = _canvas(4.2)
    ax.grid(False)
    if surface.mean.size:
        colours = "viridis" if surface.direction == "max" else "viridis_r"
        mesh = ax.pcolormesh(surface.x.edges, surface.y.edges, surface.mean, cmap=colours, rasterized=True)
        bar = fig.colorbar(mesh, ax=ax, label=f"predicted {_with_direction(surface.metric, surface.direction)}", pad=0.02, fraction=0.06)
        bar.outline.set_visible(False)
    if len(surface.places):
        x, y = _spread(surface.x, surface.places[:, 0], 0.7549), _spread(surface.y, surface.places[:, 1], 0.5698)
        ax.scatter(x, y, s=14, color="white", edgecolors=_INK, linewidths=0.6, label="trials", rasterized=_many(x))
    if surface.best is not None:
        ax.scatter(*surface.best, marker="*", s=170, color=_RED, edgecolors="white", linewidths=0.9, label="best trial", zorder=4)
    _scale(ax, surface.x, "x")
    _scale(ax, surface.y, "y")
    return _finished(fig, ax, "" if surface.mean.size else "too few trials to tell")


@_styled
def plot_effect(effect: Effect) -> Figure:
    """The predicted score along one dimension with its spread, and the trials.

    Args:
        effect: from :func:`staytuned.insight.effects.effect`.
    """
    fig, ax = _canvas(3.2)
    ax.scatter(_spread(effect.axis, effect.places), effect.scores, s=14, color=_GREY, alpha=0.7, linewidths=0, label="trials", rasterized=_many(effect.scores))
    units, mean, sd = effect.axis.units, effect.mean, effect.sd
    if mean.size and effect.axis.scale == "category":
        ax.errorbar(units, mean, yerr=sd, fmt="o", color=_BLUE, capsize=4, label="predicted, all else averaged")
    elif mean.size:
        ax.fill_between(units, mean - sd, mean + sd, color=_BLUE, alpha=0.18, linewidth=0)
        ax.plot(units, mean, color=_BLUE, label="predicted, all else averaged")
    _scale(ax, effect.axis, "x")
    ax.set_ylabel(_shown(effect.metric))
    return _finished(fig, ax, "" if len(effect.scores) else "too few trials to tell")


@_styled
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
    fig, ax = _canvas(3.2)
    steps = _numbers(x, "x")
    for name, values, sd, colour, mark in (("train", train, train_sd, _ORANGE, "s"), ("validation", validation, validation_sd, _BLUE, "o")):
        scores = _numbers(values, name, like=steps)
        known = np.isfinite(scores)
        ax.plot(
            steps[known], scores[known], color=colour, marker=mark if known.sum() <= 20 else "", markersize=4, label="training" if name == "train" else name
        )
        if sd is not None:
            band = _numbers(sd, f"{name}_sd", like=steps)
            ax.fill_between(steps, scores - band, scores + band, color=colour, alpha=0.15, linewidth=0)
    ax.set_xlabel(_shown(xlabel))
    ax.set_ylabel(_shown(ylabel))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=bool((steps == np.round(steps)).all())))
    return _finished(fig, ax, "" if steps.size else "nothing was measured on the way")


@_styled
def plot_column(curve: ColumnCurve) -> Figure:
    """The validation curve of a hyperparameter that came free with the fits, and the value that was chosen; the band is the spread over folds.

    Args:
        curve: from :func:`staytuned.insight.column.column_curve`.
    """
    fig, ax = _canvas(3.2)
    names = [_shown(label(value)) for value in curve.values]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in curve.values):
        x, order = _numbers(curve.values, curve.name), np.argsort(curve.values)
        ax.fill_between(x[order], (curve.mean - curve.sd)[order], (curve.mean + curve.sd)[order], color=_BLUE, alpha=0.15, linewidth=0)
        ax.plot(x[order], curve.mean[order], color=_BLUE, marker="o" if len(x) <= 20 else "", markersize=4, label="validation, mean over folds")
        if x.min() > 0 and x.max() >= 100 * x.min():
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(_PLAIN)
    else:
        x = np.arange(len(curve.values), dtype=float)
        ax.errorbar(x, curve.mean, yerr=curve.sd, fmt="o", color=_BLUE, capsize=4, label="validation, mean over folds")
        _ticks(ax, "x", x.tolist(), names)
    ax.plot(x[curve.chosen], curve.mean[curve.chosen], "*", markersize=11, color=_ORANGE, label=f"chosen: {names[curve.chosen]}")
    ax.set_xlabel(_shown(curve.name))
    ax.set_ylabel(_with_direction(curve.metric, curve.direction))
    return _finished(fig, ax)


@_styled
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
    names = [_shown(c, 18) for c in classes][::every]
    cell, margin = (0.62 if k <= 6 else 0.45 if k <= 12 else 0.25), 0.07 * max(map(len, names), default=0)  # inches
    side = min(cell * k, 6.0)
    fig, ax = _canvas(side + 0.8 + 0.6 * margin, width=side + margin + (1.0 if k <= 12 else 1.6))
    ax.grid(False)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    edges = np.arange(k + 1) - 0.5
    image = ax.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1, rasterized=k > 20)
    if k <= 12:
        for i, j in np.ndindex(k, k):
            text = f"{counts[i, j]:,.0f}\n{shares[i, j]:.0%}" if k <= 6 else f"{counts[i, j]:,.0f}"
            ax.text(j, i, text, ha="center", va="center", fontsize=8 if k <= 6 else 7, color="white" if shares[i, j] > 0.55 else _INK)
    else:
        bar = fig.colorbar(image, ax=ax, format=PercentFormatter(1.0, decimals=0), label="share of the true class", pad=0.02, shrink=0.8)
        bar.outline.set_visible(False)
    _ticks(ax, "x", list(range(0, k, every)), names, room=side / 0.075)
    ax.set_yticks(range(0, k, every), names)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return fig


@_styled
def plot_roc(curves: Mapping[str, RocCurve | tuple[npt.ArrayLike, npt.ArrayLike, float]]) -> Figure:
    """ROC curves by name, such as baseline and tuned, or one per class.

    Args:
        curves: name to (fpr, tpr, auc).
    """
    fig, ax = _canvas(3.8, width=6.0 if len(curves) > 1 else 4.4)
    for place, (name, (fpr, tpr, auc)) in enumerate(curves.items()):
        x = _numbers(fpr, "fpr")
        y = _numbers(tpr, "tpr", like=x)
        dashes = "-" if place < len(_CYCLE) else "--"
        kept = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).astype(int)) if len(x) > _MOST_POINTS else slice(None)
        ax.plot(x[kept], y[kept], dashes, color=_CYCLE[place % len(_CYCLE)], label=f"{_shown(name, 24)} ({auc:.3f})")
    ax.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":", label="guessing (0.500)")
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate")
    ax.set_aspect("equal")
    if len(curves) > 1:
        fig.legend(loc="outside right upper", title="area under the curve")
    else:
        ax.legend(loc="lower right")
    return fig


@_styled
def plot_residuals(y: npt.ArrayLike, predicted: npt.ArrayLike, unit: str = "") -> Figure:
    """Predicted against true values, and the errors against the prediction.

    Args:
        y, predicted: (n,) true and predicted values.
        unit: of both, such as "USD".

    Raises:
        UsageError: arrays of different lengths.
    """
    true = _numbers(y, "y")
    guess = _numbers(predicted, "predicted", like=true)
    known = np.isfinite(true) & np.isfinite(guess)
    true, guess = true[known], guess[known]
    fig = Figure(figsize=(_WIDTH, 3.2), layout="constrained")
    left, right = fig.subplots(1, 2)
    suffix = f" ({_shown(unit, 12)})" if unit else ""
    dots: dict[str, Any] = {"s": 12, "color": _BLUE, "alpha": 0.45, "linewidths": 0, "rasterized": _many(true)}
    left.scatter(guess, true, **dots)
    right.scatter(guess, true - guess, **dots)
    if true.size:
        ends = [min(true.min(), guess.min()), max(true.max(), guess.max())]
        left.plot(ends, ends, color=_RED, linewidth=1.2)
    right.axhline(0, color=_RED, linewidth=1.2)
    left.set(xlabel=f"predicted{suffix}", ylabel=f"true{suffix}")
    right.set(xlabel=f"predicted{suffix}", ylabel=f"true minus predicted{suffix}")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.xaxis.set_major_formatter(_PLAIN)
        ax.yaxis.set_major_formatter(_PLAIN)
    return fig


@_styled
def plot_scores(rows: Sequence[ScoreBar | tuple[str, float, float, float]], metric: str = "score") -> Figure:
    """Scores with their intervals, one below the other: baseline against tuned.

    Args:
        rows: (name, score, low, high) from top to bottom.
        metric: what the scores are.
    """
    fig, ax = _canvas(0.9 + 0.32 * max(len(rows), 2))
    for place, row in enumerate(rows):
        _, score, low, high = row
        colour = _CYCLE[place % len(_CYCLE)] if len(rows) <= 3 else _BLUE
        if math.isfinite(low) and math.isfinite(high):
            ax.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        ax.plot([score], [place], "o", color=colour, markersize=7)
        ax.annotate(_interval(score, low, high), (1.01, place), xycoords=ax.get_yaxis_transform(), va="center", fontsize=8.5, annotation_clip=False)
    _names_down(ax, [str(row[0]) for row in rows])
    ax.margins(x=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel(_shown(metric))
    return _finished(fig, ax, "" if rows else "nothing was scored")


@_styled
def plot_folds(folds: Mapping[str, npt.ArrayLike], metric: str = "score") -> Figure:
    """The score of every fold, a line per model, with the mean as a bar.

    Args:
        folds: name to (k,) scores; NaN for a fold that was not run.
        metric: what the scores are.
    """
    fig, ax = _canvas(0.9 + 0.32 * max(len(folds), 2))
    for place, (name, values) in enumerate(folds.items()):
        scores = _numbers(values, name)
        scores = scores[np.isfinite(scores)]
        ax.scatter(scores, np.full(len(scores), place), s=22, color=_BLUE, alpha=0.6, linewidths=0, label="one fold" if place == 0 else None)
        if scores.size:
            ax.plot([scores.mean()] * 2, [place - 0.3, place + 0.3], color=_RED, linewidth=2.2, label="mean" if place == 0 else None)
    _names_down(ax, list(folds))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel(_shown(metric))
    return _finished(fig, ax, "" if folds else "nothing was scored")


@_styled
def plot_risk(trace: npt.ArrayLike, threshold: float, x: npt.ArrayLike | None = None, xlabel: str = "labelled predictions") -> Figure:
    """The evidence against a still world as it grew, on a log scale; an alarm is raised where it reaches the threshold.

    Args:
        trace: (n,) e-values, at least 0.
        threshold: that raises the alarm; 1 / threshold bounds the false alarms.
        x: (n,) where each was taken; 1, 2, ... if left out.
        xlabel: what x is, with units.

    Raises:
        UsageError: arrays of different lengths.
    """
    evidence = _numbers(trace, "trace")
    where = np.arange(1.0, len(evidence) + 1) if x is None else _numbers(x, "x", like=evidence)
    known = ~np.isnan(evidence)
    evidence, where = np.clip(evidence[known], 1e-6, 1e12), where[known]
    fig, ax = _canvas(3.0)
    ax.set_yscale("log")
    ax.axhline(threshold, color=_RED, linestyle="--", linewidth=1.3, label=f"alarm at {label(float(threshold))}")
    kept = np.unique(np.linspace(0, len(where) - 1, 4 * _MOST_POINTS).astype(int)) if len(where) else np.array([], dtype=int)
    ax.plot(where[kept], evidence[kept], color=_BLUE, label="evidence of a change")
    if alarms := np.flatnonzero(evidence >= threshold).tolist():
        ax.plot(where[alarms[0]], evidence[alarms[0]], "o", color=_RED, markersize=7, label=f"raised at {label(float(where[alarms[0]]))}")
    ax.set_ylim(float(evidence.min(initial=0.5)), 3 * float(evidence.max(initial=threshold)))
    ax.yaxis.set_major_locator(LogLocator(numticks=7))
    ax.yaxis.set_major_formatter(_PLAIN)
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(_shown(xlabel))
    ax.set_ylabel("e-value")
    return _finished(fig, ax, "" if len(where) else "nothing was watched yet")


@_styled
def plot_comparison(strategies: Strategies) -> Figure:
    """The best score so far by trial, mean and 95 % band of each strategy, and where each ends.

    Args:
        strategies: from :func:`staytuned.insight.strategies.strategies`.
    """
    fig = Figure(figsize=(_WIDTH, 3.8), layout="constrained")
    ax, ends = fig.subplots(1, 2, sharey=True, width_ratios=[3.4, 1 + 0.12 * len(strategies.curves)])
    drawn = [curve for curve in strategies.curves if np.isfinite(curve.mean).any()]
    logged = _spans_decades(drawn, strategies.direction)
    for place, curve in enumerate(drawn):
        x = np.arange(1, len(curve.mean) + 1)
        colour, dashes = _CYCLE[place % len(_CYCLE)], "-" if place < len(_CYCLE) else "--"
        ax.fill_between(x, curve.low, curve.high, step="post", color=colour, alpha=0.12, linewidth=0)
        ax.step(x, curve.mean, dashes, where="post", color=colour, label=_shown(curve.name, 18))
        ends.plot([place, place], [curve.low[-1], curve.high[-1]], color=colour, linewidth=2, solid_capstyle="butt")
        ends.plot([place], [curve.mean[-1]], "o", color=colour, markersize=6)
    if logged:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(numticks=7))
        ax.yaxis.set_minor_formatter(NullFormatter())
    elif view := _end_view(drawn):
        ax.set_ylim(*view)
    ax.yaxis.set_major_formatter(_PLAIN)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.5, strategies.trials + 0.5)
    ax.set_xlabel("trial")
    ax.set_ylabel(f"best so far, {_with_direction(strategies.metric, strategies.direction)}")
    _ticks(ends, "x", range(len(drawn)), [_shown(curve.name, 18) for curve in drawn], room=16)
    ends.set_xlim(-0.6, max(len(drawn), 1) - 0.4)
    ends.grid(False, axis="x")
    ends.set_xlabel(f"after {strategies.trials} trial{'s' * (strategies.trials != 1)}")
    return _finished(fig, ax, "" if drawn else "no trial has finished with a score")


def _canvas(height: float, width: float = _WIDTH) -> tuple[Figure, Axes]:
    fig = Figure(figsize=(width, height), layout="constrained")
    return fig, fig.add_subplot()


def _finished(fig: Figure, ax: Axes, instead: str = "") -> Figure:
    """The figure with its legend above the axes, where it hides nothing, or with what there is to say instead of a picture."""
    handles, labels = ax.get_legend_handles_labels()
    if instead:
        ax.text(0.5, 0.5, instead, transform=ax.transAxes, ha="center", va="center", color=_GREY)
    elif len(handles) > 1:
        fig.legend(handles, labels, loc="outside upper left", ncols=4)
    return fig


def _shown(name: Any, most: int = 34) -> str:
    """A name fit for a picture: one line, its middle left out where it is long, no character that XML or mathtext would trip over."""
    text = "".join(c if c.isprintable() else " " for c in str(name))
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[len(text) - (most - 1 - most // 2) :]}"
    return text.replace("$", r"\$")


def _with_direction(metric: str, direction: str) -> str:
    return f"{_shown(metric)} ({'higher' if direction == 'max' else 'lower'} is better)"


_PLAIN = FuncFormatter(lambda value, _: label(float(value)))


def _numbers(values: npt.ArrayLike, name: str, like: Array | None = None) -> Array:
    numbers: Array = np.asarray(values, dtype=float).ravel()
    if like is not None and len(numbers) != len(like):
        raise UsageError(f"{name} has {len(numbers)} values where {len(like)} are needed, one for each place along x")
    return numbers


def _many(points: Sequence[float] | Array) -> bool:
    return len(points) > _MOST_POINTS


def _view(scores: Sequence[float], direction: str) -> tuple[float, float] | None:
    """Where to look: all scores, but not so far into the bad ones that the good ones blur (the box plot's outer fence)."""
    if len(scores) < 2 or min(scores) == max(scores):
        return None
    low, high = (float(q) for q in np.quantile(scores, [0.25, 0.75]))
    bottom, top = min(scores), max(scores)
    if high > low:
        bottom, top = (max(bottom, low - 3 * (high - low)), top) if direction == "max" else (bottom, min(top, high + 3 * (high - low)))
    room = 0.07 * (top - bottom)
    return bottom - room, top + room


def _spans_decades(curves: Sequence[StrategyCurve], direction: str) -> bool:
    """Whether the means fall so far towards zero that only a log scale shows their ends apart."""
    means = np.concatenate([curve.mean[np.isfinite(curve.mean)] for curve in curves] or [np.ones(1)])
    return direction == "min" and bool(means.min() > 0 and means.max() > 1000 * means.min())


def _end_view(curves: Sequence[StrategyCurve]) -> tuple[float, float] | None:
    """Where to look: where the curves go, and not where the first trials happened to lie."""
    means = np.concatenate([curve.mean[max(0, min(len(curve.mean) // 10, 4)) :] for curve in curves] or [np.empty(0)])
    means = means[np.isfinite(means)]
    if not means.size:
        return None
    spread = float(np.ptp(means))  # two repeats may have a band that would make everything else a line
    ends = [bound for curve in curves for bound in (curve.low[-1], curve.high[-1]) if math.isfinite(bound)]
    seen = np.append(means, np.clip(ends, means.min() - spread, means.max() + spread))
    if seen.min() == seen.max():
        return None
    room = 0.06 * float(np.ptp(seen))
    return float(seen.min()) - room, float(seen.max()) + room


def _view_with(scores: Sequence[float], kept: Sequence[float], direction: str) -> tuple[float, float] | None:
    """The same, widened to where the kept ones lie."""
    view = _view(scores, direction)
    if view is None:
        return None
    room = 0.07 * (view[1] - view[0])
    return min([view[0], *(score - room for score in kept)]), max([view[1], *(score + room for score in kept)])


def _cloud(ax: Axes, rows: Sequence[ProgressRow], by: str, view: tuple[float, float] | None, **look: Any) -> None:
    if not rows:
        return
    places, scores = np.array([getattr(r, by) for r in rows], dtype=float), np.array([r.score for r in rows])
    low, high = view or (-math.inf, math.inf)
    inside = (scores >= low) & (scores <= high)
    ax.scatter(places[inside], scores[inside], s=18, linewidths=0.9, rasterized=_many(places), **look)
    outside = ~inside
    if outside.any():  # at the border, pointing out of the picture
        edge = np.where(scores[outside] < low, low, high)
        colour = look.get("color", look.get("edgecolors"))
        ax.scatter(
            places[outside],
            edge,
            s=22,
            marker="v" if scores[outside][0] < low else "^",
            color=colour,
            linewidths=0,
            label=f"{look['label']}, off the scale",
            clip_on=False,
        )


def _best_so_far(rows: Sequence[ProgressRow], direction: str) -> list[tuple[ProgressRow, float]]:
    """The running best in the order of the rows, which by time need not be that of their numbers."""
    better = max if direction == "max" else min
    track: list[tuple[ProgressRow, float]] = []
    for row in rows:
        own = row.score if row.status is Status.DONE and row.feasible and math.isfinite(row.score) else None
        if track or own is not None:
            past = track[-1][1] if track else own
            track.append((row, past if own is None else better(past, own)))  # type: ignore[type-var, arg-type]
    return track


def _draw_front(ax: Axes, chosen: Sequence[FrontRow], directions: Sequence[str], view: Sequence[tuple[float, float] | None]) -> None:
    """The border of what the trials dominate, drawn on to the edges of the picture: steps, for nothing is promised between two trials."""
    x, y = ([row.values[side] for row in chosen] for side in (0, 1))
    worst = [(-math.inf if d == "max" else math.inf) if span is None else span[0 if d == "max" else 1] for d, span in zip(directions, view, strict=True)]
    if math.isfinite(worst[1]):
        x, y = [x[0], *x], [worst[1], *y]
    if math.isfinite(worst[0]):
        x, y = [*x, worst[0]], [*y, y[-1]]
    ax.step(x, y, where="post", color=_ORANGE, linewidth=1.6, marker="o", markersize=0, label="front")


def _names_down(ax: Axes, names: Sequence[str]) -> None:
    """Names down the left side, the first on top."""
    ax.set_yticks(range(len(names)), [_shown(name) for name in names])
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.set_ylim(len(names) - 0.4, -0.6)


def _ticks(ax: Axes, side: str, places: Sequence[float], names: Sequence[str], room: float = 70) -> None:
    """Tick labels; along x they lean over where the longest would not fit ``room`` characters as often as there are labels."""
    crowded = side == "x" and (max(map(len, names), default=0) + 1) * len(names) > room
    (ax.set_xticks if side == "x" else ax.set_yticks)(places, names)
    if crowded:
        for tick in ax.get_xticklabels():
            tick.set(rotation=35, ha="right", rotation_mode="anchor")


def _scale(ax: Axes, axis: Axis, side: str) -> None:
    """The unit interval along one side, labelled in the dimension's own units."""
    names = [_shown(text, 18) for text in axis.labels]
    name = _shown(axis.name, 44 if side == "x" else 34) + (" (log scale)" if axis.scale == "log" else "")
    _ticks(ax, side, axis.ticks, names)
    if side == "x":
        ax.set_xlim(0, 1)
        ax.set_xlabel(name)
    else:
        ax.set_ylim(0, 1)
        ax.set_ylabel(name)


def _spread(axis: Axis, places: Array, step: float = 0.7549) -> Array:
    """Places along an axis; within a category's cell they are set side by side instead of on top of one another."""
    if axis.scale != "category":
        return places
    beside: Array = places + ((np.arange(len(places)) * step) % 1.0 - 0.5) * 0.7 / len(axis.values)  # low-discrepancy steps
    return beside


def _interval(score: float, low: float, high: float) -> str:
    texts = [f"{v:.3f}" if abs(score) < 10 else label(float(v)) for v in (score, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if math.isfinite(low) and math.isfinite(high) else texts[0]


def _slimmed(svg: str, alt: str) -> str:
    """Without what a page does not need: ids that other figures have too, a style sheet that would leak out, fonts named at every word."""
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>\s*", "", svg, count=1)
    svg = re.sub(r"(<text style=\"[^\"]*?)font-family: [^;\"]*;? ?", r"\1", svg)
    svg = re.sub(r" transform=\"rotate\(-0 [^)]*\)\"", "", svg)
    look = "stroke-linejoin: round; stroke-linecap: butt; font-family: 'DejaVu Sans', Verdana, sans-serif; max-width: 100%; height: auto"
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(_shown(alt, 300))}" style="{look}" ', 1)
