"""The union of halving with a model: what a sampler is told of trials at different efforts (BOHB, Falkner et al. 2018)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from staytuned.goal import Goal
from staytuned.trial import History, Measurement, Status, Trial

Line: TypeAlias = tuple[float, float]  # slope, intercept
Known: TypeAlias = Mapping[float, Trial]  # by fidelity, where a config finished with a score

_STEEPEST = 10.0  # slopes between the scores of two rungs, and their inverses, at most: noise must not turn or flatten an order


def pooled(history: History, goal: Goal, enough: int) -> list[Trial]:
    """The history as a sampler should see it: one trial a config, all on the scale of the highest fidelity at which ``enough`` have finished.

    A config measured at that fidelity enters with its score there. One measured only below enters as PRUNED, which samplers take for a noisier fact,
    with the score that the line through the configs measured at both gives; one measured only above with that line backwards. A config whose
    continuation failed has failed. One that is under way for the first time stays so, one that goes on is known already.

    Falkner et al. fit the model to that fidelity alone; here lower ones count too. A trial keeps the number under which its config began.

    Args:
        history: by number.
        enough: finished trials that a fidelity must have: one more than dimensions in the paper.
    """
    threads = _threads(history)
    known = [{t.share: t for t in reversed(thread) if _scored(goal, t)} for thread in threads]
    counts = Counter(share for trials in known for share in trials)
    levels = sorted(counts)
    target = max((level for level in levels if counts[level] >= enough), default=max(levels, key=lambda level: (counts[level], level), default=1.0))
    lines = {objective.metric: _lines(known, objective.metric, levels, target) for objective in goal.objectives}
    return [_entry(thread, trials, target, lines) for thread, trials in zip(threads, known, strict=True)]


def _threads(history: History) -> list[list[Trial]]:
    """The trials of one config that goes on and on, together; where it went on with another config, a new thread begins."""
    threads: list[list[Trial]] = []
    thread_of: dict[int, list[Trial]] = {}
    for trial in history:
        before = None if trial.continues is None else thread_of.get(trial.continues)
        if before is not None and before[-1].number == trial.continues and before[-1].config == trial.config:
            before.append(trial)
            thread_of[trial.number] = before
        else:
            thread_of[trial.number] = [trial]
            threads.append(thread_of[trial.number])
    return threads


def _scored(goal: Goal, trial: Trial) -> bool:
    return trial.status is Status.DONE and math.isfinite(goal.score(trial))


def _entry(thread: Sequence[Trial], known: Known, target: float, lines: Mapping[str, Mapping[float, Line]]) -> Trial:
    ended = [t for t in thread if t.measurement is not None]
    if not ended:
        return thread[0]
    if not known or ended[-1].status.failed:
        return _numbered(ended[-1], thread[0].number)
    if target in known:
        return _numbered(known[target], thread[0].number)
    below = max((share for share in known if share < target), default=None)
    nearest = known[min(known) if below is None else below]
    scores = {name: _on(lines[name][nearest.share], score) if name in lines else score for name, score in nearest.scores.items()}
    measurement = Measurement(scores, Status.DONE if below is None else Status.PRUNED, nearest.cure, cost=nearest.cost)
    return replace(nearest, number=thread[0].number, measurement=measurement)


def _numbered(trial: Trial, number: int) -> Trial:
    return trial if trial.number == number else replace(trial, number=number)


def _on(line: Line, score: float) -> float:
    return line[0] * score + line[1]


def _lines(known: Sequence[Known], metric: str, levels: Sequence[float], target: float) -> dict[float, Line]:
    """From each level to the line that takes a score there to the target's scale."""
    lines = {target: (1.0, 0.0)}
    steps = {low: (high, _line(known, metric, low, high)) for low, high in pairwise(levels)}
    for low in reversed([level for level in levels if level < target]):
        high, line = steps[low]
        lines[low] = _composed(lines[high], line)
    for low, high in pairwise(level for level in levels if level >= target):
        slope, intercept = steps[low][1]
        lines[high] = _composed(lines[low], (1 / slope, -intercept / slope))
    return lines


def _composed(outer: Line, inner: Line) -> Line:
    return outer[0] * inner[0], outer[0] * inner[1] + outer[1]


def _line(known: Sequence[Known], metric: str, low: float, high: float) -> Line:
    """The least-squares line from scores at one level to those at the next, through the configs measured at both, its slope drawn towards 1.

    Choosing by the lower score who goes on does not bias it. One pair of usual spread is added that says 1; no pairs at all say that nothing changes.
    """
    nothing = math.nan  # costs such as seconds are no scores and are not moved
    both = np.array([(t[low].scores.get(metric, nothing), t[high].scores.get(metric, nothing) if high in t else nothing) for t in known if low in t])
    both = both[np.isfinite(both[:, 0])]
    x, y = both[np.isfinite(both[:, 1])].T
    if not len(x):
        return 1.0, 0.0
    usual = float(np.var(both[:, 0]))
    spread, together = float(((x - x.mean()) ** 2).sum()), float(((x - x.mean()) * (y - y.mean())).sum())
    slope = (together + usual) / (spread + usual) if spread + usual > 0 else 1.0
    slope = float(np.clip(slope, 1 / _STEEPEST, _STEEPEST))
    return slope, float(y.mean() - slope * x.mean())
