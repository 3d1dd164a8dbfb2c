"""Drop a config before all of its folds are done, once it can hardly win any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.errors import UsageError
from staytuned.evaluate.scatter import Scatter, fitted
from staytuned.goal import Goal
from staytuned.protocols import Ration, Verdict
from staytuned.stats.betting import capital_against, early_t, level_per_look
from staytuned.stats.compare import race_probability
from staytuned.trial import History, Status, Trial

Floats: TypeAlias = npt.NDArray[np.float64]

_REMEMBERED = 60  # past races whose variance is pooled
_FIRST_LOOK = 3  # a variance from two differences lets nothing be told


@dataclass(frozen=True)
class Race:
    """Stops a challenger that can hardly end ahead of the incumbent, by their paired differences on the folds seen: what makes a fold easy or hard cancels.

    ``rule="predictive"`` stops after k of K folds, from the first on, when the probability that the challenger ends ahead is below
    ``level * (K - k) / K``: an error is worth risking for the folds it saves, and the last save little. The mean over all folds is predicted by a
    Student t. Its variance and degrees of freedom are learned from past races, as a line over the distance of the two configs, since those that score
    alike scatter less (`staytuned.evaluate.scatter`, after Smyth 2004). Of the configs dropped, fewer than ``level`` would have ended ahead of the
    incumbent they met, if differences scatter like normal ones; heavier tails (Student t, 3 degrees) keep to it too. The first challenger runs in
    full. It saves most; use it where only time is at stake.

    ``rule="certain"`` bounds the error for the winner: the config that is best over all folds is dropped with probability ``level`` at most,
    however many are raced, since only one is the winner and all its looks together err that seldom. That needs folds in an order that says nothing of
    them, as shuffled ones have and those of a time series have not, and

    - without ``best``: differences that scatter around their mean over all folds like normal ones (`early_t`, from the third fold on; `level_per_look`).
      Nothing is assumed of how much they scatter: each race tells by itself.
    - with ``best``: no law at all, only that no score is better than ``best`` (`capital_against`). It stops what is far behind.

    With 100 random configs, ten folds and level .05 (benchmarks/evaluate/racing.py) the three saved 65, 48 and 22 % of the fits, and missed the best
    config in 29, 31 and 0 of 1,440 races; what won instead was behind it by .01 standard errors at most in the mean, and in the worst race by 1.4, 0.9 and 0.
    The predictive rule at level .1 saved 69 % and missed it in 83. A search by ``auto``, whose configs lie near the best, saved a third: its best was then .4
    standard errors behind that of the same number of trials without racing, and .35 ahead of that of as many fits.

    Args:
        goal: whose metric the folds carry.
        folds: how many a full measurement has.
        level: of the rule, in [0, 1); 0 stops nothing.
        rule: "predictive" or "certain".
        best: the best score the metric can take, such as 1 for accuracy, 0 for a loss; for ``rule="certain"``.

    Raises:
        UsageError: an unknown rule, a level outside [0, 1), or ``best`` with the predictive rule.
    """

    goal: Goal
    folds: int
    level: float = 0.05
    rule: Literal["predictive", "certain"] = "predictive"
    best: float | None = None

    def __post_init__(self) -> None:
        if self.rule not in ("predictive", "certain"):
            raise UsageError(f"rule={self.rule!r} must be 'predictive' or 'certain'")
        if not 0 <= self.level < 1:
            raise UsageError(f"level={self.level!r} must lie in [0, 1)")
        if self.best is not None and self.rule != "certain":
            raise UsageError(f"best={self.best!r} says nothing to rule='predictive'; leave it out, or pass rule='certain'")

    def judge(self, history: History, trial: Trial) -> Verdict:
        """STOP if the challenger can hardly end ahead of the best finished trial, else GO_ON."""
        incumbent = self._incumbent(history)
        own = self._losses(trial)
        if incumbent is None or not 1 <= len(own) < self.folds:
            return Verdict.GO_ON
        rival = self._losses(incumbent)
        behind = own - rival[: len(own)] if len(rival) == self.folds else np.zeros(1)
        if self.level == 0 or float(np.sum(behind)) <= 0:
            return Verdict.GO_ON
        hopeless = self._unlikely(history, behind, rival) if self.rule == "predictive" else self._refuted(behind, rival)
        return Verdict.STOP if hopeless else Verdict.GO_ON

    def _unlikely(self, history: History, behind: Floats, rival: Floats) -> bool:
        k, scatter = len(behind), self._scatter(history, rival)
        if scatter is None:
            return False
        variance, freedom = scatter.at(float(np.mean(behind)), k)
        return race_probability(behind, self.folds, variance, freedom) < self.level * (self.folds - k) / self.folds

    def _refuted(self, behind: Floats, rival: Floats) -> bool:
        if self.best is None:
            return len(behind) >= _FIRST_LOOK and early_t(behind, self.folds) <= level_per_look(self.folds, self.level, _FIRST_LOOK)
        perfect = self.goal.loss(self.best)
        if min(float(np.min(rival)), float(np.min(rival[: len(behind)] + behind))) < perfect - 1e-9 * max(1.0, abs(perfect)):
            raise UsageError(f"best={self.best} is not the best score of {self.goal.metric!r}: a fold has a better one; pass the metric's own bound")
        lowest = perfect - float(np.max(rival)) - 1e-12  # the incumbent's worst fold is where most can be made up
        return capital_against(behind, self.folds, lowest) >= 1 / self.level

    def brief(self, history: History) -> History:
        """The incumbent and the last finished races."""
        incumbent = self._incumbent(history)
        recent = [t for t in history if t.status in (Status.DONE, Status.PRUNED) and len(t.readings) >= 2][-_REMEMBERED:]
        return recent if incumbent is None or incumbent in recent else [incumbent, *recent]

    def estimate(self, history: History, trial: Trial) -> float:
        """The incumbent's mean over all folds moved by the mean difference on the folds seen."""
        own, incumbent = self._losses(trial), self._incumbent(history)
        rival = self._losses(incumbent) if incumbent is not None else own
        loss = float(np.mean(rival) + np.mean(own - rival[: len(own)]))
        return loss if self.goal.direction == "min" else -loss

    def ration(self, history: History, new: bool = True) -> Ration | None:  # noqa: ARG002 - the seam passes the history to every rule
        """Full effort for a new config."""
        return Ration() if new else None

    def _incumbent(self, history: History) -> Trial | None:
        """The best trial with all folds."""
        return self.goal.best(trial for trial in history if trial.status is Status.DONE)

    def _losses(self, trial: Trial) -> Floats:
        """(folds seen,) in the order of folds, cut at the first that gave no score."""
        metric, sign = self.goal.metric, self.goal.loss(1.0)
        scores = sorted((r.index, r.scores.get(metric, np.nan)) for r in trial.readings if r.place == "fold")
        array = sign * np.array([score for _, score in scores], dtype=float)
        gaps = np.flatnonzero(~np.isfinite(array))
        return array[: gaps[0]] if len(gaps) else array

    def _scatter(self, history: History, rival: Floats) -> Scatter | None:
        """Of past races' differences to the incumbent; None before there were any, when nothing is known of the noise."""
        past = [losses for trial in self.brief(history) if 2 <= len(losses := self._losses(trial)) <= len(rival)]
        if not past:
            return None
        counts = np.array([len(losses) for losses in past])
        seen = np.arange(len(rival)) < counts[:, None]
        differences = np.zeros(seen.shape)
        differences[seen] = np.concatenate(past)
        differences = np.where(seen, differences - rival, 0.0)
        means = differences.sum(axis=1) / counts
        spread = np.where(seen, (differences - means[:, None]) ** 2, 0.0).sum(axis=1) / (counts - 1)
        return fitted(means, spread, counts)
