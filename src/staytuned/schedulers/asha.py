"""Asynchronous successive halving (Li et al. 2020): by promotion, and by stopping."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count, takewhile

from staytuned.goal import Goal
from staytuned.protocols import Ration, Verdict
from staytuned.schedulers.never import as_reported, needs_nothing, never_stops, whole_effort
from staytuned.schedulers.rungs import (
    checked_eta,
    checked_lowest,
    checked_steps,
    climbers,
    comparable,
    expected_end,
    in_top,
    promoted,
    ranked,
    shares,
    slim,
    spent,
)
from staytuned.trial import History, Status, Trial

_HIGHEST = 60  # rungs at most


@dataclass(frozen=True)
class ASHA:
    """Begins configs at the lowest rung and lets a trial go on to the next as soon as it is in the top ``1 / eta`` of its own.

    For objectives that read ``trial.fidelity``. Source: Li et al. 2020, algorithm 2. It never waits: what looks good goes on at once, the highest
    rung first, so a rung sends up what later proves not to be in its top, and a paused trial goes on when worse ones have arrived.

    Args:
        goal: what is better; under limits first those that keep them, with several objectives by fronts.
        lowest: least share of the full effort, the lowest rung; the rungs are the powers of 1 / eta down to it.
        eta: one in eta goes on.
    """

    goal: Goal
    lowest: float = 1 / 27
    eta: float = 3.0

    name = "asha"

    def __post_init__(self) -> None:
        checked_lowest(self.lowest, checked_eta(self.eta))

    @property
    def levels(self) -> tuple[float, ...]:
        """The shares of the full effort at the rungs, from the lowest up."""
        return shares(self.lowest, self.eta)

    judge, brief, estimate = never_stops, needs_nothing, as_reported

    def ration(self, history: History, new: bool = True) -> Ration | None:
        """A promotion if there is one, else a new config at the lowest rung.

        Where there are no more new configs and nothing is under way, the best of the highest rung goes on alone, so that one is measured in full.
        """
        levels, gone = self.levels, promoted(history)
        rungs = climbers(history, levels)
        for k in range(len(levels) - 2, -1, -1):
            ended = [t for t in rungs[k] if t.status is not Status.RUNNING]
            for trial in ranked(self.goal, ended)[: int(len(ended) / self.eta)]:
                if trial.number not in gone:
                    return Ration(levels[k + 1], trial.number, origin=self.name)
        if new:
            return Ration(levels[0])
        if any(t.status is Status.RUNNING for rung in rungs for t in rung):
            return None
        reached = max((k for k, rung in enumerate(rungs) if ranked(self.goal, rung)), default=len(levels) - 1)
        for trial in ranked(self.goal, rungs[reached]) if reached < len(levels) - 1 else []:
            if trial.number not in gone:
                return Ration(levels[reached + 1], trial.number, origin=self.name)
        return None


@dataclass(frozen=True)
class AshaRule:
    """Stops a trial at a rung unless it is in the top ``1 / eta`` of all that have come as far.

    For objectives that report on the way. Source: Li et al. 2020, the variant that stops in place of pausing. Rungs are at ``least * eta^i`` steps; a
    trial's score there is that of its first report there, of folds the mean so far. The first to reach a rung goes on. Trials under way elsewhere are
    not seen: what is reported is recorded when a trial ends. With several objectives it stops nothing.

    Args:
        goal: whose metric the reports carry.
        least: steps before anything is stopped, the lowest rung; step 0 is the first.
        most: steps of a full trial, at which nothing is stopped any more; None learns it from the longest trial that finished.
        eta: one in eta goes on.
    """

    goal: Goal
    least: float = 1
    most: float | None = None
    eta: float = 3.0
    _slim: dict[int, tuple[Trial, Trial]] = field(default_factory=dict, init=False, repr=False, compare=False)  # derived; never travels

    def __post_init__(self) -> None:
        checked_eta(self.eta)
        checked_steps(self.least, self.most)

    def judge(self, history: History, trial: Trial) -> Verdict:
        """STOP if the trial is not in the top at the last rung it has reached, else GO_ON."""
        peers = comparable(self.goal, history)
        most = self.most or longest(peers)
        rungs = [rung for rung in self._rungs() if rung <= spent(trial) and (most is None or rung < most)]
        if self.goal.others or not rungs or in_top(self.goal, trial, peers, rungs[-1], self.eta):
            return Verdict.GO_ON
        return Verdict.STOP if most is None or spent(trial) < most else Verdict.GO_ON

    def brief(self, history: History) -> History:
        """What trials that ended had reported at the rungs."""
        return [self._slimmed(trial) for trial in comparable(self.goal, history)]

    def estimate(self, history: History, trial: Trial) -> float:
        """Its score at the last rung, moved as much as finished trials moved from there to their end."""
        return expected_end(self.goal, history, trial, self._rungs())

    ration = whole_effort

    def __reduce__(self) -> tuple[type[AshaRule], tuple[Goal, float, float | None, float]]:
        return AshaRule, (self.goal, self.least, self.most, self.eta)

    def _rungs(self) -> list[float]:
        most = self.most or 1e15
        return list(takewhile(lambda rung: rung < most, (self.least * self.eta**i for i in count())))[:_HIGHEST]

    def _slimmed(self, trial: Trial) -> Trial:
        known = self._slim.get(trial.number)
        if known is None or known[0] is not trial:
            known = self._slim[trial.number] = (trial, slim(trial, self.goal, self._rungs()))
        return known[1]


def longest(peers: History) -> float | None:
    """The steps of the longest trial that finished; None before the first."""
    return max((spent(t) for t in peers if t.status is Status.DONE), default=None)
