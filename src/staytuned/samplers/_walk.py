"""Every combination of levels of a space, each once, in an order of which any beginning covers the space."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from staytuned.errors import SpaceError
from staytuned.space.space import Config, Space

Levels: TypeAlias = Mapping[str, Sequence[Any]]

_BRANCHES = 200_000
_STRIDES = 24
_PREVIEW = 64


def all_levels(space: Space) -> Levels:
    """Every value of every dimension of a finite space."""
    return {name: _values(space, name) for name in space.names}


class Walk:
    """The combinations of levels, numbered and never materialised.

    Below each branch (a combination of the parents' levels) a combination is a number in the mixed radix of the dimensions
    that exist there. The walk visits ``offset + i stride`` modulo the total, with a stride coprime to it: each number once.
    The stride is the most even of two dozen, judged by how often each level appears in the first steps.

    Args:
        space: whose conditions say which dimensions exist; its constraints are the caller's business.
        levels: the values each dimension may take.
        rng: where the offset and the strides come from; None for the plain order.

    Raises:
        SpaceError: more than 200,000 branches.
    """

    def __init__(self, space: Space, levels: Levels, rng: np.random.Generator | None = None) -> None:
        self._space, self._levels = space, levels
        parents = {p for d in space.dimensions.values() for p in (d.when or {})}
        self._branches = list(_branches(space, levels, [n for n in space.parents_first if n in parents]))
        self._free = [[n for n in space.active(self._config(b)) if n not in parents] for b in self._branches]
        self._ends = list(accumulate(math.prod(len(levels[n]) for n in free) for free in self._free))
        self.size = self._ends[-1]
        self._offset, self._stride = (0, 1) if rng is None else self._fair_order(rng)

    def __iter__(self) -> Iterator[Config]:
        return (self.at(i) for i in range(self.size))

    def at(self, step: int) -> Config:
        """The config at a step of the walk, 0 <= step < size."""
        return self._config(self._digits((self._offset + step * self._stride) % self.size))

    def in_order(self) -> Iterator[Config]:
        """All of them, in the plain order."""
        return (self._config(self._digits(i)) for i in range(self.size))

    def _digits(self, number: int) -> dict[str, int]:
        branch = bisect_right(self._ends, number)
        rest = number - (self._ends[branch - 1] if branch else 0)
        digits = dict(self._branches[branch])
        for name in self._free[branch]:
            rest, digits[name] = divmod(rest, len(self._levels[name]))
        return digits

    def _config(self, digits: Mapping[str, int]) -> Config:
        return {name: self._levels[name][digits[name]] for name in self._space.names if name in digits}

    def _fair_order(self, rng: np.random.Generator) -> tuple[int, int]:
        size = self.size
        golden = size * (math.sqrt(5) - 1) / 2
        strides = [max(1, int(golden))] + [1 + int(rng.random() * size) % size for _ in range(_STRIDES)]
        coprime = [_coprime(s, size) for s in strides]
        offset = int(rng.random() * size) % size
        return offset, min(coprime, key=lambda stride: (self._unevenness(offset, stride), stride))

    def _unevenness(self, offset: int, stride: int) -> float:
        """How far the levels' shares are from equal after 8, 16, 32 and 64 steps."""
        seen = [self._digits((offset + i * stride) % self.size) for i in range(min(self.size, _PREVIEW))]
        total = 0.0
        for count in (8, 16, 32, 64):
            for name, values in self._levels.items():
                counts = Counter(d[name] for d in seen[:count] if name in d)
                shares = [counts.get(level, 0) for level in range(len(values))] if len(values) <= _PREVIEW else list(counts.values())
                total += (max(shares, default=0) - min(shares, default=0)) / count
        return total


def _branches(space: Space, levels: Levels, parents: Sequence[str]) -> Iterator[dict[str, int]]:
    found = 0

    def walk(position: int, digits: dict[str, int]) -> Iterator[dict[str, int]]:
        nonlocal found
        if position == len(parents):
            found += 1
            if found > _BRANCHES:
                raise SpaceError(f"the space has more than {_BRANCHES:,} branches; give the dimensions that others depend on fewer values, or use random")
            yield digits
            return
        name = parents[position]
        if name not in space.active({n: levels[n][i] for n, i in digits.items()}):
            yield from walk(position + 1, digits)
            return
        for index in range(len(levels[name])):
            yield from walk(position + 1, {**digits, name: index})

    yield from walk(0, {})


def _coprime(stride: int, size: int) -> int:
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride


def _values(space: Space, name: str) -> list[Any]:
    dimension, size = space[name], space[name].size
    if size is None:
        raise SpaceError(f"{name}={dimension!r} has no end of values, so the space cannot be enumerated")
    if getattr(dimension, "log", False) and size > 1:
        return list(range(int(dimension.low), int(dimension.high) + 1))  # type: ignore[union-attr]
    return [dimension.from_unit((i + 0.5) / size) for i in range(size)]
