"""Have the columns of a batch moved away from the reference?

Each column is tested by itself (Kolmogorov-Smirnov, or two-sample chi-square), the p-values are corrected for the number of columns
(Benjamini-Hochberg) in one batch, and `DriftDetector` adds them up over batches. Both assume that the rows of
a batch are drawn independently. Where they depend on one another (neighbouring hours, one day of a season, one customer's
many rows) a batch does differ from the reference and will be said to have moved, rightly and uselessly: then compare with the same
season, or trust the labels, whose test needs no such assumption. Drift is information; whether it hurts only labels can tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from staytuned._random import generator
from staytuned.monitor.health import Finding
from staytuned.monitor.profile import ColumnProfile, TableProfile, bucketed, levels, named, numbers
from staytuned.stats.compare import Stability, benjamini_hochberg, chi_square_two_sample, ks_p_value, population_stability
from staytuned.stats.stream import DriftDetector

Movement: TypeAlias = Literal["steady", "moved", "moved a little", "too few rows to judge"]

LEAST_ROWS = 30
_FEW_VALUES = 12
_BINS = 10


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How one column of a batch compares with the reference.

    Args:
        name: of the column.
        p: p-value of the column by itself; NaN where it could not be tested.
        q: p-value corrected for the number of columns; NaN likewise.
        stability: its population stability index over some ten bins, with the null expectation.
        verdict: "moved" where chance explains it badly and the effect is worth a word, "moved a little" where only the former.
    """

    name: str
    p: float
    q: float
    stability: Stability
    verdict: Movement

    @property
    def effect(self) -> float:
        """The stability index above what chance gives: .01 is about a tenth of a standard deviation, .1 a third, .25 a half."""
        return self.stability.excess


def drift(reference: TableProfile, table: pd.DataFrame, *, false_rate: float = 0.01, least_effect: float = 0.01) -> tuple[ColumnDrift, ...]:
    """Compare each column of the reference that the table has and that can be compared (dates cannot).

    Args:
        reference: the profile of the reference rows.
        table: the batch.
        false_rate: the share of batches in which any column is called moved though none has.
        least_effect: moved columns with a smaller `ColumnDrift.effect` are "moved a little": in a large batch everything has.
    """
    table = named(table)
    columns = [column for column in reference.columns if column.kind != "time" and column.name in table.columns]
    compared = [_compare(column, table[column.name]) for column in columns]
    q_values = benjamini_hochberg([p for p, _ in compared])
    return tuple(
        ColumnDrift(column.name, p, float(q), stability, _verdict(float(q), stability, false_rate, least_effect))
        for column, (p, stability), q in zip(columns, compared, q_values, strict=True)
    )


def watch_drift(state: DriftDetector, references: Sequence[tuple[TableProfile, pd.DataFrame]]) -> DriftDetector:
    """The detector after one more batch, given as tables with the profile each is compared with; `state` is left as it was.

    The batch is thinned to a tenth of the rows of the reference: the accidents of a small reference would otherwise be
    found anew in every batch and add up to an alarm.
    """
    after = DriftDetector.from_json(state.to_json())
    p_values: dict[str, float] = {}
    for reference, table in references:
        thin = _thinned(named(table), max(LEAST_ROWS, reference.rows // 10), state.seen)
        columns = [column for column in reference.columns if column.name in after.columns and column.name in thin.columns]
        p_values |= {column.name: _compare(column, thin[column.name])[0] for column in columns}
    after.update(p_values)
    return after


def drift_findings(drifts: Sequence[ColumnDrift], subject: str = "Column") -> list[Finding]:
    """What is worth saying, the largest effect first."""
    findings = [_finding(d, subject) for d in drifts if d.verdict in ("moved", "moved a little")]
    few = [d for d in drifts if d.verdict == "too few rows to judge"]
    if few and len(few) == len(drifts):
        message = f"{subject} drift was not judged: fewer than {LEAST_ROWS} values in each column."
        findings.append(Finding("drift", subject.lower(), "note", message, {"columns": float(len(few))}, "too few rows"))
    return sorted(findings, key=lambda finding: (finding.level != "attention", -finding.numbers.get("effect", 0.0)))


def _finding(d: ColumnDrift, subject: str) -> Finding:
    moved = d.verdict == "moved"
    size = f"PSI {d.effect:.2g} above chance" if d.effect > 0 else "PSI no larger than by chance"
    message = f"{subject} {d.name!r} has {d.verdict} ({size}, q = {d.q:.1g})."
    figures = {"p": d.p, "q": d.q, "effect": d.effect, "psi": d.stability.value}
    return Finding("drift", d.name, "attention" if moved else "note", message, figures, d.verdict)


def _verdict(q: float, stability: Stability, false_rate: float, least_effect: float) -> Movement:
    if math.isnan(q):
        return "too few rows to judge"
    if q > false_rate:
        return "steady"
    return "moved" if stability.excess >= least_effect else "moved a little"


def _compare(column: ColumnProfile, series: pd.Series[Any]) -> tuple[float, Stability]:
    """The p-value (NaN: not to be judged) and the stability of one column."""
    if column.present < LEAST_ROWS or column.kind == "time":
        return math.nan, Stability(0.0, 0.0)
    if column.kind == "categorical":
        return _compare_levels(column, levels(series))
    values = numbers(series)
    return _compare_numbers(column, np.sort(values[~np.isnan(values)]))


def _compare_numbers(column: ColumnProfile, values: npt.NDArray[np.float64]) -> tuple[float, Stability]:
    if len(values) < LEAST_ROWS:
        return math.nan, Stability(0.0, 0.0)
    now, before = np.searchsorted(values, column.points, side="right"), np.array(column.below)
    if column.distinct <= _FEW_VALUES:  # every value is a point: counts, tested as levels
        return _compare_counts(np.append(np.diff(before, prepend=0), 0), _counts_at(column, values))
    distance = float(np.max(np.abs(now / len(values) - before / column.present)))
    edges = np.unique(np.searchsorted(before, column.present * np.arange(1, _BINS) / _BINS))
    old, new = (np.diff(np.concatenate([[0], x[edges], [n]])) for x, n in ((before, column.present), (now, len(values))))
    return ks_p_value(distance, column.present, len(values)), population_stability(old, new)


def _counts_at(column: ColumnProfile, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(k + 1,) how many values equal each point; the last for those that equal none."""
    at = np.searchsorted(values, column.points, side="right") - np.searchsorted(values, column.points, side="left")
    return np.append(at, len(values) - at.sum()).astype(np.int64)


def _compare_levels(column: ColumnProfile, found: dict[str, int]) -> tuple[float, Stability]:
    rows = sum(found.values())
    if rows < LEAST_ROWS:
        return math.nan, Stability(0.0, 0.0)
    now = bucketed(found) if column.hashed else found
    known = [now.get(name, 0) for name in column.counts]
    return _compare_counts(np.array([*column.counts.values(), 0]), np.array([*known, rows - sum(known)]))


def _compare_counts(old: npt.NDArray[np.int64], new: npt.NDArray[np.int64]) -> tuple[float, Stability]:
    return chi_square_two_sample(old, new), population_stability(old, new)


def _thinned(table: pd.DataFrame, rows: int, batch: int) -> pd.DataFrame:
    if len(table) <= rows:
        return table
    return table.iloc[generator(0, "thin", batch).choice(len(table), rows, replace=False)]
