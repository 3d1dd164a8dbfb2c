"""Kernel machines: penalties on a shared kernel matrix against a refit for each."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import get_scorer
from sklearn.svm import SVC, SVR

from staytuned.evaluate.reuse.kernels import kernel_ridge_views, machine_views
from staytuned.evaluate.reuse.registry import reuses
from staytuned.space.space import Config

pytestmark = pytest.mark.slow  # a fit of its own for every value compared

ALPHAS: list[Config] = [{"alpha": float(a)} for a in np.logspace(-6, 3, 28)]
X, LABELS = make_classification(160, 5, n_informative=4, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=0)
y = X[:, 0] ** 2 + np.sin(X[:, 1]) + 5
NAMES = np.array(["a", "b", "c"])[LABELS]
W = np.random.default_rng(0).uniform(0.1, 3, 160)
TRAIN, TEST = slice(0, 100), slice(100, 160)


def compare(views: Any, estimator: Any, configs: list[Config], X: Any, y: Any, X_test: Any, tolerance: float, what: str = "predict", **fit_params: Any) -> Any:
    found = views(clone(estimator), configs, X, y, fit_params)
    for config, view in zip(configs, found, strict=True):
        alone = clone(estimator).set_params(**config).fit(X, y, **fit_params)
        assert isinstance(view, type(estimator))
        assert {name: view.get_params()[name] for name in config} == config
        assert view.get_params()["kernel"] == estimator.kernel
        for table in (X_test, X):
            expected = getattr(alone, what)(table)
            np.testing.assert_allclose(getattr(view, what)(table), expected, atol=tolerance, rtol=0)
            assert getattr(view, what)(table).shape == expected.shape
    return found


@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly", "laplacian"])
def test_kernel_ridge_is_exact(kernel: str) -> None:
    views = compare(kernel_ridge_views, KernelRidge(kernel=kernel), ALPHAS, X[TRAIN], y[TRAIN], X[TEST], 1e-9)
    assert sum(hasattr(view, "duals_") for view in views) > 10
    compare(kernel_ridge_views, KernelRidge(kernel=kernel), ALPHAS, X[TRAIN], y[TRAIN], X[TEST], 1e-9, sample_weight=W[TRAIN])


def test_kernel_ridge_of_several_targets_frames_and_sparse_tables() -> None:
    estimator = KernelRidge(kernel="rbf", gamma=0.2)
    compare(kernel_ridge_views, estimator, ALPHAS, X[TRAIN], np.column_stack([y, X[:, 2]])[TRAIN], X[TEST], 1e-9)
    frame = pd.DataFrame(X, columns=list("abcde"))
    compare(kernel_ridge_views, estimator, ALPHAS, frame[TRAIN], pd.Series(y[TRAIN]), frame[TEST], 1e-9)
    compare(kernel_ridge_views, estimator, ALPHAS, sparse.csr_array(X[TRAIN]), y[TRAIN], sparse.csr_array(X[TEST]), 1e-9)


def test_few_penalties_are_cheaper_one_by_one() -> None:
    views = compare(kernel_ridge_views, KernelRidge(kernel="rbf"), ALPHAS[:5], X[TRAIN], y[TRAIN], X[TEST], 1e-12)
    assert not any(hasattr(view, "duals_") for view in views)


@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly", "sigmoid"])
@pytest.mark.parametrize("target", [NAMES, NAMES == "a"], ids=["three", "two"])
def test_support_vector_classifiers(kernel: str, target: Any) -> None:
    configs = [{"C": c, "gamma": g} for c in (0.1, 1.0, 20.0) for g in ("scale", "auto", 0.05)]
    estimator = SVC(kernel=kernel, class_weight="balanced")
    views = compare(machine_views, estimator, configs, X[TRAIN], target[TRAIN], X[TEST], 1e-3, "decision_function", sample_weight=W[TRAIN])
    for config, view in zip(configs, views, strict=True):
        alone = clone(estimator).set_params(**config).fit(X[TRAIN], target[TRAIN], sample_weight=W[TRAIN])
        np.testing.assert_array_equal(view.predict(X), alone.predict(X))
        np.testing.assert_array_equal(view.classes_, alone.classes_)
        assert view.support_vectors_.shape[1] == 5
        np.testing.assert_allclose(SVC.decision_function(view, X), view.solved_.decision_function(view.kernel_.with_rows(view, X)), atol=1e-8)
    assert get_scorer("roc_auc_ovr" if target.dtype != bool else "roc_auc") is not None


def test_ties_shape_and_frames() -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    configs: list[Config] = [{"C": 0.5}, {"C": 5.0}]
    for estimator in (SVC(break_ties=True), SVC(decision_function_shape="ovo")):
        compare(machine_views, estimator, configs, frame[TRAIN], NAMES[TRAIN], frame[TEST], 1e-3, "decision_function")
        views = machine_views(estimator, configs, frame[TRAIN], NAMES[TRAIN], {})
        np.testing.assert_array_equal(views[0].predict(frame), clone(estimator).set_params(C=0.5).fit(frame[TRAIN], NAMES[TRAIN]).predict(frame))
        assert list(views[0].feature_names_in_) == list(frame)
        with pytest.raises(ValueError, match="feature names"):
            views[0].predict(frame[list("edcba")])


def test_support_vector_regressors() -> None:
    configs = [{"C": c, "epsilon": e, "gamma": g} for c in (0.1, 10.0) for e in (0.01, 0.3) for g in ("scale", 0.1)]
    compare(machine_views, SVR(), configs, X[TRAIN], y[TRAIN], X[TEST], 1e-3)
    compare(machine_views, SVR(kernel="linear"), [{"C": 0.1}, {"C": 1.0}], X[TRAIN], y[TRAIN], X[TEST], 1e-3, sample_weight=W[TRAIN])


def test_sparse_tables_are_fitted_one_by_one() -> None:
    table = sparse.csr_array(X)
    for view, c in zip(machine_views(SVC(), [{"C": 1.0}, {"C": 3.0}], table, NAMES, {}), (1.0, 3.0), strict=True):
        assert type(view) is SVC
        np.testing.assert_array_equal(view.predict(table), SVC(C=c).fit(table, NAMES).predict(table))


def test_bad_values_fail_as_in_scikit_learn() -> None:
    for config in ({"C": -1.0}, {"gamma": -1.0}, {"gamma": "wide"}):
        with pytest.raises(ValueError, match=next(iter(config))):
            machine_views(SVC(), [{name: {"C": 1.0, "gamma": 0.1}[name] for name in config}, config], X, NAMES, {})
    with pytest.raises(ValueError, match="alpha"):
        kernel_ridge_views(KernelRidge(), [*ALPHAS, {"alpha": -1}], X, y, {})


def test_what_does_not_hold_is_refused() -> None:
    assert reuses(SVC(probability=True)) == ()
    assert reuses(SVC(kernel="precomputed")) == ()
    assert reuses(SVC(kernel=np.dot)) == ()
    assert reuses(SVR(max_iter=10)) == ()
    assert reuses(KernelRidge(kernel="precomputed")) == ()
    assert reuses(SVC())[0].params == ("C", "gamma")
