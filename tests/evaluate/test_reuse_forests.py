"""Forests cut to their first trees: bit by bit what a smaller forest says."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from refits import assert_same_as_refits, framed, known, table
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.tree import DecisionTreeClassifier

from staytuned.evaluate.reuse import _sharing

COUNTS = [5, 1, 3]  # in any order


@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (3, True)])
@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(random_state=0),
        RandomForestClassifier(random_state=0, max_samples=0.5, max_features=2, class_weight="balanced_subsample"),
        pytest.param(RandomForestClassifier(random_state=np.random.RandomState(5), bootstrap=False), id="a generator as random_state"),
        ExtraTreesClassifier(random_state=0, max_depth=4),
        BaggingClassifier(random_state=0),
        BaggingClassifier(LogisticRegression(), random_state=0, max_samples=0.4, max_features=0.5),
        BaggingClassifier(DecisionTreeClassifier(max_depth=2), random_state=0, max_samples=0.4, bootstrap_features=True),
    ],
    ids=str,
)
def test_classifiers(forest: Any, classes: int, weighted: bool) -> None:
    X, y, weights = table(classes)
    assert_same_as_refits(forest, "n_estimators", COUNTS, X, y, {"sample_weight": weights} if weighted else {}, classes)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "forest",
    [
        RandomForestRegressor(random_state=0),
        RandomForestRegressor(random_state=0, max_samples=0.3, max_features=0.5, criterion="absolute_error"),
        ExtraTreesRegressor(random_state=0, bootstrap=True),
        BaggingRegressor(random_state=0, max_features=3),
    ],
    ids=str,
)
def test_regressors(forest: Any, weighted: bool) -> None:
    X, y, weights = table(None)
    assert_same_as_refits(forest, "n_estimators", COUNTS, X, y, {"sample_weight": weights} if weighted else {})


@pytest.mark.parametrize("forest", [RandomForestClassifier(random_state=0), ExtraTreesClassifier(random_state=0), BaggingClassifier(random_state=0)], ids=str)
def test_frames_and_named_classes(forest: Any) -> None:
    X, y, _ = table(3)
    assert_same_as_refits(forest, "n_estimators", COUNTS, *framed(X, y), classes=3)


def test_members_that_only_vote() -> None:
    X, y, _ = table(3)
    assert_same_as_refits(BaggingClassifier(RidgeClassifier(), random_state=0), "n_estimators", COUNTS, X, y)


def test_members_that_miss_a_class() -> None:
    X, y, _ = table(3)
    y[y == 2] = np.where(np.arange(np.sum(y == 2)) < 3, 2, 0)
    assert_same_as_refits(BaggingClassifier(random_state=0, max_samples=0.2), "n_estimators", COUNTS, X, y)


@pytest.mark.parametrize("forest", [RandomForestClassifier(random_state=0), RandomForestRegressor(random_state=0)], ids=str)
def test_several_outputs(forest: Any) -> None:
    X, y, _ = table(2)
    Y = np.column_stack([y, (X[:, 0] > 0) + 0])
    reuse = known(forest, "n_estimators")
    assert reuse is not None
    small, large = reuse.views(type(forest)(random_state=0), [{"n_estimators": 3}, {"n_estimators": 5}], X, Y, {})
    for view, count in [(small, 3), (large, 5), (small, 3)]:
        alone = type(forest)(random_state=0, n_estimators=count).fit(X, Y)
        assert np.array_equal(view.predict(X), alone.predict(X))
        if hasattr(alone, "predict_proba"):
            for _ in range(2):  # a logarithm is taken in place
                assert all(np.array_equal(one, other) for one, other in zip(view.predict_proba(X), alone.predict_proba(X), strict=True))
                with np.errstate(divide="ignore"):
                    assert all(np.array_equal(one, other) for one, other in zip(view.predict_log_proba(X), alone.predict_log_proba(X), strict=True))


def test_several_threads_change_no_bit() -> None:
    X, y, _ = table(2)
    reuse = known(RandomForestClassifier(), "n_estimators")
    assert reuse is not None
    configs = [{"n_estimators": count} for count in (3, 7)]
    alone, together = (
        [view.predict_proba(X) for view in reuse.views(RandomForestClassifier(random_state=0, n_jobs=jobs), configs, X, y, {})] for jobs in (1, 2)
    )
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(oob_score=True),
        RandomForestRegressor(warm_start=True),
        ExtraTreesClassifier(oob_score=True, bootstrap=True),
        BaggingClassifier(oob_score=True),
        BaggingRegressor(warm_start=True),
    ],
    ids=str,
)
def test_refused(forest: Any) -> None:
    assert known(forest, "n_estimators") is None


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    own = DecisionTreeClassifier.predict_proba
    monkeypatch.setattr(DecisionTreeClassifier, "predict_proba", lambda *args, **kwargs: (calls.append(1), own(*args, **kwargs))[1])
    return calls


@pytest.mark.parametrize("kind", [RandomForestClassifier, BaggingClassifier])
def test_twenty_views_ask_every_tree_once_a_table(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    X, y, _ = table(2)
    held_out = X[:40].copy()
    reuse = known(kind(), "n_estimators")
    assert reuse is not None
    views = reuse.views(kind(random_state=0), [{"n_estimators": count} for count in range(1, 21)], X, y, {})
    calls = counted(monkeypatch)
    for view in views:
        for rows in (held_out, X):
            view.predict(rows)
            view.predict_proba(rows)
            view.score(rows, y[: len(rows)])
    assert len(calls) == 2 * 20


def test_a_table_changed_in_place_is_another() -> None:
    X, y, _ = table(2)
    reuse = known(RandomForestClassifier(), "n_estimators")
    assert reuse is not None
    view, _ = reuse.views(RandomForestClassifier(random_state=0), [{"n_estimators": 3}, {"n_estimators": 5}], X, y, {})
    rows = X.copy()
    view.predict_proba(rows)
    rows[:, [0, 1]] = rows[:, [1, 0]]
    assert np.array_equal(view.predict_proba(rows), RandomForestClassifier(3, random_state=0).fit(X, y).predict_proba(rows))


def test_a_caller_may_write_into_an_answer() -> None:
    X, y, _ = table(None)
    reuse = known(RandomForestRegressor(), "n_estimators")
    assert reuse is not None
    (view,) = reuse.views(RandomForestRegressor(random_state=0), [{"n_estimators": 3}], X, y, {})
    right = view.predict(X).copy()
    view.predict(X)[:] = 0.0
    assert np.array_equal(view.predict(X), right)


@pytest.mark.parametrize("kind", [RandomForestClassifier, BaggingClassifier])
def test_too_much_to_keep_is_computed_by_each(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setattr(_sharing, "_MEMORY", 100)
    X, y, _ = table(2)
    assert_same_as_refits(kind(random_state=0), "n_estimators", COUNTS, X, y, classes=2)


@pytest.mark.parametrize("kind", [RandomForestClassifier, BaggingClassifier])
def test_views_travel_without_their_tables(kind: Any) -> None:
    X, y, _ = table(2)
    reuse = known(kind(), "n_estimators")
    assert reuse is not None
    views = reuse.views(kind(random_state=0), [{"n_estimators": 2}, {"n_estimators": 3}], X, y, {})
    before = len(pickle.dumps(views[0]))
    right = views[0].predict_proba(X)
    assert len(pickle.dumps(views[0])) == before
    assert np.array_equal(pickle.loads(pickle.dumps(views[0])).predict_proba(X), right)


def test_a_count_out_of_range_is_refused_by_the_library() -> None:
    X, y, _ = table(2)
    reuse = known(RandomForestClassifier(), "n_estimators")
    assert reuse is not None
    with pytest.raises(ValueError, match="n_estimators"):
        reuse.views(RandomForestClassifier(), [{"n_estimators": 0}, {"n_estimators": 3}], X, y, {})


def test_other_tables_do_not_get_this_ones_answer() -> None:
    X, y, _ = table(2)
    reuse = known(RandomForestClassifier(), "n_estimators")
    assert reuse is not None
    (view,) = reuse.views(RandomForestClassifier(random_state=0), [{"n_estimators": 3}], X, y, {})
    alone = RandomForestClassifier(3, random_state=0).fit(X, y)
    for seed in range(30):  # many tables of one size, each freed before the next comes
        rows = np.random.default_rng(seed).normal(size=(20, 6))
        assert np.array_equal(view.predict_proba(rows), alone.predict_proba(rows))
    with pytest.raises(ValueError, match="features"):
        view.predict_proba(X[:, :3])
