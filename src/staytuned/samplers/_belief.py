"""What is believed before the first trial: experts' priors on single dimensions, and the order that earlier studies found.

A belief is a density over the unit cube. It says where to look first and is forgotten as trials come in: a sampler adds
``weight(n) * log_density`` to the logarithm of its acquisition (Hvarfner et al. 2022, eq. 6). Two sources multiply.

A *prior* on a dimension is a Gaussian cut off at the ends of the unit interval, with a standard deviation of 0.5, 0.25 or 0.125 at low, medium or
high confidence, or, for a Choice, the believed category with 1/4, 1/2 or 3/4 of the mass, the rest even. A tenth of each number's mass is even, so that
a wrong prior on one dimension costs little, and a fifth of the whole, so that nothing is excluded.

An *earlier study* is evidence of order, never of value. A Gaussian process of the normal scores of its ranks says where its good configs were. It
counts as far as it ranks the new trials better than chance would (in the manner of Feurer et al. 2018), so that after drift it is soon ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, ndtr, ndtri
from scipy.stats import qmc, rankdata

from staytuned._random import generator
from staytuned.goal import Goal
from staytuned.samplers._cube import Array, Cube
from staytuned.samplers._evidence import Evidence, Reader
from staytuned.samplers._gp import Layout, Posterior, default_start, features, fit, full, layout
from staytuned.space.dims import Confidence, believed
from staytuned.trial import Trial

Positions: TypeAlias = npt.NDArray[np.intp]

_BETA = 10.0  # the value of Hvarfner et al. 2022
_DEVIATION: dict[Confidence, float] = {"low": 0.5, "medium": 0.25, "high": 0.125}
_MASS: dict[Confidence, float] = {"low": 0.25, "medium": 0.5, "high": 0.75}
_EVEN, _ALL_EVEN = 0.1, 0.2
_GRID = 1025
_SHARPNESS = 4.0
_MOST, _FEWEST = 100, 4
_BOOTSTRAPS, _QUANTILE = 64, 0.1
_DOUBT, _LOOKS = 2.0, (4, 6, 9, 13, 19, 28, 42)
_SEEN, _ENOUGH = 60, 200
_PARTIAL_NOISE = 4.0


@dataclass(frozen=True, slots=True)
class Belief:
    """A density over the cube, relative to the even one; immutable.

    Args:
        cube: the space.
        hunches: one per dimension with a prior.
        orders: one per earlier study with something to tell.
        trust: (n_orders,) how far each order is believed, between 0 and 1.
        seed: of the bootstrap behind trust and faith.
        faith: how far the hunches are believed, between 0 and 1.
    """

    cube: Cube
    hunches: tuple[Hunch, ...] = ()
    orders: tuple[Order, ...] = ()
    trust: tuple[float, ...] = ()
    seed: int = 0
    faith: float = 1.0

    @classmethod
    def of(cls, cube: Cube, goal: Goal, past: Sequence[Sequence[Trial]] = (), seed: int = 0) -> Belief:
        """What the space's priors and the trials of earlier studies say.

        Args:
            past: one sequence of trials per earlier study; trials that do not fit the space, and studies with fewer than 4 scores, are overlooked.
        """
        hunches = [Hunch.of(cube, j) for j, name in enumerate(cube.space.names) if cube.varies[j] and believed(cube.space[name]) is not None]
        orders = [order for trials in past if (order := Order.of(cube, goal, trials)) is not None]
        return cls(cube, tuple(hunches), tuple(orders), (1.0,) * len(orders), seed)

    @property
    def trivial(self) -> bool:
        """Whether nothing is believed, so that the density is even."""
        return not (self.hunches and self.faith) and not any(self.trust)

    def weight(self, n_trials: int) -> float:
        """The power to which the density is taken after ``n_trials`` scored trials: ``beta / n`` with beta 10 (Hvarfner et al. 2022, eq. 6)."""
        return _BETA / max(n_trials, 1)

    def given(self, evidence: Evidence) -> Belief:
        """The same in the light of new trials: an earlier study is trusted as far as it surely ranks them better than chance does, experts as
        long as they do not surely rank them worse. After 200 trials a study knows better than any earlier one."""
        if evidence.scored < _FEWEST or not (self.hunches or self.orders):
            return self
        ranks = standings(evidence.losses, _above(evidence))
        latest = np.flatnonzero(np.isfinite(ranks))[-_SEEN:]
        rows, ranks = evidence.rows[latest], ranks[latest]
        rng = generator(self.seed, "belief", len(latest))
        asked = self.orders if evidence.scored <= _ENOUGH else ()
        trust = tuple(max(0.0, _agreement(order.log_density(rows), ranks, rng)[0]) for order in asked) or (0.0,) * len(self.orders)
        return replace(self, trust=trust, faith=self._faith(rows, ranks))

    def log_density(self, rows: Array) -> Array:
        """(n,) relative to the even density; a dimension that does not exist in a row contributes 0."""
        total = self.faith * _with_even(self._expected(rows)) if self.hunches else np.zeros(len(rows))
        for order, share in zip(self.orders, self._shares(), strict=True):
            if share > 0:
                total += share * order.log_density(rows)
        return total

    def slope(self, row: Array) -> tuple[float, Array]:
        """The log density at one row, and its (d,) derivative; 0 along categories and dimensions that do not exist."""
        value, gradient = 0.0, np.zeros(len(row))
        for hunch in self.hunches:
            height, steepness = hunch.slope(float(row[hunch.column]))
            value += height
            gradient[hunch.column] = steepness
        whole = float(_with_even(np.array(value))) if self.hunches else 0.0
        gradient *= self.faith * (1.0 - _ALL_EVEN) * math.exp(value - whole)
        value = self.faith * whole
        for order, share in zip(self.orders, self._shares(), strict=True):
            if share > 0:
                height, direction = order.slope(row)
                value += share * height
                gradient += share * direction
        return value, np.where(np.isnan(row), 0.0, gradient)

    def spread(self, points: Array) -> Array:
        """(n, d) even points of the cube moved to where the priors put their mass.

        Points that cover the cube evenly come out covering the belief evenly. Earlier studies do not move points: their best are run again anyway.
        """
        if not self.hunches:
            return points
        moved = points.copy()
        even = points[:, 0] < _ALL_EVEN  # decided by the first coordinate, stretched again on either side: still a function of the point alone
        moved[:, 0] = np.where(even, points[:, 0] / _ALL_EVEN, (points[:, 0] - _ALL_EVEN) / (1.0 - _ALL_EVEN))
        for hunch in self.hunches:
            moved[~even, hunch.column] = hunch.quantile(moved[~even, hunch.column])
        return moved

    def mode(self) -> Array | None:
        """(d,) the row of the config believed best, the middle where nothing is believed; None without a prior, or where it breaks a constraint."""
        if not self.hunches:
            return None
        point = np.full((1, len(self.cube.space)), 0.5)
        for hunch in self.hunches:
            point[0, hunch.column] = hunch.centre
        row = self.cube.snap(point)
        return row[0] if self.cube.feasible(row)[0] else None

    def _faith(self, rows: Array, ranks: Array) -> float:
        """How far the experts are still believed: what was once disproved, by the first 4, 6, 9, 13, ... trials or by all, stays so.

        While a search closes in on the optimum its trials are no fair sample, and their order says ever less.
        """
        if not self.hunches:
            return 1.0
        expected = self._expected(rows)
        counts = [n for n in _LOOKS if n < len(ranks)] + [len(ranks)]
        highs = [_agreement(expected[:n], ranks[:n], generator(self.seed, "faith", n))[1] for n in counts]
        return max(0.0, 1.0 + _DOUBT * min(0.0, *highs))

    def _expected(self, rows: Array) -> Array:
        """(n,) the sum of the hunches' log densities."""
        total = np.zeros(len(rows))
        for hunch in self.hunches:
            total += hunch.log_density(rows[:, hunch.column])
        return total

    def _shares(self) -> list[float]:
        """By how much each order counts; together at most once."""
        return [trust / max(sum(self.trust), 1.0) for trust in self.trust]


