"""Scrambled Sobol points: the first n cover the space more evenly than chance, for every n."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import qmc

from staytuned._random import generator
from staytuned.goal import Goal
from staytuned.samplers._cube import Array, Cube, untried
from staytuned.samplers._evidence import Evidence, Reader, in_turn
from staytuned.space.space import Config, Space
from staytuned.trial import History

_BLOCK = 64
_AHEAD = 2048


class Sobol:
    """Trial ``t`` gets the ``t``-th point of one scrambled Sobol sequence (Owen 1998), among the points that satisfy the constraints.

    A point that falls on a config already tried gives way to the next one.
    """

    name = "sobol"

    def __init__(self, space: Space, goal: Goal, seed: int = 0) -> None:
        self._seed = seed
        self._cube = Cube(space)
        self._reader = Reader(self._cube, goal)
        self._rows = np.empty((0, len(space)))  # the feasible points so far: derived from the seed alone
        self._drawn = 0

    def ask(self, history: History, n: int = 1) -> list[Config]:
        """``n`` new configs.

        Raises:
            SpaceExhausted: every config of a finite space has been tried.
        """
        return in_turn(self._reader.read(history), n, self.propose)

    def propose(self, evidence: Evidence, index: int = 0) -> Config:
        """The point for the trial after this evidence, ``index`` places further on."""
        self._cube.left(set(evidence.taken))
        for point in range(evidence.length + index, evidence.length + index + _AHEAD):
            row = self._point(point)
            if row is None:
                break
            config = self._cube.config(row)
            if self._cube.key(config) not in evidence.taken:
                return config
        return untried(self._cube, set(evidence.taken), generator(self._seed, self.name, "stuck", evidence.length, index))

    def _point(self, index: int) -> Array | None:
        """The feasible point of this index; None where feasible points are too rare to wait for."""
        while len(self._rows) <= index:
            if self._drawn > _AHEAD * (1 + len(self._rows)) or not len(self._cube.space):
                return None
            rows = self._cube.snap(self._block())
            self._rows = np.vstack([self._rows, rows[self._cube.feasible(rows)]])
            self._drawn += _BLOCK
        row: Array = self._rows[index]
        return row

    def _block(self) -> Array:
        engine = _scrambled(len(self._cube.space), generator(self._seed, self.name))
        if self._drawn:
            engine.fast_forward(self._drawn)
        points: Array = engine.random(_BLOCK)
        return points


def _scrambled(d: int, rng: np.random.Generator) -> Any:
    try:
        return qmc.Sobol(d, scramble=True, rng=rng)
    except TypeError:  # before scipy 1.15 the argument had another name
        return qmc.Sobol(d, scramble=True, seed=rng)
