"""scikit-learn's commonest scores without its checks, which take longer than the score where a model is quick: the same numbers, bit by bit.

A scorer's first answer in a process is compared with scikit-learn's own; one that differs, as it may with another release, is not used again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import getattr_static
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, RegressorMixin, is_classifier
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error

Array: TypeAlias = npt.NDArray[Any]

_sure: dict[Any, bool] = {}  # by scikit-learn's function: whether ours was found equal


def scored(scorer: Any, estimator: Any, X: Any, y: Any) -> Any:
    """What ``scorer(estimator, X, y)`` gives, sooner where the scorer and the labels are of the common kind."""
    function = _metric(scorer, estimator)
    ours = _OURS.get(function)
    if ours is None or not _sure.get(function, True):
        return scorer(estimator, X, y)
    predicted = _predicted(estimator, X, y, labels=function is accuracy_score)
    if predicted is None:
        return scorer(estimator, X, y)
    score = getattr(scorer, "_sign", 1) * ours(y, predicted)
    if function not in _sure:
        right = scorer(estimator, X, y)
        _sure[function] = right == score or (right != right and score != score)
        return right
    return score


def _metric(scorer: Any, estimator: Any) -> Any:
    """scikit-learn's function that the scorer comes down to; None where it does not, or not to it alone."""
    if type(scorer).__name__ == "_PassthroughScorer":  # the estimator's own score
        return _DEFAULTS.get(getattr_static(type(estimator), "score", None))
    return getattr(scorer, "_score_func", None) if _plain(scorer) else None


def _plain(scorer: Any) -> bool:
    """A scorer as ``get_scorer`` gives it: of what ``predict`` says, with no arguments of its own and nothing asked for by metadata routing."""
    return (
        getattr(scorer, "_response_method", None) == "predict" and not getattr(scorer, "_kwargs", True) and getattr(scorer, "_metadata_request", None) is None
    )


def _predicted(estimator: Any, X: Any, y: Any, labels: bool) -> Array | None:
    """What is predicted; None where a check is in place after all."""
    if not isinstance(y, np.ndarray) or y.ndim != 1 or len(y) < 2:
        return None
    kinds = "biuUO" if labels else "iuf"
    if y.dtype.kind not in kinds or labels != is_classifier(estimator):
        return None
    predicted = np.asarray(estimator.predict(X))
    fits = predicted.shape == y.shape and (predicted.dtype.kind == y.dtype.kind if labels else predicted.dtype == np.float64 and np.isfinite(predicted).all())
    return predicted if fits else None


def accuracy(y: Array, predicted: Array) -> float:
    """The share of labels that are right."""
    return float(np.average(y == predicted))


def r2(y: Array, predicted: Array) -> float:
    """R squared, of a target that does not vary 1 or 0."""
    y = y.astype(np.float64, copy=False)
    unexplained, spread = np.sum((y - predicted) ** 2), np.sum((y - np.mean(y)) ** 2)
    return float(1.0 - unexplained / spread) if spread else float(unexplained == 0.0)


def root_mean_squared(y: Array, predicted: Array) -> float:
    """The root mean squared error."""
    return math.sqrt(_squared(y, predicted))


def _squared(y: Array, predicted: Array) -> float:
    return float(np.mean((y.astype(np.float64, copy=False) - predicted) ** 2))


def _absolute(y: Array, predicted: Array) -> float:
    return float(np.mean(np.abs(predicted - y.astype(np.float64, copy=False))))


_OURS: dict[Any, Callable[[Array, Array], float]] = {
    accuracy_score: accuracy,
    r2_score: r2,
    mean_squared_error: _squared,
    root_mean_squared_error: root_mean_squared,
    mean_absolute_error: _absolute,
}
_DEFAULTS = {getattr_static(ClassifierMixin, "score"): accuracy_score, getattr_static(RegressorMixin, "score"): r2_score}
