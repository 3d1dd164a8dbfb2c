"""A space as arrays: many points of the unit cube are snapped, switched off, compared and filtered at once."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.errors import SpaceExhausted
from staytuned.samplers._encoder import Encoder
from staytuned.samplers._walk import Walk, all_levels
from staytuned.space.codec import from_unit, to_unit
from staytuned.space.dims import Choice, Int, Law
from staytuned.space.space import Config, Space

Array: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

SMALL = 2048  # a finite space up to this size is held in memory whole
_DRAWS = 1000
_WALKABLE = 1_000_000
_KEY_CELLS = 1e10
_TAIL = 1e-6  # no quantile of a law beyond it is proposed


class Cube:
    """The unit cube of a space. Rows are (n, d) in the order of ``space.names``, NaN where a dimension does not exist.

    Attributes:
        cells: (d,) number of values per dimension; 0 for a continuum.
        category: (d,) whether the values have no order.
        varies: (d,) whether there is more than one value.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        dims = [space[name] for name in space.names]
        self.cells = np.array([d.size or 0 for d in dims], dtype=float)
        self.category = np.array([isinstance(d, Choice) for d in dims], dtype=bool)
        self.varies = self.cells != 1
        self.conditional = np.array([bool(d.when) for d in dims], dtype=bool)
        logs = [i for i, d in enumerate(dims) if isinstance(d, Int) and d.log and d.size > 1]
        self._log_ints = [(i, math.log(dims[i].low - 0.5), math.log(dims[i].high + 0.5)) for i in logs]  # type: ignore[union-attr]
        self._laws = [(i, d) for i, d in enumerate(dims) if isinstance(d, Law) and d.discrete]
        self._regular = np.array([i for i in range(len(dims)) if self.cells[i] > 0 and i not in logs], dtype=int)
        self._conditions = [(space.names.index(name), _parents(space, name)) for name in space.parents_first if space[name].when]
        self._encoder = Encoder(space)

    def __reduce__(self) -> tuple[type[Cube], tuple[Space]]:
        return Cube, (self.space,)

    @property
    def dimension(self) -> int:
        """How many dimensions have more than one value."""
        return int(self.varies.sum())

    @property
    def continuous(self) -> Mask:
        """(d,) the dimensions along which a gradient makes sense."""
        mask: Mask = self.cells == 0
        mask[[i for i, _ in self._laws]] = False
        return mask

    def fits(self, config: Mapping[str, Any]) -> bool:
        """Whether every value it has for an active dimension is inside the bounds, and it has at least one.

        A dimension without a value counts as not there: a define-by-run objective asks only for those of the branch it takes.
        """
        return self._encoder(config) is not None

    def place(self, config: Mapping[str, Any]) -> Array | None:
        """(d,) the point of a config; None if it does not fit."""
        coordinates = self._encoder(config)
        return None if coordinates is None else np.array(coordinates, dtype=float)

    def row(self, config: Mapping[str, Any]) -> Array:
        """(d,) the point of a config that fits."""
        row = self.place(config)
        return to_unit(self.space, config) if row is None else row

    def config(self, row: Array) -> Config:
        """The config at a row."""
        return from_unit(self.space, row)

    def keys(self, rows: Array) -> list[bytes]:
        """One key per snapped row; equal keys mean the same config as far as any model can tell."""
        cells = np.rint(np.where(rows == rows, rows, -1.0) * _KEY_CELLS).astype(np.int64)
        return [cell.tobytes() for cell in cells]

    def key_at(self, row: Array) -> bytes:
        """The key of one snapped row."""
        return np.rint(np.where(row == row, row, -1.0) * _KEY_CELLS).astype(np.int64).tobytes()

    def key(self, config: Mapping[str, Any]) -> bytes:
        """The key of a config that fits."""
        return self.key_at(self.row(config))

    def snap(self, points: Array) -> Array:
        """(n, d) points of the cube as rows: each discrete coordinate at the centre of its cell, NaN where a dimension does not exist."""
        rows = np.clip(points, 0.0, 1.0)
        if self._regular.size:
            cells = self.cells[self._regular]
            rows[:, self._regular] = (np.minimum(np.floor(rows[:, self._regular] * cells), cells - 1) + 0.5) / cells
        for i, low, high in self._log_ints:
            values = np.clip(np.round(np.exp(low + rows[:, i] * (high - low))), np.exp(low) + 0.5, np.exp(high) - 0.5)
            rows[:, i] = (np.log(values) - low) / (high - low)
        for i, law in self._laws:
            values = np.trunc(law.law.ppf(np.clip(rows[:, i], _TAIL, 1 - _TAIL)))
            rows[:, i] = np.clip((law.law.cdf(values) + law.law.cdf(values - 1)) / 2, 0.0, 1.0)
        for i, parents in self._conditions:
            alive = np.ones(len(rows), dtype=bool)
            for parent, units in parents:
                alive &= (np.abs(rows[:, parent, None] - units) < 1e-9).any(axis=1)  # NaN, a parent that does not exist, is near nothing
            rows[~alive, i] = np.nan
        return rows

    def widths(self, rows: Array) -> Array:
        """(n, d) width of the cell around each coordinate; 0 on a continuum."""
        widths: Array = np.broadcast_to(np.divide(1.0, self.cells, out=np.zeros_like(self.cells), where=self.cells > 0), rows.shape).copy()
        for i, low, high in self._log_ints:
            widths[:, i] = np.minimum(1.0, 1.0 / np.exp(low + np.nan_to_num(rows[:, i], nan=0.5) * (high - low)) / (high - low))
        return widths

    def feasible(self, rows: Array) -> Mask:
        """(n,) whether the constraints hold."""
        if not self.space.constraints:
            return np.ones(len(rows), dtype=bool)
        return np.array([self.space.satisfied(self.config(row)) for row in rows], dtype=bool)

    @cached_property
    def size(self) -> int | None:
        """How many configs there are before constraints; None on a continuum."""
        return self.space.size

    @cached_property
    def everything(self) -> Array | None:
        """(n, d) every config that satisfies the constraints, where the space is finite and small; else None."""
        if self.size is None or self.size > SMALL:
            return None
        configs = [c for c in Walk(self.space, all_levels(self.space)).in_order() if self.space.satisfied(c)]
        return np.array([self.row(c) for c in configs], dtype=float).reshape(len(configs), len(self.space))

    @cached_property
    def _keys_of_everything(self) -> list[bytes]:
        return [] if self.everything is None else self.keys(self.everything)

    def left(self, taken: Container[bytes]) -> Array | None:
        """(n, d) what is untried of a small finite space; None for any other.

        Raises:
            SpaceExhausted: nothing is left.
        """
        if self.everything is None:
            return None
        rows = self.everything[[key not in taken for key in self._keys_of_everything]]
        if not len(rows):
            raise exhausted(len(self.everything))
        return rows


