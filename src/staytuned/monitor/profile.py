"""A table summed up once: small enough to travel as JSON, enough to test any later batch against it.

A numeric column keeps up to 256 of its order statistics with the *exact* number of rows at or below each. A distance between
distribution functions measured at these places is at most the true one, so that a test against a profile never rings more
often than a test against the rows, ties and all; what it misses lies within 1/256. A categorical column keeps the count
of every level, up to 200 of them. Beyond, levels are counted in 64 buckets by a hash: keeping the most frequent ones instead would
choose those that are frequent by luck, and they would seem to fade in every later batch.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from staytuned.errors import TableError

Kind: TypeAlias = Literal["numeric", "categorical", "time"]
Floats: TypeAlias = npt.NDArray[np.float64]

MAX_POINTS = 256
MAX_LEVELS = 200
BUCKETS = 64


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column of a reference table.

    Args:
        name: as text.
        kind: numeric; categorical (text, booleans and whatever has no order); time, which only moves forward and is not tested for drift.
        dtype: as the table had it.
        rows: of the table.
        missing: rows without a value; infinities count as missing.
        distinct: how many different values.
        points: numeric only: (k,) increasing values, the first the smallest and the last the largest.
        below: numeric only: (k,) rows at or below each point.
        counts: categorical only: rows by level, or by bucket where `hashed`.
        hashed: there were too many levels to list.
    """

    name: str
    kind: Kind
    dtype: str
    rows: int
    missing: int
    distinct: int = 0
    points: tuple[float, ...] = ()
    below: tuple[int, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    hashed: bool = False

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def missing_share(self) -> float:
        return self.missing / self.rows if self.rows else 0.0

    @property
    def low(self) -> float:
        """The smallest value of a numeric column; NaN if there is none."""
        return self.points[0] if self.points else math.nan

    @property
    def high(self) -> float:
        """The largest value of a numeric column; NaN if there is none."""
        return self.points[-1] if self.points else math.nan

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**{**body, "points": tuple(body["points"]), "below": tuple(body["below"])})


@dataclass(frozen=True, slots=True)
class TableProfile:
    """A reference table: its columns in order, its rows, and how many of them repeat an earlier one."""

    columns: tuple[ColumnProfile, ...]
    rows: int
    duplicates: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "duplicates": self.duplicates, "columns": [column.to_json() for column in self.columns]}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(tuple(ColumnProfile.from_json(column) for column in body["columns"]), body["rows"], body["duplicates"])


def profile(table: pd.DataFrame) -> TableProfile:
    """Sum up a table of any column types; an empty one gives an empty profile.

    Raises:
        TableError: two columns share a name.
    """
    table = named(table)
    columns = tuple(_column(name, table[name]) for name in table.columns)
    return TableProfile(columns, len(table), repeated_rows(table))


def named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its column names as text.

    Raises:
        TableError: two columns share a name.
    """
    names = [str(name) for name in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise TableError(f"the table has more than one column named {twice[0]!r}; rename or drop the others")
    return table.set_axis(names, axis=1)


def repeated_rows(table: pd.DataFrame) -> int:
    """How many rows are equal to an earlier one."""
    if table.shape[1] == 0:
        return 0
    try:
        return int(table.duplicated().sum())
    except TypeError:  # lists or dicts as values have no hash
        return int(table.astype(str).duplicated().sum())


def numbers(series: pd.Series[Any]) -> Floats:
    """(rows,) values as floats; NaN for what is missing, infinite or no number."""
    if pd.api.types.is_complex_dtype(series.dtype) or kind_of(series) == "time":
        return np.full(len(series), np.nan)
    values = np.array(pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan))
    values[~np.isfinite(values)] = np.nan
    return values


def levels(series: pd.Series[Any]) -> dict[str, int]:
    """Rows by level, missing ones left out; 1, 1.0 and "1" are the same level, for reading a file again may change one into another."""
    present = series[~absent(series)].astype(object)
    try:
        codes, unique = pd.factorize(present)
    except TypeError:  # lists or dicts as values have no hash
        codes, unique = pd.factorize(present.astype(str).astype(object))
    found: dict[str, int] = {}
    for value, n in zip(unique, np.bincount(codes, minlength=len(unique)).tolist(), strict=True):
        found[level(value)] = found.get(level(value), 0) + n
    return found


def level(value: object) -> str:
    """One value as the name of a level.

    >>> level(1.0), level("a"), level(True), level(2.5)
    ('1', 'a', 'True', '2.5')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def absent(series: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    """(rows,) whether the value is missing."""
    return np.asarray(series.isna().to_numpy(), dtype=bool)


def kind_of(series: pd.Series[Any]) -> Kind:
    """What kind of column this is, by its type alone."""
    types = pd.api.types
    if types.is_datetime64_any_dtype(series.dtype) or types.is_timedelta64_dtype(series.dtype) or isinstance(series.dtype, pd.PeriodDtype):
        return "time"
    if types.is_numeric_dtype(series.dtype) and not types.is_bool_dtype(series.dtype) and not types.is_complex_dtype(series.dtype):
        return "numeric"
    return "categorical"


def bucketed(found: Mapping[str, int]) -> dict[str, int]:
    """Rows by bucket of levels, for a column with too many of them."""
    buckets: dict[str, int] = {}
    for name, n in found.items():
        bucket = f"#{zlib.crc32(name.encode()) % BUCKETS}"
        buckets[bucket] = buckets.get(bucket, 0) + n
    return buckets


def _column(name: str, series: pd.Series[Any]) -> ColumnProfile:
    kind = kind_of(series)
    if kind == "numeric":
        return _numeric(name, series)
    missing = int(absent(series).sum())
    if kind == "time":
        return ColumnProfile(name, kind, str(series.dtype), len(series), missing, int(series.nunique()))
    found = levels(series)
    hashed = len(found) > MAX_LEVELS
    counts = dict(sorted((bucketed(found) if hashed else found).items()))
    return ColumnProfile(name, kind, str(series.dtype), len(series), missing, len(found), counts=counts, hashed=hashed)


def _numeric(name: str, series: pd.Series[Any]) -> ColumnProfile:
    values = numbers(series)
    present = np.sort(values[~np.isnan(values)])
    distinct = np.unique(present)
    points = distinct
    if len(distinct) > MAX_POINTS:
        points = np.unique(present[np.linspace(0, len(present) - 1, MAX_POINTS).round().astype(int)])
    below = np.searchsorted(present, points, side="right")
    missing = len(values) - len(present)
    return ColumnProfile(name, "numeric", str(series.dtype), len(values), missing, len(distinct), tuple(points.tolist()), tuple(below.tolist()))
