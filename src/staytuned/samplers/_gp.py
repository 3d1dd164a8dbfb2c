"""A Gaussian process over mixed, conditional spaces: Matern-5/2, learned input warps, robust outputs, fitted by analytic gradients.

Everything the model sees is a matrix of features. A numeric dimension is one column in the unit interval, warped (Snoek et al. 2014); a
categorical one is a block of indicator columns scaled so that two different categories lie at squared distance 1, which makes their
Hamming distance plain linear algebra. A numeric dimension that does not exist in a config sits at the centre, a categorical one
has an indicator of its own. All columns of a dimension share one length-scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize

from staytuned.samplers._cube import Array, Cube

_CLIP = 1e-6  # the warp's derivative may be infinite at the very ends
_SCALE_BOUNDS = (-4.0, 4.0)
_SIGNAL_BOUNDS = (-4.0, 4.0)
_NOISE_BOUNDS = (math.log(1e-6), math.log(2.0))
_ROUGH = 0.1  # where the noise of partial measurements begins
_WARP_BOUNDS = (-1.5, 1.5)
_WARP_SD = 0.25
_ITERATIONS = 60
_POWERS = np.linspace(-1.0, 3.0, 21)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns the features have. The numeric ones come first.

    Args:
        numeric: the dimensions with a warped column each.
        blocks: for each categorical dimension its position, its number of categories, and whether it may not exist.
        group: (n_columns,) which length-scale each column belongs to.
    """

    numeric: tuple[int, ...]
    blocks: tuple[tuple[int, int, bool], ...]
    group: tuple[int, ...]

    @property
    def warped(self) -> int:
        return len(self.numeric)

    @property
    def groups(self) -> int:
        return len(self.numeric) + len(self.blocks)

    @property
    def parameters(self) -> int:
        """log length-scales, log signal variance, log noise variance, log a and log b of the warps, log noise variance of partial measurements: the
        layout of ``theta``."""
        return self.groups + 3 + 2 * self.warped


def layout(cube: Cube) -> Layout:
    """The columns for a space; dimensions with one value have none."""
    numeric = tuple(int(i) for i in np.flatnonzero(cube.varies & ~cube.category))
    blocks = tuple((int(i), int(cube.cells[i]), bool(cube.conditional[i])) for i in np.flatnonzero(cube.varies & cube.category))
    group = list(range(len(numeric)))
    for number, (_, categories, conditional) in enumerate(blocks):
        group += [len(numeric) + number] * (categories + conditional)
    return Layout(numeric, blocks, tuple(group))


def features(plan: Layout, rows: Array) -> Array:
    """(n, n_columns) what the model sees of rows of the unit cube."""
    columns = [np.where(np.isnan(rows[:, plan.numeric]), 0.5, rows[:, plan.numeric])]
    for position, categories, conditional in plan.blocks:
        unit = rows[:, position]
        code = np.where(np.isnan(unit), categories, np.floor(unit * categories))
        columns.append((code[:, None] == np.arange(categories + conditional)) / math.sqrt(2.0))
    seen: Array = np.hstack(columns)
    return seen


def full(count: int) -> Array:
    """(count, 2) the noise of so many full measurements."""
    return np.tile([1.0, 0.0], (count, 1))


def transformed(losses: Array) -> Array:
    """(n,) losses made friendly to a Gaussian: bad tail pulled in, failures at the worst kept value, Yeo-Johnson, mean 0, deviation 1.

    Args:
        losses: (n,) lower is better; anything not finite is a failure.
    """
    finite = np.isfinite(losses)
    if not finite.any():
        return np.zeros(len(losses))
    kept = losses[finite]
    low, quarter, median = np.min(kept), np.quantile(kept, 0.25), np.median(kept)
    reach = 5.0 * max(median - quarter, (median - low) / 3.0)
    kept = np.minimum(kept, median + reach) if reach > 0 else kept
    values = np.full(len(losses), kept.max())
    values[finite] = kept
    return _standardised(_yeo_johnson(_standardised(values)))