@dataclass(frozen=True, slots=True)
class Hunch:
    """The prior on one dimension.

    Args:
        column: which dimension.
        centre: its unit coordinate.
        spread: standard deviation, or for a category the share of the mass that chance would not give it.
        categories: how many there are; 0 where the dimension has an order.
    """

    column: int
    centre: float
    spread: float
    categories: int

    @classmethod
    def of(cls, cube: Cube, column: int) -> Hunch:
        """From the prior of a dimension that has one."""
        dimension = cube.space[cube.space.names[column]]
        centre = believed(dimension)
        assert centre is not None
        if cube.category[column]:
            return cls(column, centre, _MASS[dimension.confidence], int(cube.cells[column]))
        return cls(column, centre, _DEVIATION[dimension.confidence], 0)

    def log_density(self, units: Array) -> Array:
        """(n,) relative to the even density; 0 for NaN."""
        if self.categories:
            same = np.abs(units - self.centre) < 0.5 / self.categories
            density = 1.0 - self.spread + self.spread * self.categories * same
        else:
            z = (units - self.centre) / self.spread
            density = _EVEN + (1.0 - _EVEN) * np.exp(-0.5 * z * z) / self._area
        return np.where(np.isnan(units), 0.0, np.log(density))

    def slope(self, unit: float) -> tuple[float, float]:
        """The log density at one coordinate and its derivative."""
        value = float(self.log_density(np.array([unit]))[0])
        if self.categories or math.isnan(unit):
            return value, 0.0
        return value, -(1.0 - _EVEN * math.exp(-value)) * (unit - self.centre) / self.spread**2

    def quantile(self, shares: Array) -> Array:
        """(n,) the coordinates below which these shares of the mass lie."""
        if self.categories:
            edges = np.linspace(0.0, 1.0, self.categories + 1)
            centres = 0.5 * (edges[:-1] + edges[1:])
            below = np.append(0.0, np.cumsum(np.exp(self.log_density(centres))) / self.categories)
        else:
            edges = np.linspace(0.0, 1.0, _GRID)
            reached = ndtr((edges - self.centre) / self.spread)
            below = _EVEN * edges + (1.0 - _EVEN) * (reached - reached[0]) / (reached[-1] - reached[0])
        moved: Array = np.interp(shares, below, edges)
        return moved

    @property
    def _area(self) -> float:
        """Under the unnormalised Gaussian between 0 and 1."""
        inside = ndtr((1.0 - self.centre) / self.spread) - ndtr(-self.centre / self.spread)
        return float(math.sqrt(2.0 * math.pi) * self.spread * inside)


