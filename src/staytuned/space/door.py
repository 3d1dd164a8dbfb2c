"""The generous door: everything people write for a space, converted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from staytuned.errors import SpaceError
from staytuned.space.codec import dimension_from_json, space_from_json
from staytuned.space.dims import Choice, Dimension, Float, Int, Law, Ordinal, unwrapped
from staytuned.space.space import Space

SpaceLike: TypeAlias = Space | Mapping[str, Any]


def as_space(thing: SpaceLike) -> Space:
    """A Space from a Space, from what ``space_to_json`` gave, or from a dict of dimensions, lists, scipy distributions and JSON dimensions.

    A list becomes an Ordinal where it holds increasing numbers and a Choice otherwise; ``scipy.stats.uniform``, ``loguniform`` and ``randint``
    become Float and Int, any other distribution a :class:`~staytuned.space.dims.Law`.

    Raises:
        SpaceError: something that is none of these.

    >>> as_space({"C": [0.1, 1, 10], "kernel": ["rbf", "linear"]})["C"]
    Ordinal(choices=(0.1, 1, 10), when=None)
    """
    if isinstance(thing, Space):
        return thing
    if not isinstance(thing, Mapping):
        raise SpaceError(f"a space is a dict from name to dimension, not {thing!r}")
    if set(thing) <= {"dimensions", "constraints"} and isinstance(thing.get("dimensions"), Mapping):
        return space_from_json(thing)
    return Space({name: as_dimension(value, str(name)) for name, value in thing.items()})


def as_dimension(thing: Any, name: str = "dimension") -> Dimension:
    """A dimension from a dimension, a list, a scipy distribution or its JSON."""
    if isinstance(thing, Float | Int | Choice | Ordinal | Law):
        return thing
    if isinstance(thing, Mapping):
        return dimension_from_json(thing, name)
    if hasattr(thing, "dist") and hasattr(thing, "ppf"):
        return _from_scipy(thing)
    if hasattr(thing, "ppf") and hasattr(thing, "cdf"):
        return Law(thing)
    if hasattr(thing, "tolist") and not isinstance(thing, str):
        thing = thing.tolist()
    if isinstance(thing, Sequence | range) and not isinstance(thing, str | bytes):
        return _from_list([unwrapped(value) for value in thing])
    raise SpaceError(f"{name}={thing!r} is not a dimension; use Float, Int, Choice, Ordinal, a list of values or a scipy distribution")


def _from_list(values: list[Any]) -> Dimension:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    increasing = len(numbers) == len(values) > 2 and all(a < b for a, b in pairwise(numbers))
    return Ordinal(values) if increasing else Choice(values)


def _from_scipy(law: Any) -> Dimension:
    name, (low, high) = law.dist.name, law.support()
    if name == "uniform":
        return Float(float(low), float(high))
    if name in ("loguniform", "reciprocal"):
        return Float(float(low), float(high), log=True)
    if name == "randint":
        return Int(int(low), int(high))
    return Law(law)