def fit(plan: Layout, x: Array, y: Array, noise: Array, starts: list[Array]) -> Array:
    """The maximum a posteriori ``theta``, the best of those reached from the starts.

    Args:
        x: (n, n_columns) features.
        y: (n,) transformed losses.
        noise: (n, 2) each observation's noise variance in multiples of two that are learned: that of full measurements, and that of partial ones.
    """
    bounds = [_SCALE_BOUNDS] * plan.groups + [_SIGNAL_BOUNDS, _NOISE_BOUNDS] + [_WARP_BOUNDS] * (2 * plan.warped) + [_NOISE_BOUNDS]
    reached = [
        minimize(negative_log_posterior, start, (plan, x, y, noise), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _ITERATIONS, "ftol": 1e-6})
        for start in starts
    ]
    best: Array = min(reached, key=lambda result: float(result.fun)).x
    return best


def default_start(plan: Layout, scale: float = 0.5, noise: float = 1e-2) -> Array:
    """A ``theta`` of moderate smoothness: length-scales that grow with the square root of the number of dimensions."""
    theta = np.zeros(plan.parameters)
    theta[: plan.groups] = math.log(scale * math.sqrt(max(plan.groups, 1)))
    theta[plan.groups + 1] = math.log(noise)
    theta[-1] = math.log(_ROUGH)
    return theta


def negative_log_posterior(theta: Array, plan: Layout, x: Array, y: Array, noise: Array) -> tuple[float, Array]:
    """The negative log posterior density of the parameters, up to a constant, and its gradient.

    One Cholesky factor and one inverse give the gradient for all length-scales at once: with ``M = a a' - K^-1``, ``Q = M o dK/dq`` and
    ``T = diag(Q 1) W - Q W``, the derivative by the logarithm of a column's length-scale is ``2 sum(W o T) / l^2``.
    """
    groups, group = plan.groups, np.array(plan.group, dtype=int)
    signal, variances = math.exp(theta[groups]), np.exp(theta[[groups + 1, -1]])
    inverse = np.exp(-2.0 * theta[:groups])[group]  # 1 / l^2 by column
    warped, by_a, by_b = _warp(theta, plan, x)
    scaled = warped * np.sqrt(inverse)
    kernel, slope = _matern(_squared_distances(scaled, scaled))
    covariance = signal * kernel
    diagonal = np.arange(len(y))
    covariance[diagonal, diagonal] += noise @ variances
    factor, failed = lapack.dpotrf(covariance, lower=1)
    if failed:
        return 1e10, np.zeros_like(theta)
    weights, _ = lapack.dpotrs(factor, y, lower=1)
    precision, _ = lapack.dpotri(factor, lower=1)
    precision = np.tril(precision) + np.tril(precision, -1).T

    value = 0.5 * float(y @ weights) + float(np.log(factor[diagonal, diagonal]).sum())
    m = np.outer(weights, weights) - precision
    q = m * slope
    q *= signal
    t = q.sum(axis=1)[:, None] * warped - q @ warped
    gradient = np.empty_like(theta)
    gradient[:groups] = np.bincount(group, 2.0 * (warped * t).sum(axis=0) * inverse, minlength=groups)
    gradient[groups] = -0.5 * signal * float((m * kernel).sum())
    gradient[[groups + 1, -1]] = -0.5 * variances * (m[diagonal, diagonal] @ noise)
    pull = -2.0 * t[:, : plan.warped] * inverse[: plan.warped]
    gradient[groups + 2 : -1] = np.concatenate([(pull * by_a).sum(axis=0), (pull * by_b).sum(axis=0)])
    penalty, penalty_gradient = _penalty(theta, plan, bool(noise[:, 1].any()))
    return value + penalty, gradient + penalty_gradient


