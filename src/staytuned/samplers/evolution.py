"""Regularised evolution: the young breed, the old die, however good they were."""

from __future__ import annotations

import numpy as np

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.samplers._cube import Array, Cube, untried
from staytuned.samplers._evidence import Evidence, Reader, in_turn
from staytuned.samplers._mutate import mutated
from staytuned.space.space import Config, Space
from staytuned.trial import History

_TRIES = 64
_SMALLEST_STEP, _LARGEST_STEP = 0.01, 0.3


class Evolution:
    """Mutates the best of a few drawn from the last ``population`` trials that ended (Real et al. 2019, algorithm 1).

    The population is read off the history, so nothing is remembered between asks. Until it is full, configs are drawn at random.

    Args:
        population: how many of the latest trials are alive, at least 2.
        tournament: how many of them compete to be the parent, 1 to ``population``; more is greedier.

    Raises:
        UsageError: sizes outside these ranges.
    """

    name = "evolution"

    def __init__(self, space: Space, goal: Goal, seed: int = 0, population: int = 20, tournament: int = 6) -> None:
        if population < 2 or not 1 <= tournament <= population:
            raise UsageError(f"population={population!r} must be at least 2 and tournament={tournament!r} between 1 and the population")
        self._seed, self._population, self._tournament = seed, population, tournament
        self._cube = Cube(space)
        self._reader = Reader(self._cube, goal)

    def ask(self, history: History, n: int = 1) -> list[Config]:
        """``n`` new configs.

        Raises:
            SpaceExhausted: every config of a finite space has been tried.
        """
        return in_turn(self._reader.read(history), n, self._propose)

    def _propose(self, evidence: Evidence, index: int) -> Config:
        rng = generator(self._seed, self.name, evidence.length, index)
        if len(evidence.rows) < self._population:
            return untried(self._cube, set(evidence.taken), rng)
        for _ in range(_TRIES):
            child = mutated(self._cube, self._parent(evidence, rng), _step(rng), rng)[0]
            config = self._cube.config(child)
            if self._cube.key(config) not in evidence.taken and self._cube.space.satisfied(config):
                return config
        return untried(self._cube, set(evidence.taken), rng)

    def _parent(self, evidence: Evidence, rng: np.random.Generator) -> Array:
        """(1, d) the winner of a tournament; failures lose."""
        rows = evidence.rows[-self._population :]
        losses = np.where(np.isfinite(evidence.losses), evidence.losses, np.inf)[-self._population :]
        drawn = np.sort(rng.choice(len(rows), self._tournament, replace=False))
        winner = drawn[int(np.argmin(losses[drawn]))]
        parent: Array = rows[winner : winner + 1]
        return parent


def _step(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(_SMALLEST_STEP), np.log(_LARGEST_STEP))))
