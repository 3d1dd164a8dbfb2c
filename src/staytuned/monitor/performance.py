"""Does the model keep its promise? Scores, the losses to bet on, and the promise itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from staytuned.errors import UsageError
from staytuned.monitor.profile import level
from staytuned.stats.compare import betting_upper, clopper_pearson_upper
from staytuned.stats.stream import RiskDetector

Floats: TypeAlias = npt.NDArray[np.float64]
Loss: TypeAlias = Literal["error", "balanced error", "pairs", "brier", "log", "absolute", "squared"]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model said about some rows; index it by row numbers to get what it said about those.

    Args:
        labels: (n,) predicted classes, or numbers for regression.
        probabilities: (n, n_classes) in the order of `classes`, or None.
        classes: in order, the second being the positive one of two; empty for regression.
    """

    labels: npt.NDArray[Any]
    probabilities: npt.NDArray[Any] | None = None
    classes: Sequence[Any] = ()

    def __post_init__(self) -> None:
        shape = None if self.probabilities is None else np.shape(self.probabilities)
        if shape is not None and shape != (len(self.labels), len(self.classes)):
            raise UsageError(f"probabilities of shape {shape} do not fit {len(self.labels)} rows and {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Prediction:
        return Prediction(np.asarray(self.labels)[rows], None if self.probabilities is None else np.asarray(self.probabilities)[rows], self.classes)


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses in [0, 1] in order of arrival, and the row at which each became known."""

    values: Floats
    rows: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Promise:
    """What was promised when the model was made: a mean loss, how sure that was, and how much worse is still tolerated.

    The losses are divided by `scale` to lie in [0, 1]; so are `risk`, `upper` and `tolerance`.

    Args:
        metric: which the promise stands for.
        loss: which loss is watched instead: its mean per row must be a risk.
        scale: natural units per unit of loss.
        weights: of the classes (balanced error only).
        risk: mean loss on the held-out rows.
        upper: bound of the true mean, too low with probability 0.025 at most.
        tolerance: what may be added before it counts as harm.
        n: held-out losses.
    """

    metric: str
    loss: Loss
    scale: float
    risk: float
    upper: float
    tolerance: float
    n: int
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def m(self) -> float:
        """The largest mean loss that keeps the promise, in (0, 1]."""
        return min(1.0, self.upper + self.tolerance)

    def natural(self, loss: float) -> float:
        """A mean loss in the metric's own units (its root for squared losses)."""
        return math.sqrt(loss * self.scale) if self.loss == "squared" else loss * self.scale

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        return cls(**body)


NAMES: Mapping[Loss, str] = {
    "error": "error rate",
    "balanced error": "error rate averaged over the classes",
    "pairs": "share of wrongly ordered pairs (1 - AUC)",
    "brier": "Brier score",
    "log": "log loss",
    "absolute": "mean absolute error",
    "squared": "root mean squared error",
}


def promise_of(metric: str, y: npt.ArrayLike, prediction: Prediction, tolerance: float | None = None) -> Promise:
    """The promise that held-out rows support.

    The rows must have been used neither to fit nor to choose the model, or the promise is too good to be kept.

    The loss watched for a metric: accuracy, f1, precision, recall and other label metrics: 1 for a wrong label. Balanced
    accuracy: the same, weighted so that its mean is the balanced error as long as the classes come in the reference's
    shares. roc_auc of two classes: each positive is paired with a fresh negative, 1 if they are in the wrong order, 1/2 for a
    tie. neg_log_loss: log loss. Other probability metrics: Brier score. mae and other regression metrics: absolute error; rmse
    and r2: squared error. Unbounded losses are clipped at the 99.5 % quantile of the held-out ones.

    Args:
        metric: as in `score`; an unknown name counts as a label metric, or absolute error.
        y: (n,) the truth; rows without are left out.
        prediction: for the same rows.
        tolerance: in natural units (share of errors, units of the target, its square for rmse); by default a tenth of
            the risk, and at least .01 of the largest loss.

    Raises:
        UsageError: there is no labelled row, or roc_auc finds only one class.
    """
    truth = as_truth(y)
    loss = _loss_of(metric, prediction)
    weights = _balance(truth, prediction) if loss == "balanced error" else {}
    raw = _raw(loss, weights, truth, prediction)
    if len(raw.values) == 0:
        raise UsageError(f"a promise for {metric!r} needs labelled rows (for roc_auc of both classes); there are {len(truth)} rows and none to use")
    scale = _scale(loss, weights, raw.values)
    x = np.clip(raw.values / scale, 0, 1)
    risk, n = float(np.mean(x)), len(x)
    upper = clopper_pearson_upper(int(x.sum()), n) if loss == "error" else betting_upper(x)
    allowed = max(0.1 * risk, 0.01) if tolerance is None else tolerance / scale
    if not allowed >= 0:
        raise UsageError(f"tolerance={tolerance!r} must be at least 0")
    return Promise(metric, loss, scale, risk, upper, allowed, n, weights)


def losses(promise: Promise, y: npt.ArrayLike, prediction: Prediction) -> Losses:
    """The losses of new rows, as the promise counts them. A class never seen before is an error; so is a prediction that is no
    number. Pairs that find no partner within the batch are left out."""
    raw = _raw(promise.loss, promise.weights, as_truth(y), prediction)
    return Losses(np.clip(raw.values / promise.scale, 0, 1), raw.rows)


def risk_detector(promise: Promise, labels_per_false_alarm: float = 100_000) -> RiskDetector:
    """A fresh detector for this promise. For roc_auc the false alarms are counted per pair."""
    return RiskDetector(promise.m, labels_per_false_alarm)


def as_truth(y: Any) -> npt.NDArray[Any]:
    """(n,) labels of any kind as an array in which a missing one stays missing: NumPy alone would turn a NaN among strings into "nan"."""
    return y if isinstance(y, np.ndarray) else np.asarray(pd.Series(y).to_numpy())


def labelled(y: npt.ArrayLike, numeric: bool) -> npt.NDArray[np.bool_]:
    """(n,) which rows have a label; for regression only finite numbers are labels.

    Raises:
        UsageError: the target of a regression holds something that is no number.
    """
    values = as_truth(y)
    if numeric:
        return np.asarray(np.isfinite(_floats(values)), dtype=bool)
    return np.asarray(~pd.isna(values), dtype=bool)


def score(metric: str, y: npt.ArrayLike, prediction: Prediction) -> float:
    """The metric in its own direction by scikit-learn's name; NaN where it is not defined on these rows.

    rmse and mae are positive, lower is better; names that begin with ``neg_`` are negative. f1, precision and recall are of the
    second of two classes; add _macro, _micro or _weighted for more. Other scorers of scikit-learn are tried as well.

    Raises:
        UsageError: scikit-learn knows no such metric, or it needs probabilities and there are none.
    """
    truth = as_truth(y)
    has = labelled(truth, numeric=not len(prediction.classes))
    truth, prediction = truth[has], prediction[has]
    if len(truth) == 0:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(_regression(metric, truth, prediction) if not len(prediction.classes) else _classification(metric, truth, prediction))


# --- losses


def _loss_of(metric: str, prediction: Prediction) -> Loss:
    if not len(prediction.classes):
        squared = ("rmse", "r2", "neg_root_mean_squared_error", "neg_mean_squared_error", "mse", "explained_variance")
        return "squared" if metric in squared else "absolute"
    if metric == "balanced_accuracy":
        return "balanced error"
    if prediction.probabilities is None:
        return "error"
    if metric == "roc_auc" and len(prediction.classes) == 2:
        return "pairs"
    if metric == "neg_log_loss":
        return "log"
    return "brier" if metric.startswith(("roc_auc", "average_precision", "neg_brier")) else "error"


def _raw(loss: Loss, weights: Mapping[str, float], y: npt.NDArray[Any], prediction: Prediction) -> Losses:
    if len(y) != len(prediction):
        raise UsageError(f"{len(y)} labels do not fit {len(prediction)} predictions; they must be of the same rows in the same order")
    rows = np.flatnonzero(labelled(y, numeric=loss in ("absolute", "squared")))
    truth, said = y[rows], prediction[rows]
    if loss in ("absolute", "squared"):
        off = np.abs(_floats(truth) - _floats(said.labels))
        off[np.isnan(off)] = np.inf
        return Losses(off if loss == "absolute" else off**2, rows)
    index = class_index(truth, prediction.classes)
    if loss in ("error", "balanced error"):
        wrong = ((class_index(said.labels, prediction.classes) != index) | (index < 0)).astype(float)
        return Losses(wrong * _weights(weights, truth) if weights else wrong, rows)
    p = np.nan_to_num(np.asarray(said.probabilities, dtype=float))
    if loss == "pairs":
        return _pairs(index, p[:, 1], rows)
    hit = np.zeros_like(p)
    hit[np.flatnonzero(index >= 0), index[index >= 0]] = 1
    if loss == "log":
        return Losses(-np.log(np.clip((hit * p).sum(axis=1), 1e-15, 1)), rows)
    return Losses(np.minimum(((p - hit) ** 2).sum(axis=1) / 2, 1.0), rows)


def _pairs(index: npt.NDArray[np.intp], p: Floats, rows: npt.NDArray[np.intp]) -> Losses:
    positive, negative = np.flatnonzero(index == 1), np.flatnonzero(index == 0)
    n = min(len(positive), len(negative))
    positive, negative = positive[:n], negative[:n]
    value = (p[positive] < p[negative]) + 0.5 * (p[positive] == p[negative])
    known = np.maximum(positive, negative)
    order = np.argsort(known, kind="stable")
    return Losses(value[order], rows[known[order]])


def _balance(y: npt.NDArray[Any], prediction: Prediction) -> dict[str, float]:
    """Weights under which the mean error is the mean over the classes present of the error within each."""
    codes, names = _levels_of(y[labelled(y, numeric=False)])
    counts = np.bincount(codes, minlength=len(names))
    return {name: float(len(codes) / (len(names) * n)) for name, n in zip(names, counts, strict=True)} or {level(c): 1.0 for c in prediction.classes}


def _weights(weights: Mapping[str, float], y: npt.NDArray[Any]) -> Floats:
    codes, names = _levels_of(y)
    return np.array([weights.get(name, 1.0) for name in names], dtype=float)[codes]


def _levels_of(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], list[str]]:
    """(n,) codes, and the name of the level each stands for, in order of first appearance; a name may come twice."""
    codes, unique = pd.factorize(values.astype(object), use_na_sentinel=False)
    return codes, [level(value) for value in unique]


