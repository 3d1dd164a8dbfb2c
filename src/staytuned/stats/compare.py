"""Compare two samples, two models on the same rows, or one sample with a bound.

Every two-sample test here treats both samples as sampled. The one-sample chi-square against a reference *sample* doubles the
statistic and rings in most batches where nothing happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from staytuned.errors import UsageError

Floats: TypeAlias = npt.NDArray[np.float64]
Score: TypeAlias = Callable[[Any, Any], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate between two bounds that hold it with probability ``level``."""

    low: float
    point: float
    high: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two scores on the same rows, and the first minus the second."""

    a: Interval
    b: Interval
    difference: Interval


@dataclass(frozen=True, slots=True)
class Stability:
    """A population stability index beside what chance alone gives it.

    Args:
        value: the index, at least 0.
        expected: its mean where nothing has moved, about ``(bins - 1) * (1 / n + 1 / m)``.
    """

    value: float
    expected: float

    @property
    def excess(self) -> float:
        """The part that chance does not explain; negative as often as positive where nothing has moved."""
        return self.value - self.expected


# --- two samples


def ks_two_sample(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """The p-value of the two-sample Kolmogorov-Smirnov test of two samples of finite numbers; conservative under ties.

    Raises:
        UsageError: a sample is empty or holds NaN.
    """
    first, second = (np.sort(_numbers(x, name)) for x, name in ((a, "the first sample"), (b, "the second sample")))
    places = np.concatenate([first, second])
    shares = [np.searchsorted(x, places, side="right") / len(x) for x in (first, second)]
    return ks_p_value(float(np.max(np.abs(shares[0] - shares[1]))), len(first), len(second))


def ks_p_value(distance: float, n: int, m: int) -> float:
    """The p-value of the largest distance between the distribution functions of samples of ``n`` and ``m``, by Kolmogorov's
    limit law. Close to the exact one, and where it errs it is on the large side; Stephens' correction for
    one sample would err on the small side here."""
    return float(special.kolmogorov(math.sqrt(n * m / (n + m)) * distance))


def chi_square_two_sample(a: npt.ArrayLike, b: npt.ArrayLike, least_expected: float = 5.0) -> float:
    """The p-value of Pearson's test that two rows of counts come from one distribution.

    Args:
        a, b: (n_levels,) counts, level by level in the same order.
        least_expected: levels with fewer expected in either row are pooled into one, for the law of the statistic fails
            there. The choice looks at the column sums only, so it favours neither row.

    Returns:
        The p-value; 1 where fewer than two levels are left or a row is empty.
    """
    table = np.vstack([np.asarray(a, dtype=float), np.asarray(b, dtype=float)])
    if np.any(table < 0) or not np.all(np.isfinite(table)):
        raise UsageError(f"counts must be finite and at least 0, got {table.min()}")
    if np.any(table.sum(axis=1) == 0):
        return 1.0
    table = _pool_rare(table[:, table.sum(axis=0) > 0], least_expected)
    if table.shape[1] < 2:
        return 1.0
    expected = _expected(table)
    return float(stats.chi2.sf(np.sum((table - expected) ** 2 / expected), table.shape[1] - 1))


def rate_rise(before: int, n_before: int, now: int, n_now: int) -> float:
    """The one-sided p-value that a share has risen from ``before / n_before`` to ``now / n_now`` (Fisher's exact test)."""
    return float(stats.hypergeom.sf(now - 1, n_before + n_now, before + now, n_now))


def population_stability(reference: npt.ArrayLike, current: npt.ArrayLike) -> Stability:
    """The population stability index of two rows of counts over the same bins, with its null expectation.

    Half a count is added to every bin, so that an empty one gives a finite answer. Between normal samples a shift of
    ``d`` standard deviations gives about ``d ** 2``. The usual thresholds of .1 and .25 mean nothing below some 500 rows:
    look at the excess. Source of the expectation: Yurdakul 2018.
    """
    rows = [np.asarray(x, dtype=float) for x in (reference, current)]
    if min(row.sum() for row in rows) == 0:
        return Stability(0.0, 0.0)
    used = (rows[0] + rows[1]) > 0
    p, q = ((row[used] + 0.5) / (row[used] + 0.5).sum() for row in rows)
    expected = (int(used.sum()) - 1) * (1 / rows[0].sum() + 1 / rows[1].sum())
    return Stability(float(np.sum((q - p) * np.log(q / p))), float(expected))


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """(n,) q-values: declare those at or below .05 and at most 5 % of what is declared is false, on average (Benjamini &
    Hochberg 1995). NaN stays NaN and is not counted as a test."""
    p = np.asarray(p_values, dtype=float)
    q = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raw = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1.0)
    return q


