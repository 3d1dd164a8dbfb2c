"""TuneSearchCV fits once and scores many, and says what a search of separate fits would have said."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.search import TuneSearchCV
from staytuned.space.dims import Choice, Float, Int

X, y = make_classification(n_samples=120, n_features=6, flip_y=0.2, random_state=0)
U, v = make_regression(n_samples=80, n_features=5, noise=20.0, random_state=0)


def by_params(results):
    """Config, as a sorted tuple, to its scores by fold and its rank."""
    splits = [key for key in results if key.startswith("split") and "_test_" in key]
    rows = {tuple(sorted(params.items())): [results[key][row] for key in splits] for row, params in enumerate(results["params"])}
    return rows, {tuple(sorted(params.items())): results["rank_test_score"][row] for row, params in enumerate(results["params"])}


@pytest.mark.parametrize(
    ("estimator", "grid", "scoring", "fits"),
    [
        (RandomForestClassifier(random_state=0), {"n_estimators": [2, 5, 9], "max_depth": [2, 4]}, "accuracy", 2),
        (GradientBoostingClassifier(random_state=0), {"n_estimators": [3, 7], "learning_rate": [0.1, 0.5]}, "roc_auc", 2),
        (KNeighborsClassifier(), {"n_neighbors": [1, 4, 9], "weights": ["uniform", "distance"], "p": [1, 2]}, "neg_log_loss", 2),
        (
            make_pipeline(StandardScaler(), PCA(svd_solver="full"), KNeighborsClassifier()),
            {"pca__n_components": [1, 3], "kneighborsclassifier__n_neighbors": [2, 5]},
            None,
            1,
        ),
    ],
    ids=["forest", "boosting", "neighbours", "pipeline"],
)
def test_a_grid_is_grouped_and_says_what_grid_search_says(estimator, grid, scoring, fits) -> None:
    theirs = GridSearchCV(estimator, grid, scoring=scoring, cv=3).fit(X, y)
    ours = TuneSearchCV(estimator, grid, method="grid", trials=None, scoring=scoring, cv=3).fit(X, y)
    expected, ranks = by_params(theirs.cv_results_)
    found, own_ranks = by_params(ours.cv_results_)
    assert expected.keys() == found.keys()
    for config, scores in expected.items():
        assert found[config] == pytest.approx(scores, abs=1e-10)
    assert {c for c, r in ranks.items() if r == 1} == {c for c, r in own_ranks.items() if r == 1}
    assert len(ours.study_.trials) == fits
    assert len(ours.trials_) == len(expected)
    assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-10)
    np.testing.assert_array_equal(ours.predict(X), with_params(estimator, ours.best_params_).predict(X))


def with_params(estimator, params):
    return estimator.set_params(**params).fit(X, y)


def test_a_hundred_alphas_are_one_trial_and_not_thinned() -> None:
    alphas = np.logspace(-4, 4, 100).tolist()
    search = TuneSearchCV(Ridge(), {"alpha": alphas}, method="grid", trials=None, cv=4, honest=False).fit(U, v)
    assert len(search.study_.trials) == 1
    assert sorted(params["alpha"] for params in search.cv_results_["params"]) == alphas
    assert search.reused_ == {"alpha": alphas}


def test_a_search_does_not_sample_what_comes_free() -> None:
    space = {"n_neighbors": Int(1, 12), "weights": Choice(["uniform", "distance"]), "p": Float(1, 3)}
    search = TuneSearchCV(KNeighborsClassifier(), space, trials=4, cv=3, random_state=0).fit(X, y)
    assert set(search.reused_) == {"n_neighbors", "weights"}
    asked = [t for t in search.study_.trials if t.origin != "default"]
    assert all(len(t.measurement.column) == 24 for t in asked)
    assert all(set(params) == set(space) for params in search.cv_results_["params"])
    alone = KNeighborsClassifier(**search.best_params_)
    grid = GridSearchCV(alone, {"n_neighbors": range(1, 13), "weights": ["uniform", "distance"]}, cv=3).fit(X, y)
    assert search.best_score_ == pytest.approx(grid.best_score_)


def test_the_estimator_as_it_was_passed_is_measured_as_it_is() -> None:
    search = TuneSearchCV(KNeighborsClassifier(7), {"n_neighbors": Int(1, 30)}, trials=5, cv=3, random_state=0).fit(X, y)
    assert search.cv_results_["params"][0] == {"n_neighbors": 7}
    assert search.cv_results_["origin"].tolist()[0] == "default"
    assert len(search.trials_) == 2  # the column holds all there is
    assert "the only config" in search.study_.why_ended


def test_without_reuse_every_value_is_a_trial() -> None:
    search = TuneSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3, 5]}, method="grid", trials=None, cv=3, reuse=False).fit(X, y)
    assert len(search.study_.trials) == 3
    assert search.reused_ == {}


@pytest.mark.parametrize("options", [{"return_train_score": True}, {"refit": lambda results: 0}, {"scoring": ["accuracy", "roc_auc"], "refit": False}])  # noqa: ARG005
def test_where_it_is_off(options) -> None:
    search = TuneSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3, 5]}, method="grid", trials=None, cv=3, **options).fit(X, y)
    assert len(search.study_.trials) == 3


def test_several_spaces_reuse_each_its_own() -> None:
    spaces = [{"n_neighbors": Int(1, 20), "p": [1]}, {"n_neighbors": [3, 5], "p": [2], "leaf_size": Int(10, 40)}]
    search = TuneSearchCV(KNeighborsClassifier(), spaces, trials=8, cv=3, random_state=1).fit(X, y)
    assert not any(t.status.failed for t in search.trials_)
    assert {params["p"] for params in search.cv_results_["params"]} == {1, 2}
    assert all(("leaf_size" in params) == (params["p"] == 2) for params in search.cv_results_["params"])


def test_a_killed_search_goes_on_with_its_columns(tmp_path) -> None:
    space = {"n_neighbors": Int(1, 10), "p": Float(1, 3)}
    options = {"cv": 3, "random_state": 0, "ledger": tmp_path / "ledger.db", "name": "knn"}
    TuneSearchCV(KNeighborsClassifier(), space, trials=3, **options).fit(X, y)
    resumed = TuneSearchCV(KNeighborsClassifier(), space, trials=6, **options).fit(X, y)
    whole = TuneSearchCV(KNeighborsClassifier(), space, trials=6, cv=3, random_state=0).fit(X, y)
    assert [dict(t.config) for t in resumed.trials_] == [dict(t.config) for t in whole.trials_]


@pytest.mark.slow
def test_processes_measure_columns_too() -> None:
    search = TuneSearchCV(KNeighborsClassifier(), {"n_neighbors": Int(1, 30), "p": Choice([1, 2])}, trials=4, cv=3, n_jobs=2, random_state=0).fit(X, y)
    assert sorted(len(t.measurement.column) for t in search.study_.trials) == [0, 30, 30]


class Shrunk(RegressorMixin, BaseEstimator):
    """The mean, shrunk: as simple as a user's own estimator can be."""

    fits = 0

    def __init__(self, by: float = 0.0):
        self.by = by

    def fit(self, X, y):  # noqa: ARG002
        Shrunk.fits += 1
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_ * (1 - self.by))


def test_a_users_own_estimator_can_be_registered() -> None:
    def views(estimator, configs, X, y, fit_params):  # noqa: ARG001
        estimator.fit(X, y)
        found = [Shrunk(**config) for config in configs]
        for view in found:
            view.mean_ = estimator.mean_
        return found

    register(Shrunk, Reuse(("by",), views))
    Shrunk.fits = 0
    search = TuneSearchCV(Shrunk(), {"by": [0.0, 0.1, 0.5, 1.0]}, method="grid", trials=None, cv=4, refit=False).fit(U, v + 50)
    assert Shrunk.fits == 4  # one for each fold
    assert len(search.trials_) == 4
    alone = TuneSearchCV(Shrunk(), {"by": [0.0, 0.1, 0.5, 1.0]}, method="grid", trials=None, cv=4, refit=False, reuse=False).fit(U, v + 50)
    assert by_params(search.cv_results_) == by_params(alone.cv_results_)


def test_a_misspelt_option() -> None:
    with pytest.raises(ValueError, match="reuse='yes' must be True, False or 'auto'"):
        TuneSearchCV(Ridge(), {"alpha": [1.0]}, reuse="yes").fit(U, v)