@dataclass(frozen=True, slots=True)
class Order:
    """How an earlier study ranks configs: a process of the normal scores of its ranks, read as ``density ~ exp(-sharpness score)``.

    Args:
        plan, model: the process; low is good.
        level: makes the density 1 on average.
    """

    plan: Layout
    model: Posterior
    level: float

    @classmethod
    def of(cls, cube: Cube, goal: Goal, trials: Sequence[Trial]) -> Order | None:
        """From an earlier study's trials, at most 100 of them; None where there is nothing to learn."""
        evidence, plan = Reader(cube, goal).read(trials), layout(cube)
        if evidence.scored < _FEWEST or not plan.groups:
            return None
        ranks = standings(evidence.losses, _above(evidence))
        kept = telling(normal_scores(ranks))
        x, y = features(plan, evidence.rows[kept]), normal_scores(ranks[kept])
        noise = np.where(evidence.partial[kept] | ~np.isfinite(evidence.losses[kept]), _PARTIAL_NOISE, 1.0)[:, None] * full(1)
        model = Posterior(fit(plan, x, y, noise, [default_start(plan)]), plan, x, y, noise)
        everywhere = cube.snap(qmc.Sobol(len(cube.space), scramble=False).random_base2(9))
        scores = model.predict(features(plan, everywhere))[0]
        return cls(plan, model, float(logsumexp(-_SHARPNESS * scores) - math.log(len(scores))))

    def log_density(self, rows: Array) -> Array:
        """(n,) relative to the even density."""
        density: Array = -_SHARPNESS * self._scores(rows) - self.level
        return density

    def slope(self, row: Array) -> tuple[float, Array]:
        """The log density at one row and its (d,) derivative."""
        score, _, by_score, _ = self.model.slopes(features(self.plan, row[None, :])[0])
        gradient = np.zeros(len(row))
        gradient[list(self.plan.numeric)] = -_SHARPNESS * by_score
        return -_SHARPNESS * float(score) - self.level, gradient

    def _scores(self, rows: Array) -> Array:
        return self.model.predict(features(self.plan, rows))[0]


