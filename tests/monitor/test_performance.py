import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.monitor.performance import Prediction, Promise, as_truth, class_index, losses, promise_of, risk_detector, score
from staytuned.stats.compare import clopper_pearson_upper


def binary(n=400, seed=0, classes=("no", "yes"), noise=0.6):
    rng = generator(seed, "binary")
    y = rng.integers(0, 2, n)
    p = 1 / (1 + np.exp(-(2 * y - 1) - noise * rng.normal(size=n) * 2))
    names = np.array(classes, dtype=object)
    return names[y], Prediction(names[(p > 0.5).astype(int)], np.column_stack([1 - p, p]), classes)


def three(n=600, seed=0):
    rng = generator(seed, "three")
    y = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    p = rng.dirichlet(np.ones(3), n)
    p[np.arange(n), y] += 0.6
    p /= p.sum(axis=1, keepdims=True)
    return y, Prediction(p.argmax(axis=1), p, (0, 1, 2))


def regression(n=500, seed=0):
    rng = generator(seed, "regression")
    y = rng.normal(10, 5, n)
    return y, Prediction(y + rng.normal(size=n))


def test_scores_of_two_classes_are_scikit_learns():
    y, said = binary()
    truth, labels, p = y == "yes", said.labels == "yes", said.probabilities[:, 1]
    expected = {
        "accuracy": metrics.accuracy_score(truth, labels),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, labels),
        "f1": metrics.f1_score(truth, labels),
        "f1_macro": metrics.f1_score(truth, labels, average="macro"),
        "precision": metrics.precision_score(truth, labels),
        "recall": metrics.recall_score(truth, labels),
        "roc_auc": metrics.roc_auc_score(truth, p),
        "average_precision": metrics.average_precision_score(truth, p),
        "neg_log_loss": -metrics.log_loss(truth, p),
        "neg_brier_score": -metrics.brier_score_loss(truth, p),
        "matthews_corrcoef": metrics.matthews_corrcoef(truth, labels),
    }
    assert {name: score(name, y, said) for name in expected} == pytest.approx(expected)


def test_scores_of_three_classes_are_scikit_learns():
    y, said = three()
    expected = {
        f"{base}_{average}": function(y, said.labels, average=average)
        for base, function in (("f1", metrics.f1_score), ("precision", metrics.precision_score), ("recall", metrics.recall_score))
        for average in ("macro", "micro", "weighted")
    }
    expected |= {
        f"roc_auc_{way}{suffix}": metrics.roc_auc_score(y, said.probabilities, multi_class=way, average=average)
        for way in ("ovr", "ovo")
        for suffix, average in (("", "macro"), ("_weighted", "weighted"))
    }
    expected |= {"neg_log_loss": -metrics.log_loss(y, said.probabilities), "balanced_accuracy": metrics.balanced_accuracy_score(y, said.labels)}
    assert {name: score(name, y, said) for name in expected} == pytest.approx(expected)


def test_scores_of_numbers_are_scikit_learns():
    y, said = regression()
    rmse, mae = metrics.root_mean_squared_error(y, said.labels), metrics.mean_absolute_error(y, said.labels)
    expected = {
        "rmse": rmse,
        "neg_root_mean_squared_error": -rmse,
        "mae": mae,
        "neg_mean_absolute_error": -mae,
        "r2": metrics.r2_score(y, said.labels),
        "neg_mean_squared_error": -(rmse**2),
    }
    assert {name: score(name, y, said) for name in expected} == pytest.approx(expected)


def test_scores_that_are_not_defined_are_nan_without_a_warning():
    y, said = binary()
    one = np.flatnonzero(y == "yes")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(score("roc_auc", y[one], said[one]))
        assert math.isnan(score("roc_auc", y[:0], said[:0]))
        assert math.isnan(score("r2", np.array([1.0]), Prediction(np.array([1.0]))))
        assert math.isnan(score("rmse", np.array([1.0]), Prediction(np.array([math.nan]))))
        assert score("accuracy", y[one], said[one]) > 0.5
    y3, said3 = three()
    rare = np.flatnonzero(y3 != 2)
    assert 0.5 < score("roc_auc_ovr", y3[rare], said3[rare]) < 1


def test_metrics_that_cannot_be_are_refused_with_the_way_out():
    y, said = binary()
    with pytest.raises(UsageError, match="get_scorer_names"):
        score("acuracy", y, said)
    with pytest.raises(UsageError, match="f1_makro"):
        score("f1_makro", y, said)
    with pytest.raises(UsageError, match="needs probabilities"):
        score("roc_auc", y, Prediction(said.labels, None, said.classes))


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "roc_auc", "neg_log_loss", "average_precision", "f1"])
def test_the_mean_loss_is_the_risk_that_the_metric_speaks_of(metric):
    y, said = binary(4000)
    promise = promise_of(metric, y, said)
    expected = {
        "accuracy": 1 - score("accuracy", y, said),
        "f1": 1 - score("accuracy", y, said),
        "balanced_accuracy": 1 - score("balanced_accuracy", y, said),
        "roc_auc": 1 - score("roc_auc", y, said),
        "neg_log_loss": -score("neg_log_loss", y, said),
        "average_precision": -score("neg_brier_score", y, said),
    }[metric]
    assert promise.natural(promise.risk) == pytest.approx(expected, abs=0.02)
    assert promise.risk < promise.upper < promise.m < 1


