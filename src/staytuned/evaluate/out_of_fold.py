"""What each held-out row says of a config: read off the usual scoring, and kept beside the scores."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import getattr_static
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn import metrics as sk
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from staytuned.evaluate.quick import r2, root_mean_squared
from staytuned.evaluate.reuse._sharing import cut

Array: TypeAlias = npt.NDArray[Any]
Name: TypeAlias = Literal["accuracy", "squared", "absolute", "relative", "log_loss", "roc_auc", "r2", "rmse"]

MOST_BYTES = 32 * 2**20  # of a trial's table; a larger one is not kept
_SAME = 1e-6  # scikit-learn adds up in the precision of the answers, which may be single
_EXACT_BYTES = 2 * 2**20  # a larger table is kept in single precision


@dataclass(frozen=True, slots=True)
class Kind:
    """How a metric's value of each row is read off what an estimator answered.

    A scorer of one's own may carry its kind as the attribute ``row_kind``.

    Args:
        name: a mean over rows of whether the label is right (accuracy), of the squared, absolute or relative error, or of the negative log
            probability of the label (log_loss); or roc_auc, r2, rmse, which are no means.
        sign: what the scorer multiplies the metric by, 1 or -1; 1 for roc_auc.
        asks: the estimator's methods that the scorer asks, the first that there is.
    """

    name: Name
    sign: int = 1
    asks: tuple[str, ...] = ("predict",)

    @property
    def is_mean(self) -> bool:
        """Whether the score is the mean over rows of the row values."""
        return self.name in _ROWS

    def read(self, estimator: Any, said: Mapping[str, Any], y: Any) -> Array | None:
        """(n_rows,) the row values: what each adds to the mean, sign included; else its score (roc_auc) or prediction. None if they cannot be told."""
        answer = next((said[name] for name in self.asks if name in said), None)
        if answer is None or y is None:
            return None
        try:
            target, found = np.asarray(y), np.asarray(answer)
            if self.is_mean:
                return np.asarray(self.sign * _ROWS[self.name](target, found, estimator))
            found = found[:, 1] if self.name == "roc_auc" and found.ndim == 2 and found.shape[1] == 2 else found
            plain = found.size == len(target) == target.size
            return np.asarray(found, dtype=float).ravel() if plain else None
        except Exception:  # labels and answers of a kind that only the scorer knows how to read
            return None

    def score(self, y: Any, rows: Array) -> float:
        """The scorer's score of one fold from its row values; NaN where it is not defined."""
        if self.is_mean:
            return float(np.mean(rows))
        return _auc(np.asarray(y).ravel(), rows) if self.name == "roc_auc" else self.sign * _CALLED[self.name](np.asarray(y, dtype=float).ravel(), rows)


def kind_of(scorer: Any, estimator: Any) -> Kind | None:
    """The kind of a scorer whose winner's score can be corrected quickly; None for any other.

    Args:
        scorer: as `sklearn.metrics.check_scoring` gives it, the default of an estimator's own ``score`` included; or one that has ``row_kind``.
        estimator: fitted or not; its own ``score`` has to be scikit-learn's accuracy or R squared.
    """
    own = getattr(scorer, "row_kind", None)
    if isinstance(own, Kind):
        return own
    if type(scorer).__name__ == "_PassthroughScorer":
        return _default_kind(estimator)
    name = _NAMES.get(getattr(scorer, "_score_func", None))
    asks = getattr(scorer, "_response_method", None)
    asks = (asks,) if isinstance(asks, str) else tuple(asks or ())
    sign, options = getattr(scorer, "_sign", 0), set(getattr(scorer, "_kwargs", {"?": None}))
    if name is None or sign not in (1, -1) or options - ({"labels"} if name == "log_loss" else set()):
        return None
    if name == "roc_auc":
        return Kind(name, sign, asks) if sign == 1 and asks and set(asks) <= {"decision_function", "predict_proba"} else None
    return Kind(name, sign, asks) if asks == (("predict_proba",) if name == "log_loss" else ("predict",)) else None


def scored_by_row(score: Callable[[Any], dict[str, float]], scorer: Any, estimator: Any, y: Any) -> tuple[dict[str, float], Array | None]:
    """``score(estimator)``, and each row's part in it; no prediction is made twice.

    The row values are None where the scorer is of no known kind, where it asked for something else, or where they do not give one of the scores back, as
    with sample weights.

    Args:
        score: gives the scores by metric.
        scorer: the one of them whose row values are wanted.
        estimator: fitted.
        y: of the rows that are scored.
    """
    kind = kind_of(scorer, estimator)
    if kind is None:
        return score(estimator), None
    said: dict[str, Any] = {}
    scores = score(_recording(estimator, said))
    rows = kind.read(estimator, said, y)
    if rows is None or not len(rows):
        return scores, None
    again = kind.score(y, rows)
    return scores, rows if any(math.isclose(again, found, rel_tol=_SAME, abs_tol=_SAME) for found in scores.values()) else None


