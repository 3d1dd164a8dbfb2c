"""Bayesian optimisation: a Gaussian process says what to expect, log expected improvement says where to look."""

from __future__ import annotations

import hashlib
import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned._random import generator
from staytuned.goal import Goal
from staytuned.samplers import _acquire
from staytuned.samplers._cube import Array, Cube
from staytuned.samplers._evidence import Evidence, Reader, in_turn
from staytuned.samplers._gp import Posterior, default_start, features, fit, layout, transformed
from staytuned.samplers.sobol import Sobol
from staytuned.space.space import Config, Space
from staytuned.trial import History

Indices: TypeAlias = npt.NDArray[np.intp]

_EVERY_TRIAL, _THEN = 60, 5  # the kernel is refitted at every trial up to 60, then at every fifth
_PARTIAL_NOISE = 4.0
_EXACT = 0.01  # share of the variance under which the noise is overlooked
_KEPT_FITS = 64


class Bayes:
    """One model over the whole mixed, conditional space (kernel, warps and priors in ``_gp``, acquisition in ``_acquire``).

    The first trials are Sobol points. Trials under way are taken to give what the model expects of them, so that
    parallel proposals keep apart. Failures count as the worst value kept, trials stopped early with the score they had.

    Args:
        start: configs in all before the model is asked; None for ``max(4, min(2 d, 10))``.
        limit: trials the model looks at, at most: the best third, the latest third and some of the others. Bounds the time of an ask.
    """

    name = "bayes"

    def __init__(self, space: Space, goal: Goal, seed: int = 0, start: int | None = None, limit: int = 300) -> None:
        self._seed, self._limit = seed, limit
        self._cube = Cube(space)
        self._plan = layout(self._cube)
        self._reader = Reader(self._cube, goal)
        self._sobol = Sobol(space, goal, seed)
        self._start = first_points(self._cube) if start is None else start
        self._fits: dict[bytes, Array] = {}  # by the content of what was fitted

    def ask(self, history: History, n: int = 1) -> list[Config]:
        """``n`` new configs.

        Raises:
            SpaceExhausted: every config of a finite space has been tried.
        """
        return in_turn(self._reader.read(history), n, self.propose)

    def begins(self, evidence: Evidence) -> bool:
        """Whether there is too little to learn from yet, so that a Sobol point is due."""
        return len(evidence.rows) + len(evidence.pending) < self._start or evidence.scored < 3 or not self._plan.groups

    def propose(self, evidence: Evidence, index: int = 0) -> Config:
        """The config to try after this evidence, the ``index``-th of its batch."""
        if self.begins(evidence):
            return self._sobol.propose(evidence)
        rng = generator(self._seed, self.name, evidence.length, index)
        model, best = self._model(evidence)
        return _acquire.propose(evidence, model, best, rng)

    def _model(self, evidence: Evidence) -> tuple[Posterior, float]:
        """The process given what ended and what is under way, and the value to improve on."""
        theta = self._theta(evidence, _fitted_on(len(evidence.rows)))
        x, y, noise = self._observations(evidence)
        model = Posterior(theta, self._plan, x, y, noise)
        means = model.predict(x)[0]
        full = noise == 1.0
        exact = model.sigma2 < _EXACT * model.signal
        known = (y if exact else means)[full] if full.any() else means
        pending = features(self._plan, evidence.pending)
        best = min(known.min(), model.predict(pending)[0].min(initial=np.inf))  # to improve on what is believed to come as well
        return model.believing(pending), float(best)

    def _theta(self, evidence: Evidence, count: int) -> Array:
        """The parameters fitted on the first ``count`` trials, started from those fitted on the last milestone (10, 20, 40, ...) before."""
        x, y, noise = self._observations(evidence.first(count))
        key = hashlib.blake2b(x.tobytes() + y.tobytes() + noise.tobytes(), digest_size=16).digest()
        if key not in self._fits:
            milestone = 0 if count <= 10 else 10 * 2 ** math.floor(math.log2((count - 1) / 10))
            starts = [self._theta(evidence, milestone)] if milestone else []
            if count < 20 or count in (20, 40, 80, 160, 320):
                starts += [default_start(self._plan)]
            if len(self._fits) >= _KEPT_FITS:
                del self._fits[next(iter(self._fits))]
            self._fits[key] = fit(self._plan, x, y, noise, starts)
        return self._fits[key]

    def _observations(self, evidence: Evidence) -> tuple[Array, Array, Array]:
        """Features, transformed losses and relative noise of the trials the model looks at."""
        y = transformed(evidence.losses)
        noise = np.where(evidence.partial | ~np.isfinite(evidence.losses), _PARTIAL_NOISE, 1.0)
        chosen = self._chosen(y)
        return features(self._plan, evidence.rows[chosen]), y[chosen], noise[chosen]

    def _chosen(self, y: Array) -> Indices:
        if len(y) <= self._limit:
            return np.arange(len(y))
        third = self._limit // 3
        kept = set(np.argsort(y, kind="stable")[:third].tolist()) | set(range(len(y) - third, len(y)))
        others = generator(self._seed, self.name, "subset").permutation(len(y) // 50 * 50 + 50)
        for i in others:
            if len(kept) >= self._limit:
                break
            if i < len(y):
                kept.add(int(i))
        return np.array(sorted(kept), dtype=int)


def first_points(cube: Cube) -> int:
    """How many configs are spread evenly before a model is asked."""
    return max(4, min(2 * cube.dimension, 10))


def _fitted_on(count: int) -> int:
    return count if count < _EVERY_TRIAL else count // _THEN * _THEN
