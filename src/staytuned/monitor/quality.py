"""Data quality of a batch against the profile of the reference: what no model should be asked to predict, or to learn, from.

Findings at the level "attention" are incidents and block retraining, so they are reserved for what is broken. A season, a new
product or a trend can bring unseen levels and values outside the old range, and a model may well have to learn
them: these are notes, and drift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from staytuned.monitor.health import Finding, Level
from staytuned.monitor.profile import ColumnProfile, Floats, TableProfile, absent, kind_of, levels, named, numbers, repeated_rows
from staytuned.stats.compare import rate_rise

# p-values are divided by the number of columns: one false finding in a thousand batches per kind of check
_CHANCE = 1e-3
_JUMP = 0.05  # a rise of the missing share below 5 points is a note
_REPEATS = 0.1  # as is a rise of the repeated share below 10 points
_UNREADABLE = 0.01
_FAR = 0.01


def quality(reference: TableProfile, table: pd.DataFrame) -> list[Finding]:
    """Every finding about schema, types, missing values, levels, ranges, constants, repeats and emptiness; attention first.

    Raises:
        TableError: two columns of the table share a name.
    """
    table = named(table)
    found = _schema(reference, table)
    if len(table) == 0:
        return [Finding("quality", "table", "attention", "The batch has no rows.", {"rows": 0.0}, "empty"), *found]
    for column in reference.columns:
        if column.name in table.columns:
            found += _column(column, table[column.name], chance=_CHANCE / len(reference.columns))
    found += _repeats(reference, table)
    return sorted(found, key=lambda finding: finding.level != "attention")


def _schema(reference: TableProfile, table: pd.DataFrame) -> list[Finding]:
    gone = [name for name in reference.names if name not in table.columns]
    new = [name for name in table.columns if name not in reference.names]
    return [
        *(_finding(name, "attention", f"Column {name!r} is missing from the batch.", "missing column") for name in gone),
        *(_finding(name, "note", f"Column {name!r} is new; the model does not know it.", "extra column") for name in new),
    ]


def _column(column: ColumnProfile, series: pd.Series[Any], chance: float) -> list[Finding]:
    if column.kind == "numeric":
        return [*_type(column, series), *_missing(column, series, chance), *_range(column, numbers(series), chance)]
    found = _missing(column, series, chance)
    if column.kind == "categorical":
        found += _levels(column, series, chance)
    elif kind_of(series) == "numeric" and not absent(series).all():
        found.append(_finding(column.name, "attention", f"Column {column.name!r} held dates and now holds numbers.", "type"))
    return found


def _type(column: ColumnProfile, series: pd.Series[Any]) -> list[Finding]:
    """Values that are there but are no numbers, in a numeric column."""
    if kind_of(series) == "numeric":
        return []
    unreadable = np.flatnonzero(~absent(series) & np.isnan(_as_read(series)))
    if len(unreadable) == 0:
        return []
    share = len(unreadable) / len(series)
    message = f"Column {column.name!r} was numeric; {_percent(share)} of its values are no numbers now, such as {str(series.iloc[unreadable[0]])[:40]!r}."
    return [_finding(column.name, "attention" if share >= _UNREADABLE else "note", message, "type", share=share)]


def _missing(column: ColumnProfile, series: pd.Series[Any], chance: float) -> list[Finding]:
    gone = absent(series)
    if column.kind == "numeric" and kind_of(series) == "numeric":
        gone = np.isnan(numbers(series))  # infinities too
    now, rows = int(gone.sum()), len(series)
    p = rate_rise(column.missing, column.rows, now, rows) if now and column.rows else 1.0
    if p > chance:
        return []
    share = now / rows
    message = f"Column {column.name!r} is missing in {_percent(share)} of the rows, against {_percent(column.missing_share)} in the reference."
    jump: Level = "attention" if share - column.missing_share >= _JUMP else "note"
    return [_finding(column.name, jump, message, "missing values", share=share, reference=column.missing_share, p=p)]


def _levels(column: ColumnProfile, series: pd.Series[Any], chance: float) -> list[Finding]:
    found = levels(series)
    if column.hashed or not found or not column.present:
        return []
    unseen = {name: n for name, n in found.items() if name not in column.counts}
    if not unseen:
        return []
    new, rows = sum(unseen.values()), sum(found.values())
    share, p = new / rows, rate_rise(0, column.present, new, rows)
    if p > chance and share < _UNREADABLE:
        return []
    names = sorted(unseen, key=lambda name: (-unseen[name], name))
    shown = ", ".join(repr(name[:40]) for name in names[:3]) + (", ..." if len(names) > 3 else "")
    message = f"Column {column.name!r} has values never seen before in {_percent(share)} of the rows: {shown}."
    return [_finding(column.name, "note", message, "unseen values", share=share, p=p)]


def _range(column: ColumnProfile, values: Floats, chance: float) -> list[Finding]:
    present = values[~np.isnan(values)]
    if len(present) == 0 or column.present < 2:
        return []
    found = _stuck(column, present)
    outside = (present < column.low) | (present > column.high)
    n = int(outside.sum())
    # of n new draws from the same distribution, those beyond the old extremes follow a beta-binomial law, whatever it is
    p = float(stats.betabinom.sf(n - 1, len(present), 2, column.present - 1)) if n else 1.0
    if p > chance:
        return found
    share = n / len(present)
    code, beyond = _far_out(column, present)
    worst = float(present[np.argmax(np.abs(present - (column.low + column.high) / 2))])
    message = f"Column {column.name!r} lies outside its range {column.low:.6g} to {column.high:.6g} in {_percent(share)} of the rows, as far as {worst:.6g}."
    figures = {"share": share, "worst": worst, "p": p}
    if code >= _FAR:
        message += " One far value comes again and again: a code for missing values?"
    elif beyond >= _FAR:
        message += " A change of units?"
    level: Level = "attention" if max(code, beyond) >= _FAR else "note"
    return [*found, _finding(column.name, level, message, "out of range", **figures)]


def _far_out(column: ColumnProfile, present: Floats) -> tuple[float, float]:
    """The share of rows that hold one and the same value far outside the range, while most lie inside; and of rows absurdly far.

    Whatever grows with time (a month, a counter, a price) leaves its range too, but not at one place only while the rest stays,
    and never by a hundred times its width.
    """
    low, high = column.low, column.high
    width = high - low
    if width == 0:
        return 0.0, 0.0
    distance = np.maximum(low - present, present - high) / width
    far = present[distance > 1]
    often = int(np.unique(far, return_counts=True)[1].max()) if len(far) else 0
    is_code = often >= 0.9 * len(far) and column.distinct > 12 and np.mean(distance <= 0) >= 0.5
    return often / len(present) if is_code else 0.0, float(np.mean(distance > 100))


def _stuck(column: ColumnProfile, present: Floats) -> list[Finding]:
    """A measured quantity that no longer changes. A date or a month may well be constant in a batch: only a note."""
    if column.distinct < 2 or len(present) < 30 or np.any(present != present[0]):
        return []
    message = f"Column {column.name!r} is constant ({present[0]:.6g}) in this batch; it had {column.distinct} values in the reference."
    measured = column.distinct > max(50, column.present / 2)
    return [_finding(column.name, "attention" if measured else "note", message, "constant", value=float(present[0]))]


def _repeats(reference: TableProfile, table: pd.DataFrame) -> list[Finding]:
    rows = len(table)
    if reference.rows == 0 or rows > 2 * reference.rows:  # the more rows, the more of them meet an equal one
        return []
    repeats = repeated_rows(table)
    before, share = reference.duplicates / reference.rows, repeats / rows
    p = rate_rise(reference.duplicates, reference.rows, repeats, rows) if repeats else 1.0
    if p > _CHANCE or share - before < _UNREADABLE:
        return []
    message = f"{_percent(share)} of the rows repeat an earlier one, against {_percent(before)} in the reference. Was a file read twice?"
    return [_finding("table", "attention" if share - before >= _REPEATS else "note", message, "repeated rows", share=share, reference=before, p=p)]


def _as_read(series: pd.Series[Any]) -> Floats:
    values = numbers(series)
    if len(values) and np.isnan(values).any():  # "inf" is a number, though not one to use
        words = series.astype(str).str.strip().str.lower().str.lstrip("+-")
        values[words.isin(["inf", "infinity"]).to_numpy()] = np.inf
    return values


def _finding(subject: str, level: Level, message: str, kind: str, **figures: float) -> Finding:
    return Finding("quality", subject, level, message, figures, kind)


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"
