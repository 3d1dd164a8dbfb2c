"""A history as the samplers read it: what was measured, what is under way, what must not be proposed again."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias, cast

import numpy as np

from staytuned.chronicle import Chronicle
from staytuned.errors import SpaceExhausted
from staytuned.goal import Goal
from staytuned.samplers._columns import Columns, Positions
from staytuned.samplers._cube import Array, Cube, Mask
from staytuned.samplers._keys import Keys
from staytuned.space.space import Config
from staytuned.trial import History, Status, Trial

Rank: TypeAlias = tuple[float, float, int]  # violation, loss, place in the history

_FEW = 16  # as many entries are cheaper to put into a ranking one by one than to sort in
_MANY = 1000  # changed places after which reading afresh is cheaper
_RANKED = 2000  # the best that a long ranking is cut down to, once it has twice as many


class Taken(Container[bytes]):
    """The keys that must not be proposed again. It shares its bulk with the reader: adding to it copies nothing.

    Attributes:
        era: while it is the same object, whatever was taken still is.
    """

    __slots__ = ("_known", "_more", "era")

    def __init__(self, known: Keys, era: object, more: frozenset[bytes] = frozenset()) -> None:
        self._known, self.era, self._more = known, era, more

    def __contains__(self, key: object) -> bool:
        return key in self._known or key in self._more

    def joined(self, key: bytes) -> Taken:
        """The same with one more key."""
        return Taken(self._known, self.era, self._more | {key})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a history says about a space, in the order of the trials' numbers. Valid until its reader reads again.

    Args:
        cube: the space.
        rows: (n, d) the trials that ended with something to learn from.
        losses: (n,) the first objective, lower is better; NaN for failures.
        objectives: (n, m) the losses of all objectives, ``losses`` first; NaN where there is none.
        violations: (n, c) the excess over each limit of the goal as a share of its bound, at most 0 where it holds; NaN where unknown.
        partial: (n,) trials that were stopped early.
        noise: (n,) squared standard error of the loss: the variance of the folds' scores over their number; NaN under two folds.
        folds: (n,) how many folds were seen; 0 where none was told.
        seconds: (n,) wall-clock time of the trials.
        pending: (p, d) the trials under way.
        taken: the keys of every trial that lies in the space.
        length: trials in the history, those that do not fit the space included.
        places: (n,) where the trials stand in the history.
        ranking: the finite losses, best first, of many only the best; None where it has to be worked out.
        finite: how many losses are finite; None where it has to be counted.
        lineage: while it is the same object, what stands at a place in ``places`` stays as it is.
    """

    cube: Cube
    rows: Array
    losses: Array
    objectives: Array
    violations: Array
    partial: Mask
    noise: Array
    folds: Array
    seconds: Array
    pending: Array
    taken: Taken
    length: int
    places: Positions
    ranking: Sequence[Rank] | None
    finite: int | None
    lineage: object

    @property
    def scored(self) -> int:
        """How many trials have a finite loss."""
        return int(np.isfinite(self.losses).sum()) if self.finite is None else self.finite

    @property
    def feasible(self) -> Mask:
        """(n,) whether all limits of the goal hold; an unknown one does not."""
        return np.asarray((self.violations <= 0).all(axis=1))

    def best(self, k: int) -> Positions:
        """The positions of the ``k`` best finite losses, best first: by what is above the limits, then by loss, then by number."""
        if self.ranking is not None and (k <= len(self.ranking) or len(self.ranking) == self.finite):
            return np.searchsorted(self.places, np.array([place for _, _, place in self.ranking[:k]], dtype=np.intp))
        above = np.where(np.isnan(self.violations), np.inf, np.maximum(self.violations, 0.0)).sum(axis=1)
        finite = np.flatnonzero(np.isfinite(self.losses))
        order: Positions = finite[np.lexsort((self.losses[finite], above[finite]))]
        return order[:k]

    def joined(self, config: Config) -> Evidence:
        """The same with one more config under way."""
        row = self.cube.row(config)
        return replace(self, pending=np.vstack([self.pending, row]), taken=self.taken.joined(self.cube.key_at(row)))

    def first(self, count: int) -> Evidence:
        """Only the first ``count`` of the trials that ended."""
        return self.at(slice(count))

    def at(self, positions: Positions | slice) -> Evidence:
        """Only the trials that ended at these positions."""
        ended = ("rows", "losses", "objectives", "violations", "partial", "noise", "folds", "seconds", "places")
        return replace(self, ranking=None, finite=None, **{name: getattr(self, name)[positions] for name in ended})


