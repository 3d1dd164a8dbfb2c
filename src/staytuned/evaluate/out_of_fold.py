"""What each held-out row says of a config: read off the usual scoring, kept beside the scores, and put together for `honest`."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import getattr_static
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn import metrics as sk
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from staytuned.errors import BlobMissing, UsageError
from staytuned.evaluate.honest import Honest, corrected, corrected_for, time_blocks
from staytuned.evaluate.reuse._sharing import cut
from staytuned.goal import Goal
from staytuned.trial import History, Status, Trial

Array: TypeAlias = npt.NDArray[Any]
Name: TypeAlias = Literal["accuracy", "squared", "absolute", "relative", "log_loss", "roc_auc", "r2", "rmse"]

MOST_BYTES = 32 * 2**20  # of a trial's table; a larger one is not kept
_SAME = 1e-6  # scikit-learn adds up in the precision of the answers, which may be single
_EXACT_BYTES = 2 * 2**20  # a larger table is kept in single precision
_MOST = 256  # configs that the winner is compared with
_MOST_CALLED = 64  # likewise where the metric is called for each resample
_ENTRIES = 4_000_000  # of their table; with many rows few configs are still close
_WORK = {"roc_auc": (2e8, 50, 1000), "r2": (1e8, 50, 200), "rmse": (1e8, 50, 200)}  # rows x configs x resamples, fewest resamples, most
_WORK_OF_MEANS = (2e9, 200, 1000)


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


def honest_of(
    trials: History,
    load: Callable[[str], bytes],
    kind: Kind,
    goal: Goal,
    y: Any,
    splits: Sequence[tuple[Array, Array]],
    *,
    groups: Any = None,
    ordered: bool = False,
    first: int | None = None,
    seed: int = 0,
) -> Honest | None:
    """The score of the best trial, corrected for its having been chosen among all configs that these trials measured.

    None where a trial that was scored has no row values, or too little is known. Configs far behind are left out: the 256 best take part, fewer with
    many rows or a metric that is no mean.

    Args:
        trials: with the row values that their evaluator kept; columns count with all their configs.
        load: digest to blob, a ledger's ``get``.
        kind: of the metric.
        goal: whose metric and direction decide.
        y: (n_rows,) labels of the whole table.
        splits: of the whole table, as the trials saw them.
        groups: (n_rows,) rows of one group are left out together. Rows that several folds hold out always are.
        ordered: rows are in order of time; blocks of neighbours are left out together.
        first: number of the trial that the winner's lead is measured from.
        seed: of the resamples.
    """
    tests = [np.flatnonzero(test) if np.asarray(test).dtype == bool else np.asarray(test) for _, test in splits]
    rows, folds = np.concatenate(tests), np.repeat(np.arange(len(tests)), [len(test) for test in tests])
    scored = [trial for trial in trials if trial.status in (Status.DONE, Status.PRUNED) and trial.readings]
    if not scored or any(trial.measurement is None or not trial.measurement.rows_at for trial in scored):
        return None
    chosen = _chosen(scored, goal, len(tests), max(16, min(_MOST_CALLED if kind.name in _CALLED else _MOST, _ENTRIES // len(rows))), first)
    try:
        table = _table(chosen, load, [len(test) for test in tests])
        unit = _units(rows, len(tests[0]) if y is None else len(y), groups, ordered)
        start = next((place for place, config in enumerate(chosen) if config.trial.number == first), None)
        return None if table is None else _corrected(kind, table, np.asarray(y), rows, folds, unit, goal, start, seed)
    except (UsageError, BlobMissing, TypeError):  # one group, a fold without any row, groups that have no order
        return None


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


def _r2(y: Array, predicted: Array) -> float:
    spread, unexplained = float(np.sum((y - y.mean()) ** 2)), float(np.sum((y - predicted) ** 2))
    return 1 - unexplained / spread if spread else float(unexplained == 0)


def _rmse(y: Array, predicted: Array) -> float:
    return math.sqrt(float(np.mean((y - predicted) ** 2)))


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
_CALLED: dict[str, Callable[[Array, Array], float]] = {"r2": _r2, "rmse": _rmse}


# --- the configs that were chosen from


@dataclass(frozen=True, slots=True)
class _Config:
    trial: Trial
    place: int  # in the trial's table
    seen: int  # folds
    loss: float


def _chosen(trials: Sequence[Trial], goal: Goal, folds: int, most: int, first: int | None) -> list[_Config]:
    """The best configs, finished ones before those that were stopped, and the best of the first trial."""
    found = []
    for trial in trials:
        column = trial.measurement.column if trial.measurement is not None else ()
        for place, by_fold in enumerate([alternative.scores for alternative in column] or [[reading.scores for reading in trial.readings]]):
            loss = goal.loss(float(np.mean([scores.get(goal.metric, math.nan) for scores in by_fold])))
            found.append(_Config(trial, place, len(by_fold), loss if math.isfinite(loss) else math.inf))
    found.sort(key=lambda config: (config.seen < folds, config.loss))
    start = next((config for config in found if config.trial.number == first), None)
    kept = found[:most]
    return kept if start is None or start in kept else [*kept, start]


def _table(chosen: Sequence[_Config], load: Callable[[str], bytes], sizes: Sequence[int]) -> Array | None:
    """(n_rows, n_configs) NaN for folds not seen; None if a trial's table is not of these folds."""
    table = np.full((sum(sizes), len(chosen)), math.nan)
    by_trial: dict[int, list[int]] = {}
    for column, config in enumerate(chosen):
        by_trial.setdefault(config.trial.number, []).append(column)
    for columns in by_trial.values():
        measurement = chosen[columns[0]].trial.measurement
        rows = unpacked(load(measurement.rows_at if measurement is not None else ""))
        if rows.shape != (max(1, len(measurement.column) if measurement is not None else 0), sum(sizes[: chosen[columns[0]].seen])):
            return None
        for column in columns:
            table[: rows.shape[1], column] = rows[chosen[column].place]
    return table


