"""LightGBM, XGBoost and CatBoost cut to their first rounds: bit by bit what fewer rounds give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from refits import assert_same_as_refits, framed, known, table
from sklearn.base import clone

from staytuned.evaluate.reuse import boosters

pytestmark = pytest.mark.slow  # a fit of its own for every value compared

ROUNDS = [12, 1, 5]  # in any order
QUIET = {"verbose": -1, "n_jobs": 1, "random_state": 0, "min_child_samples": 5, "num_leaves": 7, "force_col_wise": True}  # else it times two ways to sum


@pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one")
@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (3, True)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsample": 0.6, "subsample_freq": 1, "colsample_bytree": 0.5, "extra_trees": True},
        {"boosting_type": "goss", "learning_rate": 0.5},
        {"boosting": "gbdt", "class_weight": "balanced", "reg_alpha": 0.1},
        {"objective": "multiclassova", "num_class": 3},
        {"linear_tree": True},
    ],
    ids=str,
)
def test_lightgbm_classifiers(options: dict[str, Any], classes: int, weighted: bool) -> None:
    if classes == 2 and "num_class" in options:
        options = {"objective": "cross_entropy"}
    X, y, weights = table(classes)
    assert_same_as_refits(LGBMClassifier(**QUIET | options), "n_estimators", ROUNDS, X, y, {"sample_weight": weights} if weighted else {}, classes)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"objective": "quantile", "alpha": 0.3}, {"objective": "poisson"}, {"objective": "tweedie"}, {"reg_sqrt": True}, {"objective": "mape"}],
    ids=str,
)
def test_lightgbm_regressors(options: dict[str, Any], weighted: bool) -> None:
    X, y, weights = table(None)
    assert_same_as_refits(LGBMRegressor(**QUIET | options), "n_estimators", ROUNDS, X, np.abs(y) + 0.1, {"sample_weight": weights} if weighted else {})


@pytest.mark.parametrize("classes", [2, 3])
def test_lightgbm_leaves_are_looked_up_in_parts_where_there_are_many(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosters, "_LEAVES", 500)
    X, y, _ = table(classes)
    assert_same_as_refits(LGBMClassifier(**QUIET), "n_estimators", [40, 3, 17], X, y, {}, classes)


def test_lightgbm_rounds_that_find_no_split() -> None:
    X, y, _ = table(2)
    model = LGBMClassifier(verbose=-1, n_jobs=1, random_state=0, subsample=0.6, subsample_freq=1, colsample_bytree=0.5, extra_trees=True)
    assert clone(model).set_params(n_estimators=12).fit(X, y).booster_.num_trees() < 12
    assert_same_as_refits(model, "n_estimators", [12, 1, 5], X, y, {}, 2)


def test_lightgbm_frames_and_named_classes() -> None:
    X, y, _ = table(3)
    frame, named = framed(X, y)
    frame["column 1"] = np.array(["low", "mid", "high"])[np.digitize(X[:, 1], [-1, 1])]
    frame["column 1"] = frame["column 1"].astype("category")
    frame.loc[::9, "column 2"] = np.nan
    assert_same_as_refits(LGBMClassifier(**QUIET), "n_estimators", ROUNDS, frame, named, classes=3)


@pytest.mark.parametrize("name", boosters._ROUNDS)
def test_lightgbm_by_its_other_names(name: str) -> None:
    X, y, _ = table(2)
    model = LGBMClassifier(**QUIET)
    assert known(model.set_params(**{name: 4}), "n_estimators") is None  # it would have no effect
    reuse = known(model, name)
    assert reuse is not None
    small, large = reuse.views(LGBMClassifier(**QUIET), [{name: 2}, {name: 4}], X, y, {})
    assert (small.get_params()[name], large.get_params()[name]) == (2, 4)
    assert np.array_equal(small.predict_proba(X), LGBMClassifier(n_estimators=2, **QUIET).fit(X, y).predict_proba(X))


@pytest.mark.parametrize("X", [np.zeros((60, 3)), np.arange(180.0).reshape(60, 3)], ids=["nothing to split", "soon nothing to split"])
def test_lightgbm_that_runs_out_of_splits(X: Any) -> None:
    y = np.arange(60) // 30
    assert_same_as_refits(LGBMClassifier(**QUIET, min_split_gain=1.0), "n_estimators", [3, 200, 100], X, y)


@pytest.mark.parametrize(
    "options",
    [
        {"boosting_type": "dart"},
        {"boosting": "dart"},
        {"boosting_type": "rf"},
        {"early_stopping_rounds": 3},
        {"early_stopping_round": 3},
        {"num_iterations": 5},
    ],
    ids=str,
)
def test_lightgbm_refused(options: dict[str, Any]) -> None:
    assert known(LGBMClassifier(**options), "n_estimators") is None


def test_lightgbm_that_is_stopped_by_a_callback_is_fitted_anew() -> None:
    from lightgbm import early_stopping

    X, y, _ = table(2)
    model = LGBMClassifier(**QUIET, learning_rate=1.0)
    stop = {"eval_X": (X[::2],), "eval_y": (y[::-2],), "callbacks": [early_stopping(2, verbose=False)]}
    assert_same_as_refits(model, "n_estimators", [2, 30], X, y, stop)


def test_lightgbm_takes_what_its_methods_take() -> None:
    X, y, _ = table(2)
    reuse = known(LGBMClassifier(), "n_estimators")
    assert reuse is not None
    view, _ = reuse.views(LGBMClassifier(**QUIET), [{"n_estimators": 5}, {"n_estimators": 9}], X, y, {})
    alone = LGBMClassifier(**QUIET, n_estimators=5).fit(X, y)
    for options in ({"raw_score": True}, {"pred_leaf": True}, {"num_iteration": 2}, {"start_iteration": 2, "num_iteration": 2}, {"pred_contrib": True}):
        assert np.array_equal(view.predict(X, **options), alone.predict(X, **options))
        assert np.array_equal(view.predict_proba(X, **options), alone.predict_proba(X, **options))


def test_lightgbm_asks_for_leaves_once(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, _ = table(3)
    reuse = known(LGBMClassifier(), "n_estimators")
    assert reuse is not None
    views = reuse.views(LGBMClassifier(**QUIET), [{"n_estimators": count} for count in range(1, 11)], X, y, {})
    for view in views:
        view.predict(X)
    monkeypatch.setattr("lightgbm.Booster.predict", None)
    for view in views:
        view.predict(X)
        view.predict_proba(X)
        view.decision_function(X)


@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (3, True)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsample": 0.6, "colsample_bytree": 0.5, "colsample_bynode": 0.7, "reg_alpha": 0.1},
        {"num_parallel_tree": 3, "subsample": 0.5, "tree_method": "exact"},
        {"grow_policy": "lossguide", "max_leaves": 5},
    ],
    ids=str,
)
def test_xgboost_classifiers(options: dict[str, Any], classes: int, weighted: bool) -> None:
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is an extra")
    X, y, weights = table(classes)
    model = xgboost.XGBClassifier(n_jobs=1, random_state=0, **options)
    for view in assert_same_as_refits(model, "n_estimators", ROUNDS, X, y, {"sample_weight": weights} if weighted else {}, classes):
        assert view.get_booster().num_boosted_rounds() == view.n_estimators


@pytest.mark.parametrize(
    "options", [{}, {"objective": "reg:absoluteerror"}, {"objective": "count:poisson"}, {"multi_strategy": "one_output_per_tree"}], ids=str
)
def test_xgboost_regressors(options: dict[str, Any]) -> None:
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is an extra")
    X, y, weights = table(None)
    y = np.abs(y)
    frame, _ = framed(X, y)
    target = np.column_stack([y, y[::-1]]) if "multi_strategy" in options else y
    assert_same_as_refits(xgboost.XGBRegressor(n_jobs=1, random_state=0, **options), "n_estimators", ROUNDS, frame, target, {"sample_weight": weights})


@pytest.mark.parametrize("options", [{"booster": "dart"}, {"booster": "gblinear"}, {"early_stopping_rounds": 3}, {"device": "cuda"}], ids=str)
def test_xgboost_refused(options: dict[str, Any]) -> None:
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is an extra")
    assert known(xgboost.XGBClassifier(**options), "n_estimators") is None


@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (3, True), (None, False)])
@pytest.mark.parametrize(
    "options",
    [{}, {"subsample": 0.6, "bootstrap_type": "Bernoulli", "rsm": 0.5}, {"boosting_type": "Ordered"}, {"bootstrap_type": "Bayesian"}],
    ids=str,
)
def test_catboost(options: dict[str, Any], classes: int | None, weighted: bool) -> None:
    catboost = pytest.importorskip("catboost", reason="CatBoost is an extra")
    X, y, weights = table(classes)
    kind = catboost.CatBoostRegressor if classes is None else catboost.CatBoostClassifier
    model = kind(verbose=0, thread_count=1, random_state=0, learning_rate=0.2, depth=3, allow_writing_files=False, **options)
    frame, target = framed(X, y)
    assert_same_as_catboost(model, "iterations", frame, target, {"sample_weight": weights} if weighted else {})


def test_catboost_categories_and_other_names() -> None:
    catboost = pytest.importorskip("catboost", reason="CatBoost is an extra")
    X, y, _ = table(2)
    frame, target = framed(X, y)
    frame["column 1"] = np.array(["low", "mid", "high"])[np.digitize(X[:, 1], [-1, 1])]
    model = catboost.CatBoostClassifier(verbose=0, thread_count=1, random_state=0, eta=0.2, depth=3, allow_writing_files=False)
    assert_same_as_catboost(model, "n_estimators", frame, target, {"cat_features": ["column 1"]})


def assert_same_as_catboost(model: Any, name: str, X: Any, y: Any, fit_params: dict[str, Any]) -> None:
    reuse = known(model, name)
    assert reuse is not None
    for count, view in zip(ROUNDS, reuse.views(model.copy(), [{name: count} for count in ROUNDS], X, y, fit_params), strict=True):
        alone = model.copy().set_params(**{name: count}).fit(X, y, **fit_params)
        assert type(view) is type(alone)
        assert view.get_params()[name] == count
        assert view.tree_count_ == alone.tree_count_
        assert np.array_equal(view.predict(X), alone.predict(X))
        assert view.score(X, y) == alone.score(X, y)
        if hasattr(alone, "predict_proba"):
            assert np.array_equal(view.classes_, alone.classes_)
            assert np.array_equal(view.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize(
    "options",
    [
        {},  # the learning rate that it chooses depends on the number of rounds
        {"learning_rate": 0.1, "od_wait": 3},
        {"learning_rate": 0.1, "early_stopping_rounds": 3},
        {"learning_rate": 0.1, "langevin": True},
        {"learning_rate": 0.1, "num_trees": 5},
        {"learning_rate": 0.1, "task_type": "GPU"},
        {"learning_rate": 0.1, "grow_policy": "Lossguide"},
    ],
    ids=str,
)
def test_catboost_refused(options: dict[str, Any]) -> None:
    catboost = pytest.importorskip("catboost", reason="CatBoost is an extra")
    assert known(catboost.CatBoostClassifier(**options), "iterations") is None
