"""LightGBM, XGBoost and CatBoost: a model of few rounds is the beginning of one of many, and they predict by their first rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from staytuned.evaluate.reuse._sharing import PerTable, Stages, counts, cut, looking, plain_fit
from staytuned.evaluate.reuse._tables import one_by_one
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

Array: TypeAlias = npt.NDArray[np.float64]

_ROUNDS = ("num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds", "nrounds", "num_boost_round", "max_iter")
_STOPS = ("early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change", "pred_early_stop")
_KINDS = ("boosting", "boosting_type", "boost")
_LEAVES = 10_000_000  # places in trees that are held at once
_CHECKED = 256  # rows on which sums of leaves must agree with the library's own predictions


def _lightgbm_applies(name: str, estimator: Any) -> bool:
    """One name for the rounds, none to stop early, and no round that changes earlier ones (dart) or enters a mean (rf)."""
    given = estimator.get_params()
    alone = not any(other in given for other in _ROUNDS if other != name)
    return alone and not any(given.get(stop) for stop in _STOPS) and all(given.get(kind, "gbdt") in ("gbdt", "gbrt", "goss") for kind in _KINDS)


def _lightgbm(name: str, estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    numbers = counts(configs, name)
    if numbers is None or not plain_fit(fit_params, "categorical_feature", "feature_name"):
        return one_by_one(estimator, configs, X, y, fit_params)
    grown: list[int] = []  # trees per class after each round: one that finds no split leaves none
    estimator.set_params(**{name: max(numbers)}).fit(X, y, callbacks=[lambda now: grown.append(now.model.current_iteration())], **fit_params)
    numbers = [grown[number - 1] for number in numbers]
    output = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    sums = _LeafSums(estimator, Stages(_Leaves(estimator), numbers), output, max(numbers), _link(estimator.booster_))
    agrees = PerTable(sums.agree)
    views = []
    for config, number in zip(configs, numbers, strict=True):
        whole = cut(estimator, {}, _other_params=dict(estimator._other_params)).set_params(**config)
        methods = [method for method in (output, "decision_function") if hasattr(whole, method)]
        view = cut(whole, {method: _ByFirst(whole, method, number) for method in methods})
        views.append(looking(view, **{method: partial(_if_agreed, agrees, partial(sums.at, number, method)) for method in methods}))
    return views


def _if_agreed(agrees: Callable[[Any], bool], look: Callable[[Any], Any], X: Any) -> Any:
    return look(X) if agrees(X) else None


@dataclass(frozen=True)
class _ByFirst:
    """A method of a model that uses its first rounds only, unless it is told otherwise."""

    model: Any
    name: str
    rounds: int

    @property
    def __name__(self) -> str:  # scorers ask their methods for it
        return self.name

    def __call__(self, X: Any, num_iteration: int | None = None, **kwargs: Any) -> Any:
        return getattr(self.model, self.name)(X, num_iteration=self.rounds if num_iteration is None else num_iteration, **kwargs)


class _Leaves:
    """Sums of the leaves that rows fall into, tree by tree in the order in which LightGBM adds them up."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._values: dict[int, Array] = {}

    def __call__(self, X: Any, wanted: Sequence[int]) -> Iterator[Array]:
        wide = self._model.booster_.num_model_per_iteration()
        total: Array | None = None
        at_once = max(1, _LEAVES // (wide * max(_num_samples(X), 1)))
        known, begun = np.empty((0, 0), dtype=np.int32), 0  # the leaves of some rounds in a row, and the first of them
        for start, stop in pairwise((0, *wanted)):
            for turn in range(start, stop):
                if turn >= begun + known.shape[1] // wide:
                    begun, ahead = turn, min(at_once, wanted[-1] - turn)
                    known = np.asarray(self._model.predict(X, pred_leaf=True, start_iteration=turn, num_iteration=ahead)).reshape(_num_samples(X), -1)
                total = np.zeros((len(known), wide)) if total is None else total
                for place in range(wide):
                    leaf = known[:, (turn - begun) * wide + place]
                    total[:, place] += self._of(turn * wide + place, int(leaf.max(initial=0)))[leaf]
            assert total is not None
            yield total[:, 0].copy() if wide == 1 else total.copy()

    def _of(self, tree: int, most: int) -> Array:
        """Values of a tree's leaves, up to this one."""
        known = self._values.get(tree, np.empty(0))
        if len(known) <= most:
            booster = self._model.booster_
            known = self._values[tree] = np.array([booster.get_leaf_output(tree, leaf) for leaf in range(most + 1)])
        return known


@dataclass(frozen=True)
class _LeafSums:
    """LightGBM's outputs by sums of leaves."""

    model: Any
    stages: Stages
    output: str
    largest: int
    link: Callable[[Array], Array] | None

    def at(self, rounds: int, method: str, X: Any) -> Any:
        """An output after so many rounds, None if it is not known how to get there."""
        raw = self.stages.at(rounds, X)
        if raw is None or method == "decision_function":
            return raw
        try:
            found = None if self.link is None else self.link(raw)
        except OverflowError:
            return None
        return np.vstack((1.0 - found, found)).transpose() if found is not None and found.ndim == 1 and method == "predict_proba" else found

    def agree(self, X: Any) -> bool:
        """Whether the first rows' outputs are those of the library, bit by bit: not with linear trees, unknown objectives, or another exponential function."""
        mine = self.at(self.largest, self.output, X)
        if mine is None:
            return False
        head = _safe_indexing(X, np.arange(min(_CHECKED, len(mine))))
        return np.array_equal(mine[:_CHECKED], getattr(self.model, self.output)(head))


def _link(booster: Any) -> Callable[[Array], Array] | None:
    """From sums of leaves to predictions, as the objective has it."""
    header = next((line for line in booster.model_to_string(num_iteration=1).splitlines() if line.startswith("objective=")), "objective=")
    objective, *options = header.removeprefix("objective=").split() or [""]
    slopes = [float(option.removeprefix("sigmoid:")) for option in options if option.startswith("sigmoid:")]
    if objective in ("binary", "cross_entropy"):
        return partial(_sigmoid, slopes[0] if slopes else 1.0)
    if objective == "multiclass":
        return _softmax
    if objective in ("poisson", "gamma", "tweedie"):
        return _exp
    return np.copy if objective in ("regression", "regression_l1", "huber", "fair", "quantile", "mape") and "sqrt" not in options else None


def _exp(x: Array) -> Array:
    """By the C library, as LightGBM has it; numpy's own differs in the last bit."""
    return np.fromiter(map(math.exp, x.ravel().tolist()), float, x.size).reshape(x.shape)


def _sigmoid(slope: float, x: Array) -> Array:
    found: Array = 1.0 / (1.0 + _exp(-slope * x))
    return found


def _softmax(x: Array) -> Array:
    parts = _exp(x - x.max(axis=1, keepdims=True))
    found: Array = parts / np.add.accumulate(parts, axis=1)[:, -1:]
    return found


def _xgboost_applies(estimator: Any) -> bool:
    """Trees that are added up (not dart, which changes earlier ones), on a processor, and nothing to stop early or to change the rate."""
    given = estimator.get_params()
    usual = {"booster": "gbtree", "multi_strategy": "one_output_per_tree", "device": "cpu", "process_type": "default"}
    return all(given.get(name) in (None, value) for name, value in usual.items()) and not given.get("early_stopping_rounds") and not given.get("callbacks")


def _xgboost(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    numbers = counts(configs, "n_estimators")
    if numbers is None or not plain_fit(fit_params, "verbose"):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(n_estimators=max(numbers)).fit(X, y, **fit_params)
    ordered = sorted(set(numbers))
    before = dict(zip(ordered, (0, *ordered), strict=False))
    margins = Stages(partial(_margins, estimator), ordered[:-1])
    booster = estimator.get_booster()
    methods = [method for method in ("predict", "predict_proba") if hasattr(estimator, method)]
    views = [cut(estimator, config, _Booster=booster[:number]) for config, number in zip(configs, numbers, strict=True)]
    return [
        looking(view, **{method: partial(_onward, estimator, method, margins, before[number], number) for method in methods})
        for view, number in zip(views, numbers, strict=True)
    ]


def _margins(model: Any, X: Any, wanted: Sequence[int]) -> Iterator[Any]:
    """Sums of the first trees; each goes on from the one before, which gives the same bits as beginning anew."""
    margin = None
    for start, stop in pairwise((0, *wanted)):
        margin = model.predict(X, output_margin=True, base_margin=margin, iteration_range=(start, stop))
        yield margin


def _onward(model: Any, method: str, margins: Stages, start: int, stop: int, X: Any) -> Any:
    margin = margins.at(start, X) if start else None
    return None if margin is None else getattr(model, method)(X, base_margin=margin, iteration_range=(start, stop))


_CATBOOST_ROUNDS = ("iterations", "n_estimators", "num_boost_round", "num_trees")
_CATBOOST_STOPS = ("early_stopping_rounds", "od_type", "od_wait", "od_pval", "use_best_model", "eval_fraction")
_CATBOOST_SHRINKS = ("langevin", "posterior_sampling", "model_shrink_rate", "diffusion_temperature")


def _catboost_applies(name: str, estimator: Any) -> bool:
    """A given learning rate, since CatBoost's own choice depends on the number of rounds; nothing to stop early, nothing that shrinks earlier trees."""
    given = {key for key, value in estimator.get_params().items() if value is not None and value is not False}
    forbidden = {*_CATBOOST_STOPS, *_CATBOOST_SHRINKS, "save_snapshot", *(other for other in _CATBOOST_ROUNDS if other != name)}
    usual = {"task_type": "CPU", "grow_policy": "SymmetricTree"}  # only symmetric trees can be cut off
    symmetric = all(estimator.get_params().get(name, value) == value for name, value in usual.items())
    return bool(given & {"learning_rate", "eta"}) and not given & forbidden and symmetric


def _catboost(name: str, estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    numbers = counts(configs, name)
    if numbers is None or not plain_fit(fit_params, "cat_features", "verbose"):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(**{name: max(numbers)}).fit(X, y, **fit_params)
    views = []
    for config, number in zip(configs, numbers, strict=True):
        view = estimator.copy()
        view.shrink(ntree_end=min(number, view.tree_count_))
        view._init_params = view._init_params | dict(config)
        views.append(view)
    return views


for _name in ("n_estimators", *_ROUNDS):
    _reuse = Reuse((_name,), partial(_lightgbm, _name), applies=partial(_lightgbm_applies, _name), grows=True)
    register(("lightgbm.LGBMClassifier", "lightgbm.LGBMRegressor"), _reuse)
register(("xgboost.XGBClassifier", "xgboost.XGBRegressor"), Reuse(("n_estimators",), _xgboost, applies=_xgboost_applies, grows=True))
for _name in _CATBOOST_ROUNDS:
    _reuse = Reuse((_name,), partial(_catboost, _name), applies=partial(_catboost_applies, _name), grows=True)
    register(("catboost.CatBoostClassifier", "catboost.CatBoostRegressor"), _reuse)