class Posterior:
    """The process given observations; immutable.

    Args:
        theta: (n_parameters,) as from :func:`fit`.
        x, noise: as for :func:`fit`.
        y: (n,) transformed losses.
    """

    def __init__(self, theta: Array, plan: Layout, x: Array, y: Array, noise: Array) -> None:
        self.theta, self.plan = theta, plan
        self._x, self._y, self._noise = x, y, noise
        groups = plan.groups
        self.signal, self.sigma2 = math.exp(theta[groups]), math.exp(theta[groups + 1])
        self.rough2 = math.exp(theta[-1])
        self._inverse = np.exp(-2.0 * theta[:groups])[np.array(plan.group, dtype=int)]
        self._scaled = _warp(theta, plan, x)[0] * np.sqrt(self._inverse)
        covariance = self.signal * _kernel(_squared_distances(self._scaled, self._scaled))
        covariance[np.diag_indices(len(y))] += noise @ [self.sigma2, self.rough2]
        self._whiten = _inverse_factor(covariance)
        self._weights = self._whiten.T @ (self._whiten @ y)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """(m,) mean and (m,) standard deviation of the noise-free value at the features ``x``."""
        cross = self._cross(x)
        white = cross @ self._whiten.T
        variance = self.signal - np.einsum("ij,ij->i", white, white)
        return cross @ self._weights, np.sqrt(np.maximum(variance, 1e-12 * self.signal))

    def joint(self, x: Array) -> tuple[Array, Array]:
        """(m,) mean and (m, m) covariance of the noise-free values at the features ``x``."""
        scaled = _warp(self.theta, self.plan, x)[0] * np.sqrt(self._inverse)
        cross = self._cross(x)
        white = cross @ self._whiten.T
        covariance: Array = self.signal * _kernel(_squared_distances(scaled, scaled)) - white @ white.T
        return cross @ self._weights, covariance

    def mean(self, x: Array) -> Array:
        """(m,) the mean alone, at a fraction of the cost."""
        means: Array = self._cross(x) @ self._weights
        return means

    def slopes(self, x: Array) -> tuple[float, float, Array, Array]:
        """Mean and deviation at one point, and the (n_numeric,) derivatives of both by its numeric features."""
        m = self.plan.warped
        warped, slope = _warp_with_slope(self.theta, self.plan, x)
        scaled = warped * np.sqrt(self._inverse)
        difference = scaled - self._scaled
        kernel, by_distance = _matern(np.einsum("ij,ij->i", difference, difference))
        by_x = (self.signal * by_distance)[:, None] * (2.0 * difference[:, :m] * (np.sqrt(self._inverse[:m]) * slope))
        cross = self.signal * kernel
        white = self._whiten @ cross
        deviation = math.sqrt(max(self.signal - float(white @ white), 1e-12 * self.signal))
        by_variance = -2.0 * ((self._whiten.T @ white) @ by_x)
        return float(cross @ self._weights), deviation, self._weights @ by_x, by_variance / (2.0 * deviation)

    def believing(self, x: Array) -> Posterior:
        """The process as if its own mean had been observed at the features ``x``."""
        noise = np.vstack([self._noise, full(len(x))])
        return Posterior(self.theta, self.plan, np.vstack([self._x, x]), np.append(self._y, self.mean(x)), noise)

    def rougher(self, share: float, most: float) -> Posterior:
        """The process with its length-scales at this share of what they are, or of ``most`` if that is less, given the same observations."""
        theta = self.theta.copy()
        theta[: self.plan.groups] = np.minimum(theta[: self.plan.groups], math.log(most)) + math.log(share)
        return Posterior(theta, self.plan, self._x, self._y, self._noise)

    def _cross(self, x: Array) -> Array:
        scaled = _warp(self.theta, self.plan, x)[0] * np.sqrt(self._inverse)
        cross: Array = self.signal * _kernel(_squared_distances(scaled, self._scaled))
        return cross


def _warp(theta: Array, plan: Layout, x: Array) -> tuple[Array, Array, Array]:
    """The warped features, and the derivatives of the numeric ones by log a and log b: ``w(x) = 1 - (1 - x^a)^b`` (Kumaraswamy)."""
    m = plan.warped
    a, b = np.exp(theta[plan.groups + 2 : plan.groups + 2 + m]), np.exp(theta[plan.groups + 2 + m : -1])
    log_x = np.log(np.clip(x[:, :m], _CLIP, 1.0 - _CLIP))
    power = np.exp(a * log_x)
    log_rest = np.log1p(-power)
    rest = np.exp(b * log_rest)
    warped = x.copy()
    warped[:, :m] = 1.0 - rest
    return warped, a * b * np.exp((b - 1.0) * log_rest) * power * log_x, -b * rest * log_rest


def _warp_with_slope(theta: Array, plan: Layout, x: Array) -> tuple[Array, Array]:
    """One warped point and the derivative of each numeric feature by itself."""
    m = plan.warped
    a, b = np.exp(theta[plan.groups + 2 : plan.groups + 2 + m]), np.exp(theta[plan.groups + 2 + m : -1])
    log_x = np.log(np.clip(x[:m], _CLIP, 1.0 - _CLIP))
    log_rest = np.log1p(-np.exp(a * log_x))
    warped = x.copy()
    warped[:m] = 1.0 - np.exp(b * log_rest)
    return warped, a * b * np.exp((a - 1.0) * log_x + (b - 1.0) * log_rest)


