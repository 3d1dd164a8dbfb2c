"""The evidence that the world has changed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from staytuned.insight.axis import label
from staytuned.plots._axes import MOST_POINTS, log_up, numbers, shown, thinned
from staytuned.plots._style import BLUE, RED, canvas, finished, styled


@styled
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
    evidence = numbers(trace, "trace")
    where = np.arange(1.0, len(evidence) + 1) if x is None else numbers(x, "x", like=evidence)
    known = ~np.isnan(evidence)
    evidence, where = np.clip(evidence[known], 1e-6, 1e12), where[known]
    fig, ax = canvas(3.0)
    log_up(ax)
    ax.axhline(threshold, color=RED, linestyle="--", linewidth=1.3, label=f"alarm at {label(float(threshold))}")
    kept = thinned(len(where), 4 * MOST_POINTS)
    ax.plot(where[kept], evidence[kept], color=BLUE, label="evidence of a change")
    if alarms := np.flatnonzero(evidence >= threshold).tolist():
        ax.plot(where[alarms[0]], evidence[alarms[0]], "o", color=RED, markersize=7, label=f"raised at {label(float(where[alarms[0]]))}")
    ax.set_ylim(float(evidence.min(initial=0.5)), 3 * float(evidence.max(initial=threshold)))
    ax.set_xlabel(shown(xlabel))
    ax.set_ylabel("e-value")
    return finished(fig, ax, "" if len(where) else "nothing was watched yet")
