"""The median rule: stop a trial whose best reading so far is worse than the median of what others had by then."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from staytuned.goal import Goal
from staytuned.protocols import Verdict
from staytuned.schedulers.never import whole_effort
from staytuned.trial import History, Reading, Status, Trial


@dataclass(frozen=True)
class MedianRule:
    """Stops a trial at a step if its best score up to there is worse than the median of the finished trials' averages up to there.

    Source: Golovin et al. 2017 (Google Vizier), section 3.2.1. Under limits only the trials that keep them are compared with. With several objectives
    it stops nothing: what is behind in the one that is reported may be ahead in another.

    Args:
        goal: whose metric the reports carry.
        warmup: steps during which nothing is stopped.
        startup: finished trials that must exist before anything is stopped.
    """

    goal: Goal
    warmup: int = 1
    startup: int = 5
    _tracks: dict[int, tuple[Trial, list[int], list[float]]] = field(default_factory=dict, init=False, repr=False, compare=False)  # derived; never travels

    def judge(self, history: History, trial: Trial) -> Verdict:
        """STOP if the trial is behind, else GO_ON."""
        if not trial.readings or self.goal.others or (step := trial.readings[-1].index) < self.warmup:
            return Verdict.GO_ON
        own = self._losses(trial, step)
        peers = self.brief(history)
        if not own or len(peers) < self.startup:
            return Verdict.GO_ON
        averages = [average for peer in peers if (average := self._average(peer, step)) is not None]
        if len(averages) < self.startup:
            return Verdict.GO_ON
        return Verdict.STOP if min(own) > float(np.median(averages)) else Verdict.GO_ON

    def brief(self, history: History) -> History:
        """The finished trials that reported on the way and keep the limits."""
        limited = bool(self.goal.limits)
        return [t for t in history if t.status is Status.DONE and t.readings and not (limited and self.goal.violation(t))]

    def estimate(self, history: History, trial: Trial) -> float:  # noqa: ARG002 - the seam passes the history to every rule
        """The best score reported: later steps were not paid for."""
        best = min(self._losses(trial, trial.readings[-1].index))
        return best if self.goal.direction == "min" else -best

    ration = whole_effort

    def __reduce__(self) -> tuple[type[MedianRule], tuple[Goal, int, int]]:
        return MedianRule, (self.goal, self.warmup, self.startup)

    def _average(self, peer: Trial, step: int) -> float | None:
        """The mean of a finished trial's losses up to a step; None if it had none by then."""
        known = self._tracks.get(peer.number)
        if known is None or known[0] is not peer:
            known = self._tracks[peer.number] = (peer, *self._track(peer))
        place = bisect_right(known[1], step)
        return known[2][place - 1] if place else None

    def _track(self, peer: Trial) -> tuple[list[int], list[float]]:
        """(n,) the steps at which a trial reported a score, ascending, and its mean loss up to each."""
        scored = sorted((r for r in peer.readings if _has(r, self.goal.metric)), key=lambda r: r.index)
        sums = accumulate(self.goal.loss(r.scores[self.goal.metric]) for r in scored)
        return [r.index for r in scored], [total / count for count, total in enumerate(sums, start=1)]

    def _losses(self, trial: Trial, step: int) -> list[float]:
        return [self.goal.loss(r.scores[self.goal.metric]) for r in trial.readings if r.index <= step and _has(r, self.goal.metric)]


def _has(reading: Reading, metric: str) -> bool:
    return metric in reading.scores and np.isfinite(reading.scores[metric])