def _with_even(log_density: Array) -> Array:
    """The log density of which a fifth of the mass is even."""
    return np.logaddexp(math.log(_ALL_EVEN), math.log(1.0 - _ALL_EVEN) + log_density)


def _above(evidence: Evidence) -> Array:
    """(n,) the sum of what is above the limits; infinity where one was not measured."""
    above: Array = np.where(np.isnan(evidence.violations), np.inf, np.maximum(evidence.violations, 0.0)).sum(axis=1)
    return above


def _agreement(density: Array, losses: Array, rng: np.random.Generator) -> tuple[float, float]:
    """How a density ranks trials: the share of pairs ranked rightly minus the share ranked wrongly, the tenth and the ninetieth percentile
    over bootstrap samples of the trials (Feurer et al. 2018 count misranked pairs in the same way)."""
    n = len(losses)
    differs = np.sign(losses[:, None] - losses)
    agrees = differs * np.sign(density - density[:, None])
    counts = rng.multinomial(n, np.full(n, 1.0 / n), _BOOTSTRAPS).astype(float)
    pairs, right = (np.einsum("bi,bi->b", counts @ signs, counts) for signs in (np.abs(differs), agrees))
    low, high = np.quantile(right / np.maximum(pairs, 1.0), (_QUANTILE, 1.0 - _QUANTILE))
    return float(low), float(high)


def standings(losses: Array, above: Array) -> Array:
    """(n,) numbers in the order in which trials are better: by what they break of the limits, then by loss; NaN where the loss is not finite.

    Args:
        above: (n,) the sum of what is above the limits, 0 where all hold, infinity where that is unknown.
    """
    by_limits, by_loss = (np.unique(values, return_inverse=True)[1] for values in (above, losses))
    return np.where(np.isfinite(losses), by_limits * (len(losses) + 1.0) + by_loss, np.nan)


def normal_scores(losses: Array) -> Array:
    """(n,) what a standard normal sample of this order would hold (Blom 1958); failures as bad as the worst."""
    finite = np.isfinite(losses)
    scores = np.zeros(len(losses))
    if finite.any():
        n = int(finite.sum())
        scores[finite] = ndtri((rankdata(losses[finite]) - 0.375) / (n + 0.25))
        scores[~finite] = scores[finite].max()
    return scores


def telling(scores: Array) -> Positions:
    """Positions of at most 100 trials: the best half of them, and as many evenly over the ranks of the others."""
    order = np.argsort(scores, kind="stable")
    if len(order) <= _MOST:
        return np.sort(order)
    best, others = order[: _MOST // 2], order[_MOST // 2 :]
    return np.sort(np.append(best, others[np.linspace(0, len(others) - 1, _MOST - len(best)).round().astype(int)]))
