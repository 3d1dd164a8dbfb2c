"""Several spaces made one: each config takes one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from staytuned.errors import SpaceError
from staytuned.space.dims import Choice, Dimension, index_of
from staytuned.space.door import as_space
from staytuned.space.space import Config, Constraint, Space

BRANCH = "@branch"  # the hidden choice between several spaces


@dataclass(frozen=True)
class Branches:
    """One space, or several made one by a hidden choice, under which each keeps its own dimensions and constraints.

    Args:
        space: all of it; a dimension ``C`` of the second of several spaces is called ``C@1`` here.
        plain: from these names to those given; the hidden choice has none.
        parts: the spaces as they were given.

    >>> both = Branches.of([{"kernel": ["linear"]}, {"kernel": ["rbf"], "gamma": [0.1, 1]}])
    >>> both.space.names
    ('@branch', 'kernel@0', 'kernel@1', 'gamma@1')
    >>> both.config({"@branch": 1, "kernel@1": "rbf", "gamma@1": 0.1})
    {'kernel': 'rbf', 'gamma': 0.1}
    """

    space: Space
    plain: Mapping[str, str]
    parts: Sequence[Space]

    @classmethod
    def of(cls, given: Any) -> Branches:
        """From anything :func:`~staytuned.space.door.as_space` takes, or a list of such things.

        Raises:
            SpaceError: an empty list, or something that is no space.
        """
        several = isinstance(given, Sequence) and not isinstance(given, str)
        parts = [_opened(part) for part in given] if several else [_opened(given)]
        if not parts:
            raise SpaceError(f"space={given!r} holds no branch; pass a dict from parameter to dimension, or a list of such dicts")
        if len(parts) == 1:
            return cls(parts[0], {name: name for name in parts[0]}, parts)
        dimensions: dict[str, Dimension] = {BRANCH: Choice(range(len(parts)))}
        for index, part in enumerate(parts):
            dimensions |= {f"{name}@{index}": _moved(part[name], index) for name in part}
        plain = {f"{name}@{index}": name for index, part in enumerate(parts) for name in part}
        constraints: list[Constraint] = [_InBranch(index, part) for index, part in enumerate(parts) if part.constraints]
        return cls(Space(dimensions, constraints), plain, parts)

    def config(self, config: Mapping[str, Any]) -> Config:
        """A config of the whole under the names that were given."""
        return {self.plain[name]: value for name, value in config.items() if name in self.plain}

    def holding(self, values: Mapping[str, Any]) -> Config | None:
        """The config of the whole that has these values, of which it takes what it needs; None if no space holds them."""
        for index, part in enumerate(self.parts):
            config = part.pruned({name: values[name] for name in part if name in values})
            if part.contains(config):
                return config if len(self.parts) == 1 else {BRANCH: index} | {f"{name}@{index}": value for name, value in config.items()}
        return None


@dataclass(frozen=True)
class _InBranch:
    """The constraints of one of several spaces."""

    index: int
    part: Space

    def __call__(self, config: Config) -> bool:
        mark = f"@{self.index}"
        return config[BRANCH] != self.index or self.part.satisfied({n.removesuffix(mark): v for n, v in config.items() if n.endswith(mark)})


def _opened(given: Any) -> Space:
    """A Space; a value that a list holds twice, which scikit-learn allows and a Choice does not, is taken once."""
    if not isinstance(given, Mapping) or isinstance(given.get("dimensions"), Mapping):
        return as_space(given)
    return as_space({name: _distinct(values) for name, values in given.items()})


def _distinct(values: Any) -> Any:
    if not isinstance(values, list | tuple):
        return values
    kept: list[Any] = []
    for value in values:
        if index_of(kept, value) is None:
            kept.append(value)
    return kept


def _moved(dimension: Dimension, index: int) -> Dimension:
    """The dimension as it stands in the whole."""
    parents = {f"{parent}@{index}": values for parent, values in (dimension.when or {}).items()}
    return replace(dimension, when={BRANCH: [index], **parents})
