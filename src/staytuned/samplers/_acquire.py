"""Where to look next: the logarithm of expected improvement, and its maximum over a mixed, conditional space."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize
from scipy.special import erfcx, ndtr
from scipy.stats import qmc

from staytuned.samplers._cube import Array, Cube, Mask, untried
from staytuned.samplers._evidence import Evidence
from staytuned.samplers._gp import Posterior, features
from staytuned.samplers._mutate import mutated
from staytuned.space.space import Config

_POINTS = 9  # 2^9 quasi-random points
_NEAR, _AROUND = 5, 64
_BEAM, _ROUNDS, _CHILDREN = 8, 8, 24
_SPARE = 32
_STEP, _SHRINK = 0.15, 0.6
_RADIUS = 0.01
_POLISHED, _POLISH_CALLS = 3, 10
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def log_h(z: Array) -> Array:
    """(n,) logarithm of ``h(z) = phi(z) + z Phi(z)``, exact in the far tail, where h itself is 0 to the computer (Ament et al. 2023, eq. 9)."""
    z = np.asarray(z, dtype=float)
    near = np.maximum(z, -1.0)
    direct = np.log(np.exp(-0.5 * near * near - _HALF_LOG_2PI) + near * ndtr(near))
    far = np.minimum(z, -1.0)
    bracket = 1.0 + np.maximum(far, -1e5) * math.sqrt(math.pi / 2.0) * erfcx(-np.maximum(far, -1e5) / math.sqrt(2.0))
    tail = -0.5 * far * far - _HALF_LOG_2PI + np.where(far < -1e5, -2.0 * np.log(-far), np.log(bracket))
    return np.where(z > -1.0, direct, tail)


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """(n,) log of the expected amount by which a normal variable falls below ``best``."""
    return np.log(deviation) + log_h((best - mean) / deviation)


def propose(evidence: Evidence, model: Posterior, best: float, rng: np.random.Generator) -> Config:
    """The config of highest log expected improvement below ``best`` that has not been tried.

    Args:
        model: given the evidence, pending trials included.
        best: in the units of the model.

    Raises:
        SpaceExhausted: nothing is left.
    """
    cube, taken = evidence.cube, set(evidence.taken)
    left = cube.left(taken)
    if left is not None:
        return cube.config(left[int(np.argmax(_score(model, left, best)))])
    screened = _screen(evidence, model, rng)
    screened, values = _best_of(screened, _score(model, screened, best), _SPARE, evidence)
    rows, values = _climbed(evidence, model, best, screened[:_BEAM], values[:_BEAM], rng)
    rows, values = _polished(cube, model, best, rows, values)
    rows = np.vstack([rows[np.argsort(-values, kind="stable")], screened])
    for row in rows[_apart(rows, evidence.pending)]:
        config = cube.config(row)
        if cube.key(config) not in taken and cube.space.satisfied(config):
            return config
    return untried(cube, taken, rng)


def _score(model: Posterior, rows: Array, best: float) -> Array:
    if not len(rows):
        return np.empty(0)
    mean, deviation = model.predict(features(model.plan, rows))
    return log_expected_improvement(mean, deviation, best)


def _screen(evidence: Evidence, model: Posterior, rng: np.random.Generator) -> Array:
    """Points everywhere, and mutations of all sizes around the observed configs of lowest posterior mean."""
    cube, observed = evidence.cube, evidence.rows
    d = observed.shape[1]
    everywhere = cube.snap(np.mod(_lattice(d) + rng.random(d), 1.0))
    order = np.argsort(model.predict(features(model.plan, observed))[0], kind="stable")[:_NEAR]
    parents = np.repeat(observed[order], _AROUND, axis=0)
    step = np.exp(rng.uniform(math.log(0.003), math.log(0.3), (len(parents), 1)))
    return np.vstack([everywhere, mutated(cube, parents, step, rng)])


_lattices: dict[int, Array] = {}


def _lattice(d: int) -> Array:
    """(512, d) plain Sobol points, the same for everyone; each use shifts them."""
    if d not in _lattices:
        _lattices[d] = qmc.Sobol(d, scramble=False).random_base2(_POINTS)
    return _lattices[d]


def _best_of(rows: Array, values: Array, count: int, evidence: Evidence) -> tuple[Array, Array]:
    """The best rows that may be proposed, no two of them the same. Constraints are slow to check, so from the best down and no further than needed."""
    order = np.argsort(-values, kind="stable")
    order = order[_apart(rows[order], evidence.pending)]
    chosen: list[int] = []
    seen = set(evidence.taken)
    for index, key in zip(order, evidence.cube.keys(rows[order]), strict=True):
        if len(chosen) == count:
            break
        if key not in seen and evidence.cube.feasible(rows[index : index + 1])[0]:
            seen.add(key)
            chosen.append(int(index))
    return rows[chosen], values[chosen]


def _climbed(evidence: Evidence, model: Posterior, best: float, rows: Array, values: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Each row replaced by the best of its children, round after round, with smaller and smaller steps."""
    cube, step = evidence.cube, _STEP
    at = np.arange(len(rows))
    for _ in range(_ROUNDS if len(rows) else 0):
        children = mutated(cube, np.repeat(rows, _CHILDREN, axis=0), step, rng)
        scores = _score(model, children, best)
        better = scores > np.repeat(values, _CHILDREN)
        better[better] = _open(evidence, children[better])
        scores = np.where(better, scores, -np.inf).reshape(len(rows), _CHILDREN)
        winner = scores.argmax(axis=1)
        won = scores[at, winner] > values
        rows = np.where(won[:, None], children.reshape(len(rows), _CHILDREN, -1)[at, winner], rows)
        values = np.where(won, scores[at, winner], values)
        step *= _SHRINK
    return rows, values


