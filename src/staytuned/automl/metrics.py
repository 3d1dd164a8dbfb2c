"""Metrics by name: what to call them, which way is better, and the same number from a model or from its stored predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn import metrics as sk
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from staytuned.automl.columns import Task
from staytuned.automl.read import nearest
from staytuned.errors import UsageError
from staytuned.goal import Direction

Array: TypeAlias = npt.NDArray[Any]
Scorer: TypeAlias = Callable[[Any, Any, Any], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """How good predictions are, as one number.

    Args:
        name: as in a goal, "max roc_auc".
        direction: "max" or "min".
        scorer: called as ``scorer(fitted, X, y)``; the score in the metric's own direction (a ``min`` metric is not negated).
        needs: "label" for predicted values, "proba" for class probabilities.
        title: for people.
        note: what was chosen on the user's behalf, in words; empty if nothing.
        quick: the same number from (y, labels, probabilities, classes) without scikit-learn's checks of its input, which cost a bootstrap
            most of its time; None where there is none.
    """

    name: str
    direction: Direction
    scorer: Scorer
    needs: Literal["label", "proba"]
    title: str
    note: str = ""
    quick: Callable[..., float] | None = None


def metric_for(name: str | Scorer, task: Task, classes: Sequence[Any] = ()) -> Metric:
    """The metric of a name for a task.

    ``"auto"`` is roc_auc for two classes (it needs no threshold and is indifferent to imbalance), accuracy for more (it is defined even where
    a fold lacks a class) and rmse for regression. Besides scikit-learn's scorer names there are rmse, mae, mse, mape and log_loss, positive
    and to be minimised. With more than two classes, f1, precision, recall and jaccard mean their ``_macro`` variants and roc_auc means
    roc_auc_ovr. With two, the last in sorted order is the positive class: 1 of 0 and 1, "yes" of "no" and "yes".

    Args:
        name: a name, or a scorer, called as ``scorer(fitted, X, y)``, of which higher is better.
        task: binary, multiclass or regression.
        classes: the labels in sorted order; needed for classification.

    Raises:
        UsageError: no metric of this name, or none that suits the task.
    """
    if callable(name):
        title = str(getattr(name, "__name__", "") or getattr(getattr(name, "_score_func", None), "__name__", "") or "custom")
        return Metric(title, "max", name, "label" if task == "regression" else "proba", title)
    asked = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}[task] if name == "auto" else name
    known = names_for(task)
    plain = _MACRO.get(asked, asked) if task == "multiclass" else asked
    if plain not in known:
        raise UsageError(_refusal(asked, task, known))
    note = f"{asked} is for two classes; {plain} is used for {len(classes)}" if plain != asked else ""
    made, direction, needs = _made(plain, task, tuple(classes))
    return Metric(plain, direction, made, needs, _TITLES.get(plain, plain.replace("_", " ")), note, _QUICK.get((plain, task)))


def names_for(task: Task) -> tuple[str, ...]:
    """The names that suit a task: the usual ones first, then the rest of scikit-learn's."""
    usual = {
        "binary": ("roc_auc", "accuracy", "balanced_accuracy", "f1", "precision", "recall", "average_precision", "log_loss", "neg_log_loss"),
        "multiclass": ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc_ovr", "log_loss", "neg_log_loss"),
        "regression": ("rmse", "mae", "r2", "mse", "mape"),
    }[task]
    rest = [n for n in sk.get_scorer_names() if _is_for_regression(n) == (task == "regression") and not n.endswith("_samples")]
    unfit = ("top_k_accuracy",) if task == "binary" else _TWO_CLASSES
    return tuple(dict.fromkeys([*usual, *(n for n in rest if n not in unfit)]))


