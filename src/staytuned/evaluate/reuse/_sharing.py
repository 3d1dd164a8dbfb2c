"""What several views of one fit have in common: the fitted state, and what they compute for one table."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import Any, Generic, TypeVar

import numpy as np
from sklearn.utils.validation import _num_samples

from staytuned.evaluate.reuse._tables import shown_as
from staytuned.space.space import Config

Found = TypeVar("Found")

_MEMORY = 2**30  # bytes that the views of one fit may keep for one table; above it each computes its own
_OUTPUTS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


class PerTable(Generic[Found]):
    """A function of a table, computed once for each of the tables seen last.

    A table is known by identity and held, so that no other can appear at its address; a checksum tells whether it was changed in place since.

    Args:
        compute: the function.
        keep: for how many tables; 4 is room for training and held-out rows, and for a scorer that asks about two more.
    """

    def __init__(self, compute: Callable[[Any], Found], keep: int = 4) -> None:
        self._compute = compute
        self._keep = keep
        self._tables: OrderedDict[int, tuple[Any, int, Found]] = OrderedDict()

    def __call__(self, X: Any) -> Found:
        """The value for this table."""
        key, checksum = id(X), _checksum(X)
        held = self._tables.pop(key, None)
        if held is None or held[1] != checksum:
            held = (X, checksum, self._compute(X))
        self._tables[key] = held
        while len(self._tables) > self._keep:
            self._tables.popitem(last=False)
        return held[2]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tables": OrderedDict()}  # ids mean nothing elsewhere, and tables should not travel with a model


class Stages:
    """The outputs of an ensemble's first members, for several numbers of members, by one pass over them all.

    Args:
        passes: (table, numbers of members in ascending order) to one output for each; an array or a list of arrays.
        counts: the numbers of members that will be asked for.
    """

    def __init__(self, passes: Callable[[Any, Sequence[int]], Iterable[Any]], counts: Iterable[int]) -> None:
        self._passes = passes
        self._counts = sorted(set(counts))
        self._found: PerTable[dict[int, Any] | None] = PerTable(self._all)

    def at(self, count: int, X: Any) -> Any:
        """The output of so many members, for the caller to keep; None where all of them would take too much memory."""
        found = self._found(X)
        if found is None:
            return None
        output = found[count]
        return [part.copy(order="K") for part in output] if isinstance(output, list) else output.copy(order="K")

    def _all(self, X: Any) -> dict[int, Any] | None:
        found: dict[int, Any] = {}
        for count, output in zip(self._counts, self._passes(X, self._counts), strict=True):
            size = sum(part.nbytes for part in (output if isinstance(output, list) else [output]))
            if size * len(self._counts) > _MEMORY:
                return None
            found[count] = output
        return found


@dataclass(frozen=True)
class Looked:
    """A method of a view that looks its answer up, and computes it where that is not known or more than the table is given.

    Args:
        plain: the view without such methods.
        name: of the method.
        look: table to answer, None if it is not known.
    """

    plain: Any
    name: str
    look: Callable[[Any], Any]

    @property
    def __name__(self) -> str:  # scorers ask their methods for it
        return self.name

    def __call__(self, X: Any, *args: Any, **kwargs: Any) -> Any:
        """The answer."""
        found = None if args or any(_given(value) for value in kwargs.values()) else self.look(X)
        return getattr(self.plain, self.name)(X, *args, **kwargs) if found is None else found


def _given(value: Any) -> bool:
    """Whether an optional argument is more than the usual way of leaving it out."""
    return not (value is None or value is False or (isinstance(value, int) and value == 0))


def cut(fitted: Any, params: Config, **state: Any) -> Any:
    """Another object of this class with the same fitted state but for these hyperparameters and attributes; what they hold is shared."""
    return shown_as(fitted, type(fitted), **{**params, **{name: value for name, value in state.items() if value is not None}})


def looking(view: Any, **looks: Callable[[Any], Any]) -> Any:
    """The view with these methods looked up."""
    plain = cut(view, {})
    view.__dict__.update({name: Looked(plain, name, look) for name, look in looks.items()})
    return view


def first(fitted: Any, count: int, *names: str) -> dict[str, Any]:
    """The first so many entries of these attributes, of those it has."""
    return {name: getattr(fitted, name)[:count] for name in names if getattr(fitted, name, None) is not None}


def counts(configs: Sequence[Config], name: str) -> list[int] | None:
    """The values of a hyperparameter that counts something; None if one of them is not a whole number from 1 up."""
    values: list[Any] = [config[name] for config in configs]
    return [int(value) for value in values] if all(isinstance(value, Integral) and value >= 1 and not isinstance(value, bool) for value in values) else None  # type: ignore[operator]


def plain_fit(fit_params: Mapping[str, Any], *known: str) -> bool:
    """Whether nothing is passed to ``fit`` but weights and these: a callback or a set to stop early on could make another fit of it."""
    return all(value is None or name in ("sample_weight", *known) for name, value in fit_params.items())


def remembering(views: Sequence[Any]) -> list[Any]:
    """These views of an ensemble, with the members' outputs kept for all of them; each combines them by the class's own code."""
    memo: PerTable[dict[Any, Any]] = PerTable(_nothing_yet)
    return [_remembering(view, memo) for view in views]


def _nothing_yet(X: Any) -> dict[Any, Any]:  # noqa: ARG001
    return {}


def _remembering(view: Any, memo: PerTable[dict[Any, Any]]) -> Any:
    return looking(view, **{name: partial(_combined, cut(view, {}), name, memo) for name in _OUTPUTS if hasattr(view, name)})


def _combined(view: Any, name: str, memo: PerTable[dict[Any, Any]], X: Any) -> Any:
    if _num_samples(X) * len(view.estimators_) * max(1, int(getattr(view, "n_classes_", 1))) * 8 > _MEMORY:
        return None
    known = memo(X)
    return getattr(cut(view, {}, estimators_=[_Remembered(member, index, known) for index, member in enumerate(view.estimators_)]), name)(X)


@dataclass(frozen=True)
class _Remembered:
    """A member that computes each output once."""

    member: Any
    index: int
    known: dict[Any, Any] = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.member, name)
        return partial(self._once, name, value) if name in _OUTPUTS else value

    def _once(self, name: str, compute: Callable[..., Any], X: Any) -> Any:
        if (self.index, name) not in self.known:
            self.known[self.index, name] = compute(X)
        return self.known[self.index, name]


def _checksum(X: Any) -> int:
    """Of the table's content, quick beside any prediction."""
    if hasattr(X, "iloc"):  # a frame of pandas
        from pandas.util import hash_pandas_object

        return hash((_checksum(hash_pandas_object(X, index=False).to_numpy()), *getattr(X, "columns", ())))
    if hasattr(X, "indptr"):  # a sparse matrix by rows or columns
        return hash(tuple(_checksum(part) for part in (X.data, X.indices, X.indptr)))
    array = np.asarray(X) if isinstance(X, np.ndarray | list | tuple) else None
    if array is None:
        return 0
    return zlib.crc32(array.tobytes() if array.dtype.hasobject or not array.flags.c_contiguous else array.data)


def picked(stages: Iterable[Any], wanted: Sequence[int]) -> Iterator[Any]:
    """Those of a model's successive stages that are wanted, counted from 1; the last stage for counts beyond it, as the model had stopped by itself."""
    last, due = None, iter(wanted)
    count = next(due, None)
    for stage, last in enumerate(stages, 1):
        while count is not None and count == stage:
            yield last
            count = next(due, None)
        if count is None:
            return
    while count is not None:
        yield last
        count = next(due, None)
