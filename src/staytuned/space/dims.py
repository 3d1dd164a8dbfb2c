"""The five kinds of dimension. Each is frozen and knows its own law.

A dimension maps its values onto the unit interval and back. A discrete value owns a cell of the
interval and is represented by the cell's centre, so that all values are equally likely to be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from staytuned.errors import SpaceError

Value: TypeAlias = Any
Conditions: TypeAlias = Mapping[str, Sequence[Value]]


class FrozenLaw(Protocol):
    """What we use of a frozen scipy distribution."""

    def cdf(self, x: Any, /) -> Any: ...

    def ppf(self, q: Any, /) -> Any: ...


@dataclass(frozen=True)
class Float:
    """A real number in [low, high].

    Args:
        low, high: both included.
        log: search on a log scale; needs a positive low.
        step: only low, low + step, low + 2 step, ... up to high; not together with log.
        when: the parents' values for which this dimension exists, ``{"kernel": ["rbf", "poly"]}``.

    >>> Float(1e-4, 1, log=True).from_unit(0.5)
    0.01
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    when: Conditions | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", _finite(self.low, "low", self))
        object.__setattr__(self, "high", _finite(self.high, "high", self))
        if self.low > self.high:
            raise SpaceError(f"low={self.low} is above high={self.high} in {self}; swap them")
        if self.log and self.low <= 0:
            raise SpaceError(f"low={self.low} in {self}: a log scale needs a positive low")
        if self.step is not None:
            object.__setattr__(self, "step", _finite(self.step, "step", self))
            if self.step <= 0:
                raise SpaceError(f"step={self.step} in {self} must be positive")
            if self.log:
                raise SpaceError(f"{self} has both log and step; choose one (Ordinal takes any list of values)")
        object.__setattr__(self, "when", _conditions(self.when))

    @property
    def size(self) -> int | None:
        """How many values there are; None for a continuum."""
        if self.low == self.high:
            return 1
        return None if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def contains(self, value: Value) -> bool:
        if not _is_number(value) or not math.isfinite(value):
            return False
        if self.step is not None:
            cell = (value - self.low) / self.step
            return bool(abs(cell - round(cell)) < 1e-6 and 0 <= round(cell) < (self.size or 1))
        slack = 1e-12 * max(abs(self.low), abs(self.high))
        return bool(self.low - slack <= value <= self.high + slack)

    def to_unit(self, value: Value) -> float:
        if self.size == 1:
            return 0.5
        if self.step is not None:
            return float(round((value - self.low) / self.step) + 0.5) / (self.size or 1)
        if self.log:
            return _clip(math.log(value / self.low) / math.log(self.high / self.low))
        return _clip((value - self.low) / (self.high - self.low))

    def from_unit(self, unit: float) -> float:
        if self.size == 1:
            return self.low
        if self.step is not None:
            return self._tidy(self.low + _cell(unit, self.size or 1) * self.step)
        reach = math.exp(unit * math.log(self.high / self.low)) if self.log else 0.0
        value = self.low * reach if self.log else self.low + unit * (self.high - self.low)
        return min(max(self._tidy(value), self.low), self.high)

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"type": "float", "low": self.low, "high": self.high}
        return _with_options(body, self.when, log=self.log, step=self.step)

    @staticmethod
    def _tidy(value: float) -> float:
        return float(f"{value:.12g}")


