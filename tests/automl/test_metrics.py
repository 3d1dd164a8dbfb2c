import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import make_scorer

from staytuned.automl.metrics import metric_for, names_for, score_of
from staytuned.errors import UsageError

WORDS = {2: np.array(["no", "yes"]), 3: np.array(["ant", "bee", "cat"])}


def classified(k):
    X, y = make_classification(300, 6, n_informative=4, n_classes=k, weights=[0.6] + [0.4 / (k - 1)] * (k - 1), flip_y=0.1, random_state=0)
    y = WORDS[k][y]
    return LogisticRegression().fit(X[:200], y[:200]), X[200:], y[200:]


def regressed():
    X, y = make_regression(300, 5, noise=20, random_state=0)
    y = np.exp((y - y.min()) / np.ptp(y)) * 100
    return LinearRegression().fit(X[:200], y[:200]), X[200:], y[200:]


@pytest.mark.parametrize(("k", "name"), [*((2, name) for name in names_for("binary")), *((3, name) for name in names_for("multiclass"))])
def test_stored_predictions_score_as_the_model_does(k, name):
    task = "binary" if k == 2 else "multiclass"
    model, X, y = classified(k)
    metric = metric_for(name, task, WORDS[k].tolist())
    from_model = metric.scorer(model, X, y)
    assert np.isfinite(from_model)
    assert score_of(metric, y, model.predict(X), model.predict_proba(X), WORDS[k].tolist()) == pytest.approx(from_model, abs=1e-12)
    if "likelihood" not in name:  # which are not defined without errors
        best = score_of(metric, y, y, np.asarray(y[:, None] == WORDS[k], dtype=float), WORDS[k].tolist())
        assert best < from_model if metric.direction == "min" else best > from_model
    if metric.needs == "label":
        assert score_of(metric, y, model.predict(X), None, WORDS[k].tolist()) == pytest.approx(from_model, abs=1e-12)
    else:
        with pytest.raises(UsageError, match="needs class probabilities"):
            score_of(metric, y, model.predict(X), None, WORDS[k].tolist())


@pytest.mark.parametrize("name", names_for("regression"))
def test_regression_scores_from_stored_predictions(name):
    model, X, y = regressed()
    metric = metric_for(name, "regression")
    assert score_of(metric, y, model.predict(X)) == pytest.approx(metric.scorer(model, X, y), abs=1e-12)
    perfect, worse = score_of(metric, y, y), metric.scorer(model, X, y)
    assert perfect < worse if metric.direction == "min" else perfect > worse


def test_values_by_hand():
    y, guess, classes = np.array(["no", "yes", "yes", "no"]), np.array(["no", "yes", "no", "yes"]), ["no", "yes"]
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    expected = {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5, "roc_auc": 0.75, "log_loss": -np.log([0.9, 0.8, 0.4, 0.3]).mean()}
    for name, value in expected.items():
        assert score_of(metric_for(name, "binary", classes), y, guess, p, classes) == pytest.approx(value), name
    numbers, off = np.array([1.0, 2.0, 4.0]), np.array([1.0, 4.0, 3.0])
    for name, value in {"rmse": np.sqrt(5 / 3), "mae": 1.0, "mse": 5 / 3, "neg_root_mean_squared_error": -np.sqrt(5 / 3)}.items():
        assert score_of(metric_for(name, "regression"), numbers, off) == pytest.approx(value), name


@pytest.mark.parametrize("classes", [["no", "yes"], [0, 1], [False, True], ["1", "2"]])
def test_the_last_class_counts_as_positive(classes):
    y, guess = np.array(classes)[[0, 1, 1, 1]], np.array(classes)[[0, 0, 1, 1]]
    assert score_of(metric_for("recall", "binary", classes), y, guess, None, classes) == pytest.approx(2 / 3)
    assert score_of(metric_for("precision", "binary", classes), y, guess, None, classes) == 1


def test_auto_and_directions():
    assert (metric_for("auto", "binary", [0, 1]).name, metric_for("auto", "multiclass", [0, 1, 2]).name, metric_for("auto", "regression").name) == (
        "roc_auc",
        "accuracy",
        "rmse",
    )
    assert [metric_for(n, "regression").direction for n in ("rmse", "mae", "r2", "neg_mean_squared_error")] == ["min", "min", "max", "max"]
    assert [metric_for(n, "binary", [0, 1]).direction for n in ("log_loss", "neg_log_loss", "roc_auc")] == ["min", "max", "max"]


def test_metrics_for_two_classes_have_a_variant_for_more():
    for asked, used in (("f1", "f1_macro"), ("precision", "precision_macro"), ("recall", "recall_macro"), ("roc_auc", "roc_auc_ovr")):
        metric = metric_for(asked, "multiclass", ["a", "b", "c"])
        assert metric.name == used
        assert f"{asked} is for two classes; {used} is used for 3" in metric.note
    assert metric_for("f1", "binary", [0, 1]).note == ""


def test_a_fold_without_one_of_the_classes():
    model, X, y = classified(3)
    some = y != "cat"
    for name in ("log_loss", "neg_log_loss", "accuracy", "f1_macro"):
        assert np.isfinite(metric_for(name, "multiclass", WORDS[3].tolist()).scorer(model, X[some], y[some]))


def test_a_class_that_is_never_predicted_is_no_warning():
    metric = metric_for("precision", "binary", ["no", "yes"])
    assert score_of(metric, np.array(["no", "yes"]), np.array(["no", "no"]), None, ["no", "yes"]) == 0


def test_a_scorer_of_ones_own():
    model, X, y = classified(2)
    own = make_scorer(sk.fbeta_score, beta=2, pos_label="yes")
    metric = metric_for(own, "binary", ["no", "yes"])
    assert (metric.name, metric.direction) == ("fbeta_score", "max")
    assert score_of(metric, y, model.predict(X), model.predict_proba(X), ["no", "yes"]) == pytest.approx(own(model, X, y))


@pytest.mark.parametrize(
    ("name", "task", "says"),
    [
        ("roc_acu", "binary", "'roc_acu' is unknown; did you mean 'roc_auc'"),
        ("rmse", "binary", "'rmse' does not suit two classes; there are roc_auc, accuracy"),
        ("accuracy", "regression", "'accuracy' does not suit regression; there are rmse, mae"),
        ("average_precision", "multiclass", "does not suit more than two classes"),
        ("nonsense", "regression", "'nonsense' is unknown"),
    ],
)
def test_unknown_and_unsuitable_names(name, task, says):
    with pytest.raises(UsageError, match=says):
        metric_for(name, task, [0, 1])
