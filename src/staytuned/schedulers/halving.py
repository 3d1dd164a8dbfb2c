"""Successive halving (Karnin et al. 2013, Jamieson and Talwalkar 2016): whole rungs, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from staytuned.goal import Goal
from staytuned.protocols import Ration
from staytuned.schedulers.never import as_reported, needs_nothing, never_stops
from staytuned.schedulers.rungs import checked, checked_eta, checked_lowest, heights, promoted, ranked
from staytuned.trial import History, Status, Trial

Bracket: TypeAlias = tuple[tuple[int, float], ...]  # (configs, share of the full effort) of each rung, from the lowest up


@dataclass(frozen=True)
class Halving:
    """Runs ``configs`` configs at the lowest rung, lets the best ``1 / eta`` of them go on to the next, and so on to full effort; then begins anew.

    For objectives that read ``trial.fidelity``. Source: Li et al. 2018, algorithm 1, inner loop. A rung is compared when all of it has ended; workers
    that would wait begin the next bracket meanwhile. Trials that failed make room for nobody: fewer go on.

    Args:
        goal: what is better; under limits first those that keep them, with several objectives by fronts.
        lowest: least share of the full effort, the lowest rung; the rungs are the powers of 1 / eta down to it.
        eta: one in eta goes on.
        configs: at the lowest rung; None for as many as leave one at full effort, ``eta^rungs``.
    """

    goal: Goal
    lowest: float = 1 / 27
    eta: float = 3.0
    configs: int | None = None

    name = "halving"

    def __post_init__(self) -> None:
        least = self.eta ** heights(1 / checked_lowest(self.lowest, checked_eta(self.eta)), self.eta)
        if self.configs is not None:
            checked("configs", self.configs, int(least), whole=True, hint=", so that one of them is measured in full")

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """The one bracket that is run again and again."""
        s = heights(1 / self.lowest, self.eta)
        return (bracket(self.configs or int(self.eta**s), s, self.eta),)

    judge, brief, estimate = never_stops, needs_nothing, as_reported

    def ration(self, history: History, new: bool = True) -> Ration | None:
        """The next of the earliest bracket that need not wait."""
        return in_brackets(self.goal, history, self.brackets, self.eta, self.name, new)


def bracket(configs: int, s: int, eta: float) -> Bracket:
    """``s + 1`` rungs, up to full effort: ``floor(n / eta^i)`` configs at ``eta^(i - s)`` of the effort (Li et al. 2018, algorithm 1)."""
    return tuple((int(configs / eta**i + 1e-9), eta ** (i - s)) for i in range(s + 1))


def in_brackets(goal: Goal, history: History, brackets: Sequence[Bracket], eta: float, name: str, new: bool) -> Ration | None:
    """What comes next where these brackets are run over and over: a promotion in the earliest that has one, else a new config in the first with room.

    Args:
        new: whether there are untried configs; without, a bracket that is not full is run to its end with what it has.
    """
    gone = promoted(history)
    room: Ration | None = None
    for shape, rungs in _runs(history, brackets):
        if len(rungs[0]) < shape[0][0] and new:
            room = room or Ration(shape[0][1])
            continue
        for i, rung in enumerate(rungs[:-1]):
            if any(t.status is Status.RUNNING for t in rung):
                break
            full = len(rungs[0]) == shape[0][0]
            winners = ranked(goal, rung)[: shape[i + 1][0] if full else min(shape[i + 1][0], max(1, int(len(rung) / eta)))]
            for trial in winners:
                if trial.number not in gone:
                    return Ration(shape[i + 1][1], trial.number, origin=name)
    return room


def _runs(history: History, brackets: Sequence[Bracket]) -> Iterator[tuple[Bracket, list[list[Trial]]]]:
    """The brackets begun so far and the next one, each with the trials on its rungs.

    A new config belongs to the first bracket that begins with its fidelity and has room; what goes on stays in its bracket. Others belong to none.
    """
    runs: list[tuple[Bracket, list[list[Trial]]]] = []
    place: dict[int, tuple[int, int]] = {}  # bracket and rung of a trial
    open_at: dict[float, list[int]] = {}  # the runs with room, by the fidelity they begin with

    def begin() -> None:
        for shape in brackets:
            open_at.setdefault(round(shape[0][1], 9), []).append(len(runs))
            runs.append((shape, [[] for _ in shape]))

    begin()
    starts = set(open_at)
    for trial in history:
        if trial.fidelity is None:
            continue
        if trial.continues is not None:
            at = place.get(trial.continues)
            if at is not None and at[1] + 1 < len(runs[at[0]][1]):
                place[trial.number] = (at[0], at[1] + 1)
                runs[at[0]][1][at[1] + 1].append(trial)
        elif (level := round(trial.fidelity, 9)) in starts:
            if not open_at[level]:
                begin()
            run = open_at[level][0]
            place[trial.number] = (run, 0)
            shape, rungs = runs[run]
            rungs[0].append(trial)
            if len(rungs[0]) == shape[0][0]:
                open_at[level].pop(0)
    if not any(open_at.values()):
        begin()
    yield from runs
