"""scikit-learn's commonest scores without its checks, which take longer than the score where a model is quick: the same numbers, bit by bit.

A scorer's first answer in a process is compared with scikit-learn's own; one that differs, as it may with another release, is not used again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error

Array: TypeAlias = npt.NDArray[Any]

_sure: dict[Any, bool] = {}  # by scikit-learn's function: whether ours was found equal


def scored(scorer: Any, estimator: Any, X: Any, y: Any) -> Any:
    """What ``scorer(estimator, X, y)`` gives, sooner where the scorer and the labels are of the common kind."""
    function = getattr(scorer, "_score_func", None)
    ours = _OURS.get(function) if _plain(scorer) else None
    if ours is None or not _sure.get(function, True):
        return scorer(estimator, X, y)
    predicted = _predicted(estimator, X, y, labels=function is accuracy_score)
    if predicted is None:
        return scorer(estimator, X, y)
    score = scorer._sign * ours(y, predicted)
    if function not in _sure:
        right = scorer(estimator, X, y)
        _sure[function] = right == score or (right != right and score != score)
        return right
    return score


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


def _accuracy(y: Array, predicted: Array) -> float:
    return float(np.average(y == predicted))


def _r2(y: Array, predicted: Array) -> float:
    y, predicted = _column(y), _column(predicted)
    unexplained = np.sum(1.0 * (y - predicted) ** 2, axis=0)
    spread = np.sum(1.0 * (y - np.average(y, axis=0)) ** 2, axis=0)
    if spread[0] == 0.0:
        return 1.0 if unexplained[0] == 0.0 else 0.0
    return float(np.average(1.0 - unexplained / spread))


def _squared(y: Array, predicted: Array) -> float:
    return float(np.average((_column(y) - _column(predicted)) ** 2, axis=0)[0])


def _root(y: Array, predicted: Array) -> float:
    return float(np.sqrt(np.average((_column(y) - _column(predicted)) ** 2, axis=0))[0])


def _absolute(y: Array, predicted: Array) -> float:
    return float(np.average(np.abs(_column(predicted) - _column(y)), axis=0)[0])


def _column(values: Array) -> Array:
    return values.astype(np.float64, copy=False).reshape(-1, 1)


_OURS: dict[Any, Callable[[Array, Array], float]] = {
    accuracy_score: _accuracy,
    r2_score: _r2,
    mean_squared_error: _squared,
    root_mean_squared_error: _root,
    mean_absolute_error: _absolute,
}
