"""A forest fitted to the trials, and its exact averages over any part of the space.

Every dimension is laid on a grid of values with a weight each, so that the space becomes a product measure and a tree,
being constant on boxes, can be averaged over any set of dimensions exactly (Hutter, Hoos and Leyton-Brown 2014,
section 3.2). The trees are our own because of conditions: a tree may split along a dimension only where all its trials
have it, so that it must first tell their branches apart, and no dimension stands in for the parent it depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned._random import generator
from staytuned.errors import SpaceError
from staytuned.goal import Goal
from staytuned.space.codec import to_unit
from staytuned.space.dims import Dimension, Int
from staytuned.space.space import Space
from staytuned.trial import History, Trial

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Region: TypeAlias = Mapping[int, npt.NDArray[np.bool_]]

_LEVELS = 48  # grid cells of a continuum, and the most values of a whole number that get a cell each
_TREES = 64
_MOST_ROWS = 600  # trials in one tree's resample; a longer history is seen by the forest as a whole


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
class Tree:
    """A regression tree; node 0 is the root.

    Args:
        column: (m,) which dimension a node splits; -1 for a leaf.
        threshold: (m,) up to where the left child reaches.
        left, right: (m,) the children's numbers.
        value: (m,) the mean loss of the trials in the node.
    """

    column: Ints
    threshold: Array
    left: Ints
    right: Ints
    value: Array

    def predict(self, units: Array) -> Array:
        """(n,) losses at places (n, d) of the unit cube."""
        node = np.zeros(len(units), dtype=int)
        rows = np.arange(len(units))
        while len(rows := rows[self.column[node[rows]] >= 0]):
            at = node[rows]
            node[rows] = np.where(units[rows, self.column[at]] <= self.threshold[at], self.left[at], self.right[at])
        return self.value[node]

    def leaves(self, n_dims: int) -> tuple[Array, Array, Array]:
        """The corners (n_leaves, d) of its leaves, and (n_leaves,) the losses there."""
        low = np.full((len(self.column), n_dims), -np.inf)
        high = np.full((len(self.column), n_dims), np.inf)
        for node, column in enumerate(self.column):  # parents come before their children
            if column >= 0:
                children = [self.left[node], self.right[node]]
                low[children], high[children] = low[node], high[node]
                high[children[0], column] = low[children[1], column] = self.threshold[node]
        leaf = self.column < 0
        return low[leaf], high[leaf], self.value[leaf]


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees over the unit cube.

    Args:
        grids: (d,) the dimensions' grids.
        trees: each grown on a resample of its own.
        explained: share of the variance of the losses predicted for trials a tree has not seen; at most 1, negative if worse than the mean.
    """

    grids: tuple[Grid, ...]
    trees: tuple[Tree, ...]
    explained: float

    def marginals(self, wanted: Sequence[tuple[tuple[int, ...], Region]]) -> list[Array]:
        """Averages over all other dimensions, as functions of one or two.

        Args:
            wanted: pairs of (one or two columns, the part of the space to average over).

        Returns:
            For each, (n_trees, k) or (n_trees, k, l).
        """
        found: list[list[Array]] = [[] for _ in wanted]
        for tree in self.trees:
            low, high, value = tree.leaves(len(self.grids))
            inside = [((low[:, [j]] < g.units) & (g.units <= high[:, [j]])).astype(float) for j, g in enumerate(self.grids)]
            widths = np.stack([m @ g.weights for m, g in zip(inside, self.grids, strict=True)], axis=1)
            for (columns, region), into in zip(wanted, found, strict=True):
                shares = widths.copy()
                for j, mask in region.items():
                    shares[:, j] = inside[j] @ restricted(self.grids[j], mask)
                shares[:, columns] = 1.0
                weight = value * shares.prod(axis=1)  # a leaf's value by its share of the other dimensions (algorithm 2 of the paper)
                first, *second = (inside[j] for j in columns)
                into.append((first * weight[:, None]).T @ second[0] if second else weight @ first)
        return [np.array(m) for m in found]

    def variances(self, seed: int, draws: int = 2048) -> tuple[float, Array]:
        """Variance of the forest's prediction over the whole space, and (n_trees,) that of each tree's.

        Estimated from a Latin hypercube, for which the part that is a sum over the dimensions comes out nearly exact.
        """
        rng = generator(seed, "insight", "variance")
        levels = (np.arange(draws) + 0.5) / draws
        points = np.stack([g.units[np.searchsorted(np.cumsum(g.weights)[:-1], rng.permutation(levels))] for g in self.grids], axis=1)
        predictions = np.array([tree.predict(points) for tree in self.trees])
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
    trees = []
    told, heard = np.zeros(n), np.zeros(n)
    for number in range(_TREES):
        rng = generator(seed, "insight", "tree", number)
        rows = rng.integers(n, size=min(n, _MOST_ROWS))
        tree = _tree(known.units[rows], known.losses[rows], rng)
        unseen = np.setdiff1d(np.arange(n), rows)
        told[unseen] += tree.predict(known.units[unseen])
        heard[unseen] += 1
        trees.append(tree)
    grids = tuple(grid(dimension) for dimension in known.space.dimensions.values())
    return Forest(grids, tuple(trees), _explained(known.losses, told, heard))


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


