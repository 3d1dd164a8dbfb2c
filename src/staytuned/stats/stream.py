"""One number at a time: detectors that may be looked at after every value, for ever, and still keep their promise.

All of them bet. Capital that a fair game cannot multiply is evidence that the game is not fair: e-processes (for one
decision) and e-detectors of Shiryaev-Roberts type (for a change that may begin at any time). Shin, Ramdas & Rinaldo 2024,
"E-detectors: a nonparametric framework for sequential change detection"; the numbers in the code are of that paper.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.errors import UsageError

Floats: TypeAlias = npt.NDArray[np.float64]


class RiskDetector:
    """Watches losses in [0, 1] and alarms when their mean, given the past, has risen above a promised ``risk``.

    For each bet of a grid it keeps ``M <- (M + 1) (1 + bet (loss - risk))``; the value is the mean over the bets and the
    alarm is raised when it reaches ``per``. As long as every loss has a conditional mean of at most ``risk``, the mean time to a
    false alarm is at least ``per`` losses, and the probability of one within T losses at most ``T / per``. The losses need be
    neither independent nor alike: autocorrelation and harmless drift of the inputs do not ring it.

    With a risk of .10 that becomes .15, ``per=100_000`` and the risk known exactly, the median delay is about 500 losses.

    Args:
        risk: the largest mean loss that keeps the promise, in (0, 1].
        per: losses per false alarm.

    >>> detector = RiskDetector(risk=0.1)
    >>> detector.update_many(([1] + [0] * 19) * 10)
    >>> detector.drifted
    False
    >>> detector.update_many([1, 0, 1, 1] * 50)
    >>> detector.drifted, detector.change_point
    (True, 200)
    """

    def __init__(self, risk: float, per: float = 100_000) -> None:
        if not 0 < risk <= 1:
            raise UsageError(f"risk={risk!r} must lie in (0, 1]: it bounds the mean of losses in [0, 1]")
        if not per > 1:
            raise UsageError(f"per={per!r} must be above 1: it is the number of losses per false alarm")
        self.risk, self.per = float(risk), float(per)
        self.bets = _bets_against(self.risk)
        self.seen = 0
        self.alarm_at: int | None = None
        self._m = np.zeros(len(self.bets))
        self._rise = np.zeros(len(self.bets))  # log of the largest product that ends now, as CUSUM keeps it
        self._start = np.zeros(len(self.bets), dtype=np.int64)  # and the index at which that product begins
        self._change: int | None = None

    @property
    def value(self) -> float:
        """The evidence against the promise; about the number of losses seen while it is kept."""
        return float(np.mean(self._m))

    @property
    def drifted(self) -> bool:
        """Whether the alarm has been raised; it stays raised."""
        return self.alarm_at is not None

    @property
    def change_point(self) -> int | None:
        """The index (from 0) of the loss at which the rise is estimated to begin, fixed when the alarm is raised; before,
        the best guess so far, or None where nothing speaks for a rise."""
        if self.drifted:
            return self._change
        best = int(np.argmax(self._rise))
        return int(self._start[best]) if self._rise[best] > 0 else None

    def update(self, x: float) -> None:
        """Take in the next loss, in [0, 1].

        Raises:
            UsageError: it is NaN or outside [0, 1].
        """
        if not 0 <= x <= 1:
            raise UsageError(f"loss {x} {_OUTSIDE}")
        factors = 1 + self.bets * (x - self.risk)
        self._m = np.minimum((self._m + 1) * factors, _CEILING)  # the e-SR recursion, section 2
        anew = self._rise <= 0
        self._start = np.where(anew, self.seen, self._start)
        self._rise = np.where(anew, 0.0, self._rise) + np.log(factors)
        self.seen += 1
        if not self.drifted and self.value >= self.per:
            self._alarm()

    def update_many(self, xs: npt.ArrayLike) -> None:
        """Take in losses in order: what one `update` for each would do, up to rounding, in blocks and some 50 times faster.

        Raises:
            UsageError: a loss is NaN or outside [0, 1]; none of them has been taken in.
        """
        losses = np.atleast_1d(np.asarray(xs, dtype=float))
        wrong = np.flatnonzero(~((losses >= 0) & (losses <= 1)))
        if len(wrong):
            raise UsageError(f"loss {losses[wrong[0]]} at position {wrong[0]} {_OUTSIDE}")
        for start in range(0, len(losses), _BLOCK):
            self._take(losses[start : start + _BLOCK])

    def to_json(self) -> dict[str, Any]:
        return {
            "risk": self.risk,
            "per": self.per,
            "seen": self.seen,
            "alarm_at": self.alarm_at,
            "change": self._change,
            "m": self._m.tolist(),
            "rise": self._rise.tolist(),
            "start": self._start.tolist(),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        detector = cls(body["risk"], body["per"])
        detector.seen, detector.alarm_at, detector._change = body["seen"], body["alarm_at"], body["change"]
        detector._m, detector._rise = np.array(body["m"], dtype=float), np.array(body["rise"], dtype=float)
        detector._start = np.array(body["start"], dtype=np.int64)
        return detector

    def _take(self, losses: Floats) -> None:
        factors = 1 + np.outer(losses - self.risk, self.bets)
        products = np.cumprod(factors, axis=0)
        # M_t / P_t = M_{t-1} / P_{t-1} + 1 / P_{t-1}: the recursion (M + 1) e as one cumulative sum
        earlier = np.vstack([np.ones(len(self.bets)), products[:-1]])
        path = products * (self._m + np.cumsum(1 / earlier, axis=0))
        if not self.drifted:
            crossed = np.flatnonzero(path.mean(axis=1) >= self.per)
            if len(crossed):
                upto = int(crossed[0]) + 1
                self._follow(factors[:upto])
                self._alarm()
                factors = factors[upto:]
        self._follow(factors)
        self._m = np.minimum(path[-1], _CEILING)

    def _follow(self, factors: Floats) -> None:
        if len(factors) == 0:
            return
        sums = np.cumsum(np.log(factors), axis=0)
        before = np.vstack([np.zeros(len(self.bets)), sums[:-1]])  # where a product that begins at each row would begin
        lowest = before.argmin(axis=0)
        floor = before[lowest, np.arange(len(self.bets))]
        anew = floor <= -self._rise
        self._start = np.where(anew, self.seen + lowest, self._start)
        self._rise = sums[-1] - np.where(anew, floor, -self._rise)
        self.seen += len(factors)

    def _alarm(self) -> None:
        self._change, self.alarm_at = int(self._start[np.argmax(self._rise)]), self.seen - 1


class PairedBet:
    """Champion against challenger on the same rows, decided after any label: an e-process on their loss differences.

    The null is that the challenger is better by no more than ``margin``: ``E[d | past] <= margin`` with
    ``d = loss(champion) - loss(challenger)`` in [-1, 1]. Evidence is the mean over a grid of bets of the product of
    ``1 + bet (d - margin)``; `wins` once it has reached ``1 / alpha``. A mirrored process collects the evidence that it is
    worse by more than ``margin``: `loses`. Each errs with probability ``alpha`` at most, however often one looks (Ville's inequality).

    Args:
        margin: how much better counts as better, in [0, 1).
        alpha: the probability of a wrong verdict, in (0, 1).
    """

    def __init__(self, margin: float = 0.0, alpha: float = 0.05) -> None:
        if not 0 <= margin < 1 or not 0 < alpha < 1:
            raise UsageError(f"margin={margin!r} must lie in [0, 1) and alpha={alpha!r} in (0, 1)")
        self.margin, self.alpha = float(margin), float(alpha)
        self.seen = 0
        self.wins = False
        self.loses = False
        self._better = np.zeros(len(_STAKES))  # log capital by bet
        self._worse = np.zeros(len(_STAKES))

    @property
    def e_better(self) -> float:
        """Evidence that the challenger is better by more than the margin; 1 at the start."""
        return _mean_capital(self._better)

    @property
    def e_worse(self) -> float:
        """Evidence that it is worse by more than the margin; 1 at the start."""
        return _mean_capital(self._worse)

    def update(self, x: float) -> None:
        """Take in the next difference, loss of the champion minus loss of the challenger, in [-1, 1]."""
        self.update_many((x,))

    def update_many(self, xs: npt.ArrayLike) -> None:
        """Take in differences in order.

        Raises:
            UsageError: a difference is NaN or outside [-1, 1]; none of them has been taken in.
        """
        d = np.atleast_1d(np.asarray(xs, dtype=float))
        wrong = np.flatnonzero(~(np.abs(d) <= 1))
        if len(wrong):
            raise UsageError(f"difference {d[wrong[0]]} at position {wrong[0]} is outside [-1, 1]; use losses in [0, 1]")
        for start in range(0, len(d), _BLOCK):
            block = d[start : start + _BLOCK]
            self._better, won = self._bet(self._better, block)
            self._worse, lost = self._bet(self._worse, -block)
            self.wins, self.loses = self.wins or won, self.loses or lost
        self.seen += len(d)

    def to_json(self) -> dict[str, Any]:
        return {
            "margin": self.margin,
            "alpha": self.alpha,
            "seen": self.seen,
            "wins": self.wins,
            "loses": self.loses,
            "better": self._better.tolist(),
            "worse": self._worse.tolist(),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        bet = cls(body["margin"], body["alpha"])
        bet.seen, bet.wins, bet.loses = body["seen"], body["wins"], body["loses"]
        bet._better, bet._worse = np.array(body["better"], dtype=float), np.array(body["worse"], dtype=float)
        return bet

    def _bet(self, logs: Floats, d: Floats) -> tuple[Floats, bool]:
        bets = _STAKES / (1 + self.margin)
        path = logs + np.cumsum(np.log1p(np.outer(d - self.margin, bets)), axis=0)
        capital = np.logaddexp.reduce(path, axis=1) - math.log(len(bets))
        return path[-1], bool(np.any(capital >= -math.log(self.alpha)))


class DriftDetector:
    """Watches one p-value per column and batch, and alarms when some columns keep moving.

    Each p-value becomes an e-value, each column keeps ``S <- (S + 1) e``, and the value is the mean of S over the columns:
    averaging after the product finds a small shift of one column in 50 some four times sooner than averaging before.
    Whatever the dependence between columns, the mean time to a false alarm is at least ``per`` batches, provided
    that each p-value is valid given the batches before. Two things break that: batches whose rows depend on one another (a time of
    day, a season), and a reference not much larger than a batch, whose own accidents are found again in every batch; ten
    times the rows of a batch is enough.

    Unlike `RiskDetector` it recovers when the columns have come back: S is held below a ceiling.

    Args:
        columns: their names.
        per: batches per false alarm.
    """

    def __init__(self, columns: Iterable[str], per: float = 1000) -> None:
        self.columns = tuple(columns)
        if not per > 1:
            raise UsageError(f"per={per!r} must be above 1: it is the number of batches per false alarm")
        self.per = float(per)
        self.seen = 0
        self._s = np.zeros(len(self.columns))

    @property
    def value(self) -> float:
        return float(np.mean(self._s)) if len(self._s) else 0.0

    @property
    def drifted(self) -> bool:
        """Whether the alarm is raised now."""
        return self.value >= self.per

    @property
    def culprits(self) -> tuple[str, ...]:
        """While the alarm is raised, the columns that raised it, the strongest evidence first."""
        if not self.drifted:
            return ()
        order = np.argsort(-self._s, kind="stable")
        return tuple(self.columns[i] for i in order if self._s[i] >= self.per)

    def update(self, p_values: Mapping[str, float]) -> None:
        """Take in the next batch; a column that is absent or NaN was not tested and says nothing.

        Raises:
            UsageError: an unknown column, or a p-value outside [0, 1].
        """
        unknown = set(p_values) - set(self.columns)
        if unknown:
            raise UsageError(f"columns {sorted(unknown)} are not watched; the detector was made for {list(self.columns)}")
        p = np.array([p_values.get(name, math.nan) for name in self.columns], dtype=float)
        e = np.where(np.isnan(p), 1.0, p_to_e(np.where(np.isnan(p), 1.0, p)))
        self._s = np.minimum((self._s + 1) * e, 100 * self.per * max(1, len(self._s)))
        self.seen += 1

    def to_json(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "per": self.per, "seen": self.seen, "s": self._s.tolist()}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        detector = cls(body["columns"], body["per"])
        detector.seen, detector._s = body["seen"], np.array(body["s"], dtype=float)
        return detector


def p_to_e(p: npt.ArrayLike) -> Floats:
    """E-values from p-values: ``(1 - p + p log p) / (p log(p)^2)``, the mixture of all calibrators ``k p^(k-1)``
    (Vovk & Wang 2021, equation 2). From 1/2 at p = 1 upwards without bound; p-values below 1e-30 count as 1e-30.

    >>> p_to_e([1.0, 0.05, 0.001]).round(2).tolist()
    [0.5, 1.78, 20.79]
    """
    x = np.asarray(p, dtype=float)
    if not np.all((x >= 0) & (x <= 1)):
        raise UsageError(f"p-values must lie in [0, 1], got {x[~((x >= 0) & (x <= 1))].flat[0]}")
    gap = 1 - x
    safe = np.clip(x, 1e-30, 1 - 1e-4)
    log = np.log(safe)
    return np.where(gap < 1e-4, 0.5 + gap / 6, (1 - safe + safe * log) / (safe * log**2))


_OUTSIDE = "is outside [0, 1]; clip and scale the losses, and leave out the rows that have no label"
# products over a block stay far from overflow: a factor lies between 1/10 and 1 + _TOP_BET
_BLOCK = 64
_CEILING = 1e60
_TOP_BET = 512.0
_STAKES = np.array([0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
_GRID = np.array([0.15, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 4.0])


def _bets_against(risk: float) -> Floats:
    """The grid below 1 / risk, drawn out upwards for small risks, where only high bets see a doubling soon."""
    more = 8.0 * 2.0 ** np.arange(math.log2(_TOP_BET / 8.0) + 1)
    return np.concatenate([_GRID[_GRID * risk <= 0.9], more[more * risk <= 0.5]])


def _mean_capital(logs: Floats) -> float:
    return math.exp(min(float(np.logaddexp.reduce(logs)) - math.log(len(logs)), 700.0))