class RowValues:
    """The row values of a trial as they come, fold by fold, of each of its configs; all of them or none."""

    def __init__(self) -> None:
        self._found: dict[int, list[Array]] | None = {}
        self._bytes = 0

    def add(self, config: int, rows: Array | None) -> None:
        """What one more fold says of a config."""
        if rows is not None and self._found is not None:
            self._bytes += rows.nbytes if rows.dtype == np.int8 else 4 * len(rows)
            self._found.setdefault(config, []).append(rows)
        if rows is None or self._bytes > MOST_BYTES:
            self._found = None

    def packed(self) -> bytes:
        """(n_configs, n_rows) as an .npy file, rows in the order of the folds; empty where something lacks, or it would be too large."""
        if not self._found:
            return b""
        table = np.stack([np.concatenate(self._found[config]) for config in sorted(self._found)])
        if table.dtype != np.int8 and table.nbytes > _EXACT_BYTES and np.abs(table).max() < np.finfo(np.float32).max:
            table = table.astype(np.float32)
        file = io.BytesIO()
        np.save(file, table, allow_pickle=False)
        return file.getvalue()


def unpacked(blob: bytes) -> Array:
    """(n_configs, n_rows) what :meth:`RowValues.packed` wrote."""
    return np.asarray(np.load(io.BytesIO(blob), allow_pickle=False))


# --- which estimators and scorers


def _default_kind(estimator: Any) -> Kind | None:
    """Of an estimator's own ``score``, where that is scikit-learn's; the few there that are something else do not give their score back."""
    own = getattr_static(type(estimator), "score", None)
    if own is getattr_static(Pipeline, "score"):
        return _default_kind(estimator.steps[-1][1]) if estimator.steps else None
    if not str(getattr(own, "__module__", "")).startswith(("sklearn.", "staytuned.")) or "score" in getattr(estimator, "__dict__", {}):
        return None
    return Kind("accuracy") if is_classifier(estimator) else Kind("r2") if is_regressor(estimator) else None


def _recording(estimator: Any, said: dict[str, Any]) -> Any:
    """One that answers alike, and leaves its last answers in ``said``, by method; the estimator itself where its class does not allow that."""
    try:
        copy = cut(estimator, {})
    except (TypeError, AttributeError):  # no plain class of Python
        return estimator
    for name in ("predict", "predict_proba", "decision_function"):
        if callable(method := getattr(estimator, name, None)):
            copy.__dict__[name] = _Recorder(method, name, said)
    if isinstance(copy, Pipeline) and hasattr(copy.steps[-1][1], "predict"):  # whose score() asks its last step
        last, final = copy.steps[-1]
        copy.__dict__["steps"] = [*copy.steps[:-1], (last, _recording(final, said))]
    return copy


@dataclass(frozen=True)
class _Recorder:
    method: Callable[..., Any]
    name: str
    said: dict[str, Any]

    @property
    def __name__(self) -> str:  # scorers ask their methods for it
        return self.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        answer = self.said[self.name] = self.method(*args, **kwargs)
        return answer


# --- what a row says


def _right(y: Array, labels: Array, _: Any) -> Array:
    if y.ndim != 1 or labels.shape != y.shape:
        raise ValueError(f"labels of shape {labels.shape} are not one for each row")
    return np.asarray(y == labels, dtype=np.int8)


def _by_row(y: Array, predicted: Array) -> tuple[Array, Array]:
    """(n_rows, n_outputs) each; the outputs of a row are averaged."""
    return y.astype(float).reshape(len(y), -1), predicted.astype(float).reshape(len(y), -1)


def _squared(y: Array, predicted: Array, _: Any) -> Array:
    target, found = _by_row(y, predicted)
    return np.asarray(((target - found) ** 2).mean(axis=1))


def _absolute(y: Array, predicted: Array, _: Any) -> Array:
    target, found = _by_row(y, predicted)
    return np.asarray(np.abs(target - found).mean(axis=1))


def _relative(y: Array, predicted: Array, _: Any) -> Array:
    target, found = _by_row(y, predicted)
    return np.asarray((np.abs(target - found) / np.maximum(np.abs(target), np.finfo(float).eps)).mean(axis=1))


def _log_losses(y: Array, probabilities: Array, estimator: Any) -> Array:
    """The negative log probability of each row's label, clipped as scikit-learn clips it."""
    classes = np.asarray(estimator.classes_)
    place = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    if y.ndim != 1 or probabilities.shape != (len(y), len(classes)) or not np.all(classes[place] == y):
        raise ValueError(f"probabilities of shape {probabilities.shape} are not one for each row and class")
    eps = np.finfo(probabilities.dtype).eps
    return np.asarray(-np.log(np.clip(probabilities, eps, 1 - eps)[np.arange(len(y)), place]), dtype=float)


def _auc(y: Array, scores: Array) -> float:
    """The share of pairs of a positive and a negative that stand in the right order (Mann & Whitney 1947); NaN without a pair."""
    classes = np.unique(y)
    if len(classes) != 2:
        return math.nan
    positive = y == classes[1]
    ones = int(positive.sum())
    return float((rankdata(scores)[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(y) - ones)))


_NAMES: dict[Any, Name] = {
    sk.accuracy_score: "accuracy",
    sk.mean_squared_error: "squared",
    sk.mean_absolute_error: "absolute",
    sk.mean_absolute_percentage_error: "relative",
    sk.log_loss: "log_loss",
    sk.roc_auc_score: "roc_auc",
    sk.r2_score: "r2",
    sk.root_mean_squared_error: "rmse",
}
_ROWS: dict[str, Callable[[Array, Array, Any], Array]] = {
    "accuracy": _right,
    "squared": _squared,
    "absolute": _absolute,
    "relative": _relative,
    "log_loss": _log_losses,
}
_CALLED: dict[str, Callable[[Array, Array], float]] = {"r2": r2, "rmse": root_mean_squared}