def untried(cube: Cube, taken: Container[bytes], rng: np.random.Generator) -> Config:
    """A config drawn evenly from those not taken.

    Raises:
        SpaceExhausted: nothing is left, or a thousand draws found nothing new.
    """
    left = cube.left(taken)
    if left is not None:
        return cube.config(left[rng.integers(len(left))])
    for _ in range(_DRAWS):
        config = cube.space.sample(rng)
        if cube.key(config) not in taken:
            return config
    if cube.size is not None and cube.size <= _WALKABLE:
        for config in Walk(cube.space, all_levels(cube.space), rng):
            if cube.space.satisfied(config) and cube.key(config) not in taken:
                return config
    raise exhausted(cube.size)


def exhausted(size: int | None) -> SpaceExhausted:
    """What to raise when nothing is left."""
    count = "every config that could be found" if size is None else f"each of the {size:,} configs" if size > 1 else "the only config"
    return SpaceExhausted(f"{count} of the space has been tried; widen a bound, refine a step or add a dimension to go on")


def _parents(space: Space, name: str) -> list[tuple[int, Array]]:
    """For each parent its column and the coordinates under which the dimension exists."""
    when: Mapping[str, Sequence[Any]] = space[name].when or {}
    return [(space.names.index(parent), np.array([space[parent].to_unit(v) for v in values], dtype=float)) for parent, values in when.items()]
