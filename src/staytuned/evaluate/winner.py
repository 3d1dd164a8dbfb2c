"""The winner of a search, its score corrected for its having been chosen among all configs that the trials measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.errors import BlobMissing, UsageError
from staytuned.evaluate.honest import Honest, corrected, corrected_for, time_blocks
from staytuned.evaluate.out_of_fold import Kind, unpacked
from staytuned.goal import Goal
from staytuned.trial import History, Status, Trial

Array: TypeAlias = npt.NDArray[Any]

_MOST = 256  # configs that the winner is compared with
_MOST_CALLED = 64  # likewise where the metric is called for each resample
_ENTRIES = 4_000_000  # of their table; with many rows few configs are still close
_WORK = {"roc_auc": (2e8, 50, 1000), "r2": (1e8, 50, 200), "rmse": (1e8, 50, 200)}  # rows x configs x resamples, fewest resamples, most
_WORK_OF_MEANS = (2e9, 200, 1000)


def honest_of(
    trials: History,
    load: Callable[[str], bytes],
    kind: Kind,
    goal: Goal,
    y: Any,
    splits: Sequence[tuple[Array, Array]],
    *,
    groups: Any = None,
    ordered: bool = False,
    first: int | None = None,
    seed: int = 0,
) -> Honest | None:
    """The score of the best trial, corrected for its having been chosen among all configs that these trials measured.

    None where a trial that was scored has no row values, or too little is known. Configs far behind are left out: the 256 best take part, fewer with
    many rows or a metric that is no mean.

    Args:
        trials: with the row values that their evaluator kept; columns count with all their configs.
        load: digest to blob, a ledger's ``get``.
        kind: of the metric.
        goal: whose metric and direction decide.
        y: (n_rows,) labels of the whole table.
        splits: of the whole table, as the trials saw them.
        groups: (n_rows,) rows of one group are left out together. Rows that several folds hold out always are.
        ordered: rows are in order of time; blocks of neighbours are left out together.
        first: number of the trial that the winner's lead is measured from.
        seed: of the resamples.
    """
    tests = [np.flatnonzero(test) if np.asarray(test).dtype == bool else np.asarray(test) for _, test in splits]
    rows, folds = np.concatenate(tests), np.repeat(np.arange(len(tests)), [len(test) for test in tests])
    scored = [trial for trial in trials if trial.status in (Status.DONE, Status.PRUNED) and trial.readings]
    if not scored or any(trial.measurement is None or not trial.measurement.rows_at for trial in scored):
        return None
    chosen = _chosen(scored, goal, len(tests), max(16, min(_MOST_CALLED if kind.name in ("r2", "rmse") else _MOST, _ENTRIES // len(rows))), first)
    try:
        table = _table(chosen, load, [len(test) for test in tests])
        unit = _units(rows, len(tests[0]) if y is None else len(y), groups, ordered)
        start = next((place for place, config in enumerate(chosen) if config.trial.number == first), None)
        return None if table is None else _corrected(kind, table, np.asarray(y), rows, folds, unit, goal, start, seed)
    except (UsageError, BlobMissing, TypeError):  # one group, a fold without any row, groups that have no order
        return None


@dataclass(frozen=True, slots=True)
class _Config:
    trial: Trial
    place: int  # in the trial's table
    seen: int  # folds
    loss: float


def _chosen(trials: Sequence[Trial], goal: Goal, folds: int, most: int, first: int | None) -> list[_Config]:
    """The best configs, finished ones before those that were stopped, and the best of the first trial."""
    found = []
    for trial in trials:
        column = trial.measurement.column if trial.measurement is not None else ()
        for place, by_fold in enumerate([alternative.scores for alternative in column] or [[reading.scores for reading in trial.readings]]):
            loss = goal.loss(float(np.mean([scores.get(goal.metric, math.nan) for scores in by_fold])))
            found.append(_Config(trial, place, len(by_fold), loss if math.isfinite(loss) else math.inf))
    found.sort(key=lambda config: (config.seen < folds, config.loss))
    start = next((config for config in found if config.trial.number == first), None)
    kept = found[:most]
    return kept if start is None or start in kept else [*kept, start]


def _table(chosen: Sequence[_Config], load: Callable[[str], bytes], sizes: Sequence[int]) -> Array | None:
    """(n_rows, n_configs) NaN for folds not seen; None if a trial's table is not of these folds."""
    table = np.full((sum(sizes), len(chosen)), math.nan)
    by_trial: dict[int, list[int]] = {}
    for column, config in enumerate(chosen):
        by_trial.setdefault(config.trial.number, []).append(column)
    for columns in by_trial.values():
        measurement = chosen[columns[0]].trial.measurement
        rows = unpacked(load(measurement.rows_at if measurement is not None else ""))
        if rows.shape != (max(1, len(measurement.column) if measurement is not None else 0), sum(sizes[: chosen[columns[0]].seen])):
            return None
        for column in columns:
            table[: rows.shape[1], column] = rows[chosen[column].place]
    return table


def _units(rows: Array, n_rows: int, groups: Any, ordered: bool) -> Array | None:
    """(n_held_out,) what is left out together; None for each row alone."""
    if groups is not None:
        return np.asarray(groups)[rows]
    if ordered:
        return time_blocks(n_rows)[rows]
    return rows if len(np.unique(rows)) < len(rows) else None


def _corrected(kind: Kind, table: Array, y: Array, rows: Array, folds: Array, unit: Array | None, goal: Goal, first: int | None, seed: int) -> Honest:
    work, fewest, most_resamples = _WORK.get(kind.name, _WORK_OF_MEANS)
    resamples = int(min(most_resamples, max(fewest, work // table.size)))
    if kind.is_mean:
        least, most = (0.0, 1.0) if kind.name == "accuracy" else (0.0, math.inf)
        bounds = (least, most) if kind.sign == 1 else (-most, -least)
        return corrected(table, folds, groups=unit, direction=goal.direction, first=first, seed=seed, resamples=resamples, bounds=bounds)
    if kind.name == "roc_auc":
        target = np.unique(y.ravel(), return_inverse=True)[1][rows]
        return corrected_for("roc_auc", target, table, folds, groups=unit, direction=goal.direction, first=first, seed=seed, resamples=resamples)
    bounds = {("r2", 1): (-math.inf, 1.0), ("r2", -1): (-1.0, math.inf), ("rmse", 1): (0.0, math.inf), ("rmse", -1): (-math.inf, 0.0)}[kind.name, kind.sign]
    return corrected_for(
        kind.score,
        y.astype(float).ravel()[rows],
        table,
        folds,
        groups=unit,
        direction=goal.direction,
        first=first,
        seed=seed,
        resamples=resamples,
        bounds=bounds,
    )
