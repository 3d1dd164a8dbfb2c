"""Trees cut back: pruned ones bit by bit as after a fit, shallow ones equally good."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from refits import assert_same_as_refits, framed, known, table
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

ALPHAS = [0.02, 0.0, 0.005, 0.3]  # in any order


@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (3, True)])
@pytest.mark.parametrize(
    "tree",
    [
        DecisionTreeClassifier(random_state=0),
        DecisionTreeClassifier(random_state=0, max_features=2, criterion="entropy", class_weight="balanced"),
        DecisionTreeClassifier(random_state=0, max_leaf_nodes=9, min_samples_leaf=3),
        ExtraTreeClassifier(random_state=0),
    ],
    ids=str,
)
def test_pruned_classifiers(tree: Any, classes: int, weighted: bool) -> None:
    X, y, weights = table(classes)
    assert_same_as_refits(tree, "ccp_alpha", ALPHAS, X, y, {"sample_weight": weights} if weighted else {}, classes)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "tree", [DecisionTreeRegressor(random_state=0), DecisionTreeRegressor(random_state=0, max_depth=4), ExtraTreeRegressor(random_state=0)], ids=str
)
def test_pruned_regressors(tree: Any, weighted: bool) -> None:
    X, y, weights = table(None)
    assert_same_as_refits(tree, "ccp_alpha", ALPHAS, X, y, {"sample_weight": weights} if weighted else {})


def test_pruned_by_frames_and_named_classes() -> None:
    X, y, _ = table(3)
    assert_same_as_refits(DecisionTreeClassifier(random_state=0), "ccp_alpha", ALPHAS, *framed(X, y), classes=3)


@pytest.mark.parametrize("kind", [DecisionTreeClassifier, DecisionTreeRegressor])
def test_the_whole_pruning_path(kind: Any) -> None:
    X, y, _ = table(2)
    path = kind(random_state=0).cost_complexity_pruning_path(X, y).ccp_alphas
    views = assert_same_as_refits(kind(random_state=0), "ccp_alpha", [max(0.0, alpha) for alpha in path], X, y)
    leaves = [view.get_n_leaves() for view in views]
    assert leaves == sorted(leaves, reverse=True)
    assert leaves[-1] == 1


def test_several_outputs() -> None:
    X, y, _ = table(2)
    Y = np.column_stack([y, (X[:, 0] > 0) + 0])
    for name, values in [("ccp_alpha", ALPHAS), ("max_depth", [1, 3])]:
        reuse = known(DecisionTreeClassifier(), name)
        assert reuse is not None
        for value, view in zip(values, reuse.views(DecisionTreeClassifier(random_state=0), [{name: value} for value in values], X, Y, {}), strict=True):
            assert view.predict(X).shape == Y.shape
            alone = DecisionTreeClassifier(random_state=0, **{name: value}).fit(X, Y)
            if name == "ccp_alpha":
                assert all(np.array_equal(one, other) for one, other in zip(view.predict_proba(X), alone.predict_proba(X), strict=True))


def test_a_negative_alpha_is_refused_by_the_library() -> None:
    X, y, _ = table(2)
    reuse = known(DecisionTreeClassifier(), "ccp_alpha")
    assert reuse is not None
    with pytest.raises(ValueError, match="ccp_alpha"):
        reuse.views(DecisionTreeClassifier(), [{"ccp_alpha": -1.0}], X, y, {})


@pytest.mark.parametrize(
    "tree", [DecisionTreeClassifier(random_state=0), DecisionTreeRegressor(random_state=0), DecisionTreeClassifier(random_state=0, max_features=2)], ids=str
)
def test_shallow_trees_are_the_tops_of_the_deep_one(tree: Any) -> None:
    X, y, weights = table(3)
    reuse = known(tree, "max_depth")
    assert reuse is not None
    assert reuse.tolerance is None
    assert reuse.says
    depths = [3, None, 1, 50, 2]
    views = reuse.views(clone(tree), [{"max_depth": depth} for depth in depths], X, y, {"sample_weight": weights})
    deep = clone(tree).fit(X, y, sample_weight=weights)
    paths = deep.decision_path(X).toarray()
    for depth, view in zip(depths, views, strict=True):
        whole = depth is None or depth >= deep.get_depth()
        assert view.get_depth() == (deep.get_depth() if whole else depth)
        assert view.get_params()["max_depth"] == depth
        ends = [
            np.flatnonzero(path)[: deep.get_depth() + 1 if whole else depth + 1][-1] for path in paths
        ]  # the last node on the way down that is not too deep
        values = deep.tree_.value[ends, 0]
        assert np.array_equal(view.predict_proba(X) if hasattr(view, "predict_proba") else view.predict(X)[:, None], values)
        assert view.tree_.node_count == 2 * view.get_n_leaves() - 1
        view.decision_path(X)
        assert np.array_equal(view.tree_.n_node_samples[view.apply(X)], deep.tree_.n_node_samples[ends])


def test_shallow_trees_are_those_of_a_fit_where_no_splits_tie() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3))
    y = 4 * (X[:, 0] > 0.1) + 2 * (X[:, 1] > -0.3) + (X[:, 2] > 0.2) + rng.normal(0, 0.1, 4000)
    reuse = known(DecisionTreeRegressor(), "max_depth")
    assert reuse is not None
    for depth, view in zip((1, 2, 3), reuse.views(DecisionTreeRegressor(), [{"max_depth": depth} for depth in (1, 2, 3)], X, y, {}), strict=True):
        assert np.allclose(view.predict(X), DecisionTreeRegressor(max_depth=depth).fit(X, y).predict(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tree", [DecisionTreeClassifier(max_leaf_nodes=5), DecisionTreeRegressor(ccp_alpha=0.1)], ids=str)
def test_depth_refused(tree: Any) -> None:
    assert known(tree, "max_depth") is None
    assert known(tree, "ccp_alpha") is not None