def _scale(loss: Loss, weights: Mapping[str, float], raw: Floats) -> float:
    if loss in ("error", "pairs", "brier"):
        return 1.0
    if loss == "balanced error":
        return max(weights.values())
    usual = float(np.quantile(raw[np.isfinite(raw)], 0.995)) if np.isfinite(raw).any() else 1.0
    if loss == "log":
        return min(max(usual, math.log(2)), -math.log(1e-3))
    return usual if usual > 0 else 1.0


def class_index(values: npt.ArrayLike, classes: Sequence[Any]) -> npt.NDArray[np.intp]:
    """(n,) the place of each value among the classes, -1 for none; 1, 1.0 and "1" are the same class."""
    place = {level(c): i for i, c in enumerate(classes)}
    codes, unique = _levels_of(np.asarray(values))
    return np.array([place.get(name, -1) for name in unique], dtype=np.intp)[codes]


def _floats(values: npt.NDArray[Any]) -> Floats:
    try:
        return np.where(pd.isna(values), np.nan, values).astype(float)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"the target of a regression must hold numbers: {problem}") from problem


# --- scores


def _regression(metric: str, y: npt.NDArray[Any], prediction: Prediction) -> float:
    from sklearn import metrics

    truth, said = _floats(y), _floats(np.asarray(prediction.labels))
    if not np.isfinite(said).all():
        return math.nan
    if metric in ("rmse", "neg_root_mean_squared_error"):
        return float(metrics.root_mean_squared_error(truth, said)) * (-1 if metric.startswith("neg") else 1)
    if metric in ("mae", "neg_mean_absolute_error"):
        return float(metrics.mean_absolute_error(truth, said)) * (-1 if metric.startswith("neg") else 1)
    return _by_scorer(metric, truth, said, None)