def _units(rows: Array, n_rows: int, groups: Any, ordered: bool) -> Array | None:
    """(n_held_out,) what is left out together; None for each row alone."""
    if groups is not None:
        return np.asarray(groups)[rows]
    if ordered:
        return time_blocks(n_rows)[rows]
    return rows if len(np.unique(rows)) < len(rows) else None


def _corrected(kind: Kind, table: Array, y: Array, rows: Array, folds: Array, unit: Array | None, goal: Goal, first: int | None, seed: int) -> Honest:
    work, fewest, most_resamples = _WORK.get(kind.name, _WORK_OF_MEANS)
    resamples = int(min(most_resamples, max(fewest, work // table.size)))
    if kind.is_mean:
        least, most = (0.0, 1.0) if kind.name == "accuracy" else (0.0, math.inf)
        bounds = (least, most) if kind.sign == 1 else (-most, -least)
        return corrected(table, folds, groups=unit, direction=goal.direction, first=first, seed=seed, resamples=resamples, bounds=bounds)
    if kind.name == "roc_auc":
        target = np.unique(y.ravel(), return_inverse=True)[1][rows]
        return corrected_for("roc_auc", target, table, folds, groups=unit, direction=goal.direction, first=first, seed=seed, resamples=resamples)
    plain = _CALLED[kind.name]
    bounds = {("r2", 1): (-math.inf, 1.0), ("r2", -1): (-1.0, math.inf), ("rmse", 1): (0.0, math.inf), ("rmse", -1): (-math.inf, 0.0)}[kind.name, kind.sign]
    return corrected_for(
        lambda target, predicted: kind.sign * plain(target, predicted),
        y.astype(float).ravel()[rows],
        table,
        folds,
        groups=unit,
        direction=goal.direction,
        first=first,
        seed=seed,
        resamples=resamples,
        bounds=bounds,
    )
