"""Nearest neighbours: every number of neighbours and both weightings from one query for the largest.

The k nearest are the first k of the k_max nearest, and votes only add up. Where two training rows are equally far and only one of them is among the
k nearest, which one depends on the order in which scikit-learn meets them; if it matters for the answer, scikit-learn itself is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neighbors._base import KNeighborsMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.extmath import row_norms, weighted_mode
from sklearn.utils.validation import _num_samples, validate_data

from staytuned.evaluate.reuse._sharing import PerTable
from staytuned.evaluate.reuse._tables import fitted_anew, is_number, one_by_one, shown_as
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

_SPARE = 8  # neighbours asked for beyond the largest k: they show where a run of equal distances ends
_ROUNDING = 1e-12  # of squared norms: distances closer than this may come out in another order in scikit-learn's other routines


def neighbour_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """One fit for all numbers of neighbours that are searched by the same algorithm."""
    known = [i for i, config in enumerate(configs) if _known({**estimator.get_params(), **config})]
    views: dict[int, Any] = {i: one_by_one(estimator, [configs[i]], X, y, fit_params)[0] for i in range(len(configs)) if i not in known}
    half = _num_samples(X) // 2 if estimator.algorithm == "auto" else np.inf
    for many in (False, True):  # algorithm="auto" compares with all rows where half of them or more are wanted
        group = [i for i in known if (configs[i].get("n_neighbors", estimator.n_neighbors) >= half) == many]
        if group:
            largest = max(configs[i].get("n_neighbors", estimator.n_neighbors) for i in group)
            model = one_by_one(estimator, [{"n_neighbors": largest}], X, y, fit_params)[0]
            query = _Query(model, min(largest + _SPARE, model.n_samples_fit_))
            kind = _Classifier if isinstance(model, KNeighborsClassifier) else _Regressor
            views |= {i: shown_as(model, kind, query_=query, **configs[i]) for i in group}
    return [views[i] for i in range(len(configs))]


def _known(params: Mapping[str, Any]) -> bool:
    k, weights = params["n_neighbors"], params["weights"]
    return is_number(k, Integral) and k >= 1 and (weights is None or weights in ("uniform", "distance"))


@dataclass
class _Query:
    """The nearest neighbours of tables' rows, the largest number once."""

    model: Any
    most: int

    def __post_init__(self) -> None:
        self._of_table: PerTable[_Near] = PerTable(self._search, keep=2)

    def __call__(self, X: Any) -> _Near:
        return self._of_table(X)

    def _search(self, X: Any) -> _Near:
        distance, index = self.model.kneighbors(X, n_neighbors=self.most)
        y = self.model._y
        return _Near(distance, index, y, y[index] if y.ndim == 1 else None, self._run(X, distance), self.most == self.model.n_samples_fit_)

    def _run(self, X: Any, distance: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """(n_rows, most): the number of the run of equally far neighbours to which each belongs."""
        if self.model._fit_method != "brute":
            apart = np.diff(distance, axis=1) > 0
        elif self.model.effective_metric_ in ("euclidean", "sqeuclidean"):  # from inner products, which round by the squared norms
            X = validate_data(self.model, X, accept_sparse="csr", reset=False)
            norms = row_norms(X, squared=True) + np.max(row_norms(self.model._fit_X, squared=True))
            squares = distance**2 if self.model.effective_metric_ == "euclidean" else distance
            apart = np.diff(squares, axis=1) > (_ROUNDING * norms)[:, None]
        else:
            apart = np.diff(distance, axis=1) > _ROUNDING * distance[:, 1:]
        return np.concatenate([np.zeros((len(distance), 1), np.intp), np.cumsum(apart, axis=1)], axis=1)


@dataclass
class _Near:
    """Neighbours found for one table, nearest first.

    Args:
        distance, index: (n_rows, most).
        y: of the training rows. found: of the neighbours, (n_rows, most); None with several outputs.
        run: see ``_Query._run``.
        whole: the last column is the farthest training row of all.
    """

    distance: npt.NDArray[Any]
    index: npt.NDArray[np.intp]
    y: npt.NDArray[Any]
    found: npt.NDArray[Any] | None
    run: npt.NDArray[np.intp]
    whole: bool
    sums: dict[str, tuple[int, npt.NDArray[Any], npt.NDArray[Any]]] = field(default_factory=dict)
    _weights: npt.NDArray[Any] | None = None

    def unsure(self, k: int) -> npt.NDArray[np.intp]:
        """Rows of which the k nearest are not certain, and where it matters."""
        if k >= self.run.shape[1]:
            return np.empty(0, np.intp)
        rows = np.flatnonzero(self.run[:, k] == self.run[:, k - 1])
        if not len(rows) or self.found is None:
            return rows
        among = self.run[rows] == self.run[rows, k - 1][:, None]
        alike = np.all((self.found[rows] == self.found[rows, k - 1][:, None]) | ~among, axis=1)
        settled: npt.NDArray[np.bool_] = alike & (~among[:, -1] | self.whole)
        return rows[~settled]

    def weights(self) -> npt.NDArray[Any]:
        """(n_rows, most): 1 / distance; in a row with a distance of zero 1 there and 0 elsewhere."""
        if self._weights is None:
            with np.errstate(divide="ignore"):
                weights = 1.0 / self.distance
            same = np.isinf(weights)
            self._weights = np.where(same[:, :1], same, weights)
        return self._weights

    def votes(self, k: int, weighted: bool, classes: int) -> npt.NDArray[Any]:
        """(n_rows, n_classes): the weight of the k nearest of each class, added up nearest first as scikit-learn does."""
        assert self.found is not None
        name = "distance" if weighted else "uniform"
        done, votes, rows = self.sums.get(name, (k + 1, np.empty(0), np.empty(0)))
        if done > k:
            done, votes, rows = 0, np.zeros((len(self.found), classes)), np.arange(len(self.found))
        for j in range(done, k):
            votes[rows, self.found[:, j]] += self.weights()[:, j] if weighted else 1.0
        self.sums[name] = k, votes, rows
        return votes

    def mean(self, k: int, weighted: bool) -> npt.NDArray[Any]:
        """(n_rows,) or (n_rows, n_outputs): the mean of the k nearest."""
        name = "distance" if weighted else "uniform"
        done, above, below = self.sums.get(name, (k + 1, np.empty(0), np.empty(0)))
        if done > k:
            done, above, below = 0, np.zeros((len(self.index), *self.y.shape[1:])), np.zeros((len(self.index), *[1] * (self.y.ndim - 1)))
        for j in range(done, k):
            weight = self.weights()[:, j].reshape(below.shape) if weighted else 1.0
            above += self.y[self.index[:, j]] * weight
            below += weight
        self.sums[name] = k, above, below
        return above / below  # type: ignore[no-any-return]


def _asked_again(view: Any, near: _Near) -> npt.NDArray[np.intp] | None:
    """The rows for which scikit-learn must be asked; None for all.

    All where it raises or sums in another way, and where it compares with every training row, as it does so by blocks of rows.
    """
    if view.n_neighbors > near.index.shape[1] or (view.weights == "distance" and np.any(near.weights()[:, 0] == 0)):
        return None
    rows = near.unsure(view.n_neighbors)
    return None if len(rows) and view._fit_method == "brute" else rows


def _kneighbors(self: Any, X: Any = None, n_neighbors: Any = None, return_distance: bool = True) -> Any:
    served = _served(self, X, n_neighbors, return_distance)
    return KNeighborsMixin.kneighbors(self, X, n_neighbors, return_distance) if served is None else served


@fitted_anew
class _Classifier(KNeighborsClassifier):  # type: ignore[misc]
    """A fitted KNeighborsClassifier that shares its query with others."""

    SHARED = ("query_",)

    kneighbors = _kneighbors

    def predict(self, X: Any) -> Any:
        near = _near(self, X)
        if near is None or near.found is None:
            return super().predict(X)
        rows = _asked_again(self, near)
        if rows is None:
            return shown_as(self, KNeighborsClassifier).predict(X)
        weighted, k = self.weights == "distance", self.n_neighbors
        votes = near.votes(k, weighted, len(self.classes_))
        chosen = np.argmax(votes, axis=1)
        if weighted and votes.shape[1] > 1:  # sums in another order can decide between classes that are level
            top = np.partition(votes, -2, axis=1)
            level = np.flatnonzero(top[:, -2] >= top[:, -1] * (1 - 1e-12))
            if len(level):
                chosen[level] = weighted_mode(near.found[level, :k], near.weights()[level, :k], axis=1)[0].ravel().astype(np.intp)
        predicted = self.classes_[chosen]
        if len(rows):
            predicted[rows] = shown_as(self, KNeighborsClassifier).predict(_safe_indexing(X, rows))
        return predicted

    def predict_proba(self, X: Any) -> Any:
        near = _near(self, X)
        if near is None or near.found is None:
            return super().predict_proba(X)
        rows = _asked_again(self, near)
        if rows is None:
            return shown_as(self, KNeighborsClassifier).predict_proba(X)
        votes = near.votes(self.n_neighbors, self.weights == "distance", len(self.classes_))
        probability = votes / votes.sum(axis=1)[:, None]
        if len(rows):
            probability[rows] = shown_as(self, KNeighborsClassifier).predict_proba(_safe_indexing(X, rows))
        return probability


@fitted_anew
class _Regressor(KNeighborsRegressor):  # type: ignore[misc]
    """A fitted KNeighborsRegressor that shares its query with others."""

    SHARED = ("query_",)

    kneighbors = _kneighbors

    def predict(self, X: Any) -> Any:
        near = _near(self, X)
        if near is None or not (near.y.dtype == np.float64 or near.y.dtype.kind in "iu"):
            return super().predict(X)
        rows = _asked_again(self, near)
        if rows is None:
            return shown_as(self, KNeighborsRegressor).predict(X)
        predicted = near.mean(self.n_neighbors, self.weights == "distance")
        if len(rows):
            predicted[rows] = shown_as(self, KNeighborsRegressor).predict(_safe_indexing(X, rows))
        return predicted


def _near(view: Any, X: Any) -> _Near | None:
    """The shared neighbours; None where the view has to ask for itself."""
    query: _Query | None = view.__dict__.get("query_")
    return None if query is None or X is None else query(X)


def _served(view: Any, X: Any, n_neighbors: Any, return_distance: bool) -> Any:
    """What ``kneighbors`` returns, from the shared neighbours; None where they do not decide it."""
    query: _Query | None = view.__dict__.get("query_")
    if query is None or X is None or n_neighbors is not None or view.n_neighbors > query.most:
        return None
    near, k = query(X), view.n_neighbors
    if k < near.run.shape[1] and np.any(near.run[:, k] == near.run[:, k - 1]):
        return None
    return (near.distance[:, :k].copy(), near.index[:, :k].copy()) if return_distance else near.index[:, :k].copy()


def _neighbours_hold(estimator: Any) -> bool:
    """Not with a precomputed metric, of which a row may hold fewer distances than the largest k, nor with weights that are a function."""
    return estimator.metric != "precomputed" and not callable(estimator.weights)


for _kind in (KNeighborsClassifier, KNeighborsRegressor):
    register(_kind, Reuse(("n_neighbors", "weights"), neighbour_views, tolerance=1e-10, applies=_neighbours_hold))
