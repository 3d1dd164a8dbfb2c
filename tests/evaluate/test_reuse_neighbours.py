"""Nearest neighbours: every view is the refitted estimator, ties included."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_classification, make_regression
from sklearn.metrics import check_scoring, get_scorer
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from staytuned.evaluate.reuse.neighbours import neighbour_views
from staytuned.evaluate.reuse.registry import reuses
from staytuned.space.space import Config

KS = [1, 2, 3, 8, 40, 79, 80]
CONFIGS: list[Config] = [{"n_neighbors": k, "weights": w} for w in ("uniform", "distance") for k in KS]
X, labels = make_classification(220, 6, n_informative=4, n_classes=3, random_state=0)
y = np.array(["low", "middle", "high"])[labels]
GRID = np.random.default_rng(1).integers(0, 3, size=(220, 4)).astype(float)  # hardly a distance that is not shared


def compare(estimator: Any, configs: list[Config], X: Any, y: Any, X_test: Any) -> None:
    views = neighbour_views(estimator, configs, X, y, {})
    for config, view in zip(configs, views, strict=True):
        alone = clone(estimator).set_params(**config).fit(X, y)
        assert isinstance(view, type(estimator))
        assert {name: view.get_params()[name] for name in config} == config
        for table in (X_test, X):
            if is_classifier(estimator):
                np.testing.assert_array_equal(view.predict(table), alone.predict(table))
                np.testing.assert_allclose(np.asarray(view.predict_proba(table)), np.asarray(alone.predict_proba(table)), atol=1e-10, rtol=0)
            else:
                np.testing.assert_allclose(view.predict(table), alone.predict(table), atol=1e-10 * np.abs(y).max(), rtol=0)


@pytest.mark.parametrize("algorithm", ["auto", "brute", "kd_tree", "ball_tree"])
@pytest.mark.parametrize("table", [X, GRID], ids=["reals", "ties"])
def test_views_of_a_classifier_are_refits(algorithm: str, table: Any) -> None:
    compare(KNeighborsClassifier(algorithm=algorithm), CONFIGS, table[:160], y[:160], table[160:])


@pytest.mark.parametrize("algorithm", ["auto", "brute"])
@pytest.mark.parametrize("table", [X, GRID], ids=["reals", "ties"])
def test_views_of_a_regressor_are_refits(algorithm: str, table: Any) -> None:
    target = make_regression(220, 3, random_state=0)[1]
    compare(KNeighborsRegressor(algorithm=algorithm), CONFIGS, table[:160], target[:160], table[160:])
    compare(KNeighborsRegressor(algorithm=algorithm), CONFIGS[5:9], table[:160], target[:160].astype(np.float32), table[160:])


def test_duplicates_and_zero_distances() -> None:
    doubled = np.vstack([X[:80], X[:80], X[:80] + 1e-12])
    compare(KNeighborsClassifier(), CONFIGS, doubled, np.tile(y[:80], 3)[np.random.default_rng(0).permutation(240)], X[:60])
    compare(KNeighborsClassifier(algorithm="brute"), CONFIGS, doubled, np.random.default_rng(0).permutation(np.tile(y[:80], 3)), X[:60])


@pytest.mark.parametrize("metric", ["manhattan", "cosine", "chebyshev"])
def test_other_metrics(metric: str) -> None:
    compare(KNeighborsClassifier(metric=metric), CONFIGS, GRID[:160], y[:160], GRID[160:])


def test_sparse_tables_frames_lists_and_several_outputs() -> None:
    rows = sparse.random_array((220, 30), density=0.2, rng=np.random.default_rng(0)).tocsr()
    compare(KNeighborsClassifier(), CONFIGS, rows[:160], y[:160], rows[160:])
    frame = pd.DataFrame(X, columns=list("abcdef"))
    compare(KNeighborsClassifier(), CONFIGS, frame[:160], pd.Series(y[:160]), frame[160:])
    compare(KNeighborsClassifier(), CONFIGS, X[:160].tolist(), y[:160].tolist(), X[160:].tolist())
    compare(KNeighborsRegressor(), CONFIGS, X[:160], X[:160, :2], X[160:])
    two = np.column_stack([y, labels.astype(str)])
    for view, config in zip(neighbour_views(KNeighborsClassifier(), CONFIGS, X, two, {}), CONFIGS, strict=True):
        np.testing.assert_array_equal(view.predict(X), KNeighborsClassifier(**config).fit(X, two).predict(X))


def test_one_parameter_alone() -> None:
    compare(KNeighborsClassifier(n_neighbors=7), [{"weights": w} for w in ("distance", "uniform", None)], X[:160], y[:160], X[160:])
    compare(KNeighborsClassifier(weights="distance"), [{"n_neighbors": k} for k in (9, 3, 9, 1)], X[:160], y[:160], X[160:])


def test_scorers_take_a_view_for_the_estimator() -> None:
    alone = KNeighborsClassifier(5).fit(X, y)
    view = neighbour_views(KNeighborsClassifier(), [{"n_neighbors": k} for k in (9, 5, 2)], X, y, {})[1]
    for name in ("accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro"):
        assert get_scorer(name)(view, X, y) == pytest.approx(get_scorer(name)(alone, X, y), abs=1e-10)
    assert check_scoring(view, ["accuracy", "balanced_accuracy"])(view, X, y) == pytest.approx(
        check_scoring(alone, ["accuracy", "balanced_accuracy"])(alone, X, y)
    )
    assert view.score(X, y, sample_weight=np.arange(220)) == alone.score(X, y, sample_weight=np.arange(220))
    np.testing.assert_array_equal(view.kneighbors(X)[1], alone.kneighbors(X)[1])
    np.testing.assert_array_equal(view.kneighbors(return_distance=False), alone.kneighbors(return_distance=False))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(view)).predict(X), alone.predict(X))


def test_score_is_scikit_learns() -> None:
    views = neighbour_views(KNeighborsClassifier(), [{"n_neighbors": k} for k in (9, 5, 2)], X[:160], y[:160], {})
    alone = KNeighborsClassifier(5).fit(X[:160], y[:160])
    for target in (y, pd.Series(y), y.astype(object), y.tolist()):
        assert views[1].score(X, target) == alone.score(X, target)
    with pytest.raises(ValueError, match="inconsistent"):
        views[1].score(X, y[:100])
    values = make_regression(220, 3, random_state=0)[1]
    view = neighbour_views(KNeighborsRegressor(), [{"n_neighbors": k} for k in (9, 5)], X, values, {})[1]
    plain = KNeighborsRegressor(5).fit(X, values)
    for target in (values, np.ones(220), values.round().astype(int)):
        assert view.score(X, target) == pytest.approx(plain.score(X, target), rel=1e-13)
        assert view.score(X, target, values**2) == pytest.approx(plain.score(X, target, values**2), rel=1e-13)
    with pytest.raises(ValueError, match="NaN"):
        view.score(X, np.where(values > 0, np.nan, values))


def test_a_table_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    kneighbors = KNeighborsClassifier.kneighbors
    monkeypatch.setattr(KNeighborsClassifier, "kneighbors", lambda self, *args, **kwargs: searched.append(1) or kneighbors(self, *args, **kwargs))
    views = neighbour_views(KNeighborsClassifier(), [{"n_neighbors": k} for k in range(1, 30)], X[:160], y[:160], {})
    test, train = X[160:], X[:160]
    for view in views:
        view.predict(test), view.predict_proba(test), view.predict(train)
    assert len(searched) == 2


def test_more_neighbours_than_rows_and_bad_values_fail_as_in_scikit_learn() -> None:
    views = neighbour_views(KNeighborsClassifier(), [{"n_neighbors": 3}, {"n_neighbors": 50}], X[:20], y[:20], {})
    np.testing.assert_array_equal(views[0].predict(X), KNeighborsClassifier(3).fit(X[:20], y[:20]).predict(X))
    with pytest.raises(ValueError, match="n_neighbors"):
        views[1].predict(X)
    with pytest.raises(ValueError, match="n_neighbors"):
        neighbour_views(KNeighborsClassifier(), [{"n_neighbors": 3}, {"n_neighbors": 0}], X, y, {})


def test_what_does_not_hold_is_refused() -> None:
    assert reuses(KNeighborsClassifier(metric="precomputed")) == ()
    assert reuses(KNeighborsRegressor(weights=np.exp)) == ()
    assert reuses(KNeighborsRegressor())[0].params == ("n_neighbors", "weights")
