"""What a config is worth trying, in logarithms: terms that add up, each with its slope along the continuous dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from staytuned.samplers._belief import Belief
from staytuned.samplers._cube import Array
from staytuned.samplers._gp import Posterior, features

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_TINY = 1e-6  # step of the differences in two or four numbers that stand for a gradient


class Term(Protocol):
    """One part of the worth."""

    def score(self, rows: Array) -> Array:
        """(n,) at rows of the cube."""
        ...

    def slope(self, row: Array) -> tuple[float, Array]:
        """At one row, and its (d,) derivative; 0 along categories and dimensions that do not exist."""
        ...


@dataclass(frozen=True, slots=True)
class Worth:
    """The sum of its terms."""

    terms: Sequence[Term]

    def score(self, rows: Array) -> Array:
        """(n,) at rows of the cube."""
        total = np.zeros(len(rows))
        for term in self.terms if len(rows) else ():
            total += term.score(rows)
        return total

    def slope(self, row: Array) -> tuple[float, Array]:
        """At one row, and its (d,) derivative."""
        parts = [term.slope(row) for term in self.terms]
        return sum(value for value, _ in parts), np.sum([gradient for _, gradient in parts], axis=0)


@dataclass(frozen=True, slots=True)
class Improvement:
    """The logarithm of the expected improvement on the best value (Ament et al. 2023).

    Args:
        best: in the units of the model.
    """

    model: Posterior
    best: float

    def score(self, rows: Array) -> Array:
        mean, deviation = self.model.predict(features(self.model.plan, rows))
        return log_expected_improvement(mean, deviation, self.best)

    def slope(self, row: Array) -> tuple[float, Array]:
        mean, deviation, by_mean, by_deviation = self.model.slopes(features(self.model.plan, row[None, :])[0])
        z = (self.best - mean) / deviation
        value, steep = log_h_and_slope(np.array([z]))
        along = (by_deviation - steep[0] * (by_mean + z * by_deviation)) / deviation
        return math.log(deviation) + float(value[0]), _placed(self.model, along, row)


@dataclass(frozen=True, slots=True)
class Keeps:
    """The logarithm of the chance that a limit holds: that the model's value is at most 0 (Gardner et al. 2014, eq. 4)."""

    model: Posterior

    def score(self, rows: Array) -> Array:
        mean, deviation = self.model.predict(features(self.model.plan, rows))
        chance: Array = log_ndtr(-mean / deviation)
        return chance

    def slope(self, row: Array) -> tuple[float, Array]:
        mean, deviation, by_mean, by_deviation = self.model.slopes(features(self.model.plan, row[None, :])[0])
        z = -float(mean) / deviation
        value = float(log_ndtr(z))
        steep = math.exp(-0.5 * z * z - _HALF_LOG_2PI - value)
        return value, _placed(self.model, -steep * (by_mean + z * by_deviation) / deviation, row)


@dataclass(frozen=True, slots=True)
class Hypervolume:
    """The logarithm of the expected growth of the area that two objectives dominate, exact for independent models (Emmerich et al. 2011).

    With the front sorted by the first objective the gain falls into strips, and in each the expectation is a product:
    ``sum_i (EI_1(a_i) - EI_1(a_(i-1))) EI_2(b_(i-1))``. There ``a`` are the front's first values and then the reference, ``b`` the reference and then
    the front's second values.

    Args:
        models: of both objectives.
        front: (k, 2) what is not dominated yet, in the units of the models.
        reference: (2,) worse than what is of interest.
    """

    models: tuple[Posterior, Posterior]
    front: Array
    reference: Array

    def score(self, rows: Array) -> Array:
        moments = [model.predict(features(model.plan, rows)) for model in self.models]
        return self._value(*moments[0], *moments[1])

    def slope(self, row: Array) -> tuple[float, Array]:
        parts = [model.slopes(features(model.plan, row[None, :])[0]) for model in self.models]
        at = np.array([float(part[i]) for part in parts for i in (0, 1)])
        steps = _TINY * np.maximum(np.abs(at), 1e-3)
        around = np.vstack([at, at + np.diag(steps), at - np.diag(steps)]).T
        values = self._value(*around)
        by = (values[1:5] - values[5:]) / (2.0 * steps)
        along = by[0] * parts[0][2] + by[1] * parts[0][3] + by[2] * parts[1][2] + by[3] * parts[1][3]
        return float(values[0]), _placed(self.models[0], along, row)

    def _value(self, mean1: Array, deviation1: Array, mean2: Array, deviation2: Array) -> Array:
        """(n,) from the moments of both objectives."""
        front = self.front[np.argsort(self.front[:, 0], kind="stable")]
        first = np.append(front[:, 0], self.reference[0])
        second = np.append(self.reference[1], front[:, 1])
        one = log_expected_improvement(mean1[:, None], deviation1[:, None], first)
        other = log_expected_improvement(mean2[:, None], deviation2[:, None], second)
        below = np.hstack([np.full((len(one), 1), -np.inf), one[:, :-1]])
        with np.errstate(divide="ignore", invalid="ignore"):
            strips = one + np.log1p(-np.exp(np.minimum(below - one, 0.0)))
        total: Array = np.logaddexp.reduce(np.maximum(strips, -1e9) + other, axis=1)
        return total


@dataclass(frozen=True, slots=True)
class Believed:
    """What experts and earlier studies hold of a config, fading as trials come in (Hvarfner et al. 2022, eq. 6).

    Args:
        weight: the power to which their density is taken.
    """

    belief: Belief
    weight: float

    def score(self, rows: Array) -> Array:
        return self.weight * self.belief.log_density(rows)

    def slope(self, row: Array) -> tuple[float, Array]:
        value, gradient = self.belief.slope(row)
        return self.weight * value, self.weight * gradient


def log_expected_improvement(mean: Array, deviation: Array, best: Array | float) -> Array:
    """The log of the expected amount by which a normal variable falls below ``best``; the arguments broadcast."""
    logarithm: Array = np.log(deviation) + log_h((best - mean) / deviation)
    return logarithm


def log_h(z: Array) -> Array:
    """Logarithm of ``h(z) = phi(z) + z Phi(z)``, exact in the far tail, where h itself is 0 to the computer (Ament et al. 2023, eq. 9)."""
    z = np.asarray(z, dtype=float)
    near = np.maximum(z, -1.0)
    direct: Array = np.log(np.exp(-0.5 * near * near - _HALF_LOG_2PI) + near * ndtr(near))
    if (z > -1.0).all():
        return direct
    far = np.minimum(z, -1.0)
    bracket = 1.0 + np.maximum(far, -1e5) * math.sqrt(math.pi / 2.0) * erfcx(-np.maximum(far, -1e5) / math.sqrt(2.0))
    tail = -0.5 * far * far - _HALF_LOG_2PI + np.where(far < -1e5, -2.0 * np.log(-far), np.log(bracket))
    value: Array = np.where(z > -1.0, direct, tail)
    return value


def log_h_and_slope(z: Array) -> tuple[Array, Array]:
    """log h and its derivative ``Phi(z) / h(z)``."""
    value = log_h(z)
    return value, np.exp(log_ndtr(z) - value)


def _placed(model: Posterior, along: Array, row: Array) -> Array:
    """A gradient by the model's numeric features as one by the coordinates of the row."""
    gradient = np.zeros(len(row))
    gradient[list(model.plan.numeric)] = along
    return np.where(np.isnan(row), 0.0, gradient)