def _classification(metric: str, y: npt.NDArray[Any], prediction: Prediction) -> float:
    from sklearn import metrics

    n = len(prediction.classes)
    truth, said = class_index(y, prediction.classes), class_index(prediction.labels, prediction.classes)
    if metric == "accuracy":
        return float(np.mean((truth == said) & (truth >= 0)))
    base, _, average = metric.partition("_")
    if base in ("f1", "precision", "recall"):
        return _label_score(base, average, truth, said, n)
    known = truth >= 0
    if not metric.startswith(("roc_auc", "average_precision", "neg_log_loss")):
        p = None if prediction.probabilities is None else np.asarray(prediction.probabilities, dtype=float)[known]
        return _by_scorer(metric, truth[known], said[known], p)
    if prediction.probabilities is None:
        raise UsageError(f"metric {metric!r} needs probabilities, and this prediction has none; choose a metric of labels such as 'accuracy'")
    p = np.asarray(prediction.probabilities, dtype=float)[known]
    truth = truth[known]
    if not np.isfinite(p).all() or len(truth) == 0:
        return math.nan
    if metric == "neg_log_loss":
        return -float(np.mean(-np.log(np.clip(p[np.arange(len(truth)), truth], np.finfo(float).eps, 1))))
    if metric == "average_precision":
        return _one_against_rest(metrics.average_precision_score, truth, p, None)
    if n > 2 and "ovo" in metric:
        return _or_nan(lambda: metrics.roc_auc_score(truth, p, multi_class="ovo", labels=range(n), average="weighted" if "weighted" in metric else "macro"))
    return _one_against_rest(metrics.roc_auc_score, truth, p, "weighted" if "weighted" in metric else None)