def score_of(metric: Metric, y: Array, labels: Array, probabilities: Array | None = None, classes: Sequence[Any] | None = None) -> float:
    """The score of stored predictions: what ``metric.scorer`` gives for a model that predicts them.

    Args:
        metric: from :func:`metric_for`.
        y: (n,) the truth.
        labels: (n,) predicted values.
        probabilities: (n, n_classes) in the order of ``classes``; None for regression, or where the metric needs none.
        classes: the labels in sorted order; empty or None for regression.

    Raises:
        UsageError: the metric needs probabilities and there are none.
    """
    if metric.quick is not None and (metric.needs == "label" or probabilities is not None):
        return metric.quick(np.asarray(y), np.asarray(labels), probabilities, classes)
    if classes is None or not len(classes):
        return float(metric.scorer(_StoredNumbers(labels), np.zeros((len(y), 1)), y))
    if metric.needs == "proba" and probabilities is None:
        raise UsageError(f"{metric.name} needs class probabilities; this model gave none")
    model = _StoredClasses(labels, probabilities, classes)
    return float(metric.scorer(model, np.zeros((len(y), 1)), y))


def _accuracy(y: Array, labels: Array, probabilities: Array | None, classes: Sequence[Any]) -> float:  # noqa: ARG001 - one signature for all
    return float(np.mean(y == labels))


def _auc(y: Array, labels: Array, probabilities: Array, classes: Sequence[Any]) -> float:  # noqa: ARG001
    """The share of pairs of a positive and a negative that stand in the right order (Mann & Whitney 1947); NaN without a pair."""
    positive = y == np.asarray(classes)[1]
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    ranks = rankdata(np.asarray(probabilities)[:, 1])
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _mse(y: Array, labels: Array, probabilities: Array | None, classes: Sequence[Any] | None) -> float:  # noqa: ARG001
    return float(np.mean((y - labels) ** 2))


def _rmse(y: Array, labels: Array, probabilities: Array | None, classes: Sequence[Any] | None) -> float:  # noqa: ARG001
    return float(np.sqrt(np.mean((y - labels) ** 2)))


def _mae(y: Array, labels: Array, probabilities: Array | None, classes: Sequence[Any] | None) -> float:  # noqa: ARG001
    return float(np.mean(np.abs(y - labels)))


_QUICK: dict[tuple[str, Task], Callable[..., float]] = {
    ("roc_auc", "binary"): _auc,
    ("accuracy", "binary"): _accuracy,
    ("accuracy", "multiclass"): _accuracy,
    ("rmse", "regression"): _rmse,
    ("mse", "regression"): _mse,
    ("mae", "regression"): _mae,
}


