"""Forests: the first trees of a large one are the small one, since the seeds of trees are drawn in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.parallel import Parallel, delayed

from staytuned.evaluate.reuse._sharing import Stages, counts, cut, first, looking, plain_fit, remembering
from staytuned.evaluate.reuse._tables import one_by_one
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config


def _independent(ensemble: Any) -> bool:
    """Every member is drawn by itself, and no score out of the bag depends on how many there are."""
    return not ensemble.oob_score and not ensemble.warm_start


def _forest(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    numbers = counts(configs, "n_estimators")
    if numbers is None or not plain_fit(fit_params):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(n_estimators=max(numbers)).fit(X, y, **fit_params)
    stages = Stages(partial(_means, estimator), numbers)
    output = "predict_proba" if is_classifier(estimator) else "predict"  # all other methods call this one
    views = [cut(estimator, config, **first(estimator, number, "estimators_")) for config, number in zip(configs, numbers, strict=True)]
    return [looking(view, **{output: partial(stages.at, number)}) for view, number in zip(views, numbers, strict=True)]


def _means(forest: Any, X: Any, wanted: Sequence[int]) -> Iterator[Any]:
    """Mean outputs of the first trees: added up in their order and then divided, as the forest itself does on one thread."""
    X = forest._validate_X_predict(X)
    asked = [delayed(tree.predict_proba if is_classifier(forest) else tree.predict)(X, check_input=False) for tree in forest.estimators_]
    sums: list[Any] = []
    due = set(wanted)
    for number, outputs in enumerate(Parallel(n_jobs=forest.n_jobs, require="sharedmem", return_as="generator")(asked), 1):
        parts = outputs if isinstance(outputs, list) else [outputs]
        sums = sums or [np.zeros(part.shape) for part in parts]
        for total, part in zip(sums, parts, strict=True):
            total += part
        if number in due:
            means = [total / number for total in sums]
            yield means if isinstance(outputs, list) else means[0]


def _bagging(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    numbers = counts(configs, "n_estimators")
    if numbers is None or not plain_fit(fit_params):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(n_estimators=max(numbers)).fit(X, y, **fit_params)
    parts = ("estimators_", "estimators_features_", "_seeds")
    views = [cut(estimator, config, **first(estimator, number, *parts)) for config, number in zip(configs, numbers, strict=True)]
    return remembering(views) if estimator.n_jobs in (None, 1) else views  # other processes do not see what is kept here


register(
    (
        "sklearn.ensemble.RandomForestClassifier",
        "sklearn.ensemble.RandomForestRegressor",
        "sklearn.ensemble.ExtraTreesClassifier",
        "sklearn.ensemble.ExtraTreesRegressor",
    ),
    Reuse(("n_estimators",), _forest, applies=_independent, grows=True),
)
register(("sklearn.ensemble.BaggingClassifier", "sklearn.ensemble.BaggingRegressor"), Reuse(("n_estimators",), _bagging, applies=_independent, grows=True))
