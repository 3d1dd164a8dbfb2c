"""Tree-structured Parzen estimators with joint kernels: cheap at any length of history."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp, ndtr

from staytuned._random import generator
from staytuned.goal import Goal
from staytuned.samplers._cube import Array, Cube, Mask, untried
from staytuned.samplers._evidence import Evidence, Reader, in_turn
from staytuned.samplers.bayes import first_points
from staytuned.samplers.sobol import Sobol
from staytuned.space.space import Config, Space
from staytuned.trial import History

_GOOD_SHARE, _MOST_GOOD, _MOST_OTHERS = 0.15, 50, 300
_LEAST_WEIGHT = 0.4
_EVEN_SPREAD, _NARROW = math.sqrt(1 / 12), 0.5
_CANDIDATES, _UNIFORM_SHARE = 128, 0.1


class TPE:
    """Draws candidates near good trials and takes the one that is likeliest good rather than ordinary (Bergstra et al. 2011, eq. 3).

    Unlike the original, one product kernel per trial keeps how good values go together. The good are the best 15 % (2 to 50), weighted by rank;
    at most 300 of the others are compared with, so the time of an ask stops growing. Failures and trials under way are among the others.

    Args:
        start: configs in all before the estimator is asked; None for ``max(4, min(2 d, 10))``.
    """

    name = "tpe"

    def __init__(self, space: Space, goal: Goal, seed: int = 0, start: int | None = None) -> None:
        self._seed = seed
        self._cube = Cube(space)
        self._reader = Reader(self._cube, goal)
        self._sobol = Sobol(space, goal, seed)
        self._start = first_points(self._cube) if start is None else start

    def ask(self, history: History, n: int = 1) -> list[Config]:
        """``n`` new configs.

        Raises:
            SpaceExhausted: every config of a finite space has been tried.
        """
        return in_turn(self._reader.read(history), n, self.propose)

    def propose(self, evidence: Evidence, index: int = 0) -> Config:
        """The config to try after this evidence, the ``index``-th of its batch."""
        if len(evidence.rows) + len(evidence.pending) < self._start or evidence.scored < 3 or not self._cube.varies.any():
            return self._sobol.propose(evidence)
        rng = generator(self._seed, self.name, evidence.length, index)
        good, others = _split(evidence, rng)
        candidates = self._candidates(good, rng)
        score = good.log_density(candidates) - others.log_density(candidates)
        for best in np.argsort(-score, kind="stable"):
            config = self._cube.config(candidates[best])
            if self._cube.key(config) not in evidence.taken and self._cube.space.satisfied(config):
                return config
        return untried(self._cube, set(evidence.taken), rng)

    def _candidates(self, good: Parzen, rng: np.random.Generator) -> Array:
        uniform = round(_UNIFORM_SHARE * _CANDIDATES)
        drawn = good.draw(_CANDIDATES - uniform, rng)
        return self._cube.snap(np.vstack([drawn, rng.random((uniform, drawn.shape[1]))]))


class Parzen:
    """A weighted sum of product kernels at the given rows, and one even kernel over the space as prior.

    Numbers have a Gaussian cut off at the ends of the interval; categories keep their value or are drawn anew. A dimension that does not
    exist in the kernel's centre or in the point contributes nothing.

    Args:
        rows: (n, d) centres, n at least 1.
        weights: (n,) positive.
    """

    def __init__(self, cube: Cube, rows: Array, weights: Array) -> None:
        self._cube, self._rows = cube, rows
        self._shares = np.append(weights, weights.mean()) / (weights.sum() + weights.mean())
        n = len(rows)
        self._widths = _bandwidths(cube, rows)
        with np.errstate(divide="ignore"):
            self._anew = np.where(cube.category & cube.varies, 1.0 / (1.0 + n / np.maximum(cube.cells, 1.0)), 0.0)

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """(count, d) points of the cube, not snapped. Steps beyond an end stop there, because optima often sit on the boundary."""
        centre = rng.choice(len(self._rows), count, p=self._shares[:-1] / self._shares[:-1].sum())
        rows = self._rows[centre]
        even = rng.random(rows.shape)
        slid = np.clip(rows + self._widths * rng.standard_normal(rows.shape), 0.0, 1.0)
        swapped = np.where(rng.random(rows.shape) < self._anew, even, rows)
        moved = np.where(self._cube.category, swapped, slid)
        return np.where(np.isnan(moved), even, moved)

    def log_density(self, points: Array) -> Array:
        """(n_points,) relative to the even density."""
        terms = np.zeros((len(points), len(self._rows)))
        for j in np.flatnonzero(self._cube.varies).tolist():
            factor = self._same if self._cube.category[j] else self._near
            both = ~np.isnan(points[:, j, None]) & ~np.isnan(self._rows[None, :, j])
            terms += np.where(both, factor(points[:, j, None], self._rows[None, :, j], j), 0.0)
        terms = np.hstack([terms, np.zeros((len(points), 1))])
        density: Array = logsumexp(terms, axis=1, b=self._shares)
        return density

    def _near(self, x: Array, centre: Array, j: int) -> Array:
        width = self._widths[j]
        inside = ndtr((1.0 - centre) / width) - ndtr(-centre / width)
        z = (x - centre) / width
        log_factor: Array = -0.5 * z * z - np.log(math.sqrt(2.0 * math.pi) * width * inside)
        return log_factor

    def _same(self, x: Array, centre: Array, j: int) -> Array:
        anew, k = self._anew[j], self._cube.cells[j]
        log_factor: Array = np.where(np.abs(x - centre) < 0.5 / k, math.log((1.0 - anew) * k + anew), math.log(anew))
        return log_factor


def _split(evidence: Evidence, rng: np.random.Generator) -> tuple[Parzen, Parzen]:
    """The good, and a random part of the others."""
    losses = np.where(np.isfinite(evidence.losses), evidence.losses, np.inf)
    order = np.argsort(losses, kind="stable")
    count = min(max(2, math.ceil(_GOOD_SHARE * evidence.scored)), _MOST_GOOD)
    others = np.vstack([evidence.rows[order[count:]], evidence.pending])
    if len(others) > _MOST_OTHERS:
        others = others[np.sort(rng.choice(len(others), _MOST_OTHERS, replace=False))]
    good = Parzen(evidence.cube, evidence.rows[order[:count]], np.linspace(1.0, _LEAST_WEIGHT, count))
    return good, Parzen(evidence.cube, others, np.ones(len(others)))


def _bandwidths(cube: Cube, rows: Array) -> Array:
    """(d,) Scott's rule on the rows in which a dimension exists, between bounds.

    At most half of what the rule gives for values spread evenly, because good values often lie in several places, which the rule takes for one wide
    one. At least half a cell, and up to that bound one hundredth and 1 / (n + 1).
    """
    n, d = rows.shape
    exists: Mask = ~np.isnan(rows)
    number = np.maximum(exists.sum(axis=0), 1)
    mean = np.where(exists, rows, 0.0).sum(axis=0) / number
    spread = np.sqrt(np.where(exists, (rows - mean) ** 2, 0.0).sum(axis=0) / number)
    rule = 1.06 * number ** (-1.0 / (4 + min(d, 6)))
    half_cell = 0.5 * np.divide(1.0, cube.cells, out=np.zeros(d), where=cube.cells > 0)
    widths: Array = np.maximum(np.minimum(np.maximum(rule * spread, 1.0 / min(100, n + 1)), _NARROW * rule * _EVEN_SPREAD), half_cell)
    return widths
