"""How the score changes with one dimension, or with two: what a forest fitted to the trials predicts, beside the trials themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.insight.axis import Axis, axis
from staytuned.insight.forest import Region, Sample, grow, region, sample
from staytuned.insight.importance import Importance, importance_of
from staytuned.space.dims import index_of
from staytuned.space.space import Space
from staytuned.trial import History, Trial

Array: TypeAlias = npt.NDArray[np.float64]

_LEAST = 4  # trials below which nothing is predicted
_LEAST_FOR_PAIR = 10  # trials below which a heatmap would be a picture of the forest alone


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """The score along one dimension, averaged over all others (where this one exists).

    Args:
        axis: the dimension.
        metric: of the scores.
        mean: (k,) predicted score at ``axis.values``; empty with fewer than four trials.
        sd: (k,) how much the prediction varies from tree to tree.
        places: (n,) the trials' places in the unit interval; ``values`` the same in natural units.
        scores: (n,) the trials' scores.
    """

    axis: Axis
    metric: str
    mean: Array
    sd: Array
    places: Array
    values: tuple[Any, ...]
    scores: Array


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """The score over two dimensions, averaged over all others (where these two exist).

    Args:
        x, y: the dimensions.
        metric, direction: of the scores.
        mean: (len(y.values), len(x.values)) predicted score, NaN where one value rules the other dimension out; (0, 0) with fewer
            than four trials.
        places: (n, 2) the trials' places in the unit square, x first.
        scores: (n,) the trials' scores.
        best: the place of the best finished trial among them; None if there is none.
    """

    x: Axis
    y: Axis
    metric: str
    direction: str
    mean: Array
    places: Array
    scores: Array
    best: tuple[float, float] | None


def effect(history: History, goal: Goal, space: Space, name: str, seed: int = 0) -> Effect:
    """How the score changes with one dimension, in the trials where it exists.

    Raises:
        UsageError: the space has no such dimension.
    """
    column = _column(space, name)
    known = sample(history, goal, space, [name])
    mean = sd = np.empty(0)
    if len(known) >= _LEAST:
        forest = grow(known, seed)
        allowed, _ = region(space, forest.grids, [name])
        (marginal,) = forest.marginals([((column,), allowed)])
        mean, sd = _as_scores(marginal.mean(axis=0), goal), marginal.std(axis=0)
    values = tuple(t.config[name] for t in known.trials)
    return Effect(axis(name, space[name]), goal.metric, mean, sd, known.units[:, column], values, known.scores)


def surface(history: History, goal: Goal, space: Space, a: str, b: str, seed: int = 0) -> Surface:
    """How the score changes with two dimensions, in the trials where both exist; ``a`` lies along x.

    Raises:
        UsageError: the space has no such dimension, or the two are one.
    """
    columns = (_column(space, a), _column(space, b))
    if a == b:
        raise UsageError(f"a heatmap needs two dimensions, not {a!r} twice")
    known = sample(history, goal, space, [a, b])
    mean = np.empty((0, 0))
    if len(known) >= _LEAST:
        forest = grow(known, seed)
        allowed, _ = region(space, forest.grids, [a, b])
        (marginal,) = forest.marginals([(columns, allowed)])
        mean = _as_scores(_where_both_exist(marginal.mean(axis=0), columns, allowed), goal).T
    places = known.units[:, columns]
    winner = goal.best(known.trials)
    best = next(((float(x), float(y)) for t, (x, y) in zip(known.trials, places, strict=True) if t is winner), None)
    return Surface(axis(a, space[a]), axis(b, space[b]), goal.metric, goal.direction, mean, places, known.scores, best)


def top_pair(history: History, goal: Goal, space: Space, seed: int = 0) -> tuple[str, str] | None:
    """The two dimensions that matter most and exist together in at least ten trials.

    They are looked for among the trials that have the winner's dimensions and its values of every dimension on which
    others depend; where those are too few, among all trials. None if no two will do.
    """
    known = sample(history, goal, space)
    winner = goal.best(known.trials)
    if winner is None:
        return None
    branch = _subset(known, [_same_branch(space, t, winner) for t in known.trials])
    for part in (branch, known):
        if len(part) >= _LEAST_FOR_PAIR and (pair := _heaviest(part, importance_of(part, seed))):
            return pair
    return None


def _column(space: Space, name: str) -> int:
    if name not in space.names:
        raise UsageError(f"{name!r} is not in the space; it has {', '.join(space.names)}")
    return space.names.index(name)


def _as_scores(losses: Array, goal: Goal) -> Array:
    scores: Array = losses if goal.direction == "min" else -losses
    return scores


def _where_both_exist(marginal: Array, columns: tuple[int, int], allowed: Region) -> Array:
    a, b = (allowed.get(j, np.ones(size, dtype=bool)) for j, size in zip(columns, marginal.shape, strict=True))
    masked: Array = np.where(np.outer(a, b), marginal, np.nan)
    return masked


def _same_branch(space: Space, trial: Trial, winner: Trial) -> bool:
    """Whether two configs have the same dimensions, for the same reasons."""
    parents = {parent for name in space.active(winner.config) for parent in space[name].when or {}}
    same = all(parent in trial.config and index_of([winner.config[parent]], trial.config[parent]) is not None for parent in parents)
    return same and space.active(trial.config) == space.active(winner.config)


def _subset(known: Sample, chosen: Sequence[bool]) -> Sample:
    mask = np.array(chosen, dtype=bool)
    trials = tuple(t for t, is_in in zip(known.trials, chosen, strict=True) if is_in)
    return Sample(known.space, trials, known.units[mask], known.scores[mask], known.losses[mask])


def _heaviest(known: Sample, found: Importance) -> tuple[str, str] | None:
    """The pair with the greatest share, alone and together, among those that vary together in enough trials."""
    alone = {row.name: row.share for row in found.rows}
    together = {frozenset(row.names): row.share for row in found.pairs}
    ranked = []
    for a, b in combinations(alone, 2):
        columns = [known.space.names.index(a), known.space.names.index(b)]
        both = known.units[np.isfinite(known.units[:, columns]).all(axis=1)][:, columns]
        if len(both) >= _LEAST_FOR_PAIR and (np.ptp(both, axis=0) > 0).all():
            ranked.append((alone[a] + alone[b] + together.get(frozenset((a, b)), 0.0), a, b))
    if not ranked:
        return None
    _, a, b = max(ranked, key=lambda entry: entry[0])
    return a, b
