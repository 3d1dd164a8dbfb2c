"""The trials of a study: one after the other, and by two objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from staytuned.errors import UsageError
from staytuned.insight.front import Front, FrontRow, front
from staytuned.insight.progress import Progress, ProgressRow
from staytuned.plots._axes import PLAIN, many, shown, with_direction
from staytuned.plots._style import BLUE, GREY, ORANGE, RED, canvas, finished, styled
from staytuned.study import Study
from staytuned.trial import Status


@styled
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
    fig, ax = canvas(3.2)
    rows = sorted((r for r in progress.rows if math.isfinite(getattr(r, by))), key=lambda r: float(getattr(r, by)))
    scored = [r for r in rows if math.isfinite(r.score)]
    view = _view([r.score for r in scored], progress.direction)
    done = [r for r in scored if r.status is Status.DONE]
    _cloud(ax, [r for r in done if r.feasible], by, view, color=BLUE, label="finished")
    _cloud(ax, [r for r in done if not r.feasible], by, view, facecolors="white", edgecolors=RED, label="breaks a limit")
    _cloud(ax, [r for r in scored if r.status is Status.PRUNED], by, view, facecolors="white", edgecolors=GREY, label="stopped early")
    failed = [getattr(r, by) for r in rows if r.status.failed]
    if failed:
        ax.scatter(failed, np.full(len(failed), 0.02), marker="x", s=22, color=RED, transform=ax.get_xaxis_transform(), label="failed", rasterized=many(failed))
    best = _best_so_far(rows, progress.direction)
    if best:
        ax.step([getattr(r, by) for r, _ in best], [b for _, b in best], where="post", color=ORANGE, linewidth=2.2, label="best so far")
    if view:
        ax.set_ylim(*view)
    ax.set_xlabel("trial" if by == "trial" else "seconds since the start")
    ax.set_ylabel(with_direction(progress.metric, progress.direction))
    if by == "trial":
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return finished(fig, ax, "no trial has ended yet" if not (scored or failed) else "")


@styled
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
    fig, ax = canvas(3.8)
    others = [row for row in table.rows if not row.on_front and row.feasible]
    broken = [row for row in table.rows if not row.on_front and not row.feasible]
    chosen = table.chosen
    promised = bool(chosen) and chosen[0].feasible
    view = [_view_with([row.values[side] for row in table.rows], [row.values[side] for row in chosen], table.directions[side]) for side in (0, 1)]
    marks: tuple[tuple[Sequence[FrontRow], dict[str, Any]], ...] = (
        (others, {"s": 18, "color": BLUE, "alpha": 0.55, "linewidths": 0, "label": "finished"}),
        (broken, {"s": 18, "facecolors": "white", "edgecolors": GREY, "linewidths": 0.9, "label": "breaks a limit"}),
        (
            chosen,
            {
                "s": 34,
                "color": ORANGE if promised else RED,
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
            ax.scatter(x, y, rasterized=many(x), **look)
    for limit in table.limits:
        if limit.metric in table.metrics:
            (ax.axvline if limit.metric == table.metrics[0] else ax.axhline)(limit.bound, color=GREY, linestyle=":", linewidth=1.2, label=shown(str(limit)))
    if promised:
        _draw_front(ax, chosen, table.directions, view)
    for side, span in enumerate(view):
        if span:
            (ax.set_xlim if side == 0 else ax.set_ylim)(*span)
    ax.xaxis.set_major_formatter(PLAIN)
    ax.yaxis.set_major_formatter(PLAIN)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel(with_direction(table.metrics[0], table.directions[0]))
    ax.set_ylabel(with_direction(table.metrics[1], table.directions[1]))
    return finished(fig, ax, "" if table.rows else "no trial has finished yet")


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
    ax.scatter(places[inside], scores[inside], s=18, linewidths=0.9, rasterized=many(places), **look)
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
    ax.step(x, y, where="post", color=ORANGE, linewidth=1.6, marker="o", markersize=0, label="front")
