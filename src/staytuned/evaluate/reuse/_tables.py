"""What views of one fit share: results for a table they were all shown, and the slow way where sharing does not hold."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone

from staytuned.space.space import Config


class Tables:
    """Results for the tables last seen, known by identity: a table that is changed in place is not noticed.

    Args:
        limit: bytes of results at most; the least recently used go first, the latest is always kept.
    """

    def __init__(self, limit: int = 256 * 2**20) -> None:
        self.limit = limit
        self._held: OrderedDict[tuple[int, int], tuple[Any, Any, Any, int]] = OrderedDict()
        self._bytes = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit, "_held": OrderedDict(), "_bytes": 0}  # what is held can be had again

    def get(self, owner: Any, table: Any, compute: Callable[[Any], Any]) -> Any:
        """``compute(table)``, or what an earlier call with this owner and this table gave."""
        key = id(owner), id(table)
        if key in self._held:  # both are referred to, so that no other object can have their ids
            self._held.move_to_end(key)
            return self._held[key][2]
        result = compute(table)
        self.put(owner, table, result)
        return result

    def put(self, owner: Any, table: Any, result: Any) -> None:
        """Say what ``get`` shall answer."""
        size = 0 if result is table else size_of(result)
        key = id(owner), id(table)
        if key in self._held:
            self._bytes -= self._held.pop(key)[3]
        self._held[key] = owner, table, result, size
        self._bytes += size
        while len(self._held) > 1 and self._bytes > self.limit:
            self._bytes -= self._held.popitem(last=False)[1][3]


def size_of(result: Any) -> int:
    """Bytes of a table, or of those in a tuple; a guess for what is neither array, matrix nor frame."""
    if isinstance(result, tuple | list):
        return sum(size_of(part) for part in result) if len(result) < 100 else len(result) * (64 + size_of(result[0]))
    if sparse.issparse(result):
        return sum(size_of(getattr(result, part)) for part in ("data", "indices", "indptr", "row", "col", "offsets") if hasattr(result, part))
    if hasattr(result, "memory_usage"):
        return int(np.sum(result.memory_usage()))
    if hasattr(result, "nbytes"):
        return int(result.nbytes)
    return sys.getsizeof(result)


def one_by_one(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """A fit of its own for every config: right for any estimator, and the price that sharing saves.

    Raises:
        Exception: whatever ``fit`` raises.
    """
    fitted = []
    for config in configs:
        model = clone(estimator).set_params(**config)
        fitted.append(model.fit(X, **fit_params) if y is None else model.fit(X, y, **fit_params))
    return fitted


def is_number(value: Any, kind: Any = Real) -> bool:
    """A finite number of at least 0, whole with ``kind=Integral``; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool) and bool(0 <= value < np.inf)


def shown_as(model: Any, kind: type, **attributes: Any) -> Any:
    """The fitted model once more, as an object of ``kind``, its class or a subclass, with these attributes instead of its own."""
    make: Any = kind
    view = make.__new__(make)
    view.__dict__.update(model.__dict__ | attributes)
    return view


def fitted_anew(kind: Any) -> Any:
    """For a class of views: one that is fitted once more forgets its attributes ``SHARED``."""
    plain = kind.fit

    @wraps(plain)
    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        for name in kind.SHARED:
            vars(self).pop(name, None)
        return plain(self, *args, **kwargs)

    kind.fit = fit
    return kind