# --- two models on the same rows


def bootstrap(score: Score, y: Any, prediction: Any, *, rng: np.random.Generator, rounds: int = 1000, level: float = 0.95) -> Interval:
    """The score of a prediction with its percentile interval over resampled rows.

    Args:
        score: ``(y, prediction) -> float``. Resamples on which it raises ValueError or is NaN (one class only) are left out.
        y, prediction: anything that can be indexed by an array of row numbers; ``len(y)`` rows.

    Raises:
        UsageError: there is no row, or more than half of the resamples have no score.
    """
    return _resampled(lambda rows: (score(y[rows], prediction[rows]),), len(y), rng, rounds, level)[0]


def compared(score: Score, y: Any, a: Any, b: Any, *, rng: np.random.Generator, rounds: int = 1000, level: float = 0.95) -> Comparison:
    """The scores of two predictions and their difference, each with its percentile interval; both are scored on the same resampled
    rows, so that what makes a row hard for both cancels out of the difference. Arguments and errors as for `bootstrap`."""

    def scores(rows: npt.NDArray[np.intp]) -> tuple[float, float, float]:
        of_a, of_b = score(y[rows], a[rows]), score(y[rows], b[rows])
        return of_a, of_b, of_a - of_b

    return Comparison(*_resampled(scores, len(y), rng, rounds, level))


def race_probability(differences: npt.ArrayLike, n_folds: int, pooled_variance: float, prior_weight: float = 4.0) -> float:
    """The probability that a challenger with some folds done ends ahead of an incumbent that has all.

    The variance of the few differences is pooled with that of past races; what the other folds will add is still free, so
    the mean over all ``n_folds`` is predicted to be Student's t with ``k - 1 + prior_weight`` degrees of freedom around the
    mean of the ``k`` seen, with squared scale ``s^2 (1 / k - 1 / n_folds)``.

    Args:
        differences: (k,) loss of the challenger minus loss of the incumbent on the same fold, lower is better.
        n_folds: folds of a full evaluation, at least k.
        pooled_variance: variance of such differences in past races, at least 0.
        prior_weight: how many differences the pooled variance is worth.

    Returns:
        A probability; 0.5 where nothing is known, 0 or 1 where nothing is left to chance (0.5 for a tie).
    """
    d = np.asarray(differences, dtype=float)
    k = len(d)
    if k > n_folds or not np.all(np.isfinite(d)):
        raise UsageError(f"differences={d.tolist()} must be at most {n_folds} finite numbers, one for each fold seen")
    if k == 0:
        return 0.5
    freedom = k - 1 + prior_weight
    spread = (k - 1) * float(np.var(d, ddof=1)) if k > 1 else 0.0
    variance = (spread + prior_weight * pooled_variance) / freedom if freedom > 0 else 0.0
    scale = math.sqrt(max(variance, 0.0) * (1 / k - 1 / n_folds))
    mean = float(np.mean(d))
    if scale == 0:
        return 0.5 if mean == 0 else float(mean < 0)
    return float(stats.t.cdf(-mean / scale, freedom))


# --- one sample and a bound


def clopper_pearson_upper(errors: int, n: int, delta: float = 0.025) -> float:
    """The exact upper bound of a rate of which ``errors`` in ``n`` were seen; too low with probability ``delta`` at most
    (Clopper & Pearson 1934)."""
    if not 0 <= errors <= n or n == 0:
        raise UsageError(f"errors={errors} must lie between 0 and n={n}, and n must be positive")
    return 1.0 if errors == n else float(stats.beta.ppf(1 - delta, errors + 1, n - errors))