@dataclass(frozen=True)
class Int:
    """A whole number in [low, high].

    Args:
        low, high: both included.
        log: search on a log scale; needs low of at least 1, and step 1.
        step: only low, low + step, ... up to high.
        when: the parents' values for which this dimension exists.

    >>> [Int(1, 3).from_unit(u) for u in (0.0, 0.5, 1.0)]
    [1, 2, 3]
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    when: Conditions | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not _is_number(value) or int(value) != value:
                raise SpaceError(f"{name}={value!r} in an Int must be a whole number; for real numbers use Float")
            object.__setattr__(self, name, int(value))
        if self.low > self.high:
            raise SpaceError(f"low={self.low} is above high={self.high} in {self}; swap them")
        if self.step < 1:
            raise SpaceError(f"step={self.step} in {self} must be at least 1")
        if self.log and self.low < 1:
            raise SpaceError(f"low={self.low} in {self}: a log scale needs low of at least 1")
        if self.log and self.step != 1:
            raise SpaceError(f"{self} has both log and step; choose one (Ordinal takes any list of values)")
        object.__setattr__(self, "when", _conditions(self.when))

    @property
    def size(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    def contains(self, value: Value) -> bool:
        if not _is_number(value) or not math.isfinite(value) or int(value) != value:
            return False
        return bool(self.low <= value <= self.high and (int(value) - self.low) % self.step == 0)

    def to_unit(self, value: Value) -> float:
        if self.log:
            low, high = self._log_bounds()
            return _clip((math.log(value) - low) / (high - low))
        return ((int(value) - self.low) // self.step + 0.5) / self.size

    def from_unit(self, unit: float) -> int:
        if self.log:
            low, high = self._log_bounds()
            return min(max(round(math.exp(low + unit * (high - low))), self.low), self.high)
        return self.low + _cell(unit, self.size) * self.step

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"type": "int", "low": self.low, "high": self.high}
        return _with_options(body, self.when, log=self.log, step=None if self.step == 1 else self.step)

    def _log_bounds(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)


@dataclass(frozen=True)
class Choice:
    """One of several values with no order between them.

    Args:
        choices: at least one; any Python objects, though only None, booleans, numbers and strings can be kept as JSON by value.
        when: the parents' values for which this dimension exists.

    >>> Choice(["rbf", "poly"]).from_unit(0.9)
    'poly'
    """

    choices: Sequence[Value]
    when: Conditions | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_choices(self)

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.choices)

    def contains(self, value: Value) -> bool:
        return index_of(self.choices, value) is not None

    def to_unit(self, value: Value) -> float:
        return _unit_of_choice(self.choices, value)

    def from_unit(self, unit: float) -> Value:
        return self.choices[_cell(unit, self.size)]

    def to_json(self) -> dict[str, Any]:
        return _with_options({"type": "choice", "choices": _plain_choices(self)}, self.when)


@dataclass(frozen=True)
class Ordinal:
    """One of several values that have an order but no scale, such as ``[16, 32, 128]`` or ``["low", "high"]``.

    Args:
        choices: at least one, in order.
        when: the parents' values for which this dimension exists.

    >>> Ordinal([16, 32, 128]).to_unit(32)
    0.5
    """

    choices: Sequence[Value]
    when: Conditions | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_choices(self)

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.choices)

    def contains(self, value: Value) -> bool:
        return index_of(self.choices, value) is not None

    def to_unit(self, value: Value) -> float:
        return _unit_of_choice(self.choices, value)

    def from_unit(self, unit: float) -> Value:
        return self.choices[_cell(unit, self.size)]

    def to_json(self) -> dict[str, Any]:
        return _with_options({"type": "ordinal", "choices": _plain_choices(self)}, self.when)


@dataclass(frozen=True)
class Law:
    """A number that follows a frozen scipy distribution; its quantiles are spread evenly over the unit interval.

    Made for you when a space is given as ``{"alpha": scipy.stats.gamma(2)}``; uniform, loguniform and randint become
    Float and Int, which samplers understand better.

    Args:
        law: anything with scipy's ``cdf`` and ``ppf``, such as ``scipy.stats.norm(0, 1)``.
        when: the parents' values for which this dimension exists.
    """

    law: FrozenLaw
    when: Conditions | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not (hasattr(self.law, "cdf") and hasattr(self.law, "ppf")):
            raise SpaceError(f"{self.law!r} has no cdf and ppf; pass a frozen scipy distribution such as scipy.stats.norm(0, 1)")
        object.__setattr__(self, "when", _conditions(self.when))

    @property
    def size(self) -> int | None:
        """Taken for a continuum even where the distribution is discrete."""
        return None

    @property
    def discrete(self) -> bool:
        """Whether the distribution has a mass function instead of a density."""
        return hasattr(self.law, "dist") and hasattr(self.law.dist, "pmf")

    def contains(self, value: Value) -> bool:
        if not _is_number(value) or not math.isfinite(value):
            return False
        low, high = self._value(1e-9), self._value(1 - 1e-9)
        return bool(low <= value <= high)

    def to_unit(self, value: Value) -> float:
        if self.discrete:  # the middle of the value's step of the distribution function
            return _clip((float(self.law.cdf(value)) + float(self.law.cdf(value - 1))) / 2)
        return _clip(float(self.law.cdf(value)))

    def from_unit(self, unit: float) -> Value:
        return self._value(min(max(unit, 1e-6), 1 - 1e-6))

    def to_json(self) -> dict[str, Any]:
        dist, args, kwds = (getattr(self.law, part, None) for part in ("dist", "args", "kwds"))
        if dist is None:
            raise SpaceError(f"{self.law!r} is not a scipy.stats distribution, so it cannot be written as JSON")
        body = {"type": "law", "name": dist.name, "args": [float(a) for a in args or ()], "kwds": {k: float(v) for k, v in (kwds or {}).items()}}
        return _with_options(body, self.when)

    def _value(self, quantile: float) -> Value:
        value = float(self.law.ppf(quantile))
        return int(value) if self.discrete else value


Dimension: TypeAlias = Float | Int | Choice | Ordinal | Law


def index_of(choices: Sequence[Value], value: Value) -> int | None:
    """Where a value stands among choices; True and 1 are different values, NaN equals NaN."""
    for index, choice in enumerate(choices):
        if choice is value or same_value(choice, value):
            return index
    return None


def same_value(one: Value, other: Value) -> bool:
    """Equal, and both or neither boolean; anything that cannot be compared is different."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    try:
        return bool(one == other)
    except (TypeError, ValueError):
        return False