class Reader:
    """Turns histories into evidence. It remembers the last one, so that only what is new has to be read.

    What it remembers changes no answer: a history that is not the last one with trials added at its end, or with running ones replaced, is read afresh.
    Trials that compare equal count as the same, so a list made anew will do.
    """

    def __init__(self, cube: Cube, goal: Goal) -> None:
        self._cube, self._goal = cube, goal
        self._forget()

    def __reduce__(self) -> tuple[type[Reader], tuple[Cube, Goal]]:
        return Reader, (self._cube, self._goal)

    def read(self, history: History) -> Evidence:
        """The evidence of a history in any order; trials whose config does not fit the space are overlooked."""
        trials = history if type(history) is list else list(history) if type(history) is not Chronicle else None
        try:
            if trials is None:
                self._go_on(cast(Chronicle, history))
            elif not self._follows(trials):
                trials = sorted(trials, key=lambda trial: trial.number)
                if not self._follows(trials):
                    self._forget()
                    self._follows(trials)
        except BaseException:  # interrupted half-way, which must not show in later answers
            self._forget()
            raise
        return self._evidence()

    def _evidence(self) -> Evidence:
        ended = self._ended
        objectives = ended["objectives"]
        return Evidence(
            cube=self._cube,
            rows=ended["rows"],
            losses=objectives[:, 0],
            objectives=objectives,
            violations=ended["violations"],
            partial=ended["partial"],
            noise=ended["noise"],
            folds=ended["folds"],
            seconds=ended["seconds"],
            pending=self._pending["rows"],
            taken=Taken(self._keys, self._era),
            length=self._length,
            places=ended["places"],
            ranking=self._ranking,
            finite=self._finite,
            lineage=self._lineage,
        )

    def _forget(self) -> None:
        d, m, c = len(self._cube.space), len(self._goal.objectives), len(self._goal.limits)
        widths = {"rows": d, "objectives": m, "violations": c, "noise": None, "folds": None, "seconds": None}
        self._ended = Columns({"places": (None, np.intp), "partial": (None, np.bool_)} | {name: (width, np.float64) for name, width in widths.items()})
        self._pending = Columns({"places": (None, np.intp), "rows": (d, np.float64)})
        self._trials: Sequence[Trial] = []  # as last read, by number; the chronicle itself, which may have grown since
        self._length = 0  # how many of them were read
        self._running: dict[int, bytes | None] = {}  # from place to key
        self._keys = Keys()
        self._era = object()
        self._ranking: list[Rank] = []
        self._finite = 0
        self._lineage = object()

    def _go_on(self, chronicle: Chronicle) -> None:
        """Take in what a chronicle has heard since it was read last; one keeps what it has said."""
        if chronicle is not self._trials:
            self._forget()
            self._trials = chronicle
        self._take_in([place for place in self._running if chronicle[place].status is not Status.RUNNING], len(chronicle))

    def _follows(self, trials: list[Trial]) -> bool:
        """Whether these are the remembered trials, running ones perhaps replaced, and more behind them; if so, the news are taken in."""
        if not isinstance(self._trials, list):
            return False
        known, length = self._trials, self._length
        fresh = trials[length:]
        if len(trials) < length or not _ascending(known[-1:] + fresh):
            return False
        known.extend(fresh)
        changed: list[int] = []
        if known != trials:  # lists compare by identity first, which takes a nanosecond a trial
            changed = [place for place in self._running if trials[place] is not known[place]]
            before = [known[place] for place in changed]
            same = len(changed) <= _MANY and all(trials[place].number == old.number for place, old in zip(changed, before, strict=True))
            for place in changed:
                known[place] = trials[place]
            if not same or known != trials:
                for place, old in zip(changed, before, strict=True):
                    known[place] = old
                del known[length:]
                return False
        self._take_in(changed, len(trials))
        return True

    def _take_in(self, changed: Sequence[int], length: int) -> None:
        """Read the trials that ran and were replaced, and those that are new."""
        left = [self._leave(place) for place in changed]
        self._enter([*changed, *range(self._length, length)])
        self._length = length
        if any(key is not None and key not in self._keys for key in left):  # its config was changed by who ran it
            self._era = object()

    def _leave(self, place: int) -> bytes | None:
        """Forget a trial that was under way; the key it had."""
        key = self._running.pop(place)
        if key is not None:
            self._pending.remove(place)
            self._keys.leave(key)
        return key

    def _enter(self, places: Sequence[int]) -> None:
        """Take in the trials at these places."""
        ranks: list[Rank] = []
        for place in places:
            trial = self._trials[place]
            row = self._cube.place(trial.config)
            key = None if row is None else self._cube.key_at(row)
            running = trial.status is Status.RUNNING
            if key is not None:
                (self._keys.begin if running else self._keys.end)(key)
            if running:
                self._running[place] = key
                if row is not None:
                    self._pending.insert(place, rows=row)
            elif row is not None and _teaches(self._goal, trial):
                self._learn(place, trial, row, ranks)
        if self._finite > len(self._ranking):  # it was cut: what is behind its last place has none
            shown = [rank for rank in ranks if rank < self._ranking[-1]]
        else:
            shown = ranks
        if len(shown) > _FEW:
            self._ranking.extend(shown)
            self._ranking.sort()
        else:
            for rank in shown:
                insort(self._ranking, rank)
        self._finite += len(ranks)
        if len(self._ranking) >= 2 * _RANKED:
            del self._ranking[_RANKED:]

    def _learn(self, place: int, trial: Trial, row: Array, ranks: list[Rank]) -> None:
        goal, failed = self._goal, trial.status.failed
        objectives = [math.nan if failed or not math.isfinite(loss) else loss for loss in goal.vector(trial)]
        violations = [excess if math.isfinite(excess) else math.nan for excess in goal.excesses(trial)] if goal.limits else ()
        self._ended.insert(
            place,
            rows=row,
            objectives=objectives,
            violations=violations,
            partial=trial.status is Status.PRUNED,
            noise=_noise(trial, goal.metric) if trial.readings else math.nan,
            folds=sum(reading.place == "fold" for reading in trial.readings),
            seconds=trial.cost.seconds,
        )
        if objectives[0] == objectives[0]:
            above = sum(max(excess, 0.0) if excess == excess else math.inf for excess in violations)
            ranks.append((float(above), objectives[0], place))


def in_turn(evidence: Evidence, n: int, propose: Callable[[Evidence, int], Config]) -> list[Config]:
    """``n`` configs, each proposed with those before it under way; fewer if the space ends on the way.

    Raises:
        SpaceExhausted: not even one is left.
    """
    configs: list[Config] = []
    for index in range(n):
        try:
            config = propose(evidence, index)
        except SpaceExhausted:
            if configs:
                break
            raise
        configs.append(config)
        if index + 1 < n:
            evidence = evidence.joined(config)
    return configs


def _ascending(trials: Sequence[Trial]) -> bool:
    return all(one.number <= other.number for one, other in pairwise(trials))


def _teaches(goal: Goal, trial: Trial) -> bool:
    """A trial measured by other metrics does not."""
    return trial.status.failed or goal.metric in trial.scores or not math.isnan(goal.score(trial))


def _noise(trial: Trial, metric: str) -> float:
    scores = [reading.scores.get(metric, math.nan) for reading in trial.readings if reading.place == "fold"]
    scores = [score for score in scores if math.isfinite(score)]
    return float(np.var(scores, ddof=1)) / len(scores) if len(scores) > 1 else math.nan
