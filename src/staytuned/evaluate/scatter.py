"""How much the differences between two configs scatter over folds, learned from past races: less for configs that score alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

_SLOPE, _SLOPE_SPREAD = 0.3, 0.3  # expected of the log variance per log squared distance, before any race
_EXCESS, _EXCESS_RACES = 0.5, 5.0  # expected variance of a race's log variance around the line, and how many races that is worth
_LEAST_EXCESS = 0.02
_LEAST_SHARE = 1e-3  # a standard deviation below this share of the distance is rounding, not knowledge


@dataclass(frozen=True)
class Scatter:
    """A line for the log variance of a race's differences, over the log squared distance of its two configs.

    The variances of races are taken to be scaled inverse chi-square around the line (Smyth 2004, "Linear models and empirical Bayes methods",
    section 6, with a trend): the fewer the races, the further from them, and the more they depart from the line, the fewer degrees of freedom.

    Args:
        centre: of the log squared distances of past races.
        line: (2,) log variance at the centre, and slope.
        doubt: (2, 2) covariance of the line.
        excess: variance of a race's true log variance around the line.
    """

    centre: float
    line: npt.NDArray[np.float64]
    doubt: npt.NDArray[np.float64]
    excess: float

    def at(self, distance: float, folds: int) -> tuple[float, float]:
        """Variance expected of a challenger whose mean difference on ``folds`` folds is ``distance``, and the degrees of freedom that is worth."""
        x = self.centre
        for _ in range(4):  # chance alone sets two configs apart by a standard error
            x = math.log(distance**2 + math.exp(float(self.line @ (1.0, x - self.centre))) / folds)
        z = np.array([1.0, x - self.centre])
        half = _inverse_trigamma(float(z @ self.doubt @ z) + self.excess)
        return math.exp(float(self.line @ z) + float(special.digamma(half)) - math.log(half)), 2 * half


def fitted(means: npt.NDArray[np.float64], variances: npt.NDArray[np.float64], folds: npt.NDArray[np.intp]) -> Scatter | None:
    """The line through past races; None where no race tells of any scatter.

    Args:
        means, variances: (n_races,) of the differences to the incumbent on the folds seen, the variance with ``folds - 1`` degrees of freedom.
        folds: (n_races,) seen, at least 2.
    """
    told = (means != 0) | (variances > 0)  # a twin of the incumbent tells nothing
    means, variances, folds = means[told], variances[told], folds[told]
    if not len(means):
        return None
    half = (folds - 1) / 2
    variances = np.maximum(variances, (_LEAST_SHARE * means) ** 2)
    y = np.log(variances) - special.digamma(half) + np.log(half)
    x = np.log(means**2 + variances / folds)
    known = special.zeta(2, half)  # trigamma: variance of the log of a sample variance
    centre, excess = float(np.mean(x)), _EXCESS
    columns = np.stack([np.ones(len(x)), x - centre], axis=1)
    for _ in range(2):
        weighted = columns / (known + excess)[:, None]
        doubt = np.linalg.inv(weighted.T @ columns + np.diag([1e-9, _SLOPE_SPREAD**-2]))
        line = doubt @ (weighted.T @ y + np.array([0.0, _SLOPE / _SLOPE_SPREAD**2]))
        over = float(np.sum((y - columns @ line) ** 2 - known))
        excess = max((_EXCESS_RACES * _EXCESS + over) / (_EXCESS_RACES + max(len(x) - 2, 0)), _LEAST_EXCESS)
    return Scatter(centre, line, doubt, excess)


def _inverse_trigamma(value: float) -> float:
    """Newton on 1 / trigamma, which is nearly straight: converges from below for every value above 0 (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(8):
        slope = float(special.zeta(2, x))
        x += slope * (slope / value - 1) / (2 * float(special.zeta(3, x)))
    return x
