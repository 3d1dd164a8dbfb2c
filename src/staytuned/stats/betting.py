"""Is the mean of n numbers above zero? Decided while they come, in an order that says nothing, with the error of all looks together bounded.

The n numbers are fixed and only their order is chance: differences between two configs on the folds of a cross-validation. That is what
makes an answer possible before the last: the mean of what is still to come is tied to the mean of what was seen.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

from staytuned._random import generator
from staytuned.errors import UsageError

_BETS = np.array([0.25, 0.5, 0.75, 0.9, 1.0])  # of the largest bet that cannot lose more than everything
_DRAWS = 100_000


def capital_against(differences: npt.ArrayLike, n: int, lowest: float) -> float:
    """Evidence that ``n`` numbers have a mean above zero after some were drawn without replacement: a gambler's capital, 1 at the start.

    If their mean is zero or below, the capital ever reaches ``1 / level`` with probability ``level`` at most, whatever the numbers are, as long as
    each is ``lowest`` or more and every order is as likely as any other (Ville's inequality; Waudby-Smith & Ramdas 2024, section 5, "without
    replacement"). With ``s`` the sum so far, the next number has at most the mean ``m = -s / (n - k)``; the bet is a share of the largest
    that keeps the capital from falling below zero, ``1 / (m - lowest)``, and the evidence is the mean over five shares.

    It needs no law of the numbers, and pays for that: n numbers of which ``b`` are at the lowest and the others just make up for them hide the ``b``
    for k draws with probability ``C(n - b, k) / C(n, k)``, and no valid rule can stop sooner than that allows.

    Args:
        differences: (k,) in the order drawn, k at most n, each at least ``lowest``.
        lowest: below 0, or equal to it.

    Returns:
        From 0 upwards; infinity where a mean of zero or below has become impossible.
    """
    d = _drawn(differences, n)
    if len(d) and d.min() < lowest - 1e-12:
        raise UsageError(f"difference {d.min()} lies below lowest={lowest}; pass a bound that holds for every fold")
    before = np.concatenate([[0.0], np.cumsum(d)])
    room = -before[: len(d)] / (n - np.arange(len(d))) - lowest  # largest conditional mean, above the lowest value
    total = before[-1] + (n - len(d)) * lowest
    if total > 0 or (total == 0 and before[-1] > 0 and len(d) == n):
        return math.inf
    factors = np.array([1.0 - _BETS + _BETS * ((x - lowest) / r if r > 0 else 1.0) for x, r in zip(d, room, strict=True)])
    return float(np.mean(np.prod(factors, axis=0))) if len(d) else 1.0


def early_t(differences: npt.ArrayLike, n: int) -> float:
    """The p-value, at this look, of "``n`` numbers have a mean of zero or below", from the first k, for numbers that scatter like normal ones.

    ``mean / (s sqrt(1 / k - 1 / n))`` is Student's t with k - 1 degrees of freedom if the mean of all n is zero: exact for draws from a normal law of
    unknown mean and variance, and for any n numbers whose deviations from their mean have no preferred direction.

    Returns:
        1 for fewer than 2 numbers, or where all k are equal: such numbers do not scatter like normal ones.
    """
    d = _drawn(differences, n)
    k = len(d)
    if k < 2:
        return 1.0
    scale = float(np.std(d, ddof=1)) * math.sqrt(1 / k - 1 / n)
    mean = float(np.mean(d))
    return float(special.stdtr(k - 1, -mean / scale)) if scale > 1e-9 * abs(mean) else 1.0


@cache
def level_per_look(n: int, level: float, first: int = 3) -> float:
    """What `early_t` may be held against at each look from ``first`` to ``n - 1`` numbers, so that any of them errs with probability ``level``.

    The p-values of the looks are those of one path, so they are dependent, and less is lost than by dividing the level among them. Their least is
    simulated, 100,000 times from a fixed seed, and three standard errors are taken off (Pocock's boundary, 1977, for draws without replacement).

    >>> round(level_per_look(10, 0.05), 3)
    0.01
    """
    if n <= first:
        return level
    d = generator(0, "early looks", n).standard_normal((_DRAWS, n))
    d -= d.mean(axis=1, keepdims=True)  # the mean of all is zero: the null that is hardest to tell
    least = np.ones(_DRAWS)
    for k in range(first, n):
        seen = d[:, :k]
        t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) * math.sqrt(1 / k - 1 / n))
        least = np.minimum(least, special.stdtr(k - 1, -t))
    safe = level - 3 * math.sqrt(level * (1 - level) / _DRAWS)
    return float(np.quantile(least, max(safe, 0.0)))


def _drawn(differences: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    d = np.asarray(differences, dtype=float)
    if len(d) > n or not np.all(np.isfinite(d)):
        raise UsageError(f"differences={d.tolist()} must be at most n={n} finite numbers")
    return d