def empirical_bernstein_upper(losses: npt.ArrayLike, delta: float = 0.025) -> float:
    """An upper bound of the mean of independent losses in [0, 1]; too low with probability ``delta`` at most
    (Maurer & Pontil 2009, theorem 4). 1 for fewer than two losses."""
    x = _unit_losses(losses)
    n = len(x)
    if n < 2:
        return 1.0
    log = math.log(2 / delta)
    return min(1.0, float(np.mean(x)) + math.sqrt(2 * float(np.var(x, ddof=1)) * log / n) + 7 * log / (3 * (n - 1)))


def betting_upper(losses: npt.ArrayLike, delta: float = 0.025) -> float:
    """An upper bound of the mean of independent losses in [0, 1], much tighter for a few hundred losses than empirical Bernstein.

    A gambler who bets against "the mean is at least u" multiplies its capital by ``1 + bet (u - loss)`` at each loss; u is ruled
    out if the capital ends at ``1 / delta`` or more. The bets are set from the variance of the losses before (Waudby-Smith &
    Ramdas 2024, section 4.2, for a known number of losses). Too low with probability ``delta`` at most. 1 for no losses.
    """
    x = _unit_losses(losses)
    if len(x) == 0:
        return 1.0
    bets = _bets(x, delta)
    low, high = float(np.mean(x)), 1.0
    if _log_capital(x, bets, high) < -math.log(delta):
        return 1.0
    for _ in range(40):  # the capital grows with u: halve until the bound stands to 1e-12
        middle = (low + high) / 2
        low, high = (low, middle) if _log_capital(x, bets, middle) >= -math.log(delta) else (middle, high)
    return high


def _bets(x: Floats, delta: float) -> Floats:
    """(n,) each from the losses before it, with half a loss and a quarter of variance to start from."""
    t = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    return np.sqrt(2 * math.log(1 / delta) / (len(x) * np.concatenate([[0.25], variance[:-1]])))


def _log_capital(x: Floats, bets: Floats, u: float) -> float:
    safe = np.minimum(bets, 0.75 / max(1 - u, 1e-12))  # above 1 / (1 - u) a bet could lose more than everything; so cut, the capital still grows with u
    return float(np.log1p(safe * (u - x)).sum())


def _numbers(values: npt.ArrayLike, name: str) -> Floats:
    x = np.asarray(values, dtype=float)
    if len(x) == 0 or np.isnan(x).any():
        raise UsageError(f"{name} has {len(x)} values, {int(np.isnan(x).sum())} of them NaN; it needs at least one, and no NaN")
    return x


def _unit_losses(losses: npt.ArrayLike) -> Floats:
    x = np.asarray(losses, dtype=float)
    wrong = np.flatnonzero(~((x >= 0) & (x <= 1)))
    if len(wrong):
        raise UsageError(f"loss {x[wrong[0]]} at position {wrong[0]} is outside [0, 1]; clip and scale the losses first")
    return x


def _expected(table: Floats) -> Floats:
    return np.asarray(np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum(), dtype=float)


def _pool_rare(table: Floats, least_expected: float) -> Floats:
    rare = _expected(table).min(axis=0) < least_expected
    if rare.sum() < 2:
        return table
    return np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])


def _resampled(scores: Callable[[npt.NDArray[np.intp]], tuple[float, ...]], n: int, rng: np.random.Generator, rounds: int, level: float) -> list[Interval]:
    if n == 0 or rounds < 1 or not 0 < level < 1:
        raise UsageError(f"a bootstrap needs rows, rounds of at least 1 and a level between 0 and 1; got {n} rows, rounds={rounds}, level={level}")
    points = scores(np.arange(n))
    draws = np.array([_or_nan(scores, rng.integers(0, n, n), len(points)) for _ in range(rounds)])
    usable = draws[np.all(np.isfinite(draws), axis=1)]
    if 2 * len(usable) < rounds:
        raise UsageError(f"only {len(usable)} of {rounds} resamples of {n} rows have a score; more rows of every class are needed")
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(float(low[i]), float(point), float(high[i]), level) for i, point in enumerate(points)]


def _or_nan(scores: Callable[[npt.NDArray[np.intp]], tuple[float, ...]], rows: npt.NDArray[np.intp], width: int) -> tuple[float, ...]:
    try:
        return scores(rows)
    except ValueError:
        return (math.nan,) * width
