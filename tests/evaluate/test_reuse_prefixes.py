"""First components and best columns against a refit for each number of them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectFdr, SelectFpr, SelectFwe, SelectKBest, SelectPercentile, chi2, f_classif, mutual_info_classif
from sklearn.metrics import get_scorer

from staytuned.evaluate.reuse.prefixes import component_views, latent_views, selection_views
from staytuned.evaluate.reuse.registry import reuses
from staytuned.space.space import Config

X, y = make_classification(120, 10, n_informative=5, n_redundant=0, random_state=0)
RNG = np.random.default_rng(0)
KS: list[Config] = [{"n_components": k} for k in (3, 1, 10, 7, None)]


def compare(views: Any, estimator: Any, configs: list[Config], X: Any, y: Any, X_test: Any) -> Any:
    found = views(clone(estimator), configs, X, y, {})
    for config, view in zip(configs, found, strict=True):
        alone = clone(estimator).set_params(**config)
        training = alone.fit_transform(X, y)
        assert isinstance(view, type(estimator))
        assert type(view).__name__ == type(estimator).__name__
        assert view.get_params() == alone.get_params()
        for expected, given in ((training, view.transform(X)), (alone.transform(X_test), view.transform(X_test))):
            np.testing.assert_allclose(np.asarray(given), np.asarray(expected), atol=1e-12, rtol=0)
        np.testing.assert_array_equal(view.get_feature_names_out(), alone.get_feature_names_out())
    return found


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("solver", ["auto", "full", "covariance_eigh"])
def test_components_are_the_first_of_all(solver: str, whiten: bool) -> None:
    views = compare(component_views, PCA(svd_solver=solver, whiten=whiten), KS, X[:100], None, X[100:])
    for config, view in zip(KS, views, strict=True):
        alone = PCA(svd_solver=solver, whiten=whiten, **config).fit(X[:100])
        for name in ("components_", "explained_variance_", "explained_variance_ratio_", "singular_values_", "noise_variance_", "n_components_", "mean_"):
            np.testing.assert_allclose(getattr(view, name), getattr(alone, name), atol=1e-12)
        np.testing.assert_allclose(view.score(X), alone.score(X), atol=1e-9)
        np.testing.assert_allclose(view.inverse_transform(view.transform(X)), alone.inverse_transform(alone.transform(X)), atol=1e-10)


def test_shares_of_variance_and_tables_that_are_solved_at_random_have_fits_of_their_own() -> None:
    compare(component_views, PCA(), [{"n_components": 0.9}, {"n_components": "mle"}, {"n_components": 3}, {"n_components": 4}], X, None, X)
    large = RNG.normal(size=(501, 60))
    compare(component_views, PCA(random_state=0), [{"n_components": 3}, {"n_components": 55}, {"n_components": 60}], large, None, large[:50])
    wide = RNG.normal(size=(20, 40))
    compare(component_views, PCA(), [{"n_components": 3}, {"n_components": 19}, {"n_components": 20}], wide, None, wide[:5] + 1)
    rows = sparse.random_array((60, 12), density=0.3, rng=RNG).tocsr()
    compare(component_views, PCA(svd_solver="covariance_eigh"), [{"n_components": 3}, {"n_components": 5}], rows, None, rows)
    with pytest.raises(ValueError, match="n_components"):
        component_views(PCA(), [{"n_components": 2}, {"n_components": 3}, {"n_components": 11}], X, None, {})


def test_frames_in_and_out() -> None:
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(10)], index=np.arange(120) + 7)
    views = compare(component_views, PCA(svd_solver="full").set_output(transform="pandas"), KS, frame[:100], None, frame[100:])
    assert list(views[0].transform(frame[100:]).columns) == ["pca0", "pca1", "pca2"]
    assert list(views[0].feature_names_in_) == list(frame)
    best = SelectKBest(f_classif).set_output(transform="pandas")
    assert list(selection_views(best, [{"k": 2}, {"k": 4}], frame, y, {})[1].transform(frame)) == list(best.set_params(k=4).fit_transform(frame, y))


@pytest.mark.parametrize("scale", [True, False])
def test_latent_components(scale: bool) -> None:
    for target in (X @ RNG.normal(size=10), X @ RNG.normal(size=(10, 3))):
        found = latent_views(PLSRegression(scale=scale), configs := [{"n_components": k} for k in (2, 1, 7, 4)], X[:90], target[:90], {})
        for config, view in zip(configs, found, strict=True):
            alone = PLSRegression(scale=scale, **config).fit(X[:90], target[:90])
            np.testing.assert_allclose(view.predict(X), alone.predict(X), atol=1e-10 * np.abs(target).max())
            np.testing.assert_allclose(view.transform(X), alone.transform(X), atol=1e-9)
            np.testing.assert_allclose(view.coef_, alone.coef_, atol=1e-9)
            assert view.predict(X).shape == alone.predict(X).shape
            assert get_scorer("r2")(view, X, target) == pytest.approx(get_scorer("r2")(alone, X, target), abs=1e-10)
            assert view.n_components == config["n_components"]


def test_too_many_latent_components_fail_as_in_scikit_learn() -> None:
    with pytest.raises(ValueError, match="upper bound"):
        latent_views(PLSRegression(), [{"n_components": 2}, {"n_components": 11}], X, y.astype(float), {})


@pytest.mark.parametrize(
    ("estimator", "name", "values"),
    [
        (SelectKBest(f_classif), "k", [1, 4, "all", 10, 0]),
        (SelectPercentile(f_classif), "percentile", [5, 50, 100]),
        (SelectFpr(f_classif), "alpha", [0.001, 0.5]),
        (SelectFdr(f_classif), "alpha", [0.001, 0.5]),
        (SelectFwe(f_classif), "alpha", [0.001, 0.5]),
    ],
)
@pytest.mark.filterwarnings("ignore:No features were selected:UserWarning")
def test_columns_are_scored_once(estimator: Any, name: str, values: list[Any]) -> None:
    ties = np.column_stack([X, X[:, :3]])
    compare(selection_views, estimator, [{name: value} for value in values], ties[:100], y[:100], ties[100:])
    with pytest.raises(ValueError, match=name):
        selection_views(estimator, [{name: values[0]}, {name: -3}], X, y, {})


def test_what_does_not_hold_is_refused() -> None:
    assert reuses(PCA(copy=False)) == ()
    assert reuses(SelectKBest(mutual_info_classif))[0].tolerance is None
    assert reuses(SelectKBest(mutual_info_classif))[0].says
    assert [reuse.tolerance for reuse in reuses(SelectKBest(chi2))] == [0.0]
