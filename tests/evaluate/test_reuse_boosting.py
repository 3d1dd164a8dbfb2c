"""Boosted models cut to their first rounds: bit by bit what fewer rounds give."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from refits import assert_same_as_refits, framed, known, table
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from staytuned.evaluate.reuse import _sharing

pytestmark = pytest.mark.slow  # a fit of its own for every value compared

ROUNDS = [6, 1, 3]  # in any order


def rounds(model: Any) -> str:
    return "max_iter" if type(model).__name__.startswith("Hist") else "n_estimators"


@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (3, True)])
@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(random_state=0),
        GradientBoostingClassifier(random_state=0, subsample=0.6, max_features=2, max_depth=2),
        GradientBoostingClassifier(random_state=0, init="zero", learning_rate=0.5),
        HistGradientBoostingClassifier(random_state=0, min_samples_leaf=5),
        HistGradientBoostingClassifier(random_state=0, min_samples_leaf=5, max_features=0.5, early_stopping=False, class_weight="balanced"),
        AdaBoostClassifier(random_state=0),
        AdaBoostClassifier(DecisionTreeClassifier(max_depth=3, max_features=2), random_state=0, learning_rate=0.5),
    ],
    ids=str,
)
def test_classifiers(model: Any, classes: int, weighted: bool) -> None:
    X, y, weights = table(classes)
    assert_same_as_refits(model, rounds(model), ROUNDS, X, y, {"sample_weight": weights} if weighted else {}, classes)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(random_state=0),
        GradientBoostingRegressor(random_state=0, subsample=0.5, loss="huber"),
        HistGradientBoostingRegressor(random_state=0, min_samples_leaf=5),
        AdaBoostRegressor(random_state=0),
        AdaBoostRegressor(random_state=0, loss="exponential"),
    ],
    ids=str,
)
def test_regressors(model: Any, weighted: bool) -> None:
    X, y, weights = table(None)
    assert_same_as_refits(model, rounds(model), ROUNDS, X, y, {"sample_weight": weights} if weighted else {})


@pytest.mark.parametrize("loss", ["poisson", "gamma", "quantile", "absolute_error"])
def test_losses_with_a_link_or_a_median(loss: str) -> None:
    X, y, _ = table(None)
    model = HistGradientBoostingRegressor(loss=loss, quantile=0.7 if loss == "quantile" else None, min_samples_leaf=5, random_state=0)
    assert_same_as_refits(model, "max_iter", ROUNDS, X, np.abs(y) + 0.1)


@pytest.mark.parametrize(
    "model",
    [GradientBoostingClassifier(random_state=0), HistGradientBoostingClassifier(random_state=0, min_samples_leaf=5), AdaBoostClassifier(random_state=0)],
    ids=str,
)
def test_frames_and_named_classes(model: Any) -> None:
    X, y, _ = table(3)
    assert_same_as_refits(model, rounds(model), ROUNDS, *framed(X, y), classes=3)


def test_categories_and_gaps() -> None:
    X, y, _ = table(2)
    frame, named = framed(X, y)
    frame["column 0"] = np.array(["low", "mid", "high"])[np.digitize(X[:, 0], [-1, 1])]
    frame["column 0"] = frame["column 0"].astype("category")
    frame.loc[::7, "column 1"] = np.nan
    assert_same_as_refits(HistGradientBoostingClassifier(random_state=0, min_samples_leaf=5), "max_iter", ROUNDS, frame, named)


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(random_state=0, n_iter_no_change=2, tol=0.01, learning_rate=1.0),
        HistGradientBoostingClassifier(random_state=0, early_stopping=True, n_iter_no_change=2, tol=0.01, learning_rate=1.0, min_samples_leaf=5),
        HistGradientBoostingClassifier(random_state=0, early_stopping=True, scoring="roc_auc", n_iter_no_change=2, learning_rate=1.0, min_samples_leaf=5),
        AdaBoostClassifier(DecisionTreeClassifier(), random_state=0),
    ],
    ids=str,
)
def test_a_model_that_stops_by_itself_stops_at_the_same_round(model: Any) -> None:
    X, y, _ = table(2)
    views = assert_same_as_refits(model, rounds(model), [1, 2, 60, 40], X, y, classes=2)
    sizes = [getattr(view, "n_iter_", None) or len(view.estimators_) for view in views]
    assert sizes[2] == sizes[3] < 40


@pytest.mark.parametrize("model", [GradientBoostingClassifier(warm_start=True), HistGradientBoostingRegressor(warm_start=True)], ids=str)
def test_refused(model: Any) -> None:
    assert known(model, rounds(model)) is None


def test_a_monitor_may_stop_each_fit_where_it_likes() -> None:
    X, y, _ = table(2)
    model = GradientBoostingClassifier(random_state=0)
    assert_same_as_refits(model, "n_estimators", [2, 6], X, y, {"monitor": lambda done, model, rest: done == model.n_estimators // 2})  # noqa: ARG005


def test_what_the_views_show_of_their_rounds() -> None:
    X, y, _ = table(2)
    model = GradientBoostingClassifier(random_state=0, subsample=0.7)
    for view, count in zip(assert_same_as_refits(model, "n_estimators", ROUNDS, X, y, classes=2), ROUNDS, strict=True):
        alone = GradientBoostingClassifier(n_estimators=count, random_state=0, subsample=0.7).fit(X, y)
        assert len(view.estimators_) == view.n_estimators_ == count
        assert np.array_equal(view.train_score_, alone.train_score_)
        assert view.oob_score_ == alone.oob_score_
        assert np.array_equal(view.feature_importances_, alone.feature_importances_)
    histogram = HistGradientBoostingClassifier(random_state=0, min_samples_leaf=5)
    for view, count in zip(assert_same_as_refits(histogram, "max_iter", ROUNDS, X, y, classes=2), ROUNDS, strict=True):
        assert view.n_iter_ == count


@pytest.mark.parametrize("model", [GradientBoostingClassifier(random_state=0), AdaBoostRegressor(random_state=0), HistGradientBoostingClassifier()], ids=str)
def test_too_much_to_keep_is_computed_by_each(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    monkeypatch.setattr(_sharing, "_MEMORY", 100)
    X, y, _ = table(2)
    assert_same_as_refits(model, rounds(model), ROUNDS, X, y)


def test_members_without_probabilities() -> None:
    X, y, _ = table(3)
    assert_same_as_refits(AdaBoostClassifier(LogisticRegression(), random_state=0), "n_estimators", ROUNDS, X, y)


def test_one_pass_serves_all_views(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, _ = table(2)
    reuse = known(GradientBoostingClassifier(), "n_estimators")
    assert reuse is not None
    views = reuse.views(GradientBoostingClassifier(random_state=0), [{"n_estimators": count} for count in range(1, 8)], X, y, {})
    passes: list[int] = []
    own = GradientBoostingClassifier.staged_decision_function
    monkeypatch.setattr(GradientBoostingClassifier, "staged_decision_function", lambda *args: (passes.append(1), own(*args))[1])
    monkeypatch.setattr(GradientBoostingClassifier, "_raw_predict", None)
    for view in views:
        view.predict(X)
        view.predict_proba(X)
        view.score(X, y)
    assert len(passes) == 1


@pytest.mark.parametrize("model", [GradientBoostingClassifier(random_state=0), HistGradientBoostingClassifier(), AdaBoostClassifier()], ids=str)
def test_views_travel(model: Any) -> None:
    X, y, _ = table(2)
    reuse = known(model, rounds(model))
    assert reuse is not None
    view, _ = reuse.views(model, [{rounds(model): count} for count in (2, 5)], X, y, {})
    right = view.predict_proba(X)
    assert np.array_equal(pickle.loads(pickle.dumps(view)).predict_proba(X), right)
