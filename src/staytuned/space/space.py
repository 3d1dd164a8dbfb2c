"""A space: named dimensions, the conditions under which they exist, the constraints between them."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from staytuned.errors import SpaceError
from staytuned.space.dims import Choice, Dimension, Float, Int, Law, Ordinal, Value, index_of

Config: TypeAlias = dict[str, Value]
Constraint: TypeAlias = str | Callable[[Config], bool]

_TRIES = 20_000  # a feasible share under 1 in 20,000 is taken for a mistake in the constraints


class Space:
    """What may vary: dimensions by name.

    Args:
        dimensions: name to Float, Int, Choice or Ordinal. Order matters only for display.
        constraints: what every config must satisfy: expressions over the names such as ``"min_leaf <= min_split"`` (comparisons,
            arithmetic, and/or/not/in), or functions from config to bool. A constraint that names a dimension which does
            not exist in a config holds for it.

    Raises:
        SpaceError: an unknown parent in ``when``, a cycle of conditions, or a constraint that is not a plain expression; later, a
            constraint that raises instead of answering.

    >>> space = Space({"kernel": Choice(["linear", "rbf"]), "gamma": Float(1e-3, 1, log=True, when={"kernel": ["rbf"]})})
    >>> space.contains({"kernel": "linear"})
    True
    """

    def __init__(self, dimensions: Mapping[str, Dimension], constraints: Sequence[Constraint] = ()) -> None:
        for name, dimension in dimensions.items():
            if not isinstance(name, str):
                raise SpaceError(f"the name {name!r} of a dimension must be a string")
            if not isinstance(dimension, Float | Int | Choice | Ordinal | Law):
                raise SpaceError(f"{name}={dimension!r} is not a dimension; use Float, Int, Choice or Ordinal")
        self.dimensions: Mapping[str, Dimension] = dict(dimensions)
        self.constraints: tuple[Constraint, ...] = (constraints,) if isinstance(constraints, str) or callable(constraints) else tuple(constraints)
        self._order = _parents_first(self.dimensions)
        self._checks = [_compiled(c, self.dimensions) for c in self.constraints]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.dimensions)

    def __len__(self) -> int:
        return len(self.dimensions)

    def __iter__(self) -> Iterator[str]:
        return iter(self.dimensions)

    def __getitem__(self, name: str) -> Dimension:
        return self.dimensions[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.dimensions == other.dimensions and self.constraints == other.constraints

    def __hash__(self) -> int:
        return hash((self.names, len(self.constraints)))

    def __reduce__(self) -> tuple[type[Space], tuple[Mapping[str, Dimension], tuple[Constraint, ...]]]:
        return Space, (self.dimensions, self.constraints)  # compiled constraints cannot be pickled

    def __repr__(self) -> str:
        inside = ", ".join(f"{name!r}: {dimension!r}" for name, dimension in self.dimensions.items())
        return f"Space({{{inside}}}" + (f", constraints={list(self.constraints)!r})" if self.constraints else ")")

    @property
    def parents_first(self) -> tuple[str, ...]:
        """The names, every parent before its children."""
        return self._order

    @property
    def size(self) -> int | None:
        """How many configs there are before constraints; None where a dimension is continuous."""
        total = 0
        for share in _branch_sizes(self):
            if share is None:
                return None
            total += share
        return total

    def active(self, config: Mapping[str, Value]) -> tuple[str, ...]:
        """The names that exist under this config's values of their parents."""
        alive: dict[str, bool] = {}
        for name in self._order:
            when = self.dimensions[name].when or {}
            alive[name] = all(alive[p] and p in config and index_of(values, config[p]) is not None for p, values in when.items())
        return tuple(name for name in self.dimensions if alive[name])

    def pruned(self, config: Mapping[str, Value]) -> Config:
        """The config without the dimensions that do not exist in it."""
        return {name: config[name] for name in self.active(config) if name in config}

    def satisfied(self, config: Mapping[str, Value]) -> bool:
        """Whether every constraint holds."""
        return all(check(config) for check in self._checks)

    def contains(self, config: Mapping[str, Value]) -> bool:
        """Whether the config has exactly the active dimensions, each inside its bounds, and satisfies the constraints."""
        return self.problem(config) is None

    def problem(self, config: Mapping[str, Value]) -> str | None:
        """What is wrong with the config, in words with the way out; None if nothing is."""
        for name in config:
            if name not in self.dimensions:
                return f"{name!r} is not in the space; it has {', '.join(self.dimensions)}"
        active = self.active(config)
        for name in active:
            if name not in config:
                return f"{name!r} is missing; it exists in this config and needs a value in {self.dimensions[name]!r}"
            if not self.dimensions[name].contains(config[name]):
                return f"{name}={config[name]!r} is outside {self.dimensions[name]!r}"
        if extra := [name for name in config if name not in active]:
            return f"{extra[0]!r} does not exist in this config: its condition is {dict(self.dimensions[extra[0]].when or {})!r}; leave it out"
        for constraint, check in zip(self.constraints, self._checks, strict=True):
            if not check(config):
                return f"the constraint {constraint!r} does not hold for {dict(config)!r}"
        return None

    def sample(self, rng: np.random.Generator) -> Config:
        """A config drawn evenly from the space (evenly on the log scale where a dimension has one).

        Raises:
            SpaceError: no draw of 20,000 satisfied the constraints.
        """
        for _ in range(_TRIES):
            config: Config = {}
            for name in self._order:
                when = self.dimensions[name].when or {}
                draw = rng.random()  # drawn even if unused, so that one dimension's condition does not shift another's draw
                if all(p in config and index_of(values, config[p]) is not None for p, values in when.items()):
                    config[name] = self.dimensions[name].from_unit(draw)
            if self.satisfied(config):
                return {name: config[name] for name in self.dimensions if name in config}
        raise SpaceError(f"no draw of {_TRIES:,} satisfied the constraints {list(self.constraints)!r}; loosen one, or narrow the bounds to where they hold")