@pytest.mark.parametrize(("metric", "expected"), [("mae", 0.8), ("r2", 1.0), ("rmse", 1.0)])
def test_regression_losses_are_clipped_and_scaled(metric, expected):
    y, said = regression(5000)
    promise = promise_of(metric, y, said)
    assert promise.natural(promise.risk) == pytest.approx(expected, abs=0.05)
    wild = losses(promise, [0.0, 0.0], Prediction(np.array([1e9, math.nan])))
    assert wild.values.tolist() == [1, 1]


def test_every_loss_lies_in_the_unit_interval_and_a_promise_survives_json():
    cases = [(m, *binary(seed=1)) for m in ("accuracy", "balanced_accuracy", "roc_auc", "neg_log_loss", "average_precision")]
    cases += [(m, *three()) for m in ("accuracy", "balanced_accuracy", "roc_auc_ovr", "neg_log_loss")] + [(m, *regression()) for m in ("mae", "rmse", "r2")]
    for metric, y, said in cases:
        promise = promise_of(metric, y, said)
        found = losses(promise, y, said)
        assert ((found.values >= 0) & (found.values <= 1)).all(), metric
        assert found.values.mean() == pytest.approx(promise.risk), metric
        assert (np.diff(found.rows) >= 0).all(), metric
        assert Promise.from_json(json.loads(json.dumps(promise.to_json(), allow_nan=False))) == promise, metric


def test_an_error_rate_is_bounded_by_clopper_and_pearson_and_tolerance_is_ones_own():
    y, said = binary(300)
    promise = promise_of("accuracy", y, said)
    errors = int((y != said.labels).sum())
    assert promise.upper == pytest.approx(clopper_pearson_upper(errors, 300))
    assert promise.tolerance == pytest.approx(max(0.01, 0.1 * errors / 300))
    assert promise_of("accuracy", y, said, tolerance=0.05).tolerance == 0.05
    assert promise_of("accuracy", y[:200], said[:200]).upper > promise.upper - 0.02
    assert risk_detector(promise, 500).risk == promise.m
    assert risk_detector(promise).per == 100_000
    with pytest.raises(UsageError, match=r"tolerance=-0\.1"):
        promise_of("accuracy", y, said, tolerance=-0.1)


def test_rows_without_a_label_are_left_out():
    y, said = binary(100)
    partial = pd.Series(y).where(np.arange(100) % 2 == 0)
    found = losses(promise_of("accuracy", y, said), partial, said)
    assert found.rows.tolist() == list(range(0, 100, 2))
    assert as_truth(["a", math.nan, None]).tolist()[0] == "a"
    assert losses(promise_of("accuracy", y, said), ["yes", math.nan, None], said[[0, 1, 2]]).rows.tolist() == [0]
    assert losses(promise_of("mae", *regression()), [1.0, math.nan, math.inf], Prediction(np.zeros(3))).rows.tolist() == [0]


def test_a_class_never_seen_is_an_error_under_every_loss():
    y, said = three()
    for metric in ("accuracy", "balanced_accuracy", "neg_log_loss", "roc_auc_ovr"):
        promise = promise_of(metric, y, said)
        found = losses(promise, np.array([7]), said[[0]])
        assert found.values[0] > 0, metric


def test_classes_are_the_same_however_a_file_was_read():
    assert class_index(np.array([1.0, 0.0, 5.0]), ("0", "1")).tolist() == [1, 0, -1]
    assert class_index(["1", "0"], (0, 1)).tolist() == [1, 0]


def test_each_positive_meets_a_fresh_negative():
    p = np.array([0.9, 0.2, 0.4, 0.4, 0.1])
    said = Prediction((p > 0.5).astype(int), np.column_stack([1 - p, p]), (0, 1))
    found = losses(Promise("roc_auc", "pairs", 1.0, 0.1, 0.2, 0.01, 10), [1, 0, 1, 0, 1], said)
    assert found.values.tolist() == [0.0, 0.5]
    assert found.rows.tolist() == [1, 3]


def test_promises_nobody_can_make():
    y, said = binary(50)
    with pytest.raises(UsageError, match="both classes"):
        promise_of("roc_auc", np.array(["yes"] * 50), said)
    with pytest.raises(UsageError, match="labelled rows"):
        promise_of("accuracy", y[:0], said[:0])
    with pytest.raises(UsageError, match="3 labels do not fit 50"):
        promise_of("accuracy", y[:3], said)
    with pytest.raises(UsageError, match="must hold numbers"):
        promise_of("mae", ["a", "b"], Prediction(np.zeros(2)))
    with pytest.raises(UsageError, match="do not fit"):
        Prediction(np.zeros(3), np.zeros((3, 3)), (0, 1))


def test_perfect_models_can_promise_too():
    y = np.arange(200.0)
    promise = promise_of("rmse", y, Prediction(y))
    assert 0 < promise.m < 0.2
    assert losses(promise, y, Prediction(y)).values.sum() == 0