def _squared_distances(one: Array, other: Array) -> Array:
    distances: Array = one @ (-2.0 * other.T)
    distances += np.einsum("ij,ij->i", one, one)[:, None]
    distances += np.einsum("ij,ij->i", other, other)
    np.maximum(distances, 0.0, out=distances)
    return distances


def _kernel(q: Array) -> Array:
    root: Array = np.sqrt(5.0 * q)
    value = root * root
    value /= 3.0
    value += root
    value += 1.0
    np.negative(root, out=root)
    value *= np.exp(root, out=root)
    return value


def _matern(q: Array) -> tuple[Array, Array]:
    """Matern-5/2 of a squared distance (Rasmussen and Williams 2006, eq. 4.17) and its derivative by it."""
    root = np.sqrt(5.0 * q)
    decay = np.exp(-root)
    return (1.0 + root + (5.0 / 3.0) * q) * decay, (-5.0 / 6.0) * (1.0 + root) * decay


def _inverse_factor(covariance: Array) -> Array:
    """The inverse of the lower Cholesky factor, with as little added to the diagonal as it takes."""
    jitter = 0.0
    while True:
        factor, failed = lapack.dpotrf(covariance + jitter * np.eye(len(covariance)), lower=1, clean=1)
        if not failed:
            inverse: Array = lapack.dtrtri(factor, lower=1)[0]
            return inverse
        jitter = max(10.0 * jitter, 1e-10 * float(covariance[0, 0]))


def _penalty(theta: Array, plan: Layout, rough: bool) -> tuple[float, Array]:
    """Minus the log prior: ``0.1 l^2 + 0.1 / l^2`` per length-scale, Gamma(2, 1) on the signal, Gamma(1.1, 30) on the noise, normal log warps.

    Args:
        rough: whether there are partial measurements; then Gamma(1.1, 1) on the noise of those.
    """
    groups = plan.groups
    gradient = np.empty_like(theta)
    square = np.exp(2.0 * theta[:groups])
    signal, sigma2, warps = math.exp(theta[groups]), math.exp(theta[groups + 1]), theta[groups + 2 : -1]
    gradient[:groups] = 0.2 * square - 0.2 / square
    gradient[groups] = signal - 1.0
    gradient[groups + 1] = 30.0 * sigma2 - 0.1
    gradient[groups + 2 : -1] = warps / _WARP_SD**2
    value = 0.1 * float((square + 1.0 / square).sum()) + signal - theta[groups] + 30.0 * sigma2 - 0.1 * theta[groups + 1]
    gradient[-1] = math.exp(theta[-1]) - 0.1 if rough else 0.0
    value += math.exp(theta[-1]) - 0.1 * theta[-1] if rough else 0.0
    return value + 0.5 * float(warps @ warps) / _WARP_SD**2, gradient


def _standardised(values: Array) -> Array:
    spread = float(values.std())
    centred: Array = values - values.mean()
    return centred / spread if spread > 1e-12 * max(1.0, float(np.abs(values).max())) else np.zeros_like(values)


def _yeo_johnson(values: Array) -> Array:
    """Yeo and Johnson 2000, eq. 2.1, with the exponent of highest profile likelihood (eq. 3.1) under a prior around 1, which changes nothing."""
    if not values.any():
        return values
    powers = _POWERS[:, None]
    above, below = np.log1p(np.maximum(values, 0.0)), np.log1p(np.maximum(-values, 0.0))
    bent = _expm1_over(powers, above) - _expm1_over(2.0 - powers, below)
    likelihood = -0.5 * len(values) * np.log(bent.var(axis=1) + 1e-300) + (_POWERS - 1.0) * float((above - below).sum())
    chosen: Array = bent[int(np.argmax(likelihood - 2.0 * (_POWERS - 1.0) ** 2))]
    return chosen


def _expm1_over(power: Array, values: Array) -> Array:
    """``(exp(power values) - 1) / power``, which is ``values`` at power 0."""
    safe = np.where(np.abs(power) < 1e-9, 1e-9, power)
    quotient: Array = np.expm1(safe * values) / safe
    return quotient
