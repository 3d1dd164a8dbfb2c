"""Linear models: ridge penalties from one eigendecomposition, lasso and logistic ones by warm starts down the path.

Ridge: with the centred, weighted table's Gram matrix X'X = V diag(d) V', the coefficients are w(alpha) = V diag(1 / (d + alpha)) V'X'y (Hastie,
Tibshirani & Friedman 2009, eq. 3.47); in a wide table the same with XX' = U diag(d) U' and w = X'U diag(1 / (d + alpha)) U'y. How far rounding parts this
from scikit-learn's own solution grows as alpha falls, so scikit-learn also fits the smallest alpha, and that checks all larger ones.

Tolerances are in units of the target's root mean square; for classifiers in units of the decision function (ridge) or of a probability (logistic).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from numbers import Real
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge, RidgeClassifier, enet_path
from sklearn.utils import check_array, compute_sample_weight
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import _check_sample_weight, validate_data

from staytuned.evaluate.reuse._sharing import PerTable
from staytuned.evaluate.reuse._tables import fitted_anew, is_number, one_by_one, shown_as
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

Floats = npt.NDArray[np.float64]

_EXACT = 1e-10
_TOGETHER = 2**24  # numbers at most that are computed for all views of a table at once


def ridge_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """One eigendecomposition for all penalties; a fit of its own for those so small that rounding would show."""
    todo = sorted((i for i, config in enumerate(configs) if is_number(config["alpha"])), key=lambda i: configs[i]["alpha"])
    views = {i: one_by_one(estimator, [config], X, y, fit_params)[0] for i, config in enumerate(configs) if i not in todo}
    path: _RidgePath | None = None
    while todo:
        smallest = todo.pop(0)
        views[smallest] = model = one_by_one(estimator, [configs[smallest]], X, y, fit_params)[0]
        path = path or (_RidgePath.of(model, X, y, fit_params) if todo else None)
        if path is None or not path.agrees(model):
            continue
        coefs, intercepts = path.at([configs[i]["alpha"] for i in (smallest, *todo)])
        scores = _Scores(coefs, intercepts, model)
        for place, i in enumerate((smallest, *todo)):
            coef, intercept = coefs[place].reshape(np.shape(model.coef_)), intercepts[place].reshape(np.shape(model.intercept_) or (-1,))
            own = {"coef_": coef, "intercept_": intercept if np.ndim(model.intercept_) else intercept[0]} if place else {}
            views[i] = shown_as(model, _VIEWS[type(model)], scores_=scores, place_=place, **own, **configs[i])
        break
    return [views[i] for i in range(len(configs))]


@dataclass(frozen=True)
class _RidgePath:
    """The decomposed training table.

    Args:
        values: (r,) eigenvalues. left: (p, r), right: (r, n_targets); the coefficients are left @ (right / (values + alpha)).
        centre: (p,) and (n_targets,), the means of X and y; zero without an intercept.
        spread: (p,), the root mean squares of the columns. size: the same of y, before it was centred. rows: n.
    """

    values: Floats
    left: Floats
    right: Floats
    centre: tuple[Floats, Floats]
    spread: Floats
    size: float
    rows: int

    @classmethod
    def of(cls, model: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> _RidgePath | None:
        """None for a table that this does not hold for: sparse, of single precision, weights that are all zero."""
        if sparse.issparse(X):
            return None
        table = check_array(X, dtype=[np.float64, np.float32])
        if table.dtype != np.float64:
            return None
        weight = fit_params.get("sample_weight")
        weight = None if weight is None else _check_sample_weight(weight, table, dtype=np.float64)
        if isinstance(model, RidgeClassifier):
            labels = np.asarray(y)
            if model.class_weight:
                weight = compute_sample_weight(model.class_weight, labels) * (1.0 if weight is None else weight)
            target = np.asarray(model._label_binarizer.transform(labels), dtype=np.float64)
        else:
            target = check_array(y, dtype=np.float64, ensure_2d=False)
        target = target.reshape(len(table), -1)
        size = float(np.sqrt(np.average(np.mean(target**2, axis=1), weights=weight)))
        table, target, centre = _centred(table, target, weight, model.fit_intercept)
        values, left, right = _decomposed(table, target, model.solver)
        spread = np.sqrt(np.einsum("ij,ij->j", table, table) / (len(table) if weight is None else weight.sum()))
        return cls(values, left, right, centre, spread, size, len(table))

    def at(self, alphas: Sequence[float]) -> tuple[Floats, Floats]:
        """(n_alphas, n_targets, p) coefficients and (n_alphas, n_targets) intercepts."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shrunk = self.right.T / (self.values + np.asarray(alphas, dtype=np.float64)[:, None])[:, None, :]
        coefs = shrunk @ self.left.T
        return coefs, self.centre[1] - coefs @ self.centre[0]

    def agrees(self, model: Any) -> bool:
        """Whether scikit-learn's coefficients are these, up to rounding that no prediction will show.

        Measured on rows like the training rows, with room to spare: what rounding does along columns that depend on each other shows in the coefficients
        but in no such row. Where columns are many for the rows, other rows have parts that no training row has, and the coefficients themselves must agree.
        """
        coefs = np.atleast_2d(model.coef_)
        if np.any(np.finfo(np.float64).eps * (np.abs(coefs) @ (np.abs(self.centre[0]) + self.spread)) > _EXACT * self.size):
            return False  # the terms of a prediction are so large that the order in which they are added shows
        apart = coefs - self.at([model.alpha])[0][0]
        if 2 * self.left.shape[0] > self.rows:
            return bool(np.all(np.linalg.norm(apart * self.spread, axis=1) <= 0.1 * _EXACT * self.size))
        return bool(np.all(np.sqrt(((apart @ self.left) ** 2) @ self.values / self.rows) <= 0.01 * _EXACT * self.size))


