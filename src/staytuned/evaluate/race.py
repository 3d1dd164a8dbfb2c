"""Drop a config before all of its folds are done, once it can hardly win any more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from staytuned.goal import Goal
from staytuned.protocols import Verdict
from staytuned.stats.compare import race_probability
from staytuned.trial import History, Status, Trial

_REMEMBERED = 60  # past races whose variance is pooled


@dataclass(frozen=True)
class Race:
    """Stops a challenger when the probability that it ends ahead of the incumbent, given its paired differences so far, is small.

    The paired differences on the folds seen are compared with a Student t whose variance is pooled over past races; folds shared with
    the incumbent cancel what makes a fold easy or hard. The first challenger runs in full, as does any with fewer than two folds. A
    predictive rule, not a test: where only time is at stake.

    Args:
        goal: whose metric the folds carry.
        folds: how many a full measurement has.
        level: stop below this probability of ending ahead.
    """

    goal: Goal
    folds: int
    level: float = 0.05

    def judge(self, history: History, trial: Trial) -> Verdict:
        """STOP if the challenger can hardly end ahead of the best finished trial, else GO_ON."""
        incumbent = self.goal.best(history)
        own = self._losses(trial)
        if incumbent is None or not 2 <= len(own) < self.folds:
            return Verdict.GO_ON
        rival = self._losses(incumbent)
        if len(rival) < self.folds:
            return Verdict.GO_ON
        variance = self._pooled_variance(history, rival)
        if variance is None:
            return Verdict.GO_ON
        ahead = race_probability(own - rival[: len(own)], self.folds, variance)
        return Verdict.STOP if ahead < self.level else Verdict.GO_ON

    def brief(self, history: History) -> History:
        """The incumbent and the last finished races."""
        incumbent = self.goal.best(history)
        recent = [t for t in history if t.status in (Status.DONE, Status.PRUNED) and len(t.readings) >= 2][-_REMEMBERED:]
        return recent if incumbent is None or incumbent in recent else [incumbent, *recent]

    def estimate(self, history: History, trial: Trial) -> float:
        """The incumbent's mean over all folds moved by the mean difference on the folds seen."""
        own, incumbent = self._losses(trial), self.goal.best(history)
        rival = self._losses(incumbent) if incumbent is not None else own
        loss = float(np.mean(rival) + np.mean(own - rival[: len(own)]))
        return loss if self.goal.direction == "min" else -loss

    def _losses(self, trial: Trial) -> npt.NDArray[np.float64]:
        """(folds seen,) in the order of folds, cut at the first that gave no score."""
        losses = [self.goal.loss(r.scores.get(self.goal.metric, np.nan)) for r in sorted(trial.readings, key=lambda r: r.index) if r.place == "fold"]
        array = np.array(losses, dtype=float)
        gaps = np.flatnonzero(~np.isfinite(array))
        return array[: gaps[0]] if len(gaps) else array

    def _pooled_variance(self, history: History, rival: npt.NDArray[np.float64]) -> float | None:
        """The median variance of past races' differences; None before there were any, when nothing is known of the noise."""
        variances = []
        for trial in self.brief(history):
            losses = self._losses(trial)
            if 2 <= len(losses) <= len(rival) and not np.array_equal(losses, rival[: len(losses)]):
                variances.append(float(np.var(losses - rival[: len(losses)], ddof=1)) / _median_share(len(losses) - 1))
        return float(np.median(variances)) if variances else None


@cache
def _median_share(freedom: int) -> float:
    """The median of a sample variance as a share of the variance: .45 for one degree of freedom, so a plain median would stop too soon."""
    return float(chi2.ppf(0.5, freedom)) / freedom
