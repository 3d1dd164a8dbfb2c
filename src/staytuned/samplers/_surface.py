"""The surfaces a search models: losses, limits, failures; each a Gaussian process whose parameters are fitted now and then and kept in between."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from staytuned._random import generator
from staytuned.samplers._columns import Positions
from staytuned.samplers._cube import Array, Cube
from staytuned.samplers._elite import elite
from staytuned.samplers._evidence import Evidence
from staytuned.samplers._gp import Posterior, default_start, features, fit, full, layout, transformed

_EVERY_TRIAL, _THEN, _LATER = 60, 5, 25  # the kernel is refitted at every trial up to 60, then at every fifth, beyond the limit at every 25th
_BOTH_STARTS = 60  # until then the default is a start as well, since the posterior density has several maxima
_FAILED_NOISE = 4.0
_UNKNOWN_NOISE = 1e4
_MOST_NOISE = 8.0
_AUGMENTED = 0.05
_KEPT_FITS = 64


class Target(Protocol):
    """A surface to be modelled; hashable."""

    def values(self, evidence: Evidence) -> tuple[Array, Array]:
        """(n,) the values, NaN where there is none, and (n, 2) their noise, as for :func:`fit`."""
        ...


@dataclass(frozen=True, slots=True)
class Loss:
    """One objective, transformed; failures at the worst value kept.

    Args:
        column: of ``evidence.objectives``.
    """

    column: int

    def values(self, evidence: Evidence) -> tuple[Array, Array]:
        losses = evidence.objectives[:, self.column]
        return transformed(losses), _loudness(evidence)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Several objectives as one: the augmented Tchebycheff norm of their transformed losses (Knowles 2006, eq. 2).

    Args:
        weights: (n_objectives,) positive, summing to 1.
    """

    weights: tuple[float, ...]

    def values(self, evidence: Evidence) -> tuple[Array, Array]:
        each = np.stack([transformed(losses) for losses in evidence.objectives.T], axis=1)
        weighted = (each - each.min(axis=0)) * np.array(self.weights)
        return transformed(weighted.max(axis=1) + _AUGMENTED * weighted.sum(axis=1)), _loudness(evidence)


@dataclass(frozen=True, slots=True)
class Limit:
    """By how much a limit is exceeded, at most 0 where it holds; large excesses are pulled in, the border stays at 0.

    Args:
        column: of ``evidence.violations``.
    """

    column: int

    def values(self, evidence: Evidence) -> tuple[Array, Array]:
        excess = evidence.violations[:, self.column]
        scale = float(np.nanmedian(np.abs(excess))) or 1.0
        return np.arcsinh(excess / scale), full(len(excess))


@dataclass(frozen=True, slots=True)
class Failures:
    """Whether a trial fails: 1 if it did, -1 if not; so 0 is even odds."""

    def values(self, evidence: Evidence) -> tuple[Array, Array]:
        return np.where(np.isfinite(evidence.losses), -1.0, 1.0), full(len(evidence.losses))


class Surfaces:
    """The models of a space.

    Args:
        limit: trials a model looks at, at most.
    """

    def __init__(self, cube: Cube, limit: int, seed: int) -> None:
        self.plan = layout(cube)
        self._limit, self._seed = limit, seed
        self._fits: dict[bytes, Array] = {}  # by the content of what was fitted

    def posterior(self, evidence: Evidence, seen: Evidence, target: Target) -> Posterior:
        """The process given the trials ``seen``, a part of the evidence."""
        count = len(evidence.rows)
        rhythm = 1 if count < _EVERY_TRIAL else _THEN if count <= self._limit else _LATER
        return Posterior(self._theta(evidence, target, count // rhythm * rhythm), self.plan, *self._observed(seen, target))

    def kept(self, evidence: Evidence) -> Positions:
        """The positions of the trials looked at: all up to the limit, else the best third, the latest third and some of the others."""
        count, third = len(evidence.rows), self._limit // 3
        if count <= self._limit:
            return np.arange(count)
        kept = set(elite(evidence, third).tolist()) | set(range(count - third, count))
        others = generator(self._seed, "subset", count // 50)
        while len(kept) < self._limit:
            kept.update(others.integers(count, size=self._limit - len(kept)).tolist())
        return np.array(sorted(kept), dtype=np.intp)

    def _observed(self, seen: Evidence, target: Target) -> tuple[Array, Array, Array]:
        """Features, values and noise; trials without a value count as average ones of which nobody is sure."""
        y, noise = target.values(seen)
        known = np.isfinite(y)
        if not known.all():
            y = np.where(known, y, float(y[known].mean()) if known.any() else 0.0)
            noise = np.where(known[:, None], noise, _UNKNOWN_NOISE * full(1))
        return features(self.plan, seen.rows), y, noise

    def _theta(self, evidence: Evidence, target: Target, count: int) -> Array:
        """The parameters fitted on the first ``count`` trials, started from those fitted on the last milestone (10, 20, 40, ...) before."""
        first = evidence.first(count)
        x, y, noise = self._observed(first.at(self.kept(first)), target)
        key = hashlib.blake2b(x.tobytes() + y.tobytes() + noise.tobytes(), digest_size=16).digest()
        if key not in self._fits:
            milestone = 0 if count <= 10 else 10 * 2 ** math.floor(math.log2((count - 1) / 10))
            starts = [self._theta(evidence, target, milestone)] if milestone else []
            if count < _BOTH_STARTS or count in (80, 160):
                starts += [default_start(self.plan)]
            if len(self._fits) >= _KEPT_FITS:
                del self._fits[next(iter(self._fits))]
            self._fits[key] = fit(self.plan, x, y, noise, starts)
        return self._fits[key]


def _loudness(evidence: Evidence) -> Array:
    """(n, 2) noise: of trials stopped early one of their own besides, the more the fewer folds they saw; of others more than usual for failed ones, else by
    the folds where these tell, half of the way.

    Trials are stopped early for the folds in which they did badly. That misleads a model only as long as it believes these folds more than it should:
    what decides to stop has been observed, and so is in the likelihood.
    """
    early = evidence.partial & np.isfinite(evidence.losses)
    known = np.isfinite(evidence.noise) & (evidence.noise > 0) & ~early
    loudness = np.ones(len(evidence.losses))
    if 2 * known.sum() > (~early).sum():
        relative = evidence.noise / np.median(evidence.noise[known])
        loudness = np.where(known, 0.5 + 0.5 * np.clip(relative, 0.0, _MOST_NOISE), 1.0)
    loudness = np.where(np.isfinite(evidence.losses), loudness, _FAILED_NOISE)
    return np.stack([np.where(early, 1.0, loudness), np.where(early, _missing(evidence), 0.0)], axis=1)


def _missing(evidence: Evidence) -> Array:
    """(n,) the variance that the folds not seen leave in the mean of k seen of K, ``1 / k - 1 / K``, over that which two seen leave; 1 without folds."""
    seen, most = evidence.folds, float(evidence.folds.max(initial=0.0))
    if most < 3:
        return np.ones(len(seen))
    return np.where(seen > 0, (1 / np.maximum(seen, 1.0) - 1 / most) / (1 / 2 - 1 / most), 1.0)
