"""A forest fitted to the trials, and its exact averages over any part of the space.

Every dimension is laid on a grid of values with a weight each, so that the space becomes a product measure and a tree,
being constant on boxes, can be averaged over any set of dimensions exactly (Hutter, Hoos and Leyton-Brown 2014,
section 3.2). A dimension that does not exist in a config makes no difference to its score; its coordinate is therefore
drawn at random, anew for every tree, so that no tree can take it for a sign of anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.tree import DecisionTreeRegressor

from staytuned._random import generator
from staytuned.errors import SpaceError
from staytuned.goal import Goal
from staytuned.space.codec import to_unit
from staytuned.space.dims import Dimension, Int
from staytuned.space.space import Space
from staytuned.trial import History, Trial

Array: TypeAlias = npt.NDArray[np.float64]
Region: TypeAlias = Mapping[int, npt.NDArray[np.bool_]]

_LEVELS = 48  # grid cells of a continuum, and the most values of a whole number that get a cell each
_TREES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The trials one can learn from: finished or pruned, at full fidelity, with a finite score and a config of this space.

    Args:
        space: what the configs were drawn from.
        trials: (n,) those trials.
        units: (n, d) their places in the unit cube, NaN where a dimension does not exist.
        scores: (n,) in the metric's own direction.
        losses: (n,) lower is better; what lies beyond the outer fence of the box plot (Tukey 1977: upper quartile
            plus three times the range of the middle half) is drawn in to it, lest one diverged trial outweigh all others.
    """

    space: Space
    trials: tuple[Trial, ...]
    units: Array
    scores: Array
    losses: Array

    def __len__(self) -> int:
        return len(self.trials)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """One dimension cut into cells.

    Args:
        values: (k,) the value at the middle of each cell, in natural units.
        units: (k,) where it stands in the unit interval.
        weights: (k,) widths of the cells there; they sum to 1.
    """

    values: tuple[Any, ...]
    units: Array
    weights: Array


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees over the unit cube.

    Args:
        grids: (d,) the dimensions' grids.
        lows, highs: per tree, (n_leaves, d) the corners of its leaves.
        values: per tree, (n_leaves,) the losses it predicts there.
        explained: share of the variance of the losses predicted for trials a tree has not seen; at most 1, negative if worse than the mean.
    """

    grids: tuple[Grid, ...]
    lows: tuple[Array, ...]
    highs: tuple[Array, ...]
    values: tuple[Array, ...]
    explained: float

    def marginals(self, wanted: Sequence[tuple[tuple[int, ...], Region]]) -> list[Array]:
        """Averages over all other dimensions, as functions of one or two.

        Args:
            wanted: pairs of (one or two columns, the part of the space to average over).

        Returns:
            For each, (n_trees, k) or (n_trees, k, l).
        """
        found: list[list[Array]] = [[] for _ in wanted]
        for low, high, value in zip(self.lows, self.highs, self.values, strict=True):
            inside = [(low[:, [j]] < grid.units) & (grid.units <= high[:, [j]]) for j, grid in enumerate(self.grids)]
            for (columns, region), into in zip(wanted, found, strict=True):
                shares = [m @ restricted(g, region.get(j)) for j, (m, g) in enumerate(zip(inside, self.grids, strict=True)) if j not in columns]
                weight = value * np.prod(shares, axis=0) if shares else value
                first, *second = (inside[j].astype(float) for j in columns)
                into.append((first * weight[:, None]).T @ second[0] if second else weight @ first)
        return [np.array(m) for m in found]

    def variances(self, seed: int, draws: int = 2048) -> tuple[float, Array]:
        """Variance of the forest's prediction over the whole space, and (n_trees,) that of each tree's."""
        rng = generator(seed, "insight", "variance")
        points = np.stack([rng.choice(g.units, size=draws, p=g.weights) for g in self.grids], axis=1)
        predictions = np.array([_predicted(points, *tree) for tree in zip(self.lows, self.highs, self.values, strict=True)])
        return float(predictions.mean(axis=0).var()), predictions.var(axis=1)


def sample(history: History, goal: Goal, space: Space, having: Iterable[str] = ()) -> Sample:
    """The trials one can learn from, only those in which every dimension of ``having`` exists."""
    kept, units = [], []
    for trial, loss in zip(history, goal.losses(history), strict=True):
        if np.isfinite(loss) and (trial.fidelity is None or trial.fidelity >= 1) and (unit := _unit_or_none(space, trial)) is not None:
            kept.append(trial)
            units.append(unit)
    matrix = np.array(units, dtype=float).reshape(len(kept), len(space))
    columns = [space.names.index(name) for name in having]
    chosen = np.flatnonzero(np.isfinite(matrix[:, columns]).all(axis=1))
    trials = tuple(kept[i] for i in chosen)
    losses = goal.losses(trials)
    return Sample(space, trials, matrix[chosen], np.array([goal.score(t) for t in trials], dtype=float), _fenced(losses))


def grow(known: Sample, seed: int = 0) -> Forest:
    """A forest for the sample, every tree on a resample of its own; needs at least two trials and one dimension."""
    n = len(known)
    lows, highs, values = [], [], []
    told, heard = np.zeros(n), np.zeros(n)
    for number in range(_TREES):
        rng = generator(seed, "insight", "tree", number)
        units = np.where(np.isnan(known.units), rng.random(known.units.shape), known.units)
        rows = rng.integers(n, size=n)
        tree = DecisionTreeRegressor(splitter="random", min_samples_leaf=1 if n < 40 else 2, random_state=int(rng.integers(2**31 - 1)))
        tree.fit(units[rows], known.losses[rows])
        unseen = np.setdiff1d(np.arange(n), rows)
        if unseen.size:
            told[unseen] += tree.predict(units[unseen])
            heard[unseen] += 1
        low, high, value = _leaves(tree.tree_, known.units.shape[1])
        lows.append(low)
        highs.append(high)
        values.append(value)
    grids = tuple(grid(dimension) for dimension in known.space.dimensions.values())
    return Forest(grids, tuple(lows), tuple(highs), tuple(values), _explained(known.losses, told, heard))


def grid(dimension: Dimension) -> Grid:
    """The dimension cut into cells: one for every value, or 48 of equal width where there are more."""
    size = dimension.size
    if size is None or size > _LEVELS:
        units = (np.arange(_LEVELS) + 0.5) / _LEVELS
        return Grid(tuple(dimension.from_unit(float(u)) for u in units), units, np.full(_LEVELS, 1 / _LEVELS))
    if isinstance(dimension, Int) and dimension.log:  # cells as wide as the whole number's rounding interval on the log scale
        edges = np.log(np.arange(dimension.low, dimension.high + 2) - 0.5)
        weights = np.diff(edges) / (edges[-1] - edges[0])
        values: tuple[Any, ...] = tuple(range(dimension.low, dimension.high + 1))
        return Grid(values, np.array([dimension.to_unit(v) for v in values]), weights)
    units = (np.arange(size) + 0.5) / size
    return Grid(tuple(dimension.from_unit(float(u)) for u in units), units, np.full(size, 1 / size))


def region(space: Space, grids: Sequence[Grid], names: Iterable[str]) -> tuple[dict[int, npt.NDArray[np.bool_]], float]:
    """The part of the space in which all these dimensions exist, as the allowed cells of their ancestors, and its share of the whole."""
    allowed: dict[int, npt.NDArray[np.bool_]] = {}
    waiting = list(names)
    while waiting:
        for parent, choices in (space[waiting.pop()].when or {}).items():
            column = space.names.index(parent)
            mask = np.zeros(len(grids[column].units), dtype=bool)
            mask[[int(np.argmin(np.abs(grids[column].units - space[parent].to_unit(value)))) for value in choices]] = True
            allowed[column] = mask & allowed.get(column, True)
            waiting.append(parent)
    return allowed, float(np.prod([grids[j].weights[mask].sum() for j, mask in allowed.items()]))


def restricted(cells: Grid, mask: npt.NDArray[np.bool_] | None) -> Array:
    """The weights of the cells that are allowed, summing to 1."""
    if mask is None:
        return cells.weights
    weights = np.where(mask, cells.weights, 0.0)
    total: Array = weights / weights.sum()
    return total


def _unit_or_none(space: Space, trial: Trial) -> Array | None:
    try:
        return to_unit(space, trial.config)
    except (SpaceError, TypeError, ValueError):  # a config from before the space was changed
        return None


def _fenced(losses: Array) -> Array:
    if not losses.size:
        return losses
    low, high = np.quantile(losses, [0.25, 0.75])
    fenced: Array = np.minimum(losses, high + 3 * (high - low)) if high > low else losses
    return fenced


def _leaves(tree: Any, n_dims: int) -> tuple[Array, Array, Array]:
    """The corners (n_leaves, d) of a tree's leaves and the values in them."""
    boxes = list(_walk(tree, np.full(n_dims, -np.inf), np.full(n_dims, np.inf)))
    lows, highs, values = zip(*boxes, strict=True)
    return np.array(lows), np.array(highs), np.array(values, dtype=float)


def _walk(tree: Any, low: Array, high: Array) -> Iterator[tuple[Array, Array, float]]:
    waiting = [(0, low, high)]
    while waiting:
        node, low, high = waiting.pop()
        column = int(tree.feature[node])
        if column < 0:
            yield low, high, float(tree.value[node, 0, 0])
            continue
        left_high, right_low = high.copy(), low.copy()
        left_high[column] = right_low[column] = tree.threshold[node]
        waiting += [(int(tree.children_left[node]), low, left_high), (int(tree.children_right[node]), right_low, high)]


def _predicted(points: Array, low: Array, high: Array, value: Array) -> Array:
    inside = np.ones((len(points), len(value)), dtype=bool)
    for j in np.flatnonzero(np.isfinite(low).any(axis=0) | np.isfinite(high).any(axis=0)):
        inside &= (low[:, j] < points[:, [j]]) & (points[:, [j]] <= high[:, j])
    predicted: Array = inside @ value
    return predicted


def _explained(losses: Array, told: Array, heard: Array) -> float:
    seen = heard > 0
    spread = losses[seen].var() if seen.any() else 0.0
    return float(1 - np.mean((losses[seen] - told[seen] / heard[seen]) ** 2) / spread) if spread > 0 else 0.0
