"""Several strategies on one problem."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from staytuned.insight.strategies import Strategies, StrategyCurve
from staytuned.plots._axes import PLAIN, log_up, shown, ticks, with_direction
from staytuned.plots._style import finished, line, sheet, styled


@styled
def plot_comparison(strategies: Strategies) -> Figure:
    """The best score so far by trial, mean and 95 % band of each strategy, and where each ends.

    Args:
        strategies: from :func:`staytuned.insight.strategies.strategies`.
    """
    fig = sheet(3.8)
    ax, ends = fig.subplots(1, 2, sharey=True, width_ratios=[3.4, 1 + 0.12 * len(strategies.curves)])
    drawn = [curve for curve in strategies.curves if np.isfinite(curve.mean).any()]
    logged = _spans_decades(drawn, strategies.direction)
    for place, curve in enumerate(drawn):
        x = np.arange(1, len(curve.mean) + 1)
        colour, dashes = line(place)
        ax.fill_between(x, curve.low, curve.high, step="post", color=colour, alpha=0.12, linewidth=0)
        ax.step(x, curve.mean, dashes, where="post", color=colour, label=shown(curve.name, 18))
        ends.plot([place, place], [curve.low[-1], curve.high[-1]], color=colour, linewidth=2, solid_capstyle="butt")
        ends.plot([place], [curve.mean[-1]], "o", color=colour, markersize=6)
    if logged:
        log_up(ax)
    elif view := _end_view(drawn):
        ax.set_ylim(*view)
    ax.yaxis.set_major_formatter(PLAIN)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.5, strategies.trials + 0.5)
    ax.set_xlabel("trial")
    ax.set_ylabel(f"best so far, {with_direction(strategies.metric, strategies.direction)}")
    ticks(ends, "x", range(len(drawn)), [shown(curve.name, 18) for curve in drawn], room=16)
    ends.set_xlim(-0.6, max(len(drawn), 1) - 0.4)
    ends.grid(False, axis="x")
    ends.set_xlabel(f"after {strategies.trials} trial{'s' * (strategies.trials != 1)}")
    return finished(fig, ax, "" if drawn else "no trial has finished with a score")


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