class _StoredNumbers(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Answers with predictions made earlier, so that any scorer can be asked about them."""

    def __init__(self, labels: Any = None) -> None:
        self.labels = labels
        self.fitted_ = True

    def predict(self, X: Any) -> Any:  # noqa: ARG002 - the answers are fixed
        return np.asarray(self.labels)


class _StoredClasses(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The same with classes and their probabilities."""

    def __init__(self, labels: Any = None, probabilities: Any = None, classes: Any = ()) -> None:
        self.labels = labels
        self.probabilities = probabilities
        self.classes_ = np.asarray(classes)

    def predict(self, X: Any) -> Any:  # noqa: ARG002 - the answers are fixed
        return np.asarray(self.labels)

    def predict_proba(self, X: Any) -> Any:  # noqa: ARG002 - the answers are fixed
        return np.asarray(self.probabilities)


_MACRO = {n: f"{n}_macro" for n in ("f1", "precision", "recall", "jaccard")} | {"roc_auc": "roc_auc_ovr"}
_TWO_CLASSES = (*_MACRO, "average_precision", "neg_brier_score", "d2_brier_score", "positive_likelihood_ratio", "neg_negative_likelihood_ratio")
_POSITIVE: dict[str, tuple[Callable[..., float], Literal["label", "proba"]]] = {
    "f1": (sk.f1_score, "label"),
    "precision": (sk.precision_score, "label"),
    "recall": (sk.recall_score, "label"),
    "jaccard": (sk.jaccard_score, "label"),
    "average_precision": (sk.average_precision_score, "proba"),
}
_REGRESSION: dict[str, Callable[..., float]] = {
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "mse": sk.mean_squared_error,
    "mape": sk.mean_absolute_percentage_error,
}
_TITLES = {
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "ROC AUC, one class against the rest",
    "f1": "F1",
    "f1_macro": "F1, mean over classes",
    "log_loss": "log loss",
    "neg_log_loss": "negative log loss",
    "rmse": "RMSE",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "mape": "mean absolute percentage error",
    "r2": "R²",
}


def _is_for_regression(name: str) -> bool:
    words = ("_error", "r2", "explained_variance", "deviance", "d2_absolute", "d2_pinball", "d2_tweedie")
    return name in _REGRESSION or any(word in name for word in words)


def _refusal(name: str, task: Task, known: Sequence[str]) -> str:
    others = {n for other in ("binary", "multiclass", "regression") for n in names_for(other)}
    some = ", ".join(known[:8])
    if name in others:
        words = {"binary": "two classes", "multiclass": "more than two classes", "regression": "regression"}[task]
        return f"metric={name!r} does not suit {words}; there are {some}, ..."
    return f"metric={name!r} is unknown{nearest(str(name), known)}; for this task there are {some}, ... and every scikit-learn scorer that suits it"


def _made(name: str, task: Task, classes: tuple[Any, ...]) -> tuple[Scorer, Direction, Literal["label", "proba"]]:
    if task == "regression":
        if name in _REGRESSION:
            return sk.make_scorer(_REGRESSION[name]), "min", "label"
        return sk.get_scorer(name), "max", "label"
    labels = list(classes)
    if name in ("log_loss", "neg_log_loss"):
        sign = name == "log_loss"  # scikit-learn's scorer has no labels, and stumbles over a fold without one of the classes
        return sk.make_scorer(sk.log_loss, response_method="predict_proba", greater_is_better=sign, labels=labels), "min" if sign else "max", "proba"
    if name.startswith("roc_auc"):
        return sk.make_scorer(sk.roc_auc_score, response_method="predict_proba", **_auc_options(name, task, labels)), "max", "proba"
    if name in _POSITIVE and task == "binary":
        score, needs = _POSITIVE[name]
        if needs == "proba":
            return sk.make_scorer(score, response_method="predict_proba", pos_label=labels[-1]), "max", needs
        return sk.make_scorer(score, pos_label=labels[-1], zero_division=0), "max", needs
    stem, _, average = name.rpartition("_")
    if stem in _POSITIVE and average in ("macro", "micro", "weighted"):
        return sk.make_scorer(_POSITIVE[stem][0], average=average, pos_label=None, zero_division=0), "max", "label"
    return _other(name, labels)


def _auc_options(name: str, task: Task, labels: list[Any]) -> dict[str, Any]:
    if task == "binary":
        return {}
    way = "ovo" if "_ovo" in name else "ovr"
    return {"multi_class": way, "average": "weighted" if name.endswith("_weighted") else "macro", "labels": labels}


def _other(name: str, labels: list[Any]) -> tuple[Scorer, Direction, Literal["label", "proba"]]:
    if name == "top_k_accuracy":
        return sk.make_scorer(sk.top_k_accuracy_score, response_method="predict_proba", labels=labels), "max", "proba"
    if name == "neg_brier_score":
        return sk.make_scorer(sk.brier_score_loss, response_method="predict_proba", greater_is_better=False, pos_label=labels[-1]), "max", "proba"
    if name == "d2_brier_score":
        return sk.make_scorer(sk.d2_brier_score, response_method="predict_proba", pos_label=labels[-1]), "max", "proba"
    if name == "d2_log_loss_score":
        return sk.make_scorer(sk.d2_log_loss_score, response_method="predict_proba", labels=labels), "max", "proba"
    return sk.get_scorer(name), "max", "label"