def _centred(X: Floats, y: Floats, weight: Floats | None, intercept: bool) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
    """X and y less their means, times the square roots of the weights; and the means, zero without an intercept."""
    centre = np.zeros(X.shape[1]), np.zeros(y.shape[1])
    if intercept:
        centre = np.average(X, axis=0, weights=weight), np.average(y, axis=0, weights=weight)
    roots = 1.0 if weight is None else np.sqrt(weight)[:, None]
    return (X - centre[0]) * roots, (y - centre[1]) * roots, centre


def _decomposed(X: Floats, y: Floats, solver: str) -> tuple[Floats, Floats, Floats]:
    if solver == "svd":
        U, s, Vt = linalg.svd(X, full_matrices=False, check_finite=False)
        return s**2, Vt.T, s[:, None] * (U.T @ y)
    if X.shape[1] <= X.shape[0]:
        values, V = linalg.eigh(X.T @ X, overwrite_a=True, check_finite=False)
        return np.maximum(values, 0), V, V.T @ (X.T @ y)
    values, U = linalg.eigh(X @ X.T, overwrite_a=True, check_finite=False)
    return np.maximum(values, 0), X.T @ U, U.T @ y


@dataclass
class _Scores:
    """What all views say of a table, by one matrix product.

    Args:
        coefs: (n_views, n_targets, p). intercepts: (n_views, n_targets).
        model: any of the views, which checks tables.
    """

    coefs: Floats
    intercepts: Floats
    model: Any

    def __post_init__(self) -> None:
        self._of_table: PerTable[Floats] = PerTable(self._all, keep=2)

    def of(self, view: Any, X: Any) -> Floats | None:
        """(n_rows, n_targets) of this view; None where the table is too long for all at once."""
        views, targets, _ = self.coefs.shape
        if views * targets * getattr(X, "shape", (len(X),))[0] > _TOGETHER:
            return None
        found: Floats = self._of_table(X)[:, view.place_] + self.intercepts[view.place_]
        return found

    def _all(self, X: Any) -> Floats:
        views, targets, p = self.coefs.shape
        X = validate_data(self.model, X, accept_sparse=["csr", "csc", "coo"], reset=False)
        return np.asarray(safe_sparse_dot(X, self.coefs.reshape(-1, p).T, dense_output=True)).reshape(-1, views, targets)


def _sharing(kind: Any) -> Any:
    """Fitted regressors of this class that share their predictions' product with others."""

    def predict(self: Any, X: Any) -> Any:
        scores = self.scores_.of(self, X) if hasattr(self, "scores_") else None
        if scores is None:
            return kind.predict(self, X)
        return scores[:, 0] if self.coef_.ndim == 1 else scores

    return fitted_anew(type(f"_{kind.__name__}", (kind,), {"SHARED": ("scores_",), "predict": predict, "__module__": __name__}))


_Ridge, _Lasso, _ElasticNet = map(_sharing, (Ridge, Lasso, ElasticNet))


