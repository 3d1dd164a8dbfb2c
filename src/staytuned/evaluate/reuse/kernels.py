"""Kernel machines: the penalties alpha and C from a kernel matrix that is computed once.

Kernel ridge (Saunders, Gammerman & Vovk 1998): with K = U diag(d) U' the dual coefficients are U diag(1 / (d + alpha)) U'y. Support vector machines
have no such form; each C is solved anew, but on the shared matrix, and a table to predict is compared with the training rows once for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.svm import SVC, SVR
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from staytuned.evaluate.reuse._sharing import PerTable
from staytuned.evaluate.reuse._tables import Tables, fitted_anew, is_number, one_by_one, shown_as
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

Floats = npt.NDArray[np.float64]

_EXACT = 1e-10
_SOLVED = 1e-3  # libsvm's own tolerance: where two rows are level rounding decides which way it goes; on most tables the two agree to 1e-10
_LARGEST = 512 * 2**20  # bytes of a kernel matrix
_FEW = 12  # penalties for which as many Cholesky factors cost less than one eigendecomposition


def kernel_ridge_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """One eigendecomposition of the kernel matrix; a fit of its own for penalties so small that rounding would show."""
    todo = sorted((i for i, config in enumerate(configs) if is_number(config["alpha"])), key=lambda i: configs[i]["alpha"])
    if len(todo) <= _FEW:
        todo = []
    views = {i: one_by_one(estimator, [config], X, y, fit_params)[0] for i, config in enumerate(configs) if i not in todo}
    path: _Spectrum | None = None
    while todo:
        smallest = todo.pop(0)
        views[smallest] = model = one_by_one(estimator, [configs[smallest]], X, y, fit_params)[0]
        path = path or (_Spectrum.of(model, y, fit_params) if todo else None)
        if path is None or not path.agrees(model):
            continue
        places = [smallest, *todo]
        duals = path.at([configs[i]["alpha"] for i in places])
        shared = _Duals(duals, model)
        for place, i in enumerate(places):
            own = {"dual_coef_": duals[place].reshape(model.dual_coef_.shape)} if place else {}
            views[i] = shown_as(model, _KernelRidge, duals_=shared, place_=place, **own, **configs[i])
        break
    return [views[i] for i in range(len(configs))]


@dataclass(frozen=True)
class _Spectrum:
    """The decomposed kernel matrix, its rows and columns times the square roots of the weights.

    Args:
        values: (n,) eigenvalues. vectors: (n, n). right: (n, n_targets), U'y. roots: (n,), those square roots.
        size: the root mean square of y. largest: k(x, x) of the training rows.
    """

    values: Floats
    vectors: Floats
    right: Floats
    roots: Floats
    size: float
    largest: float

    @classmethod
    def of(cls, model: Any, y: Any, fit_params: Mapping[str, Any]) -> _Spectrum | None:
        """None where the kernel matrix is not of double precision."""
        K = model._get_kernel(model.X_fit_)
        if sparse.issparse(K) or K.dtype != np.float64:
            return None
        target = check_array(y, dtype=np.float64, ensure_2d=False).reshape(len(K), -1)
        weight = fit_params.get("sample_weight")
        roots = np.ones(len(K)) if weight is None else np.sqrt(_check_sample_weight(weight, K, dtype=np.float64))
        values, vectors = linalg.eigh(K * roots[:, None] * roots)
        return cls(values, vectors, vectors.T @ (target * roots[:, None]), roots, float(np.sqrt(np.mean(target**2))), float(np.max(np.abs(K.diagonal()))))

    def at(self, alphas: Sequence[float]) -> Floats:
        """(n_alphas, n, n_targets) dual coefficients."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shrunk = self.right / (self.values + np.asarray(alphas, dtype=np.float64)[:, None])[:, :, None]
        alone = np.moveaxis(shrunk, 1, 0).reshape(len(self.values), -1)
        return np.moveaxis((self.vectors @ alone).reshape(len(self.values), len(alphas), -1), 1, 0) * self.roots[:, None]

    def agrees(self, model: Any) -> bool:
        """Whether scikit-learn's dual coefficients are these, up to rounding that no prediction will show.

        With dual coefficients that are c apart, no prediction at x is further apart than sqrt(c'Kc k(x, x)), the Cauchy-Schwarz inequality in the
        kernel's own space.
        """
        apart = (model.dual_coef_.reshape(len(self.values), -1) - self.at([model.alpha])[0]) / np.where(self.roots > 0, self.roots, 1)[:, None]
        distance = np.sqrt(np.abs(self.values) @ (self.vectors.T @ apart) ** 2)
        return bool(np.all(distance * self.largest**0.5 <= 0.1 * _EXACT * self.size))


@dataclass
class _Duals:
    """What all views say of a table, from one kernel matrix between it and the training rows.

    Args:
        duals: (n_views, n, n_targets).
        model: any of the views, which knows the kernel.
    """

    duals: Floats
    model: Any

    def __post_init__(self) -> None:
        self._of_table: PerTable[Floats] = PerTable(self._all, keep=2)

    def of(self, view: Any, X: Any) -> Floats:
        """(n_rows, n_targets) of this view."""
        return np.array(self._of_table(X)[:, view.place_])

    def _all(self, X: Any) -> Floats:
        K = self.model._get_kernel(validate_data(self.model, X, accept_sparse=("csr", "csc"), reset=False), self.model.X_fit_)
        views, n, targets = self.duals.shape
        return np.asarray(K @ np.moveaxis(self.duals, 1, 0).reshape(n, -1)).reshape(-1, views, targets)


