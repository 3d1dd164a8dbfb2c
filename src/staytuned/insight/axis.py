"""One dimension as an axis of a picture: laid out on the unit interval, labelled in natural units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.insight.forest import Grid, grid
from staytuned.space.dims import Choice, Dimension, Float, Int, Ordinal

Array: TypeAlias = npt.NDArray[np.float64]
Scale: TypeAlias = Literal["linear", "log", "category"]

_MOST_TICKS = 7
_MOST_CATEGORIES = 12


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One dimension as an axis.

    Args:
        name: of the dimension.
        scale: "linear", "log", or "category" (every value an equal cell, in the order of the choices).
        values: (k,) the value at the middle of each cell, in natural units.
        units: (k,) where it stands in the unit interval.
        edges: (k + 1,) where the cells begin and end, from 0 to 1.
        ticks: places in the unit interval worth a label.
        labels: those labels, in natural units.
    """

    name: str
    scale: Scale
    values: tuple[Any, ...]
    units: Array
    edges: Array
    ticks: tuple[float, ...]
    labels: tuple[str, ...]


def axis(name: str, dimension: Dimension) -> Axis:
    """The axis of a dimension."""
    cells = grid(dimension)
    marks = _marks(dimension, cells)
    edges = np.concatenate([[0.0], np.cumsum(cells.weights)])
    edges[-1] = 1.0
    return Axis(name, _scale(dimension), cells.values, cells.units, edges, tuple(dimension.to_unit(v) for v in marks), tuple(label(v) for v in marks))


def label(value: Any) -> str:
    """A value in a few characters.

    >>> [label(v) for v in (0.0001, 0.30000000000000004, 25_000, 2.5e8, True, None, "rbf")]
    ['0.0001', '0.3', '25,000', '2.5e8', 'True', 'None', 'rbf']
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if 10_000 <= abs(value) < 10_000_000:
        return f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def _scale(dimension: Dimension) -> Scale:
    if isinstance(dimension, Choice | Ordinal):
        return "category"
    return "log" if isinstance(dimension, Float | Int) and dimension.log else "linear"


def _marks(dimension: Dimension, cells: Grid) -> list[Any]:
    """The values worth a tick."""
    if isinstance(dimension, Choice | Ordinal):
        return _thinned(cells.values, _MOST_CATEGORIES)
    if len(cells.values) <= _MOST_TICKS:
        return list(cells.values)
    if not isinstance(dimension, Float | Int):  # a law: its axis runs in quantiles
        return _distinct(dimension.from_unit(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95))
    marks = _log_marks(dimension.low, dimension.high) if dimension.log else _round_marks(dimension.low, dimension.high)
    if isinstance(dimension, Int):
        marks = [int(m) for m in marks if m == int(m)]
    marks = [m for m in marks if dimension.contains(m)]
    return marks if len(marks) > 1 else _thinned(cells.values, 5)


def _log_marks(low: float, high: float) -> list[float]:
    """Powers of ten, or 1-2-5 multiples of them where fewer than three powers lie inside."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**p for p in powers if low <= 10.0**p <= high]
    if len(tens) >= 3:
        return _thinned(tens, _MOST_TICKS)
    return _thinned([m for p in powers for m in (10.0**p, 2 * 10.0**p, 5 * 10.0**p) if low <= m <= high], _MOST_TICKS)


def _round_marks(low: float, high: float) -> list[float]:
    """About five multiples of a round number."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _thinned(values: Iterable[Any], most: int) -> list[Any]:
    kept = list(values)
    return kept[:: math.ceil(len(kept) / most)] if kept else []


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
