"""Boosting in scikit-learn: a model of few rounds is the beginning of one of many, since no round knows how many are still to come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from staytuned.evaluate.reuse._sharing import Stages, counts, cut, first, looking, picked, plain_fit, remembering
from staytuned.evaluate.reuse._tables import one_by_one
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

_STATE = {  # what scikit-learn's models hold for every round
    "n_estimators": ("estimators_", "train_score_", "oob_improvement_", "oob_scores_", "estimator_weights_", "estimator_errors_"),
    "max_iter": ("_predictors",),
}


def _cold(estimator: Any) -> bool:
    return not estimator.warm_start


def _gradient(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """GradientBoosting; one that stops early by itself also does so after the same round, if it is let to."""
    numbers = counts(configs, "n_estimators")
    if numbers is None or not plain_fit(fit_params):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(n_estimators=max(numbers)).fit(X, y, **fit_params)
    output = "decision_function" if is_classifier(estimator) else "predict"  # all other methods call this one
    stages = Stages(partial(_staged, estimator, output), numbers)
    views = []
    for config, number in zip(configs, numbers, strict=True):
        done = min(number, estimator.n_estimators_)
        view = cut(estimator, config, n_estimators_=done, **first(estimator, number, *_STATE["n_estimators"]))
        if hasattr(view, "oob_scores_"):
            view.oob_score_ = view.oob_scores_[-1]
        views.append(looking(view, **{output: partial(stages.at, number)}))
    return views


def _staged(model: Any, output: str, X: Any, wanted: Sequence[int]) -> Iterator[Any]:
    """Outputs after these rounds, one column as a vector: so the unstaged method has it."""
    for found in picked(getattr(model, f"staged_{output}")(X), wanted):
        yield found.ravel() if found.ndim == 2 and found.shape[1] == 1 else found


def _histogram(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """HistGradientBoosting, which also stops early after the same round, if it is let to."""
    numbers = counts(configs, "max_iter")
    if numbers is None or not plain_fit(fit_params):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(max_iter=max(numbers)).fit(X, y, **fit_params)
    stages = Stages(partial(_staged_sums, estimator), numbers)
    views = [
        cut(
            estimator,
            config,
            train_score_=estimator.train_score_[: number + 1],  # the first is before any round
            validation_score_=estimator.validation_score_[: number + 1],
            **first(estimator, number, *_STATE["max_iter"]),
        )
        for config, number in zip(configs, numbers, strict=True)
    ]
    return [looking(view, _raw_predict=partial(stages.at, number)) for view, number in zip(views, numbers, strict=True)]


def _staged_sums(model: Any, X: Any, wanted: Sequence[int]) -> Iterator[Any]:
    """Sums of trees after these rounds, column by column in memory as the model has them: rounding in a softmax depends on it."""
    return map(np.asfortranarray, picked(model._staged_raw_predict(X), wanted))


def _adaptive(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """AdaBoost."""
    numbers = counts(configs, "n_estimators")
    if numbers is None or not plain_fit(fit_params):
        return one_by_one(estimator, configs, X, y, fit_params)
    estimator.set_params(n_estimators=max(numbers)).fit(X, y, **fit_params)
    views = [cut(estimator, config, **first(estimator, number, *_STATE["n_estimators"])) for config, number in zip(configs, numbers, strict=True)]
    return remembering(views)


register(
    ("sklearn.ensemble.GradientBoostingClassifier", "sklearn.ensemble.GradientBoostingRegressor"),
    Reuse(("n_estimators",), _gradient, applies=_cold, grows=True),
)
register(
    ("sklearn.ensemble.HistGradientBoostingClassifier", "sklearn.ensemble.HistGradientBoostingRegressor"),
    Reuse(("max_iter",), _histogram, applies=_cold, grows=True),
)
register(("sklearn.ensemble.AdaBoostClassifier", "sklearn.ensemble.AdaBoostRegressor"), Reuse(("n_estimators",), _adaptive, grows=True))
