"""Which hyperparameters made the difference (functional ANOVA of a random forest; Hutter, Hoos and Leyton-Brown 2014).

The variance of the score over the whole space is split among the dimensions. A conditional dimension is judged where it
exists, and what it does there counts by how large that part of the space is; so no dimension is blamed for its absence,
and the shares, pairs included, sum to at most 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.goal import Goal
from staytuned.insight.forest import Forest, Sample, grow, region, restricted, sample
from staytuned.space.space import Space
from staytuned.trial import History

Array: TypeAlias = npt.NDArray[np.float64]

_LEAST = 4  # trials below which there is nothing to compute
_PER_DIMENSION = 3  # trials per dimension below which the shares are guesses
_PAIRED = 8  # the dimensions among which pairs are looked at


@dataclass(frozen=True, slots=True)
class ImportanceRow:
    """One dimension.

    Args:
        name: of the dimension.
        share: of the score's variance that it explains by itself, 0 to 1.
        sd: how much that share varies from tree to tree, each grown on a resample of the trials.
        trials: in how many of the trials it existed.
    """

    name: str
    share: float
    sd: float
    trials: int


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two dimensions.

    Args:
        names: of the two.
        share: of the score's variance that they explain together, beyond what each explains by itself.
    """

    names: tuple[str, str]
    share: float


@dataclass(frozen=True, slots=True)
class Importance:
    """What mattered, most important first.

    Args:
        rows: one per dimension; empty where there are fewer than four usable trials.
        pairs: of the eight dimensions that matter most, those that can exist together.
        trials: usable trials.
        explained: share of the variance predicted for trials the forest has not seen; at most 1.
        reliable: whether there were trials enough, and the forest could predict anything at all.
        note: why not, in a sentence; empty if reliable.
    """

    rows: tuple[ImportanceRow, ...] = ()
    pairs: tuple[PairRow, ...] = ()
    trials: int = 0
    explained: float = 0.0
    reliable: bool = False
    note: str = ""


def importance(history: History, goal: Goal, space: Space, seed: int = 0) -> Importance:
    """How much of the score's variance over the space each dimension explains.

    Args:
        history: trials in any state; those finished or pruned with a score are used, at full fidelity only.
        goal: whose score is explained.
        space: what the configs were drawn from. Constraints are not known to the forest, which fills in what they exclude.
        seed: of the forest.
    """
    return importance_of(sample(history, goal, space), seed)


def importance_of(known: Sample, seed: int = 0) -> Importance:
    """The same, for a sample already taken."""
    space, n = known.space, len(known)
    if n < _LEAST or not len(space):
        return Importance(trials=n, note=f"{n} finished trials are too few to tell what mattered; it takes at least {_LEAST}.")
    existed = np.isfinite(known.units).sum(axis=0)
    if np.ptp(known.losses) == 0:
        rows = tuple(ImportanceRow(name, 0.0, 0.0, int(e)) for name, e in zip(space.names, existed, strict=True))
        return Importance(rows, (), n, 0.0, False, f"All {n} trials scored the same, so nothing made a difference.")
    forest = grow(known, seed)
    whole, each = forest.variances(seed)
    shares, spreads = _alone(forest, space, whole, each)
    order = sorted(range(len(space)), key=lambda j: (-shares[j], j))
    rows = tuple(ImportanceRow(space.names[j], float(shares[j]), float(spreads[j]), int(existed[j])) for j in order)
    pairs = _together(forest, space, sorted(order[:_PAIRED]), whole, 1.0 - float(shares.sum()))
    note = _doubt(n, len(space), forest.explained)
    return Importance(rows, pairs, n, forest.explained, not note, note)


def _alone(forest: Forest, space: Space, whole: float, each: Array) -> tuple[Array, Array]:
    """(d,) shares by dimension and (d,) their spread over the trees."""
    regions = [region(space, forest.grids, [name]) for name in space.names]
    columns = [j for j, (_, part) in enumerate(regions) if part > 0]
    found = forest.marginals([((j,), regions[j][0]) for j in columns])
    shares, spreads = np.zeros(len(space)), np.zeros(len(space))
    for j, marginal in zip(columns, found, strict=True):
        _, part = regions[j]
        weights = forest.grids[j].weights
        of_trees = part * _variance(marginal, weights)
        shares[j] = part * _variance(marginal.mean(axis=0), weights) / whole if whole > 0 else 0.0
        spreads[j] = np.std(np.divide(of_trees, each, out=np.zeros_like(each), where=each > 0))
    total = float(shares.sum())
    return (shares / total, spreads) if total > 1 else (shares, spreads)  # the whole is drawn by lot, and may come out short


def _together(forest: Forest, space: Space, columns: Sequence[int], whole: float, left: float) -> tuple[PairRow, ...]:
    pairs = [(a, b, *region(space, forest.grids, [space.names[a], space.names[b]])) for a, b in combinations(columns, 2)]
    pairs = [pair for pair in pairs if pair[3] > 0]
    found = forest.marginals([((a, b), allowed) for a, b, allowed, _ in pairs])
    shares = []
    for (a, b, allowed, part), marginal in zip(pairs, found, strict=True):
        rows, cols = restricted(forest.grids[a], allowed.get(a)), restricted(forest.grids[b], allowed.get(b))
        shares.append(part * _interaction(marginal.mean(axis=0), rows, cols) / whole if whole > 0 else 0.0)
    shrink = min(1.0, max(left, 0.0) / sum(shares)) if sum(shares) > 0 else 1.0
    table = [PairRow((space.names[a], space.names[b]), share * shrink) for (a, b, _, _), share in zip(pairs, shares, strict=True)]
    return tuple(sorted(table, key=lambda row: -row.share))


def _variance(marginal: Array, weights: Array) -> Array:
    """Over the last axis (equation 8 of the paper, for one dimension)."""
    centred = marginal - (marginal @ weights)[..., None]
    variance: Array = centred**2 @ weights
    return variance


def _interaction(marginal: Array, rows: Array, cols: Array) -> float:
    """The variance of a function of two that neither explains alone (equation 5 of the paper, for two dimensions)."""
    beyond = marginal - (marginal @ cols)[:, None] - rows @ marginal + rows @ marginal @ cols
    return float(rows @ beyond**2 @ cols)


def _doubt(n: int, n_dims: int, explained: float) -> str:
    if n < _PER_DIMENSION * n_dims:
        return f"{n} trials for {n_dims} hyperparameters are few; read the order as a hint (about {_PER_DIMENSION * n_dims} trials make it firm)."
    if explained <= 0:
        return "The scores cannot be predicted from the hyperparameters: the differences look like noise, and so do these shares."
    return ""
