"""A history as the samplers read it: what was measured, what is under way, what must not be proposed again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from staytuned.errors import SpaceExhausted
from staytuned.goal import Goal
from staytuned.samplers._cube import Array, Cube, Mask
from staytuned.space.space import Config
from staytuned.trial import History, Status, Trial

Placed: TypeAlias = tuple[Config, Array, bytes] | tuple[Config, None, None]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a history says about a space, in the order of the trials' numbers.

    Args:
        cube: the space.
        rows: (n, d) the trials that ended with something to learn from.
        losses: (n,) lower is better; NaN for failures.
        partial: (n,) trials that were stopped early.
        pending: (p, d) the trials under way.
        taken: the keys of every trial that lies in the space.
        length: trials in the history, those that do not fit the space included.
    """

    cube: Cube
    rows: Array
    losses: Array
    partial: Mask
    pending: Array
    taken: frozenset[bytes] | set[bytes]
    length: int

    @property
    def scored(self) -> int:
        """How many trials have a finite loss."""
        return int(np.isfinite(self.losses).sum())

    def joined(self, config: Config) -> Evidence:
        """The same with one more config under way."""
        row = self.cube.row(config)[None, :]
        return replace(self, pending=np.vstack([self.pending, row]), taken=self.taken | {self.cube.keys(row)[0]})

    def first(self, count: int) -> Evidence:
        """Only the first ``count`` of the trials that ended."""
        return replace(self, rows=self.rows[:count], losses=self.losses[:count], partial=self.partial[:count])


class Reader:
    """Turns histories into evidence; remembers where each config lies, since trials only ever join."""

    def __init__(self, cube: Cube, goal: Goal) -> None:
        self._cube, self._goal = cube, goal
        self._places: dict[int, Placed] = {}

    def read(self, history: History) -> Evidence:
        """The evidence of a history in any order; trials whose config does not fit the space are overlooked."""
        trials = sorted(history, key=lambda trial: trial.number)
        rows: list[Array] = []
        losses: list[float] = []
        partial: list[bool] = []
        pending: list[Array] = []
        taken: set[bytes] = set()
        for trial in trials:
            _, row, key = self._place(trial)
            if row is None or key is None:
                continue
            taken.add(key)
            if trial.status is Status.RUNNING:
                pending.append(row)
            elif trial.status.failed or self._goal.metric in trial.scores:  # a trial measured by other metrics teaches nothing
                rows.append(row)
                losses.append(_loss(self._goal, trial))
                partial.append(trial.status is Status.PRUNED)
        d = len(self._cube.space)
        return Evidence(
            cube=self._cube,
            rows=np.array(rows, dtype=float).reshape(len(rows), d),
            losses=np.array(losses, dtype=float),
            partial=np.array(partial, dtype=bool),
            pending=np.array(pending, dtype=float).reshape(len(pending), d),
            taken=taken,
            length=len(trials),
        )

    def _place(self, trial: Trial) -> Placed:
        known = self._places.get(trial.number)
        if known is not None and (known[0] is trial.config or known[0] == trial.config):
            return known
        place: Placed = (trial.config, None, None)
        if self._cube.fits(trial.config):
            row = self._cube.row(trial.config)
            place = (trial.config, row, self._cube.keys(row[None, :])[0])
        self._places[trial.number] = place
        return place


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
        evidence = evidence.joined(config)
    return configs


def _loss(goal: Goal, trial: Trial) -> float:
    loss = math.nan if trial.status.failed else goal.loss(goal.score(trial))
    return loss if math.isfinite(loss) else math.nan
