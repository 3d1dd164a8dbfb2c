"""The one crossing between what the user says (a config), what algorithms eat (the unit cube) and what is kept (JSON)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.errors import SpaceError
from staytuned.space.dims import Choice, Dimension, Float, Int, Law, Ordinal, index_of, is_plain, unwrapped
from staytuned.space.space import Config, Constraint, Space

Array: TypeAlias = npt.NDArray[np.float64]


def to_unit(space: Space, config: Mapping[str, Any]) -> Array:
    """(n_dims,) in [0, 1] in the order of ``space.names``; NaN where a dimension does not exist in the config."""
    active = set(space.active(config))
    return np.array([d.to_unit(config[n]) if n in active and n in config else np.nan for n, d in space.dimensions.items()], dtype=float)


def to_units(space: Space, configs: Sequence[Mapping[str, Any]]) -> Array:
    """(n_configs, n_dims) in [0, 1], NaN where a dimension does not exist."""
    return np.array([to_unit(space, c) for c in configs], dtype=float).reshape(len(configs), len(space))


def from_unit(space: Space, unit: Array) -> Config:
    """The config at a point of the unit cube; coordinates of dimensions that do not exist there are ignored, NaN counts as 0.5."""
    position = {name: i for i, name in enumerate(space.names)}
    config: Config = {}
    for name in space.parents_first:
        dimension = space[name]
        if all(p in config and index_of(values, config[p]) is not None for p, values in (dimension.when or {}).items()):
            coordinate = float(unit[position[name]])
            config[name] = dimension.from_unit(0.5 if np.isnan(coordinate) else min(max(coordinate, 0.0), 1.0))
    return {name: config[name] for name in space.names if name in config}


def phenotype(space: Space, config: Mapping[str, Any]) -> Hashable:
    """Equal for two configs that a model cannot tell apart; use it to look for repeats."""
    return tuple(None if np.isnan(u) else round(float(u), 10) for u in to_unit(space, config))


def config_to_json(config: Mapping[str, Any], space: Space | None = None) -> dict[str, Any]:
    """A config as JSON; a choice that JSON cannot hold is written as its index, which needs the space.

    Raises:
        SpaceError: a value that JSON cannot hold and no space to look it up in.
    """
    return {name: _value_to_json(name, value, space) for name, value in config.items()}


def config_from_json(body: Mapping[str, Any], space: Space | None = None) -> Config:
    """The config that was written by :func:`config_to_json`; its names are the same objects in every one."""
    return {sys.intern(name): _value_from_json(name, value, space) for name, value in body.items()}


def space_to_json(space: Space) -> dict[str, Any]:
    """A space as JSON: ``{"dimensions": {name: {"type": ..., ...}}, "constraints": [...]}``.

    Raises:
        SpaceError: a choice or a constraint that JSON cannot hold.
    """
    constraints = [c if isinstance(c, str) else {"function": _address(c)} for c in space.constraints]
    return {"dimensions": {name: d.to_json() for name, d in space.dimensions.items()}, "constraints": constraints}


def space_from_json(body: Mapping[str, Any]) -> Space:
    """The space that was written by :func:`space_to_json`."""
    constraints = [c if isinstance(c, str) else _imported(c["function"]) for c in body.get("constraints", ())]
    return Space({name: dimension_from_json(d, name) for name, d in body["dimensions"].items()}, constraints)


def dimension_from_json(body: Mapping[str, Any], name: str = "dimension") -> Dimension:
    """One dimension from ``{"type": "float", "low": 0.1, "high": 1, "log": true}`` and the like.

    Raises:
        SpaceError: an unknown type or option.
    """
    options = dict(body)
    kind = options.pop("type", None)
    makers: dict[Any, Callable[..., Dimension]] = {"float": Float, "int": Int, "choice": Choice, "ordinal": Ordinal, "law": _law}
    if not isinstance(kind, str) or kind not in makers:
        raise SpaceError(f"{name}: the type {kind!r} is not one of {', '.join(makers)}")
    try:
        return makers[kind](**options)
    except TypeError as problem:
        raise SpaceError(f"{name}: {dict(body)!r} does not describe a dimension of type {kind!r}: {problem}") from problem


def _law(name: str, args: Sequence[float] = (), kwds: Mapping[str, float] | None = None, **options: Any) -> Law:
    known = getattr(importlib.import_module("scipy.stats"), str(name), None)
    if not (hasattr(known, "ppf") and callable(known)):
        raise SpaceError(f"scipy.stats has no distribution {name!r}; name one of its own, such as 'norm' or 'gamma'")
    return Law(known(*args, **(kwds or {})), **options)


def _value_to_json(name: str, value: Any, space: Space | None) -> Any:
    value = unwrapped(value)
    if is_plain(value):
        return value
    dimension = space.dimensions.get(name) if space else None
    if isinstance(dimension, Choice | Ordinal):
        return {"choice": round(dimension.to_unit(value) * dimension.size - 0.5)}
    raise SpaceError(f"{name}={value!r} cannot be written as JSON; use numbers, strings, booleans or None, or a Choice of the space")


def _value_from_json(name: str, value: Any, space: Space | None) -> Any:
    if isinstance(value, Mapping) and set(value) == {"choice"}:
        dimension = space.dimensions.get(name) if space else None
        if not isinstance(dimension, Choice | Ordinal):
            raise SpaceError(f"{name} was stored as choice number {value['choice']}, which needs the space it came from")
        return dimension.choices[value["choice"]]
    return value


def _address(function: Constraint) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<lambda>")
    if module in (None, "__main__") or "<" in name or _imported(f"{module}:{name}") != function:
        raise SpaceError(f"the constraint {function!r} cannot be written as JSON; use an expression such as 'a <= b', or a function of an importable module")
    return f"{module}:{name}"


def _imported(address: str) -> Constraint:
    module, _, name = str(address).partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as problem:
        raise SpaceError(f"the constraint {address!r} cannot be found ({problem}); make it importable here, or pass the space in Python") from problem
    return found  # type: ignore[no-any-return]
