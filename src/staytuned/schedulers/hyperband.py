"""Hyperband (Li et al. 2018): successive halving from several starting efforts, for nobody knows which is right."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache

from staytuned.goal import Goal
from staytuned.protocols import Ration, Verdict
from staytuned.schedulers.asha import longest
from staytuned.schedulers.halving import Bracket, bracket, in_brackets
from staytuned.schedulers.never import as_reported, needs_nothing, never_stops, whole_effort
from staytuned.schedulers.rungs import checked_eta, checked_lowest, checked_steps, comparable, expected_end, heights, in_top, slim, spent
from staytuned.trial import History, Trial


@cache
def hyperband_brackets(ratio: float, eta: float = 3.0) -> tuple[Bracket, ...]:
    """The brackets of Hyperband, from the one that begins with the least effort to the one that spends all on everyone.

    ``s = s_max .. 0`` with ``s_max = floor(log_eta(R / r))``; bracket ``s`` begins with ``n = ceil((s_max + 1) / (s + 1) * eta^s)`` configs at
    ``eta^-s`` of the full effort and keeps ``floor(n / eta^i)`` of them (Li et al. 2018, algorithm 1 and table 1).

    Args:
        ratio: full effort over least effort, above 1.

    >>> [[n for n, _ in bracket] for bracket in hyperband_brackets(81)]
    [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
    """
    most = heights(ratio, eta)
    return tuple(bracket(math.ceil((most + 1) / (s + 1) * eta**s - 1e-9), s, eta) for s in range(most, -1, -1))


@dataclass(frozen=True)
class Hyperband:
    """Runs the brackets of Hyperband in turn, over and over.

    For objectives that read ``trial.fidelity``. A rung is compared when all of it has ended; workers that would wait begin the next bracket meanwhile.
    Together with a model-based sampler this is BOHB (Falkner et al. 2018).

    Args:
        goal: what is better; under limits first those that keep them, with several objectives by fronts.
        lowest: least share of the full effort: r / R of the paper.
        eta: one in eta goes on.
    """

    goal: Goal
    lowest: float = 1 / 27
    eta: float = 3.0

    name = "hyperband"

    def __post_init__(self) -> None:
        checked_lowest(self.lowest, checked_eta(self.eta))

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """(configs, share of the full effort) of each rung of each bracket."""
        return hyperband_brackets(1 / self.lowest, self.eta)

    judge, brief, estimate = never_stops, needs_nothing, as_reported

    def ration(self, history: History, new: bool = True) -> Ration | None:
        """The next of the earliest bracket that need not wait."""
        return in_brackets(self.goal, history, self.brackets, self.eta, self.name, new)


@dataclass(frozen=True)
class HyperbandRule:
    """Hyperband by stopping: each trial belongs to a bracket, and is stopped at a rung of it unless it is in the top ``1 / eta`` of its bracket there.

    For objectives that report on the way. The bracket is a function of the trial's number, in the proportions of Li et al. 2018, table 1, evenly mixed;
    within a bracket as ``AshaRule``. Trials under way elsewhere are not seen. With several objectives it stops nothing.

    Args:
        goal: whose metric the reports carry.
        least: steps before anything is stopped; step 0 is the first.
        most: steps of a full trial: R of the paper. None learns it from the longest trial that finished; until one has, nothing is stopped.
        eta: one in eta goes on.
    """

    goal: Goal
    least: float = 1
    most: float | None = None
    eta: float = 3.0
    _slim: dict[int, tuple[Trial, float | None, Trial]] = field(default_factory=dict, init=False, repr=False, compare=False)  # derived; never travels

    def __post_init__(self) -> None:
        checked_eta(self.eta)
        checked_steps(self.least, self.most)

    def judge(self, history: History, trial: Trial) -> Verdict:
        """STOP if the trial is not in its bracket's top at the last rung it has reached, else GO_ON."""
        peers = comparable(self.goal, history)
        most = self.most or longest(peers)
        if self.goal.others or most is None or most <= self.least or spent(trial) >= most:
            return Verdict.GO_ON
        s = self._bracket(trial.number, most)
        rungs = [rung for i in range(s, 0, -1) if (rung := most * self.eta**-i) <= spent(trial)]
        together = [t for t in peers if self._bracket(t.number, most) == s]
        return Verdict.GO_ON if not rungs or in_top(self.goal, trial, together, rungs[-1], self.eta) else Verdict.STOP

    def brief(self, history: History) -> History:
        """What trials that ended had reported at the rungs."""
        peers = comparable(self.goal, history)
        most = self.most or longest(peers)
        return [self._slimmed(trial, most) for trial in peers]

    def estimate(self, history: History, trial: Trial) -> float:
        """Its score at the last rung, moved as much as finished trials moved from there to their end."""
        return expected_end(self.goal, history, trial, self._rungs(self.most or longest(comparable(self.goal, history))))

    ration = whole_effort

    def __reduce__(self) -> tuple[type[HyperbandRule], tuple[Goal, float, float | None, float]]:
        return HyperbandRule, (self.goal, self.least, self.most, self.eta)

    def _bracket(self, number: int, most: float) -> int:
        turns = _turns(max(most / self.least, 1.0), self.eta)
        return turns[number % len(turns)]

    def _slimmed(self, trial: Trial, most: float | None) -> Trial:
        known = self._slim.get(trial.number)
        if known is None or known[0] is not trial or known[1] != most:
            known = self._slim[trial.number] = (trial, most, slim(trial, self.goal, self._rungs(most)))
        return known[2]

    def _rungs(self, most: float | None) -> list[float]:
        """The rungs of all brackets below full effort."""
        return [] if most is None else [most * self.eta**-i for i in range(heights(max(most / self.least, 1.0), self.eta), 0, -1)]


@cache
def _turns(ratio: float, eta: float) -> tuple[int, ...]:
    """The brackets ``s`` of one round of trials in their order: each as often as it has configs, evenly spread."""
    brackets = hyperband_brackets(ratio, eta)
    spread = [((j + 0.5) / shape[0][0], len(shape) - 1) for shape in brackets for j in range(shape[0][0])]
    return tuple(s for _, s in sorted(spread, key=lambda pair: (pair[0], -pair[1])))