@fitted_anew
class _RidgeClassifier(RidgeClassifier):  # type: ignore[misc]
    """A fitted RidgeClassifier that shares its scores' product with others."""

    SHARED = ("scores_",)

    def decision_function(self, X: Any) -> Any:
        scores = self.scores_.of(self, X) if hasattr(self, "scores_") else None
        if scores is None:
            return super().decision_function(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores


_VIEWS = {Ridge: _Ridge, RidgeClassifier: _RidgeClassifier, Lasso: _Lasso, ElasticNet: _ElasticNet}


def lasso_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """Coordinate descent down the path of penalties (Friedman, Hastie & Tibshirani 2010, 2.5) on the Gram matrix, which is computed once.

    Both this and a fit of its own end where the duality gap is below tol ||y||^2, so that in the mean over the training rows they are at most sqrt(2 tol)
    of the target's root mean square from the optimum: 1.4 % with tol=1e-4, on most tables far less. A fit of its own for every config where the columns
    are more than half as many as the rows, as the tolerance then leaves room for quite different predictions of other rows; and for those that it does
    not solve in ``max_iter`` rounds.
    """
    path = sorted((i for i, config in enumerate(configs) if is_number(config["alpha"]) and config["alpha"] > 0), key=lambda i: -configs[i]["alpha"])
    table = None if sparse.issparse(X) else check_array(X, dtype=[np.float64, np.float32])
    if len(path) < 2 or table is None or table.dtype != np.float64 or 2 * table.shape[1] > len(table):
        return one_by_one(estimator, configs, X, y, fit_params)
    model = one_by_one(estimator, [configs[path[0]]], X, y, fit_params)[0]  # what may be wrong with the table, it says
    target = check_array(y, dtype=np.float64, ensure_2d=False).reshape(len(table), -1)
    weight = fit_params.get("sample_weight")
    weight = None if weight is None or isinstance(weight, Real) else _check_sample_weight(weight, table, dtype=np.float64)
    weight = None if weight is None else weight * (len(weight) / weight.sum())
    table, target, centre = _centred(table, target, weight, model.fit_intercept)
    gram, products = table.T @ table, table.T @ target
    settings = {"l1_ratio": model.l1_ratio, "alphas": [configs[i]["alpha"] for i in path], "positive": model.positive, "max_iter": model.max_iter}
    with catch_warnings():
        simplefilter("ignore", ConvergenceWarning)
        solved = [
            enet_path(table, column, precompute=gram, Xy=product, tol=0.1 * model.tol, return_n_iter=True, **settings)
            for column, product in zip(target.T, products.T, strict=True)
        ]
    coefs = np.stack([found[1].T for found in solved], axis=1)
    intercepts = centre[1] - coefs @ centre[0]
    ended = np.all([np.asarray(found[3]) < model.max_iter for found in solved], axis=0) & np.isfinite(coefs).all(axis=(1, 2))
    scores, views = _Scores(coefs, intercepts, model), {}
    for place, i in enumerate(path):
        if ended[place]:
            coef, intercept = coefs[place].reshape(np.shape(model.coef_)), intercepts[place].reshape(np.shape(model.intercept_) or (-1,))
            reached: dict[str, Any] = {"n_iter_": [found[3][place] for found in solved], "dual_gap_": np.array([found[2][place] for found in solved])}
            if len(solved) == 1:
                reached = {name: value[0] for name, value in reached.items()}
            own = {"coef_": coef, "intercept_": intercept if np.ndim(model.intercept_) else intercept[0], **reached, **configs[i]}
            views[i] = shown_as(model, _VIEWS[type(model)], scores_=scores, place_=place, **own)
    return [views[i] if i in views else one_by_one(estimator, [config], X, y, fit_params)[0] for i, config in enumerate(configs)]


def logistic_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """Fits that each begin where the last ended, from the strongest penalty to the weakest; one of its own where that did not end."""
    path = sorted((i for i, config in enumerate(configs) if is_number(config["C"]) and config["C"] > 0), key=lambda i: configs[i]["C"])
    views = {i: one_by_one(estimator, [config], X, y, fit_params)[0] for i, config in enumerate(configs) if i not in path}
    model = clone(estimator).set_params(warm_start=True)
    for i in path:
        model.set_params(**configs[i]).fit(X, y, **fit_params)
        ended = np.all(np.asarray(model.n_iter_) < model.max_iter)
        views[i] = deepcopy(model).set_params(warm_start=estimator.warm_start) if ended else one_by_one(estimator, [configs[i]], X, y, fit_params)[0]
    return [views[i] for i in range(len(configs))]


def _ridge_holds(estimator: Any) -> bool:
    """Where scikit-learn solves to rounding; its other solvers end at a tolerance."""
    return estimator.solver in ("auto", "svd", "cholesky") and not estimator.positive


def _lasso_holds(estimator: Any) -> bool:
    return bool(estimator.selection == "cyclic" and 0 < estimator.tol <= 1e-4)


def _logistic_holds(estimator: Any) -> bool:
    return estimator.solver in ("lbfgs", "newton-cg", "newton-cholesky") and 0 < estimator.tol <= 1e-4


for _kind in (Ridge, RidgeClassifier):
    register(_kind, Reuse(("alpha",), ridge_views, tolerance=_EXACT, applies=_ridge_holds))
for _kind in (Lasso, ElasticNet):
    register(_kind, Reuse(("alpha",), lasso_views, tolerance=5e-2, applies=_lasso_holds))
_ELSEWHERE = "where the solver stops within its tolerance, which depends on where it began"
register(LogisticRegression, Reuse(("C",), logistic_views, tolerance=None, applies=_logistic_holds, says=_ELSEWHERE, cheap=False))
