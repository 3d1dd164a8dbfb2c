"""Steps of which the first k parts are what a fit with k of them gives: principal components, components of PLS, the best k columns.

A view of a transformer is a fitted transformer; its ``transform`` of the very table that it was fitted to is what ``fit_transform`` returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy import linalg, sparse
from sklearn import decomposition
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.feature_selection import SelectFdr, SelectFpr, SelectFwe, SelectKBest, SelectPercentile, chi2, f_classif, f_regression, r_regression

from staytuned.evaluate.reuse._tables import fitted_anew, is_number, one_by_one, shown_as
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

_NO_DRAW = (f_classif, f_regression, r_regression, chi2)  # score functions that give the same scores again


def component_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """Principal components: the first of all of them. What is no whole number, or is solved in another way, has a fit of its own."""
    rows, columns = np.shape(X)
    most = min(rows, columns)
    solver = _solver(estimator, X, rows, columns)
    counts = {i: most if (k := config["n_components"]) is None else int(k) for i, config in enumerate(configs) if _counts(config["n_components"], most)}
    shared = {i: k for i, k in counts.items() if solver != "auto" or not 1 <= k < 0.8 * most or configs[i]["n_components"] is None}
    if solver is None or len(shared) < 2 or fit_params:
        return [_own(estimator, config, X, y, fit_params) for config in configs]
    model = clone(estimator).set_params(n_components=None)
    training = model.fit_transform(X)
    views = []
    for i, config in enumerate(configs):
        if i not in shared:
            views.append(_own(estimator, config, X, y, fit_params))
            continue
        k = shared[i]
        cut = {name: np.array(getattr(model, name)[:k]) for name in ("components_", "explained_variance_", "explained_variance_ratio_", "singular_values_")}
        noise = float(np.mean(model.explained_variance_[k:])) if k < most else 0.0
        view = shown_as(model, PCA, n_components_=k, noise_variance_=noise, **cut, **config)
        if model._fit_svd_solver == "full":
            view.training_ = X, training
        views.append(view)
    return views


def _own(estimator: Any, config: Config, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Any:
    model = clone(estimator).set_params(**config)
    training = model.fit_transform(X, y, **fit_params)
    return shown_as(model, PCA, training_=(X, training))


def _solver(estimator: Any, X: Any, rows: int, columns: int) -> str | None:
    """How scikit-learn will decompose: "auto" where the number of components decides, None where it does not compute all of them."""
    if sparse.issparse(X) or estimator.svd_solver not in ("auto", "full", "covariance_eigh"):
        return None
    if estimator.svd_solver == "auto" and ((columns <= 1000 and rows >= 10 * columns) or max(rows, columns) <= 500):
        return "any"
    return str(estimator.svd_solver)


def _counts(value: Any, most: int) -> bool:
    return value is None or (is_number(value, Integral) and bool(1 <= value <= most))


@fitted_anew
class PCA(decomposition.PCA):  # type: ignore[misc]
    """A fitted PCA cut to its first components; under its own name, after which scikit-learn names the columns it makes."""

    SHARED = ("training_",)

    def transform(self, X: Any) -> Any:
        if "training_" in self.__dict__ and X is self.training_[0]:
            table = self.training_[1]
            return table.iloc[:, : self.n_components_] if hasattr(table, "iloc") else np.array(table[:, : self.n_components_], order="F")
        return super().transform(X)

    def __getstate__(self) -> Any:
        return {name: value for name, value in super().__getstate__().items() if name != "training_"}


def latent_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """PLS regression: the components are found one after the other, so that the first are those of a fit with fewer."""
    most = max((int(c["n_components"]) for c in configs if _counts(c["n_components"], min(np.shape(X))) and c["n_components"] is not None), default=0)
    if most == 0:
        return one_by_one(estimator, configs, X, y, fit_params)
    model = one_by_one(estimator, [{"n_components": most}], X, y, fit_params)[0]
    return [
        _cut(model, int(c["n_components"]), c) if c["n_components"] is not None and _counts(c["n_components"], most) else _alone(estimator, c, X, y, fit_params)
        for c in configs
    ]


def _alone(estimator: Any, config: Config, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Any:
    return one_by_one(estimator, [config], X, y, fit_params)[0]


def _cut(model: Any, k: int, config: Config) -> Any:
    view = shown_as(model, type(model), **config)
    for name in ("x_weights_", "y_weights_", "x_loadings_", "y_loadings_", "_x_scores", "_y_scores"):
        setattr(view, name, np.array(getattr(model, name)[:, :k]))
    view.x_rotations_ = view.x_weights_ @ linalg.pinv(view.x_loadings_.T @ view.x_weights_, check_finite=False)
    view.y_rotations_ = view.y_weights_ @ linalg.pinv(view.y_loadings_.T @ view.y_weights_, check_finite=False)
    view.coef_ = ((view.x_rotations_ @ view.y_loadings_.T) * model._y_std).T / model._x_std
    view.n_iter_ = model.n_iter_[:k]
    view._n_features_out = k
    return view


def selection_views(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """Univariate selection: the columns are scored once, and the cut is made when a table is transformed."""
    model = one_by_one(estimator, configs[:1], X, y, fit_params)[0]
    views = [model]
    for config in configs[1:]:
        view = shown_as(model, type(model), **config)
        view._validate_params()
        views.append(view)
    return views


def _no_draw(estimator: Any) -> bool:
    return estimator.score_func in _NO_DRAW


def _may_draw(estimator: Any) -> bool:
    return not _no_draw(estimator)


register(decomposition.PCA, Reuse(("n_components",), component_views, tolerance=1e-12, applies=lambda pca: bool(pca.copy)))
register(PLSRegression, Reuse(("n_components",), latent_views, tolerance=1e-10))
for _kind, _name in ((SelectKBest, "k"), (SelectPercentile, "percentile"), (SelectFpr, "alpha"), (SelectFdr, "alpha"), (SelectFwe, "alpha")):
    register(_kind, Reuse((_name,), selection_views, applies=_no_draw))
    _SAYS = "the score function may draw at random, and scores once for all values"
    register(_kind, Reuse((_name,), selection_views, tolerance=None, applies=_may_draw, says=_SAYS))
