"""Linear models: the whole path of penalties against a refit for each."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import get_scorer

from staytuned.evaluate.reuse.linear import lasso_views, logistic_views, ridge_views
from staytuned.evaluate.reuse.registry import reuses
from staytuned.space.space import Config

ALPHAS: list[Config] = [{"alpha": float(a)} for a in np.logspace(-4, 4, 17)]
X, y = make_regression(150, 12, noise=5, bias=30, random_state=0)
W = np.random.default_rng(0).uniform(0, 3, 150)
C, LABELS = make_classification(150, 12, n_informative=6, n_redundant=3, n_classes=3, random_state=0)
NAMES = np.array(["a", "b", "c"])[LABELS]


def compare(views: Any, estimator: Any, configs: list[Config], X: Any, y: Any, X_test: Any, tolerance: float, what: str = "predict", **fit_params: Any) -> Any:
    found = views(clone(estimator), configs, X, y, fit_params)
    size = 1.0 if what != "predict" or np.asarray(y).dtype.kind not in "fi" else np.sqrt(np.mean(np.asarray(y, dtype=float) ** 2))
    for config, view in zip(configs, found, strict=True):
        alone = clone(estimator).set_params(**config).fit(X, y, **fit_params)
        assert isinstance(view, type(estimator))
        assert {name: view.get_params()[name] for name in config} == config
        for table in (X_test, X):
            expected = getattr(alone, what)(table)
            np.testing.assert_allclose(getattr(view, what)(table), expected, atol=tolerance * size, rtol=0)
            assert getattr(view, what)(table).shape == expected.shape
        assert np.shape(view.coef_) == np.shape(alone.coef_)
        assert np.shape(view.intercept_) == np.shape(alone.intercept_)
    return found


def shared(views: Any) -> int:
    return sum(hasattr(view, "scores_") for view in views)


@pytest.mark.parametrize("solver", ["auto", "svd", "cholesky"])
@pytest.mark.parametrize("intercept", [True, False])
def test_ridge_is_exact(solver: str, intercept: bool) -> None:
    estimator = Ridge(solver=solver, fit_intercept=intercept)
    assert shared(compare(ridge_views, estimator, ALPHAS, X[:100], y[:100], X[100:], 1e-10)) == len(ALPHAS)
    assert shared(compare(ridge_views, estimator, ALPHAS, X[:100], y[:100], X[100:], 1e-10, sample_weight=W[:100])) == len(ALPHAS)


def test_ridge_of_wide_collinear_and_badly_scaled_tables() -> None:
    rng = np.random.default_rng(3)
    for table in (rng.normal(size=(80, 120)), np.c_[X[:80], X[:80, :4] @ np.ones((4, 2))], X[:80] * np.logspace(-4, 4, 12), rng.normal(size=(80, 40)) + 1e5):
        for weights in ({}, {"sample_weight": W[:40]}):
            compare(ridge_views, Ridge(), ALPHAS, table[:40], y[:40], table[40:], 1e-10, **weights)


def test_ridge_of_several_targets_frames_and_whole_numbers() -> None:
    targets = np.column_stack([y, X[:, 0] * 3, np.ones(150)])
    assert shared(compare(ridge_views, Ridge(), ALPHAS, X[:100], targets[:100], X[100:], 1e-10)) > 10
    compare(ridge_views, Ridge(fit_intercept=False), ALPHAS, X[:100], y[:100, None], X[100:], 1e-10)
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(12)])
    views = compare(ridge_views, Ridge(), ALPHAS, frame[:100], pd.Series(y[:100]), frame[100:], 1e-10)
    assert list(views[3].feature_names_in_) == list(frame)
    compare(ridge_views, Ridge(), ALPHAS, np.round(X[:100] * 10).astype(int), np.round(y[:100]).astype(int), np.round(X[100:] * 10).astype(int), 1e-10)


def test_ridge_without_penalty_of_sparse_and_single_precision_tables_and_odd_values() -> None:
    compare(ridge_views, Ridge(), [{"alpha": 0}, {"alpha": 1}, {"alpha": 3.0}], X[:100], y[:100], X[100:], 1e-10)
    assert shared(compare(ridge_views, Ridge(), ALPHAS[::6], sparse.csr_array(X), y, sparse.csr_array(X), 1e-12)) == 0
    assert shared(compare(ridge_views, Ridge(), ALPHAS[::6], X.astype(np.float32), y, X.astype(np.float32), 1e-12)) == 0
    targets = np.column_stack([y, -y])
    for view, alpha in zip(ridge_views(Ridge(), [{"alpha": 1.0}, {"alpha": np.array([1.0, 2.0])}], X, targets, {}), (1.0, np.array([1.0, 2.0])), strict=True):
        np.testing.assert_allclose(view.predict(X), Ridge(alpha).fit(X, targets).predict(X), atol=1e-8)
    with pytest.raises(ValueError, match="alpha"):
        ridge_views(Ridge(), [{"alpha": 1.0}, {"alpha": -1.0}], X, y, {})
    with pytest.raises(TypeError, match="nonsense"):
        ridge_views(Ridge(), ALPHAS, X, y, {"nonsense": 1})


@pytest.mark.parametrize("target", [NAMES, NAMES == "a"], ids=["three", "two"])
@pytest.mark.parametrize("weight", [None, "balanced"])
def test_ridge_classifier_is_exact(target: Any, weight: Any) -> None:
    for fit_params in ({}, {"sample_weight": W[:100]}):
        views = compare(ridge_views, RidgeClassifier(class_weight=weight), ALPHAS, C[:100], target[:100], C[100:], 1e-9, "decision_function", **fit_params)
        assert shared(views) > 8
        for config, view in zip(ALPHAS, views, strict=True):
            alone = RidgeClassifier(class_weight=weight, **config).fit(C[:100], target[:100], **fit_params)
            np.testing.assert_array_equal(view.predict(C), alone.predict(C))
            np.testing.assert_array_equal(view.classes_, alone.classes_)
            assert get_scorer("balanced_accuracy")(view, C, target) == get_scorer("balanced_accuracy")(alone, C, target)


def test_a_class_weight_by_name() -> None:
    estimator = RidgeClassifier(class_weight={"a": 1, "b": 5, "c": 0.5})
    compare(ridge_views, estimator, ALPHAS, C[:100], NAMES[:100], C[100:], 1e-9, "decision_function")


@pytest.mark.parametrize("estimator", [Lasso(), ElasticNet(l1_ratio=0.3), Lasso(positive=True), ElasticNet(fit_intercept=False)])
def test_lasso_is_within_the_solvers_tolerance(estimator: Any) -> None:
    assert shared(compare(lasso_views, estimator, ALPHAS, X[:100], y[:100], X[100:], 5e-2)) > 10
    compare(lasso_views, estimator, ALPHAS, X[:100], y[:100], X[100:], 5e-2, sample_weight=W[:100])


def test_lasso_of_several_targets_and_of_tables_it_is_not_for() -> None:
    assert shared(compare(lasso_views, Lasso(), ALPHAS[6:], X[:100], np.column_stack([y, -3 * y])[:100], X[100:], 5e-2)) > 8
    assert shared(compare(lasso_views, Lasso(), ALPHAS[8:], X[:20], y[:20], X[20:], 1e-12)) == 0
    assert shared(compare(lasso_views, Lasso(), ALPHAS[8:], sparse.csc_array(X), y, sparse.csc_array(X), 1e-12)) == 0


def test_lasso_with_a_tight_tolerance_meets_its_refits() -> None:
    compare(lasso_views, ElasticNet(tol=1e-12, max_iter=100_000), ALPHAS, X[:100], y[:100], X[100:], 1e-6)


def test_logistic_path_ends_near_its_refits() -> None:
    configs = [{"C": float(c)} for c in np.logspace(-3, 1, 7)]
    compare(logistic_views, LogisticRegression(), configs, C[:100], NAMES[:100], C[100:], 2e-2, "predict_proba", sample_weight=W[:100])
    tight = LogisticRegression(tol=1e-9, solver="newton-cholesky")
    compare(logistic_views, tight, configs, C[:100], NAMES[:100] == "a", C[100:], 1e-6, "predict_proba")


def test_what_does_not_hold_is_refused() -> None:
    assert reuses(Ridge(solver="sag")) == ()
    assert reuses(Ridge(positive=True)) == ()
    assert reuses(Lasso(selection="random")) == ()
    assert reuses(Lasso(tol=1e-2)) == ()
    assert reuses(LogisticRegression(solver="saga")) == ()
    assert reuses(LogisticRegression())[0].tolerance is None
    assert reuses(Ridge())[0].tolerance == 1e-10


def test_a_table_is_multiplied_once_for_all_views() -> None:
    views = ridge_views(Ridge(), ALPHAS, X, y, {})
    scores = views[0].scores_
    for view in views:
        assert view.scores_ is scores
        view.predict(X)
    assert len(scores._of_table._tables) == 1
