"""What the study used up, and how much of it went into trials that came to nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from staytuned.space.dims import index_of
from staytuned.trial import History, Status, Trial


@dataclass(frozen=True, slots=True)
class CostRow:
    """What some trials used up together.

    Args:
        value: of the dimension they were grouped by; None for all trials.
        trials: how many there are.
        by_status: how many ended how; only statuses that occur, in the order of :class:`Status`.
        seconds: wall-clock time, added up over the trials.
        cpu_seconds: processor time, added up.
        peak_memory: largest of their peaks in bytes; 0 where unknown.
        failed_share, pruned_share: of ``seconds``, what went into trials that failed, and into trials stopped early; 0 to 1.
    """

    value: Any
    trials: int
    by_status: Mapping[Status, int]
    seconds: float
    cpu_seconds: float
    peak_memory: int
    failed_share: float
    pruned_share: float


@dataclass(frozen=True, slots=True)
class CostTable:
    """What the study used up.

    Args:
        total: all trials.
        elapsed: seconds from the start of the first trial to the end of the last, which is less than ``total.seconds`` where
            trials ran side by side; NaN where no start was recorded.
        by: the dimension the rows are grouped by; None if not grouped.
        rows: one per value of that dimension, the dearest first; trials in which it does not exist are left out.
    """

    total: CostRow
    elapsed: float
    by: str | None = None
    rows: tuple[CostRow, ...] = ()


def cost(history: History, by: str | None = None) -> CostTable:
    """What the trials used up in time and memory, altogether and for each value of the dimension ``by``, such as "model"."""
    values, groups = _grouped(history, by)
    rows = [_row(value, trials) for value, trials in zip(values, groups, strict=True)]
    return CostTable(_row(None, history), _elapsed(history), by, tuple(sorted(rows, key=lambda row: -row.seconds)))


def _grouped(history: History, by: str | None) -> tuple[list[Any], list[list[Trial]]]:
    values: list[Any] = []
    groups: list[list[Trial]] = []
    for trial in history:
        if by is None or by not in trial.config:
            continue
        where = index_of(values, trial.config[by])
        if where is None:
            values.append(trial.config[by])
            groups.append([trial])
        else:
            groups[where].append(trial)
    return values, groups


def _row(value: Any, trials: History) -> CostRow:
    seconds = _total(t.cost.seconds for t in trials)
    failed = _total(t.cost.seconds for t in trials if t.status.failed)
    pruned = _total(t.cost.seconds for t in trials if t.status is Status.PRUNED)
    counts = {status: sum(t.status is status for t in trials) for status in Status}
    return CostRow(
        value=value,
        trials=len(trials),
        by_status={status: count for status, count in counts.items() if count},
        seconds=seconds,
        cpu_seconds=_total(t.cost.cpu_seconds for t in trials),
        peak_memory=max((t.cost.peak_memory for t in trials), default=0),
        failed_share=failed / seconds if seconds > 0 else 0.0,
        pruned_share=pruned / seconds if seconds > 0 else 0.0,
    )


def _elapsed(history: History) -> float:
    timed = [t for t in history if t.started > 0]
    return max(t.started + _total([t.cost.seconds]) for t in timed) - min(t.started for t in timed) if timed else math.nan


def _total(seconds: Iterable[float]) -> float:
    return math.fsum(s for s in seconds if math.isfinite(s))