def _tree(units: Array, losses: Array, rng: np.random.Generator) -> Tree:
    """An extremely randomised tree (Geurts, Ernst and Wehenkel 2006): one random threshold per dimension, the best of them splits."""
    nodes: list[tuple[int, float, int, int, float]] = []
    waiting: list[tuple[Ints, int, int]] = [(np.arange(len(losses)), -1, 0)]
    while waiting:
        rows, parent, side = waiting.pop()
        if parent >= 0:
            column, threshold, left, right, value = nodes[parent]
            nodes[parent] = (column, threshold, len(nodes), right, value) if side == 0 else (column, threshold, left, len(nodes), value)
        column, threshold = _split(units[rows], losses[rows], rng)
        if column >= 0:
            is_left = units[rows, column] <= threshold
            waiting += [(rows[is_left], len(nodes), 0), (rows[~is_left], len(nodes), 1)]
        nodes.append((column, threshold, -1, -1, float(losses[rows].mean())))
    columns, thresholds, lefts, rights, values = zip(*nodes, strict=True)
    return Tree(np.array(columns), np.array(thresholds), np.array(lefts), np.array(rights), np.array(values))


def _split(units: Array, losses: Array, rng: np.random.Generator) -> tuple[int, float]:
    """The dimension and the threshold that explain most; (-1, 0.0) where there is nothing left to explain."""
    n = len(losses)
    if n < 3 or np.ptp(losses) == 0:
        return -1, 0.0
    low, high = units.min(axis=0), units.max(axis=0)
    columns = np.flatnonzero(high > low)  # never where NaN, that is, where some of these trials lack the dimension
    if not len(columns):
        return -1, 0.0
    thresholds = low[columns] + rng.random(len(columns)) * (high[columns] - low[columns])
    thresholds = np.minimum(thresholds, np.nextafter(high[columns], low[columns]))  # rounding may not empty the right side
    is_left = units[:, columns] <= thresholds
    on_left = is_left.sum(axis=0)
    total = (losses - losses.mean()) @ is_left
    gain = total**2 / on_left / (n - on_left)  # the variance between the two sides, times a constant
    best = int(np.argmax(gain))
    return int(columns[best]), float(thresholds[best])


def _explained(losses: Array, told: Array, heard: Array) -> float:
    seen = heard > 0
    spread = losses[seen].var() if seen.any() else 0.0
    return float(1 - np.mean((losses[seen] - told[seen] / heard[seen]) ** 2) / spread) if spread > 0 else 0.0