@fitted_anew
class _KernelRidge(KernelRidge):  # type: ignore[misc]
    """A fitted KernelRidge that shares its kernel matrices with others."""

    SHARED = ("duals_",)

    def predict(self, X: Any) -> Any:
        if not hasattr(self, "duals_"):
            return super().predict(X)
        predicted = self.duals_.of(self, X)
        return predicted[:, 0] if self.dual_coef_.ndim == 1 else predicted


def machine_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """One kernel matrix per gamma for all C and epsilon, one table of products or squared distances for all gammas."""
    checked = clone(estimator)
    rows = None if sparse.issparse(X) else validate_data(checked, X, dtype=np.float64, order="C")
    if rows is None or 8 * len(rows) ** 2 > _LARGEST:
        return one_by_one(estimator, configs, X, y, fit_params)
    gammas = [_gamma(config.get("gamma", estimator.gamma), rows) for config in configs]
    views: dict[int, Any] = {i: one_by_one(estimator, [configs[i]], X, y, fit_params)[0] for i, gamma in enumerate(gammas) if gamma is None}
    common = _between(rows, rows, estimator.kernel)
    tables = Tables()
    for gamma in {gamma for gamma in gammas if gamma is not None}:
        kernel = _Kernel(estimator.kernel, gamma, estimator.degree, estimator.coef0, rows, tables)
        matrix = kernel.of(common)
        for i in (i for i, own in enumerate(gammas) if own == gamma):
            solved = clone(estimator).set_params(**{**configs[i], "kernel": "precomputed"}).fit(matrix, y, **fit_params)
            own = {"kernel": estimator.kernel, "_gamma": gamma, "support_vectors_": rows[solved.support_], "shape_fit_": rows.shape, **configs[i]}
            seen = {name: getattr(checked, name) for name in ("n_features_in_", "feature_names_in_") if hasattr(checked, name)}
            views[i] = shown_as(solved, _SVC if isinstance(estimator, SVC) else _SVR, solved_=solved, kernel_=kernel, **own, **seen)
    return [views[i] for i in range(len(configs))]


def _gamma(gamma: Any, rows: Floats) -> float | None:
    """As scikit-learn reads it; None where it is not valid."""
    if isinstance(gamma, str):
        variance = rows.var()
        return {"scale": 1.0 / (rows.shape[1] * variance) if variance != 0 else 1.0, "auto": 1.0 / rows.shape[1]}.get(gamma)
    return float(gamma) if is_number(gamma) else None


def _between(rows: Floats, others: Floats, kernel: str) -> Floats:
    """(n_rows, n_others): what the kernel is a function of."""
    return np.asarray(euclidean_distances(rows, others, squared=True) if kernel == "rbf" else rows @ others.T)


@dataclass(frozen=True)
class _Kernel:
    """A kernel with the training rows, of which ``rows`` has shape (n, p)."""

    name: str
    gamma: float
    degree: int
    coef0: float
    rows: Floats
    tables: Tables

    def of(self, between: Floats) -> Floats:
        """The matrix, from squared distances (rbf) or inner products (the others)."""
        if self.name == "rbf":
            return np.asarray(np.exp(-self.gamma * between))
        if self.name == "poly":
            return np.asarray((self.gamma * between + self.coef0) ** self.degree)
        return np.tanh(self.gamma * between + self.coef0) if self.name == "sigmoid" else between

    def with_rows(self, view: Any, X: Any) -> Floats:
        """(n_rows, n): the kernel between a table and the training rows."""
        return self.tables.get(self, X, lambda table: self.of(_between(view._validate_for_predict(table), self.rows, self.name)))  # type: ignore[no-any-return]


def _sharing(kind: Any) -> Any:
    """Fitted machines of this class that share their kernel matrices with others."""

    def asked(name: str) -> Any:
        plain = getattr(kind, name)

        @wraps(plain)
        def method(self: Any, X: Any) -> Any:
            return getattr(self.solved_, name)(self.kernel_.with_rows(self, X)) if hasattr(self, "solved_") else plain(self, X)

        return method

    methods = {name: asked(name) for name in ("predict", "decision_function") if hasattr(kind, name)}
    return fitted_anew(type(f"_{kind.__name__}", (kind,), {"SHARED": ("solved_",), "__module__": __name__, **methods}))


_SVC, _SVR = map(_sharing, (SVC, SVR))


def _kernel_ridge_holds(estimator: Any) -> bool:
    return bool(estimator.kernel != "precomputed")


def _machine_holds(estimator: Any) -> bool:
    """With a kernel of its own, no limit of iterations, and no probabilities, which are made by folds drawn at random."""
    if estimator.kernel not in ("linear", "poly", "rbf", "sigmoid") or estimator.max_iter != -1 or estimator.tol > 1e-3:
        return False
    return getattr(estimator, "probability", False) in (False, "deprecated")


register(KernelRidge, Reuse(("alpha",), kernel_ridge_views, tolerance=_EXACT, applies=_kernel_ridge_holds))
register(SVC, Reuse(("C", "gamma"), machine_views, tolerance=_SOLVED, applies=_machine_holds, cheap=False))
register(SVR, Reuse(("C", "epsilon", "gamma"), machine_views, tolerance=_SOLVED, applies=_machine_holds, cheap=False))