def is_plain(value: Value) -> bool:
    """Whether JSON can hold the value as it is."""
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def _finite(value: Any, name: str, dimension: Float) -> float:
    if not _is_number(value) or not math.isfinite(value):
        raise SpaceError(f"{name}={value!r} in {type(dimension).__name__} must be a finite number")
    return float(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, str)


def _conditions(when: Conditions | None) -> Conditions | None:
    if when is None:
        return None
    if not isinstance(when, Mapping):
        raise SpaceError(f"when={when!r} must be a dict from a parent's name to a list of its values, such as {{'kernel': ['rbf']}}")
    return {parent: tuple(values) if isinstance(values, list | tuple | set) else (values,) for parent, values in when.items()} or None


def _check_choices(dimension: Choice | Ordinal) -> None:
    kind = type(dimension).__name__
    if isinstance(dimension.choices, str | bytes) or not hasattr(dimension.choices, "__iter__"):
        raise SpaceError(f"{kind}({dimension.choices!r}) needs a list of choices")
    choices = tuple(_unwrapped(c) for c in dimension.choices)
    if not choices:
        raise SpaceError(f"{kind}([]) has no choices; give at least one")
    for index, choice in enumerate(choices):
        if index_of(choices[:index], choice) is not None:
            raise SpaceError(f"{choice!r} stands twice in {kind}({list(choices)!r}); name each choice once")
    object.__setattr__(dimension, "choices", choices)
    object.__setattr__(dimension, "when", _conditions(dimension.when))


def _unwrapped(value: Any) -> Any:
    """A numpy scalar as the Python value it holds."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def _unit_of_choice(choices: Sequence[Value], value: Value) -> float:
    index = index_of(choices, value)
    if index is None:
        raise SpaceError(f"{value!r} is not one of {list(choices)!r}")
    return (index + 0.5) / len(choices)


def _plain_choices(dimension: Choice | Ordinal) -> list[Any]:
    for choice in dimension.choices:
        if not is_plain(choice):
            raise SpaceError(f"the choice {choice!r} cannot be written as JSON; name it by a string and build it in the objective")
    return list(dimension.choices)


def _with_options(body: dict[str, Any], when: Conditions | None, **options: Any) -> dict[str, Any]:
    body.update({name: value for name, value in options.items() if value})
    if when is not None:
        body["when"] = {parent: list(values) for parent, values in when.items()}
    return body


def _cell(unit: float, size: int) -> int:
    return min(max(int(unit * size), 0), size - 1)


def _clip(unit: float) -> float:
    return min(max(unit, 0.0), 1.0)
