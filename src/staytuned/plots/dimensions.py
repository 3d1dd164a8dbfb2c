"""The dimensions of a space: which of them matter, and how the score goes along one or two."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from staytuned.insight.axis import Axis, label
from staytuned.insight.column import ColumnCurve
from staytuned.insight.effects import Effect, Surface
from staytuned.insight.importance import Importance
from staytuned.plots._axes import PLAIN, Array, many, names_down, numbers, shown, ticks, with_direction
from staytuned.plots._style import BLUE, GREY, INK, ORANGE, RED, canvas, finished, styled


@styled
def plot_importance(importance: Importance, limit: int = 12) -> Figure:
    """The share of the score's variance that each dimension explains, the largest on top.

    Args:
        importance: from :func:`staytuned.insight.importance.importance`.
        limit: so many dimensions at most.
    """
    rows = importance.rows[:limit]
    fig, ax = canvas(0.9 + 0.27 * max(len(rows), 4))
    for place, row in enumerate(rows):
        ax.barh(place, row.share, height=0.62, color=BLUE, alpha=1.0 if importance.reliable else 0.55)
        ax.plot([max(row.share - row.sd, 0.0), min(row.share + row.sd, 1.0)], [place, place], color=INK, linewidth=1.1)
    names_down(ax, [row.name for row in rows])
    ax.set_xlim(0, None if rows and rows[0].share > 0 else 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    ax.set_xlabel("share of the differences in score" + ("" if importance.reliable else " (a hint only)"))
    return finished(fig, ax, "" if rows else "too few trials to tell")


@styled
def plot_effect(effect: Effect) -> Figure:
    """The predicted score along one dimension with its spread, and the trials.

    Args:
        effect: from :func:`staytuned.insight.effects.effect`.
    """
    fig, ax = canvas(3.2)
    ax.scatter(_spread(effect.axis, effect.places), effect.scores, s=14, color=GREY, alpha=0.7, linewidths=0, label="trials", rasterized=many(effect.scores))
    units, mean, sd = effect.axis.units, effect.mean, effect.sd
    if mean.size and effect.axis.scale == "category":
        ax.errorbar(units, mean, yerr=sd, fmt="o", color=BLUE, capsize=4, label="predicted, all else averaged")
    elif mean.size:
        ax.fill_between(units, mean - sd, mean + sd, color=BLUE, alpha=0.18, linewidth=0)
        ax.plot(units, mean, color=BLUE, label="predicted, all else averaged")
    _scale(ax, effect.axis, "x")
    ax.set_ylabel(shown(effect.metric))
    return finished(fig, ax, "" if len(effect.scores) else "too few trials to tell")


@styled
def plot_surface(surface: Surface) -> Figure:
    """A heatmap of the predicted score over two dimensions, the trials as dots and the best one as a star.

    Args:
        surface: from :func:`staytuned.insight.effects.surface`.
    """
    fig, ax = canvas(4.2)
    ax.grid(False)
    if surface.mean.size:
        colours = "viridis" if surface.direction == "max" else "viridis_r"
        mesh = ax.pcolormesh(surface.x.edges, surface.y.edges, surface.mean, cmap=colours, rasterized=True)
        bar = fig.colorbar(mesh, ax=ax, label=f"predicted {with_direction(surface.metric, surface.direction)}", pad=0.02, fraction=0.06)
        bar.outline.set_visible(False)
    if len(surface.places):
        x, y = _spread(surface.x, surface.places[:, 0], 0.7549), _spread(surface.y, surface.places[:, 1], 0.5698)
        ax.scatter(x, y, s=14, color="white", edgecolors=INK, linewidths=0.6, label="trials", rasterized=many(x))
    if surface.best is not None:
        ax.scatter(*surface.best, marker="*", s=170, color=RED, edgecolors="white", linewidths=0.9, label="best trial", zorder=4)
    _scale(ax, surface.x, "x")
    _scale(ax, surface.y, "y")
    return finished(fig, ax, "" if surface.mean.size else "too few trials to tell")


@styled
def plot_column(curve: ColumnCurve) -> Figure:
    """The validation curve of a hyperparameter that came free with the fits, and the value that was chosen; the band is the spread over folds.

    Args:
        curve: from :func:`staytuned.insight.column.column_curve`.
    """
    fig, ax = canvas(3.2)
    names = [shown(label(value)) for value in curve.values]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in curve.values):
        x, order = numbers(curve.values, curve.name), np.argsort(curve.values)
        ax.fill_between(x[order], (curve.mean - curve.sd)[order], (curve.mean + curve.sd)[order], color=BLUE, alpha=0.15, linewidth=0)
        ax.plot(x[order], curve.mean[order], color=BLUE, marker="o" if len(x) <= 20 else "", markersize=4, label="validation, mean over folds")
        if x.min() > 0 and x.max() >= 100 * x.min():
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(PLAIN)
    else:
        x = np.arange(len(curve.values), dtype=float)
        ax.errorbar(x, curve.mean, yerr=curve.sd, fmt="o", color=BLUE, capsize=4, label="validation, mean over folds")
        ticks(ax, "x", x.tolist(), names)
    ax.plot(x[curve.chosen], curve.mean[curve.chosen], "*", markersize=11, color=ORANGE, label=f"chosen: {names[curve.chosen]}")
    ax.set_xlabel(shown(curve.name))
    ax.set_ylabel(with_direction(curve.metric, curve.direction))
    return finished(fig, ax)


def _scale(ax: Axes, axis: Axis, side: str) -> None:
    """The unit interval along one side, labelled in the dimension's own units."""
    names = [shown(text, 18) for text in axis.labels]
    name = shown(axis.name, 44 if side == "x" else 34) + (" (log scale)" if axis.scale == "log" else "")
    ticks(ax, side, axis.ticks, names)
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
