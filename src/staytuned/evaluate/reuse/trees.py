"""A tree: pruned trees are subtrees of the one that was fitted, and so are shallower ones but for ties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from staytuned.evaluate.reuse._sharing import cut, plain_fit
from staytuned.evaluate.reuse._tables import one_by_one
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

_KINDS = ("sklearn.tree.DecisionTreeClassifier", "sklearn.tree.DecisionTreeRegressor", "sklearn.tree.ExtraTreeClassifier", "sklearn.tree.ExtraTreeRegressor")
_LEAF, _UNDEFINED = -1, -2


def _pruned(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """Minimal cost-complexity pruning (Breiman, Friedman, Olshen and Stone 1984, chapter 3) of the same grown tree, as every fit ends with it."""
    alphas: list[Any] = [config["ccp_alpha"] for config in configs]
    if not plain_fit(fit_params, "check_input") or not all(isinstance(alpha, float | int) and alpha >= 0 for alpha in alphas):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(ccp_alpha=0.0).fit(X, y, **fit_params)
    views = [cut(estimator, config) for config in configs]
    for view in views:
        view._prune_tree()
    return views


def _shallower(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """The deepest tree, cut off at each depth."""
    depths: list[Any] = [config["max_depth"] for config in configs]
    if not plain_fit(fit_params, "check_input") or not all(depth is None or (isinstance(depth, int | np.integer) and depth >= 1) for depth in depths):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(max_depth=None if None in depths else max(depths)).fit(X, y, **fit_params)
    levels = _levels(estimator.tree_)
    return [cut(estimator, config, tree_=_cut_off(estimator.tree_, levels, depth)) for config, depth in zip(configs, depths, strict=True)]


def _levels(tree: Any) -> npt.NDArray[np.intp]:
    """Edges from the root to every node; parents come before their children."""
    levels = np.zeros(tree.node_count, dtype=np.intp)
    left, right = tree.children_left, tree.children_right
    for node in np.flatnonzero(left != _LEAF):
        levels[[left[node], right[node]]] = levels[node] + 1
    return levels


def _cut_off(tree: Any, levels: npt.NDArray[np.intp], depth: Any) -> Any:
    """The top of a tree, whose inner nodes all know what they would say as leaves."""
    if depth is None or depth >= tree.max_depth:
        return tree
    kept = levels <= depth
    place = np.cumsum(kept) - 1
    state = tree.__getstate__()
    nodes = state["nodes"][kept].copy()
    inner = (nodes["left_child"] != _LEAF) & (levels[kept] < depth)
    for side in ("left_child", "right_child"):
        nodes[side] = np.where(inner, place[nodes[side]], _LEAF)
    for unused in ("feature", "threshold"):
        nodes[unused] = np.where(inner, nodes[unused], _UNDEFINED)
    make, shape = tree.__reduce__()[:2]
    top = make(*shape)
    top.__setstate__({**state, "max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": np.ascontiguousarray(state["values"][kept])})
    return top


register(_KINDS, Reuse(("ccp_alpha",), _pruned))
register(
    _KINDS,
    Reuse(
        ("max_depth",),
        _shallower,
        tolerance=None,
        applies=lambda tree: tree.max_leaf_nodes is None and tree.ccp_alpha == 0,  # a limited number of leaves goes to other places in a shallow tree
        says="another random draw chooses between splits that are equally good",
    ),
)
