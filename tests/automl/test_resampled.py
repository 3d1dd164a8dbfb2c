import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from staytuned._random import generator
from staytuned.automl.metrics import metric_for, score_of
from staytuned.automl.resampled import affordable_rounds, interval_of, intervals_of, score_of_rows, usual_rounds
from staytuned.monitor.performance import Prediction
from staytuned.stats.compare import bootstrap, compared

CLASSES = ("no", "yes")


def binary(n: int = 80, digits: int = 1, seed: int = 0) -> tuple[np.ndarray, Prediction]:
    rng = generator(seed, "resampled")
    y = rng.choice(CLASSES, n)
    p = np.round(np.clip(0.3 * (y == "yes") + rng.random(n), 0, 1), digits)
    return y, Prediction(np.where(p > 0.5, "yes", "no"), np.column_stack([1 - p, p]), CLASSES)


@pytest.mark.parametrize("digits", [1, 9], ids=["ties", "no ties"])
def test_an_auc_of_resampled_rows_is_that_of_the_rows(digits):
    y, prediction = binary(digits=digits)
    score, rng = score_of_rows(metric_for("roc_auc", "binary", CLASSES), y, prediction), generator(1, "rows")
    for _ in range(20):
        rows = rng.integers(0, len(y), len(y))
        assert score(rows) == pytest.approx(roc_auc_score(y[rows] == "yes", prediction.probabilities[rows, 1]), abs=1e-12)


def test_one_class_has_no_auc():
    y, prediction = binary()
    score = score_of_rows(metric_for("roc_auc", "binary", CLASSES), y, prediction)
    assert np.isnan(score(np.flatnonzero(y == "yes")))


def slowly(metric, classes):
    def score(y, numbers):
        if not len(classes):
            return score_of(metric, y, numbers)
        return score_of(metric, y, np.asarray(classes)[numbers.argmax(axis=1)], numbers, classes)

    return score


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "log_loss", "f1"])
def test_intervals_are_those_of_the_slow_way(name):
    (y, a), (_, b) = binary(), binary(seed=1)
    metric, slow = metric_for(name, "binary", CLASSES), slowly(metric_for(name, "binary", CLASSES), CLASSES)
    rounds = 25
    one = interval_of(metric, y, a, rng=generator(0, "t"), rounds=rounds)
    expected = bootstrap(slow, y, a.probabilities, rng=generator(0, "t"), rounds=rounds)
    assert (one.low, one.point, one.high) == pytest.approx((expected.low, expected.point, expected.high), abs=1e-12)
    both = intervals_of(metric, y, a, b, rng=generator(0, "t"), rounds=rounds)
    other = compared(slow, y, a.probabilities, b.probabilities, rng=generator(0, "t"), rounds=rounds)
    for found, wanted in ((both.a, other.a), (both.b, other.b), (both.difference, other.difference)):
        assert (found.low, found.point, found.high) == pytest.approx((wanted.low, wanted.point, wanted.high), abs=1e-12)


def test_intervals_of_numbers():
    rng = generator(0, "numbers")
    y, metric = rng.normal(size=50), metric_for("rmse", "regression")
    found = interval_of(metric, y, Prediction(y + 1.0), rng=rng, rounds=20)
    assert (found.low, found.point, found.high) == pytest.approx((1.0, 1.0, 1.0))


@pytest.mark.parametrize("name", ["roc_auc", "f1"])
def test_resamples_are_as_many_as_there_is_time_for(name):
    y, _ = binary()
    metric = metric_for(name, "binary", CLASSES)
    fewest, seconds = affordable_rounds(metric, y, CLASSES, 1e-9)
    assert fewest == 200
    assert seconds > 0
    assert affordable_rounds(metric, y, CLASSES, 1e9)[0] == usual_rounds(metric)


def test_time_is_told_for_numbers_too():
    assert affordable_rounds(metric_for("rmse", "regression"), np.arange(30.0), (), 1e9)[0] == 1000


def test_one_class_only_is_no_trouble():
    assert affordable_rounds(metric_for("f1", "binary", CLASSES), np.array(["no"] * 9), CLASSES, 1.0)[0] >= 200