def _parents_first(dimensions: Mapping[str, Dimension]) -> tuple[str, ...]:
    order: list[str] = []
    visiting: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        if name in visiting:
            raise SpaceError(f"the conditions go round in a circle: {' -> '.join([*visiting, name])}")
        visiting.append(name)
        for parent, values in (dimensions[name].when or {}).items():
            if parent not in dimensions:
                raise SpaceError(f"{name!r} exists when {parent!r} has some value, but the space has no {parent!r}; it has {', '.join(dimensions)}")
            for value in values:
                if not dimensions[parent].contains(value):
                    raise SpaceError(f"{name!r} exists when {parent}={value!r}, which is outside {dimensions[parent]!r}")
            visit(parent)
        visiting.pop()
        order.append(name)

    for name in dimensions:
        visit(name)
    return tuple(order)


def _branch_sizes(space: Space) -> Iterator[int | None]:
    """The number of configs below each combination of the parents' values."""
    parents = {p for d in space.dimensions.values() for p in (d.when or {})}

    def walk(names: Sequence[str], config: Config) -> Iterator[int | None]:
        if not names:
            sizes = [space[n].size for n in space.active(config) if n not in parents]
            yield None if any(s is None for s in sizes) else math.prod(s for s in sizes if s is not None)
            return
        name, rest = names[0], names[1:]
        if name not in space.active(config):
            yield from walk(rest, config)
            return
        size = space[name].size
        if size is None or size > 10_000:
            yield None
            return
        for index in range(size):
            yield from walk(rest, {**config, name: space[name].from_unit((index + 0.5) / size)})

    yield from walk([n for n in space.parents_first if n in parents], {})


_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq,
    ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Name,
    ast.Load, ast.Constant, ast.Tuple, ast.List,
)  # fmt: skip


def _compiled(constraint: Constraint, dimensions: Mapping[str, Dimension]) -> Callable[[Mapping[str, Value]], bool]:
    if callable(constraint):
        return lambda config: _holds(constraint, config, lambda: constraint(dict(config)))
    try:
        tree = ast.parse(constraint.strip(), mode="eval")
    except (AttributeError, SyntaxError, ValueError) as problem:
        raise SpaceError(f"the constraint {constraint!r} is not an expression such as 'a <= b'") from problem
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise SpaceError(f"the constraint {constraint!r} may only compare and calculate; for more, pass a function from config to bool")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if unknown := sorted(names - set(dimensions)):
        raise SpaceError(f"the constraint {constraint!r} speaks of {unknown[0]!r}, which is not in the space; it has {', '.join(dimensions)}")
    code = compile(tree, "<constraint>", "eval")

    def check(config: Mapping[str, Value]) -> bool:
        # Only whitelisted nodes get as far as eval.
        return names - set(config) != set() or _holds(constraint, config, lambda: eval(code, {"__builtins__": {}}, dict(config)))

    return check


def _holds(constraint: Constraint, config: Mapping[str, Value], ask: Callable[[], object]) -> bool:
    try:
        return bool(ask())
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"
        raise SpaceError(f"the constraint {constraint!r} cannot be decided for {dict(config)!r} ({said}); it must hold or not for every config") from problem
