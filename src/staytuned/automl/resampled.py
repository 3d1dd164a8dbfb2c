"""Test scores with intervals over resampled rows, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.automl.metrics import Metric, score_of
from staytuned.monitor.performance import Prediction
from staytuned.stats.compare import Comparison, Interval, bootstrap, compared

Rows: TypeAlias = npt.NDArray[np.intp]

_ROUNDS, _ROUNDS_CALLED, _LEAST_ROUNDS = 1000, 500, 200  # with a quick metric; where a scikit-learn scorer is called; however slow it is
_PROBES = 3


def interval_of(metric: Metric, y: Any, prediction: Prediction, *, rng: np.random.Generator, rounds: int | None = None) -> Interval:
    """The score of a prediction with its 95 % bootstrap interval over rows.

    Args:
        y: (n_rows,) the truth.
        rounds: resamples; None for 1,000, or 500 where a scikit-learn scorer has to be called.
    """
    places = np.arange(len(y))
    return bootstrap(_Scores((score_of_rows(metric, y, prediction),), len(y)), places, places, rng=rng, rounds=rounds or usual_rounds(metric))


def intervals_of(metric: Metric, y: Any, a: Prediction, b: Prediction, *, rng: np.random.Generator, rounds: int | None = None) -> Comparison:
    """The scores of two predictions and their difference, over the same resampled rows; see :func:`interval_of`."""
    places, scores = np.arange(len(y)), (score_of_rows(metric, y, a), score_of_rows(metric, y, b))
    return compared(_Scores(scores, len(y)), places, places, places + len(y), rng=rng, rounds=rounds or usual_rounds(metric))


def usual_rounds(metric: Metric) -> int:
    """Resamples where there is time for them."""
    return _ROUNDS if metric.quick is not None else _ROUNDS_CALLED


def affordable_rounds(metric: Metric, y: Any, classes: Sequence[Any], seconds: float) -> tuple[int, float]:
    """On how many resamples two predictions can be compared within these seconds, and how many seconds that takes.

    At least 200 and at most the usual number; told by scoring made-up predictions.

    Args:
        y: (n_rows,) a truth like the one that will be scored.
        classes: of the target; empty for regression.
    """
    rng = np.random.default_rng(0)
    made_up = rng.random((len(y), len(classes))) if len(classes) else rng.permutation(np.asarray(y, dtype=float))
    prediction = Prediction(np.asarray(classes)[made_up.argmax(axis=1)], made_up, classes) if len(classes) else Prediction(made_up)
    score = score_of_rows(metric, y, prediction)
    began = time.perf_counter()
    for _ in range(_PROBES):
        with suppress(ValueError):  # one class only
            score(rng.integers(0, len(y), len(y)))
    each = 2 * (time.perf_counter() - began) / _PROBES
    rounds = int(min(usual_rounds(metric), max(_LEAST_ROUNDS, seconds / each)))
    return rounds, rounds * each


def score_of_rows(metric: Metric, y: Any, prediction: Prediction) -> Callable[[Rows], float]:
    """(rows, with repeats) to the score of the prediction on them; NaN or a ValueError where they hold one class only."""
    classes, numbers = prediction.classes, as_numbers(prediction)
    if metric.name == "roc_auc" and metric.quick is not None and len(classes) == 2:
        return _Auc.of(np.asarray(y) == np.asarray(classes)[1], numbers[:, 1])
    truth, labels = np.asarray(y), np.asarray(classes)

    def score(rows: Rows) -> float:
        if not len(labels):
            return score_of(metric, truth[rows], numbers[rows])
        return score_of(metric, truth[rows], labels[numbers[rows].argmax(axis=1)], numbers[rows], classes)

    return score


def as_numbers(prediction: Prediction) -> npt.NDArray[np.float64]:
    """(n,) predicted values, or (n, n_classes) probabilities: one array that can be resampled by rows."""
    return np.asarray(prediction.labels if prediction.probabilities is None else prediction.probabilities, dtype=float)


@dataclass(frozen=True)
class _Scores:
    """Scores of one prediction or two, which are told apart by the places of their rows: those of the second come after all of the first."""

    scores: tuple[Callable[[Rows], float], ...]
    n_rows: int

    def __call__(self, _: Any, places: Rows) -> float:
        return self.scores[int(places[0]) // self.n_rows](places % self.n_rows)


@dataclass(frozen=True)
class _Auc:
    """The area under the ROC curve of resampled rows: sorted once, each resample only counts how often a row was drawn (Mann & Whitney 1947).

    Args:
        order: (n_rows,) rows by ascending value.
        positive: (n_rows,) in that order.
        starts: where each distinct value begins.
    """

    order: Rows
    positive: npt.NDArray[np.bool_]
    starts: Rows

    @classmethod
    def of(cls, positive: npt.NDArray[np.bool_], values: npt.NDArray[np.float64]) -> _Auc:
        order = np.argsort(values, kind="stable")
        ranked = values[order]
        return cls(order, positive[order], np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]))

    def __call__(self, rows: Rows) -> float:
        drawn = np.bincount(rows, minlength=len(self.order))[self.order]
        ones = np.add.reduceat(drawn * self.positive, self.starts)
        zeros = np.add.reduceat(drawn, self.starts) - ones
        pairs = int(ones.sum()) * int(zeros.sum())
        below = np.cumsum(zeros) - zeros
        return float((ones * (below + zeros / 2)).sum() / pairs) if pairs else float("nan")
