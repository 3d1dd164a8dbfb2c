"""Preprocessing that several candidates have in common, fitted and applied once per fold."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from staytuned.evaluate.reuse._tables import Tables, size_of
from staytuned.evaluate.reuse.pipelines import Free, PipelineViews, Steps, fit_head, params_of, stepwise, view_of
from staytuned.space.space import Config


class Prefixes:
    """The fitted first steps of pipelines and the tables as they leave them, kept for later candidates on the same fold.

    A step is taken from an earlier candidate where it and all before it are of the same class, with the same parameters and fit parameters. Not
    shared, nor what follows: a step that draws at random without a seed, and one that cannot be hashed, such as one with a lambda.
    A Prefixes belongs to one table: rows and target are known by the fold alone. Threads may share it; two that need the same step at once both fit it.

    Args:
        limit: bytes; the least recently used goes first, and what is larger is not kept.
    """

    def __init__(self, limit: int = 256 * 2**20) -> None:
        self.limit = limit
        self._held: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit,)  # another process makes its own

    def fitted(self, estimator: Any, X: Any, y: Any, fit_params: Mapping[str, Any], fold: Hashable, X_test: Any = None) -> Any:
        """The estimator fitted to the fold's training rows.

        Args:
            estimator: unfitted, the caller's own.
            X, y: training rows. fit_params: for ``fit``, cut to them.
            fold: what tells these rows from others, such as the fold's number and how many they are.
            X_test: the very table that the result will be scored on; what the shared steps make of it is kept too, and so for X.

        Returns:
            the estimator itself, or a pipeline that passes for it.
        """
        if not stepwise(estimator, fit_params) or len(estimator.steps) < 2 or estimator.memory is not None:
            return estimator.fit(X, **fit_params) if y is None else estimator.fit(X, y, **fit_params)
        last = len(estimator.steps) - 1
        head, table, tables = self._head(estimator, last, X, y, fit_params, fold, X_test)
        tail = Pipeline(estimator.steps[last:], verbose=estimator.verbose)
        tail.fit(table, y, **params_of(fit_params, {estimator.steps[last][0]}))
        return view_of(estimator, [*head, *tail.steps], tables)

    def views(
        self, free: Free, estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any], fold: Hashable, X_test: Any = None
    ) -> Sequence[Any]:
        """``free.views``, with the steps before the first that varies taken from earlier candidates."""
        if not isinstance(free.views, PipelineViews) or not stepwise(estimator, fit_params) or estimator.memory is not None:
            return free.views(estimator, configs, X, y, fit_params)
        varying = {name.partition("__")[0] for name in configs[0]}
        place = min((i for i, (step, _) in enumerate(estimator.steps) if step in varying), default=len(estimator.steps) - 1)
        head, table, tables = self._head(estimator, place, X, y, fit_params, fold, X_test)
        return free.views.after(head, tables, estimator, configs, table, y, fit_params)

    def _head(self, pipeline: Any, place: int, X: Any, y: Any, fit_params: Mapping[str, Any], fold: Hashable, X_test: Any) -> tuple[Steps, Any, _Known]:
        """The first steps fitted, the training table as they leave it, and what is known of the tables to be scored."""
        keys = _keys(pipeline, place, fit_params, fold)
        steps: Steps = []
        X_now, done = X, 0
        for i in range(len(keys), 0, -1):
            if (held := self._taken(keys[i - 1])) is not None:
                (steps, X_now), done = held[0], i
                break
        for i in range(done, place):
            step = Pipeline([pipeline.steps[i]], verbose=pipeline.verbose)
            state = _random_state()
            fitted, X_now = fit_head(step, 1, _copied(X_now) if i else X_now, y, params_of(fit_params, {pipeline.steps[i][0]}))
            steps = [*steps, *fitted]
            if not _same_state(state, _random_state()):
                keys = keys[:i]
            if i < len(keys):
                self._keep(keys[i], (steps, X_now), size_of(X_now) + _size_of_step(fitted[0][1]))
        known = _Known(self, {id(step): key for (_, step), key in zip(steps, keys, strict=False)}, {id(X): (X, "train"), id(X_test): (X_test, "test")})
        return list(steps), _copied(X_now) if place else X_now, known

    def _taken(self, key: tuple[Any, ...]) -> tuple[Any, int] | None:
        """(what is kept, its bytes), or None."""
        with self._lock:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
            return held

    def _keep(self, key: tuple[Any, ...], value: Any, size: int) -> None:
        if size > self.limit:
            return
        with self._lock:
            if key in self._held:
                self._bytes -= self._held.pop(key)[1]
            self._held[key] = value, size
            self._bytes += size
            while self._bytes > self.limit:
                self._bytes -= self._held.popitem(last=False)[1][1]


@dataclass
class _Known:
    """Takes the place of ``Tables`` in a view: what shared steps make of the fold's tables is kept for later candidates.

    Args:
        keys: by the identity of a shared step.
        roles: by the identity of a table, the table and what it is: "train", "test".
        others: for all other steps and tables.
    """

    prefixes: Prefixes
    keys: Mapping[int, tuple[Any, ...]]
    roles: dict[int, tuple[Any, str]]
    others: Tables = field(default_factory=Tables)

    def __getstate__(self) -> dict[str, Any]:
        return {"prefixes": self.prefixes, "keys": {}, "roles": {}, "others": self.others}

    def get(self, step: Any, table: Any, compute: Any) -> Any:
        role = self.roles.get(id(table), (None, ""))[1]
        if not role or table is None:
            return self.others.get(step, table, compute)
        if id(step) not in self.keys:
            return self.others.get(step, table, lambda kept: compute(_copied(kept)))
        key = (*self.keys[id(step)], role)
        held = self.prefixes._taken(key)
        if held is not None:
            result = held[0]
        else:
            result = compute(_copied(table))
            self.prefixes._keep(key, result, size_of(result))
        self.roles[id(result)] = result, role
        return result


def _keys(pipeline: Any, place: int, fit_params: Mapping[str, Any], fold: Hashable) -> list[tuple[Any, ...]]:
    """One per first step, as far as they can be shared."""
    keys: list[tuple[Any, ...]] = []
    before = ""
    for name, step in pipeline.steps[:place]:
        if _foreign_draw(step):
            break
        try:
            before = str(joblib.hash((before, name, type(step), step, params_of(fit_params, {name}))))
        except Exception:  # whatever pickling raises: it cannot be hashed, so it is not shared
            break
        keys.append((before, fold))
    return keys


def _foreign_draw(step: Any) -> bool:
    """Whether a part that is not scikit-learn's has no seed: its draws may come from anywhere."""
    params = step.get_params(deep=True) if hasattr(step, "get_params") else {}
    for name, value in params.items():
        if name.rpartition("__")[2] in ("random_state", "seed", "rng", "random_seed") and (value is None or isinstance(value, np.random.Generator)):
            owner = params.get(name.rpartition("__")[0], step)
            if not type(owner).__module__.startswith("sklearn."):
                return True
    return False


def _random_state() -> tuple[Any, Any]:
    return np.random.get_state(legacy=False), random.getstate()  # the stream on which scikit-learn draws without a seed


def _same_state(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    before, after = one[0]["state"], other[0]["state"]
    return one[1] == other[1] and before["pos"] == after["pos"] and bool(np.array_equal(before["key"], after["key"]))


def _copied(table: Any) -> Any:
    """A table to fit on or to transform: an estimator may change the one it is given."""
    return table.copy() if hasattr(table, "copy") else table


def _size_of_step(step: Any) -> int:
    return sum(size_of(value) for value in vars(step).values()) if hasattr(step, "__dict__") else 0
