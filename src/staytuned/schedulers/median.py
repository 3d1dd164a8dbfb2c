"""The median rule: stop a trial whose best reading so far is worse than the median of what others had by then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from staytuned.goal import Goal
from staytuned.protocols import Verdict
from staytuned.trial import History, Reading, Status, Trial


@dataclass(frozen=True)
class MedianRule:
    """Stops a trial at a step if its best score up to there is worse than the median of the finished trials' averages up to there.

    Source: Golovin et al. 2017 (Google Vizier), section 3.2.1.

    Args:
        goal: whose metric the reports carry.
        warmup: steps during which nothing is stopped.
        startup: finished trials that must exist before anything is stopped.
    """

    goal: Goal
    warmup: int = 1
    startup: int = 5

    def judge(self, history: History, trial: Trial) -> Verdict:
        """STOP if the trial is behind, else GO_ON."""
        peers = self.brief(history)
        if not trial.readings or len(peers) < self.startup:
            return Verdict.GO_ON
        step = trial.readings[-1].index
        averages = [np.mean(losses) for peer in peers if (losses := self._losses(peer, step))]
        own = self._losses(trial, step)
        if step < self.warmup or len(averages) < self.startup or not own:
            return Verdict.GO_ON
        return Verdict.STOP if min(own) > float(np.median(averages)) else Verdict.GO_ON

    def brief(self, history: History) -> History:
        """The finished trials that reported on the way."""
        return [t for t in history if t.status is Status.DONE and t.readings]

    def estimate(self, history: History, trial: Trial) -> float:  # noqa: ARG002 - the seam passes the history to every rule
        """The best score reported: later steps were not paid for."""
        best = min(self._losses(trial, trial.readings[-1].index))
        return best if self.goal.direction == "min" else -best

    def _losses(self, trial: Trial, step: int) -> list[float]:
        return [self.goal.loss(r.scores[self.goal.metric]) for r in trial.readings if r.index <= step and _has(r, self.goal.metric)]


def _has(reading: Reading, metric: str) -> bool:
    return metric in reading.scores and np.isfinite(reading.scores[metric])