def _open(evidence: Evidence, rows: Array) -> Mask:
    """(n,) which rows satisfy the constraints, keep apart from what is under way and have not been tried."""
    cube = evidence.cube
    free = cube.feasible(rows) & _apart(rows, evidence.pending)
    if not cube.continuous.any():  # only a discrete space repeats itself by chance
        free &= np.array([key not in evidence.taken for key in cube.keys(rows)], dtype=bool)
    return free


def _apart(rows: Array, pending: Array) -> Mask:
    """(n,) which rows differ from every pending one by at least a hundredth in some dimension.

    Where the model is sure of the optimum it would send every worker to the same place.
    """
    far = np.ones(len(rows), dtype=bool)
    for other in pending:
        difference = np.where(np.isnan(rows) & np.isnan(other), 0.0, np.abs(rows - other))
        far &= ~(difference < _RADIUS).all(axis=1)  # NaN, where only one of them has the dimension, is far
    return far


def _polished(cube: Cube, model: Posterior, best: float, rows: Array, values: Array) -> tuple[Array, Array]:
    """The best few moved uphill along the continuous dimensions that exist in them; the originals stay in the list."""
    continuous = cube.continuous
    found, scores = [rows], [values]
    for index in np.argsort(-values, kind="stable")[:_POLISHED]:
        free = np.flatnonzero(continuous & ~np.isnan(rows[index]))
        if not free.size:
            continue
        moved = rows[index].copy()
        result = minimize(
            _negative_log_ei, moved[free], (model, features(model.plan, moved[None, :])[0], np.searchsorted(model.plan.numeric, free), best),
            jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * len(free), options={"maxfun": _POLISH_CALLS},
        )  # fmt: skip
        moved[free] = np.clip(result.x, 0.0, 1.0)
        if -result.fun > values[index]:
            found.append(moved[None, :])
            scores.append(np.array([-float(result.fun)]))
    return np.vstack(found), np.concatenate(scores)


def _negative_log_ei(point: Array, model: Posterior, x: Array, columns: Array, best: float) -> tuple[float, Array]:
    x = x.copy()
    x[columns] = point
    mean, deviation, by_mean, by_deviation = model.slopes(x)
    z = (best - mean) / deviation
    value, slope = _log_h_and_slope(z)
    gradient = by_deviation / deviation - slope * (by_mean + z * by_deviation) / deviation
    return -(math.log(deviation) + value), -gradient[columns]


def _log_h_and_slope(z: float) -> tuple[float, float]:
    """log h and its derivative ``Phi(z) / h(z)`` for one number: scalars cost a tenth of arrays."""
    if z > -1.0:
        below = 0.5 * math.erfc(-z / math.sqrt(2.0))
        h = math.exp(-0.5 * z * z - _HALF_LOG_2PI) + z * below
        return math.log(h), below / h
    if z < -1e5:
        return -0.5 * z * z - _HALF_LOG_2PI - 2.0 * math.log(-z), -z
    ratio = math.sqrt(math.pi / 2.0) * float(erfcx(-z / math.sqrt(2.0)))
    return -0.5 * z * z - _HALF_LOG_2PI + math.log1p(z * ratio), ratio / (1.0 + z * ratio)
