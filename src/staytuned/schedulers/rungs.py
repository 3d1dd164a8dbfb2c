"""What all halving shares: the levels of a ladder, who stands where on it, and who stands best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from staytuned.errors import UsageError
from staytuned.goal import Goal, nondominated
from staytuned.schedulers.never import best_reported
from staytuned.trial import History, Reading, Status, Trial

_DIGITS = 9  # to which shares of the effort are compared


def checked(name: str, value: Any, low: float, high: float = math.inf, *, whole: bool = False, hint: str = "") -> float:
    """A setting of a scheduler.

    Raises:
        UsageError: it is no finite number between ``low`` and ``high``, or not a whole one where it must be.
    """
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not (low <= number <= high and number < math.inf) or (whole and number % 1):
        kind = "a whole number" if whole else "a number"
        reach = f"of at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise UsageError(f"{name}={value!r} must be {kind} {reach}{hint}")
    return number


def checked_eta(eta: Any) -> float:
    """The factor between rungs.

    Raises:
        UsageError: it is not a number of at least 2.
    """
    return checked("eta", eta, 2, hint=": one in eta goes on from each rung to the next")


def checked_lowest(lowest: Any, eta: float = 2.0) -> float:
    """The least share of the full effort.

    Raises:
        UsageError: it is not in (0, 1), or leaves no rung below full effort.
    """
    if isinstance(lowest, bool) or not isinstance(lowest, Real) or not 0 < float(lowest) < 1:
        raise UsageError(f"fidelity={lowest!r} must be above 0 and below 1: the least share of the full effort that tells something, such as 1/27")
    if not heights(1 / float(lowest), eta):
        raise UsageError(f"fidelity={lowest!r} is above 1/{eta:g}, so there is no rung below full effort; give a lower one, or a smaller eta")
    return float(lowest)


def checked_steps(least: Any, most: Any) -> None:
    """The efforts, in steps, between which a rule stops trials.

    Raises:
        UsageError: they are not positive, or in the wrong order.
    """
    least = checked("least", least, 1, hint=" of steps before anything is stopped")
    if most is not None and checked("most", most, 1, hint=" of steps of a full trial, or None") <= least:
        raise UsageError(f"most={most!r} must be above least={least:g}, else there is nothing to save")


def heights(ratio: float, eta: float) -> int:
    """``floor(log_eta(ratio))``, exact where the ratio is a power of eta up to rounding."""
    return math.floor(math.log(ratio) / math.log(eta) + 1e-9)


def shares(lowest: float, eta: float) -> tuple[float, ...]:
    """The shares of the full effort from the lowest rung up: 1 / eta^k, none below ``lowest``, the last one 1."""
    return tuple(eta**-k for k in range(heights(1 / lowest, eta), -1, -1))


def climbers(history: History, levels: Sequence[float]) -> list[list[Trial]]:
    """The trials on each level, in the order of the history; trials at other fidelities, and those told nothing of it, stand nowhere."""
    rung_of = {round(level, _DIGITS): i for i, level in enumerate(levels)}
    rungs: list[list[Trial]] = [[] for _ in levels]
    for trial in history:
        if trial.fidelity is not None and (rung := rung_of.get(round(trial.fidelity, _DIGITS))) is not None:
            rungs[rung].append(trial)
    return rungs


def promoted(history: History) -> set[int]:
    """The numbers of the trials that went on."""
    return {trial.continues for trial in history if trial.continues is not None}


def ranked(goal: Goal, trials: Iterable[Trial]) -> list[Trial]:
    """Those that finished with a score, best first: by what is above the limits, by the first objective, by number.

    With several objectives, between limits and first objective by fronts: those that no other dominates, those that only they dominate, and so on.
    """
    done = [t for t in trials if t.status is Status.DONE and all(map(math.isfinite, goal.vector(t)))]
    layer = _layers(goal, done) if goal.others else [0] * len(done)
    limited = bool(goal.limits)
    keys = [(goal.violation(t) if limited else 0.0, depth, goal.loss(goal.score(t)), t.number) for t, depth in zip(done, layer, strict=True)]
    return [t for _, t in sorted(zip(keys, done, strict=True), key=lambda pair: pair[0])]


def _layers(goal: Goal, done: Sequence[Trial]) -> list[int]:
    depth, left, layer = [0] * len(done), list(range(len(done))), 0
    while left:
        front = {left[i] for i in nondominated(np.array([goal.vector(done[i]) for i in left], dtype=float))}
        for i in front:
            depth[i] = layer
        left, layer = [i for i in left if i not in front], layer + 1
    return depth


def spent(trial: Trial) -> float:
    """The steps a trial has reported: epochs, rounds or folds, of which the first has index 0."""
    return max((reading.index + 1.0 for reading in trial.readings), default=0.0)


def loss_at(goal: Goal, trial: Trial, effort: float) -> float:
    """The loss when a trial had spent an effort: that of the first reading there; over folds the mean up to there. NaN before.

    Infinity if that reading was no number.
    """
    readings = sorted((r for r in trial.readings if goal.metric in r.scores), key=lambda r: r.index)
    reached = next((i for i, r in enumerate(readings) if r.index + 1.0 >= effort), None)
    if reached is None:
        return math.nan
    counted = [r for r in readings[: reached + 1] if r.place == "fold"] or readings[reached : reached + 1]
    loss = sum(goal.loss(r.scores[goal.metric]) for r in counted) / len(counted)
    return loss if math.isfinite(loss) else math.inf


def comparable(goal: Goal, history: History) -> list[Trial]:
    """The trials that ended, reported on the way, and broke no limit as far as is known."""
    limited = bool(goal.limits)
    ended = (t for t in history if t.readings and t.status is not Status.RUNNING)
    return [t for t in ended if not (limited and t.status is Status.DONE and goal.violation(t))]


def in_top(goal: Goal, trial: Trial, peers: Iterable[Trial], effort: float, eta: float) -> bool:
    """Whether a trial belongs to the best ``1 / eta`` of all that have come as far, itself among them, and at least to the best one; ties do."""
    own = loss_at(goal, trial, effort)
    others = [loss for peer in peers if peer.number != trial.number and not math.isnan(loss := loss_at(goal, peer, effort))]
    return sum(loss < own for loss in others) < max(1, int((len(others) + 1) / eta))


def expected_end(goal: Goal, history: History, trial: Trial, rungs: Iterable[float]) -> float:
    """The score a trial would have ended with had it gone on from the last rung it reached as finished trials did.

    Its best reading where none has finished, or where it reached no rung.
    """
    rung = max((r for r in rungs if r <= spent(trial)), default=math.inf)
    now = loss_at(goal, trial, rung)
    ends = [goal.loss(goal.score(t)) - loss_at(goal, t, rung) for t in comparable(goal, history) if t.status is Status.DONE]
    finite = [change for change in ends if math.isfinite(change)]
    if not finite or not math.isfinite(now):
        return best_reported(goal, trial)
    loss = now + float(np.median(finite))
    return loss if goal.direction == "min" else -loss


def slim(trial: Trial, goal: Goal, efforts: Sequence[float]) -> Trial:
    """The trial without its config and without the readings at which it reached none of the efforts; the last one, and folds, are kept."""
    assert trial.measurement is not None
    scored = sorted((r for r in trial.readings if goal.metric in r.scores), key=lambda r: r.index)
    kept: list[Reading] = []
    before = 0.0
    for i, reading in enumerate(scored):
        if reading.place == "fold" or i == len(scored) - 1 or any(before < effort <= reading.index + 1.0 for effort in efforts):
            kept.append(Reading(reading.place, reading.index, {goal.metric: reading.scores[goal.metric]}))
        before = max(before, reading.index + 1.0)
    return Trial(trial.number, {}, measurement=replace(trial.measurement, readings=tuple(kept), config=None, column=()))
