"""What a tuning run found, in records: what the terminal, the report and the registry all read."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from staytuned._random import generator
from staytuned.automl.columns import Table
from staytuned.automl.metrics import Metric
from staytuned.automl.recipe import Build, Plan, Tuned, dummy, fit_config, predict
from staytuned.automl.resampled import interval_of, intervals_of, score_of_rows
from staytuned.automl.split import Split
from staytuned.evaluate.cv import CrossValidation
from staytuned.insight.fit import FitVerdict, fit_gap
from staytuned.monitor.performance import Prediction
from staytuned.stats.compare import Interval
from staytuned.trial import Trial

_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the training rows, for the learning curve


@dataclass(frozen=True)
class TestScores:
    """Scores on the part nothing had touched, looked at once.

    Args:
        dummy: of a model that looks at no column.
        baseline, tuned: with 95 % bootstrap intervals over rows.
        gain: tuned minus baseline, turned so that positive is better, with its interval over the same resampled rows.
        sentence: what the comparison says.
    """

    __test__ = False  # not a test class, whatever pytest makes of its name

    dummy: float
    baseline: Interval | None
    tuned: Interval
    gain: Interval | None
    sentence: str


@dataclass(frozen=True)
class LearningCurve:
    """Scores against the number of training rows, on the first validation fold."""

    rows: tuple[int, ...]
    train: tuple[float, ...]
    validation: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """A finished tuning run.

    Args:
        name: of the model.
        table: columns, task and warnings as inferred.
        split: training and test rows.
        tuned: the search and its winner.
        dummy_score: mean validation score of a model that looks at no column.
        test: scores on the test part.
        fit: a sentence on over- and under-fitting.
        y_test: (n_test,) targets of the test part.
        prediction, baseline_prediction: of the tuned model and of the best default on the test part.
        curve: the learning curve; None where there was no time for it.
        timeline: (step, seconds) in order.
    """

    name: str
    table: Table
    split: Split
    tuned: Tuned
    dummy_score: float
    test: TestScores
    fit: FitVerdict
    y_test: npt.NDArray[Any]
    prediction: Prediction
    baseline_prediction: Prediction | None
    curve: LearningCurve | None
    timeline: Sequence[tuple[str, float]] = field(default_factory=tuple)

    @property
    def plan(self) -> Plan:
        return self.tuned.plan

    @property
    def metric(self) -> Metric:
        return self.tuned.plan.metric

    @property
    def best(self) -> Trial:
        return self.tuned.study.best


def test_once(tuned: Tuned, X: Any, y: Any, split: Split, table: Table, *, seed: int, rounds: int | None) -> tuple[TestScores, Prediction, Prediction | None]:
    """Score the dummy, the best default and the tuned model on the untouched part, with intervals, and say what follows.

    Args:
        X, y: the whole table; only ``split.test`` is scored, only ``split.train`` fitted on.
        rounds: resamples for the intervals; None for the usual number.
    """
    metric = tuned.plan.metric
    X_train, y_train, X_test, y_test = X.iloc[split.train], y[split.train], X.iloc[split.test], np.asarray(y[split.test])
    prediction = predict(tuned.pipeline, X_test, table)
    blind = predict(dummy(table.task).fit(np.zeros((len(y_train), 1)), y_train), np.zeros((len(y_test), 1)), table)
    baseline: Prediction | None = None
    if tuned.baseline is not None:
        same = tuned.baseline.config == tuned.config
        baseline = prediction if same else predict(fit_config(tuned.baseline.config, X_train, y_train, table, seed=tuned.baseline.seed), X_test, table)
    dummy_point = score_of_rows(metric, y_test, blind)(np.arange(len(y_test)))
    rng = generator(seed, "test")
    both = None if baseline is None else intervals_of(metric, y_test, prediction, baseline, rng=rng, rounds=rounds)
    of_tuned = both.a if both else interval_of(metric, y_test, prediction, rng=rng, rounds=rounds)
    gain = None if both is None else both.difference if metric.direction == "max" else _mirrored(both.difference)
    scores = TestScores(dummy_point, both.b if both else None, of_tuned, gain, "")
    return replace(scores, sentence=_verdict(scores, metric, tuned)), prediction, baseline


def fit_verdict(tuned: Tuned, dummy_score: float, test: TestScores) -> FitVerdict:
    """Training beside validation score of the winner, in a plain sentence."""
    readings, name = tuned.study.best.readings, tuned.plan.metric.name
    train = float(np.mean([r.train_scores[name] for r in readings if name in r.train_scores] or [np.nan]))
    spread = float(np.std([r.scores[name] for r in readings], ddof=1)) if len(readings) > 1 else None
    return fit_gap(train, tuned.score, tuned.plan.goal, spread=spread, test=(test.tuned.low, test.tuned.point, test.tuned.high), dummy=dummy_score)


def learning_curve(tuned: Tuned, X: Any, y: Any, table: Table, *, seconds: float, seed: int) -> LearningCurve | None:
    """Refit the winner on growing shares of the first fold's training rows; None if that would take longer than ``seconds``.

    What a share takes is told beforehand by what the last fit took, then by the share before it.
    """
    best, metric = tuned.study.best, tuned.plan.metric
    if not best.readings:
        return None
    train, validation = tuned.plan.folds[0]
    measured = 1 if best.measurement is None else max(len(best.measurement.column), 1)
    scored = best.readings[0].score_seconds / measured / max(len(validation), 1)  # for a row
    each = tuned.fit_seconds / len(X) + scored  # to fit a row, and to score it too
    if each * sum(_SHARES) * len(train) + len(_SHARES) * scored * len(validation) > seconds:
        return None
    shuffled = generator(seed, "learning curve").permutation(train)
    deadline = clock.monotonic() + seconds
    points: list[tuple[int, float, float]] = []
    for share in _SHARES:
        rows = shuffled[: max(20, round(share * len(shuffled)))]
        began = clock.monotonic()
        if began + (each * len(rows) if points else 0.0) > deadline or len(np.unique(y[rows])) < 2:
            continue
        with threadpool_limits(1):
            reading = CrossValidation(Build(table), X, y, [(rows, validation)], {metric.name: metric.scorer})(best.config, None, best.seed).readings[0]
        each = (clock.monotonic() - began) / len(rows)
        points.append((len(rows), reading.train_scores[metric.name], reading.scores[metric.name]))
    if len(points) < 2:
        return None
    sizes, train_scores, scores = zip(*points, strict=True)
    return LearningCurve(tuple(sizes), tuple(train_scores), tuple(scores))


def _mirrored(interval: Interval) -> Interval:
    return Interval(-interval.high, -interval.point, -interval.low, interval.level)


def _verdict(scores: TestScores, metric: Metric, tuned: Tuned) -> str:
    if scores.gain is None or scores.baseline is None:
        return f"On rows never looked at before, {metric.name} is {scores.tuned.point:.4f}; no default config finished to compare it with."
    if tuned.baseline is not None and tuned.baseline.config == tuned.config:
        return f"On rows never looked at before, {metric.name} is {scores.tuned.point:.4f}; the best config found is a default, so tuning gained nothing."
    gain, span = scores.gain, f"(95 % interval of the difference {scores.gain.low:+.4f} to {scores.gain.high:+.4f}, positive is better)"
    both = f"{metric.name} {scores.tuned.point:.4f} against {scores.baseline.point:.4f} for the best default"
    if gain.low > 0:
        return f"Tuning helped: {both} on rows never looked at before {span}."
    if gain.high < 0:
        return f"Tuning hurt: {both} on rows never looked at before {span}; prefer the default, and tune with more rows or fewer dimensions."
    return f"Tuning and default cannot be told apart on the test rows: {both} {span}."
