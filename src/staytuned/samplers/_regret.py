"""How far the best of a search may still be from the best there is: surfaces drawn from the model, and the least value of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.stats import qmc

from staytuned.samplers._cube import Array, Cube
from staytuned.samplers._evidence import Evidence
from staytuned.samplers._gp import Posterior, features
from staytuned.samplers._mutate import mutated
from staytuned.samplers._surface import Loss, Surfaces

_POINTS = 9  # 2^9 quasi-random points
_PARENTS, _AROUND = 5, 256
_BEAM, _ROUNDS, _CHILDREN = 16, 6, 12
_STEP, _SHRINK = 0.15, 0.6
_HOPE = 2.0  # deviations below the mean by which the candidates are ranked
_MOST = 400  # candidates in a draw
_DRAWS = 512
_SHARE, _LONGEST = 0.7, 1.0  # of the length-scales: the likeliest are too sure where trials crowd around the best, or seldom move a dimension
_REACH = 5.0
_JITTER = 1e-9


@dataclass(frozen=True, slots=True)
class Plain:
    """The loss on its own scale, so that differences keep their unit; only the bad tail is pulled in. A target of ``Surfaces``."""

    def values(self, evidence: Evidence) -> tuple[Array, Array]:
        losses, (centre, scale, most) = evidence.losses, scale_of(evidence.losses)
        kept = np.where(np.isfinite(losses), np.minimum(losses, most), most)
        return (kept - centre) / scale, Loss(0).values(evidence)[1]


def regrets(surfaces: Surfaces, evidence: Evidence, incumbent: Array, rng: np.random.Generator) -> Array:
    """(512,) draws of what the incumbent's loss, without its noise, still lies above the least of the space; in the unit of the loss.

    Each draw is a surface of the model's posterior, taken together at 400 points of most promise, so that what the model does not know of both the
    incumbent and a rival cancels (as Wilson 2024 does).

    Args:
        evidence: at least three finite losses.
        incumbent: (d,) its row.
    """
    scale = scale_of(evidence.losses)[1]
    seen = evidence.at(surfaces.kept(evidence))
    model = surfaces.posterior(evidence, seen, Plain()).rougher(_SHARE, _LONGEST)
    rows = np.vstack([incumbent, _candidates(model, evidence, incumbent, rng)])
    mean, covariance = model.joint(features(model.plan, rows))
    drawn = mean[:, None] + _root(covariance) @ rng.standard_normal((len(rows), _DRAWS))
    regret: Array = scale * (drawn[0] - drawn.min(axis=0))
    return regret


def _candidates(model: Posterior, evidence: Evidence, incumbent: Array, rng: np.random.Generator) -> Array:
    """(m, d) at most 400 configs, those of the lowest confidence bounds: the best known, points everywhere, around the best, and climbed from there."""
    cube = evidence.cube
    known = evidence.rows[np.isfinite(evidence.losses)]
    if cube.everything is not None:
        return _most_hopeful(model, cube.everything, _MOST)
    parents = np.vstack([incumbent, evidence.rows[evidence.best(_PARENTS)]])
    points = np.mod(qmc.Sobol(len(incumbent), scramble=False).random_base2(_POINTS) + rng.random(len(incumbent)), 1.0)
    step = np.exp(rng.uniform(math.log(0.003), math.log(0.3), (_AROUND, 1)))
    around = mutated(cube, parents[np.arange(_AROUND) % len(parents)], step, rng)
    rows = np.vstack([cube.snap(points), around])
    climbed = _climbed(model, cube, _most_hopeful(model, rows, _BEAM), rng)
    rows = np.vstack([climbed, known, rows])
    return _most_hopeful(model, rows[cube.feasible(rows)], _MOST)


def _climbed(model: Posterior, cube: Cube, rows: Array, rng: np.random.Generator) -> Array:
    """Every child of a climb by the confidence bound from these rows."""
    found, step = [rows], _STEP
    for _ in range(_ROUNDS):
        children = mutated(cube, np.repeat(rows, _CHILDREN, axis=0), step, rng)
        found.append(children)
        rows, step = _most_hopeful(model, np.vstack([rows, children]), _BEAM), step * _SHRINK
    return np.vstack(found)


def _most_hopeful(model: Posterior, rows: Array, count: int) -> Array:
    """(at most count, d) the rows of the lowest confidence bounds."""
    mean, deviation = model.predict(features(model.plan, rows))
    return rows[np.argsort(mean - _HOPE * deviation, kind="stable")[:count]]


def scale_of(losses: Array) -> tuple[float, float, float]:
    """Where the kept losses lie, how far they spread, and the most that is not pulled in."""
    kept = losses[np.isfinite(losses)]
    low, quarter, median = float(np.min(kept)), float(np.quantile(kept, 0.25)), float(np.median(kept))
    most = median + _REACH * max(median - quarter, (median - low) / 3.0)
    most = most if most > median else float(np.max(kept))
    values = np.minimum(np.where(np.isfinite(losses), losses, most), most)
    return float(values.mean()), float(values.std()) or 1.0, most


def _root(covariance: Array) -> Array:
    """A lower factor, with as little added to the diagonal as it takes."""
    jitter = _JITTER * float(covariance.diagonal().max())
    while True:
        factor, failed = lapack.dpotrf(covariance + jitter * np.eye(len(covariance)), lower=1, clean=1)
        if not failed:
            root: Array = factor
            return root
        jitter *= 10.0