def _label_score(base: str, average: str, truth: npt.NDArray[np.intp], said: npt.NDArray[np.intp], n: int) -> float:
    from sklearn import metrics

    if average not in ("", "macro", "micro", "weighted"):
        raise UsageError(f"metric {base}_{average} is not known; choose {base}, {base}_macro, {base}_micro or {base}_weighted")
    function = {"f1": metrics.f1_score, "precision": metrics.precision_score, "recall": metrics.recall_score}[base]
    if not average and n == 2:
        return float(function(truth == 1, said == 1, zero_division=0))
    seen = sorted(set(truth.tolist()) | set(said.tolist()))
    return float(function(truth, said, labels=seen, average=average or "macro", zero_division=0))


def _one_against_rest(function: Any, truth: npt.NDArray[np.intp], p: Floats, average: str | None) -> float:
    """The mean of a two-class score over the classes of which there are rows inside and outside."""
    if p.shape[1] == 2:
        return float(function(truth == 1, p[:, 1])) if 0 < np.sum(truth == 1) < len(truth) else math.nan
    shares = np.array([np.mean(truth == k) for k in range(p.shape[1])])
    usable = [k for k, share in enumerate(shares) if 0 < share < 1]
    if not usable:
        return math.nan
    return float(np.average([function(truth == k, p[:, k]) for k in usable], weights=shares[usable] if average else None))


def _by_scorer(metric: str, truth: npt.NDArray[Any], said: npt.NDArray[Any], p: Floats | None) -> float:
    """Any other scorer of scikit-learn, on classes that are coded 0, 1, ... ."""
    from sklearn.metrics import get_scorer

    try:
        scorer = get_scorer(metric)
    except ValueError as problem:
        raise UsageError(f"metric {metric!r} is not known to scikit-learn; sklearn.metrics.get_scorer_names() lists what is") from problem
    on_labels = getattr(scorer, "_response_method", "predict") == "predict"
    if not on_labels and p is None:
        raise UsageError(f"metric {metric!r} needs probabilities, and this prediction has none")
    shown = said if on_labels or p is None else (p[:, 1] if p.shape[1] == 2 else p)
    return _or_nan(lambda: scorer._sign * scorer._score_func(truth, shown, **scorer._kwargs))


def _or_nan(function: Any) -> float:
    try:
        return float(function())
    except ValueError:
        return math.nan
