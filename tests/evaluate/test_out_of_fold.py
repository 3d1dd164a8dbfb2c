"""What each held-out row says is read off the usual scoring: the same scores, no second prediction, and the rows give the score back."""

import io

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import check_scoring, get_scorer, make_scorer
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from staytuned.evaluate.build import with_params
from staytuned.evaluate.columns import Columns, free_levels
from staytuned.evaluate.cv import CrossValidation
from staytuned.evaluate.out_of_fold import MOST_BYTES, Kind, RowValues, kind_of, scored_by_row, unpacked
from staytuned.goal import Goal
from staytuned.space.dims import Int
from staytuned.space.space import Space
from staytuned.store.memory import MemoryLedger
from staytuned.study import Study
from staytuned.trial import Measurement, Status, measurement_from_json, measurement_to_json

X, y = make_classification(n_samples=90, n_features=6, flip_y=0.2, random_state=0)
WORDS = np.where(y == 1, "yes", "no")
THREE = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
U, v = make_regression(n_samples=80, n_features=5, noise=20.0, random_state=0)
CLASSES, NUMBERS = LogisticRegression().fit(X[:50], y[:50]), LinearRegression().fit(U[:50], v[:50])


class Build:
    """From a config to an unfitted estimator."""

    def __init__(self, estimator):
        self.estimator = estimator

    def __call__(self, config, seed):  # noqa: ARG002
        return with_params(self.estimator, config)


class Counted(ClassifierMixin, BaseEstimator):
    """Counts its predictions."""

    asked = 0

    def fit(self, X, y):  # noqa: ARG002
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        Counted.asked += 1
        return self.classes_[(X[:, 0] > 0).astype(int)]


class Own(Counted):
    """Scores in a way of its own."""

    def score(self, X, y):
        return float(np.mean(self.predict(X) == y))


def by_row(scoring, estimator, X, y):
    scorer = check_scoring(estimator, scoring)
    return scored_by_row(lambda model: {"score": float(scorer(model, X, y))}, scorer, estimator, y)


# --- which metrics


@pytest.mark.parametrize(
    ("scoring", "estimator", "kind"),
    [
        ("accuracy", CLASSES, Kind("accuracy")),
        ("neg_log_loss", CLASSES, Kind("log_loss", -1, ("predict_proba",))),
        ("roc_auc", CLASSES, Kind("roc_auc", 1, ("decision_function", "predict_proba"))),
        ("neg_mean_squared_error", NUMBERS, Kind("squared", -1)),
        ("neg_mean_absolute_error", NUMBERS, Kind("absolute", -1)),
        ("neg_root_mean_squared_error", NUMBERS, Kind("rmse", -1)),
        ("r2", NUMBERS, Kind("r2")),
        (make_scorer(metrics.mean_squared_error), NUMBERS, Kind("squared")),
        (make_scorer(metrics.log_loss, response_method="predict_proba", labels=[0, 1]), CLASSES, Kind("log_loss", 1, ("predict_proba",))),
        (None, CLASSES, Kind("accuracy")),
        (None, NUMBERS, Kind("r2")),
        (None, make_pipeline(StandardScaler(), Ridge()), Kind("r2")),
        ("f1", CLASSES, None),
        ("roc_auc_ovr", CLASSES, None),
        ("balanced_accuracy", CLASSES, None),
        (make_scorer(metrics.accuracy_score, normalize=False), CLASSES, None),
        (make_scorer(metrics.roc_auc_score, response_method="predict_proba", greater_is_better=False), CLASSES, None),
        (make_scorer(metrics.roc_auc_score), CLASSES, None),
        (lambda estimator, X, y: 0.5, CLASSES, None),  # noqa: ARG005
        (None, Own(), None),
        (None, KMeans(), None),
    ],
)
def test_which_scorers_are_known(scoring, estimator, kind) -> None:
    assert kind_of(check_scoring(estimator, scoring), estimator) == kind


def test_a_scorer_may_carry_its_kind() -> None:
    def hits(estimator, X, y):
        return float(np.mean(estimator.predict(X) == y))

    assert by_row(hits, CLASSES, X, y)[1] is None
    hits.row_kind = Kind("accuracy")
    scores, rows = by_row(hits, CLASSES, X, y)
    assert np.mean(rows) == pytest.approx(scores["score"])
    hits.row_kind = Kind("squared", -1)  # a lie is found out
    assert by_row(hits, CLASSES, X, y)[1] is None


# --- the rows


@pytest.mark.parametrize("labels", [y, WORDS, pd.Series(WORDS), THREE], ids=["numbers", "words", "series", "three"])
@pytest.mark.parametrize("scoring", [None, "accuracy", "neg_log_loss", "roc_auc"])
@pytest.mark.parametrize("estimator", [LogisticRegression(), SVC(), make_pipeline(StandardScaler(), KNeighborsClassifier())], ids=["linear", "svc", "pipe"])
def test_rows_of_a_classifier_give_the_same_score_back(labels, scoring, estimator) -> None:
    if (isinstance(estimator, SVC) and scoring == "neg_log_loss") or (labels is THREE and scoring == "roc_auc"):
        return
    model = with_params(estimator, {}).fit(X[:50], np.asarray(labels)[:50])
    before = dict(vars(model))
    scores, rows = by_row(scoring, model, X[50:], labels[50:])
    assert scores["score"] == float(check_scoring(model, scoring)(model, X[50:], labels[50:]))
    assert vars(model) == before
    assert rows.shape == (40,)
    if scoring == "neg_log_loss":
        place = np.searchsorted(model.classes_, labels[50:])
        slow = np.log(np.clip(model.predict_proba(X[50:])[np.arange(40), place], np.finfo(float).eps, 1))
        np.testing.assert_allclose(rows, slow, rtol=1e-9, atol=1e-12)
    elif scoring == "roc_auc":
        assert metrics.roc_auc_score(np.asarray(labels[50:]) == model.classes_[1], rows) == pytest.approx(scores["score"], abs=1e-12)
    else:
        assert rows.dtype == np.int8
        np.testing.assert_array_equal(rows, model.predict(X[50:]) == np.asarray(labels[50:]))


@pytest.mark.parametrize(
    ("scoring", "slow"),
    [
        ("neg_mean_squared_error", lambda y, p: -((y - p) ** 2)),
        ("neg_mean_absolute_error", lambda y, p: -np.abs(y - p)),
        ("neg_mean_absolute_percentage_error", lambda y, p: -np.abs(y - p) / np.abs(y)),
        ("neg_root_mean_squared_error", lambda y, p: p),  # noqa: ARG005
        ("r2", lambda y, p: p),  # noqa: ARG005
        (None, lambda y, p: p),  # noqa: ARG005
    ],
)
def test_rows_of_a_regressor(scoring, slow) -> None:
    scores, rows = by_row(scoring, NUMBERS, U[50:], v[50:])
    assert scores["score"] == float(check_scoring(NUMBERS, scoring)(NUMBERS, U[50:], v[50:]))
    np.testing.assert_allclose(rows, slow(v[50:], NUMBERS.predict(U[50:])))


def test_several_targets_are_averaged_within_a_row() -> None:
    both = np.column_stack([v, -2 * v + U[:, 0]])
    model = Ridge().fit(U, both)
    scores, rows = by_row("neg_mean_squared_error", model, U, both)
    assert rows.mean() == pytest.approx(scores["score"])
    assert by_row("r2", model, U, both)[1] is None


class Single(LogisticRegression):
    """Answers in single precision."""

    def predict_proba(self, X):
        return super().predict_proba(X).astype(np.float32)


def test_answers_in_single_precision() -> None:
    scores, rows = by_row("neg_log_loss", Single().fit(X, y), X, y)
    assert rows.mean() == pytest.approx(scores["score"], rel=1e-6)


def test_nothing_is_predicted_twice() -> None:
    model = Counted().fit(X, y)
    for scoring in (None, make_scorer(metrics.accuracy_score)):
        Counted.asked = 0
        _, rows = by_row(scoring, model, X, y)
        assert Counted.asked == 1
        assert rows is not None


def test_where_the_rows_do_not_give_the_score_there_are_none() -> None:
    scorer = get_scorer("accuracy")
    weights = np.where(y == 1, 5.0, 0.2)
    assert scored_by_row(lambda m: {"score": float(scorer(m, X, y, sample_weight=weights))}, scorer, CLASSES, y)[1] is None
    assert scored_by_row(lambda m: {"score": float(scorer(m, X, y, sample_weight=np.ones(90)))}, scorer, CLASSES, y)[1] is not None
    counts = np.abs(v).round()
    assert by_row(None, PoissonRegressor().fit(U, counts), U, counts)[1] is None  # its own score is another


def test_a_class_whose_methods_cannot_be_listened_to_is_scored_all_the_same() -> None:
    class Closed:
        __slots__ = ()
        _estimator_type = "classifier"

        def predict(self, X):
            return (X[:, 0] > 0).astype(int)

    scores, rows = scored_by_row(lambda model: {"score": float(np.mean(model.predict(X) == y))}, get_scorer("accuracy"), Closed(), y)
    assert rows is None
    assert scores["score"] == np.mean((X[:, 0] > 0) == y)


# --- a trial's table


def test_a_table_comes_back_as_it_was() -> None:
    kept = RowValues()
    for fold in range(2):
        for config in (3, 1):
            kept.add(config, np.array([config, fold, 0.5]))
    np.testing.assert_array_equal(unpacked(kept.packed()), [[1, 0, 0.5, 1, 1, 0.5], [3, 0, 0.5, 3, 1, 0.5]])


def test_a_large_table_is_kept_in_single_precision_and_a_huge_one_not_at_all() -> None:
    sizes = {"exact": 200_000, "single": 300_000, "huge": MOST_BYTES // 4 + 1}
    found = {}
    for name, size in sizes.items():
        kept = RowValues()
        kept.add(0, np.full(size, 0.1))
        found[name] = kept.packed()
    assert unpacked(found["exact"]).dtype == np.float64
    assert unpacked(found["single"]).dtype == np.float32
    assert found["huge"] == b""
    flags = RowValues()
    flags.add(0, np.ones(300_000, dtype=np.int8))
    assert unpacked(flags.packed()).dtype == np.int8


def test_what_lacks_a_fold_keeps_nothing() -> None:
    kept = RowValues()
    kept.add(0, np.ones(3))
    kept.add(0, None)
    kept.add(0, np.ones(3))
    assert kept.packed() == b""
    assert RowValues().packed() == b""


def test_no_pickle_is_ever_read() -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        unpacked(file.getvalue())


# --- evaluators


SPLITS = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))


def cv(estimator, keep_rows=True, scoring="neg_log_loss"):
    return CrossValidation(Build(estimator), X, y, SPLITS, {"score": get_scorer(scoring)}, False, keep_rows=keep_rows)


def test_cross_validation_keeps_the_rows_of_the_folds_seen() -> None:
    found = cv(LogisticRegression())({"C": 0.1})
    assert found.scores == cv(LogisticRegression(), keep_rows=False)({"C": 0.1}).scores
    table = unpacked(found.rows)
    assert table.shape == (1, 90)
    assert [table[0, 30 * k : 30 * k + 30].mean() for k in range(3)] == pytest.approx([r.scores["score"] for r in found.readings])
    stopped = cv(LogisticRegression())({"C": 0.1}, stop=lambda readings: len(readings) == 2)
    assert stopped.status is Status.PRUNED
    np.testing.assert_array_equal(unpacked(stopped.rows), table[:, :60])
    assert cv(LogisticRegression(), keep_rows=False)({}).rows == b""
    assert cv(LogisticRegression(), scoring="f1")({}).rows == b""


def test_a_column_keeps_the_rows_of_every_config() -> None:
    space = Space({"n_neighbors": Int(1, 9), "p": Int(1, 2)})
    plain = cv(KNeighborsClassifier())
    found = Columns(plain, Goal("score", "max"), space, free_levels(Build(KNeighborsClassifier()), space))({"p": 1})
    table = unpacked(found.rows)
    assert table.shape == (len(found.column), 90) == (9, 90)
    for alternative, rows in zip(found.column, table, strict=True):
        alone = plain({"p": 1, **alternative.values})
        np.testing.assert_allclose(rows, unpacked(alone.rows)[0], atol=1e-12)


def test_a_column_that_grows_keeps_the_rows_of_what_it_measured() -> None:
    space = Space({"n_estimators": Int(1, 40), "max_depth": Int(1, 2)})
    plain = cv(GradientBoostingClassifier(random_state=0, learning_rate=0.5))
    found = Columns(plain, Goal("score", "max"), space, {"n_estimators": list(range(1, 41))})({"max_depth": 1})
    assert len(found.column) < 40
    for alternative, rows in zip(found.column, unpacked(found.rows), strict=True):
        assert [rows[30 * k : 30 * k + 30].mean() for k in range(3)] == pytest.approx([scores["score"] for scores in alternative.scores])


def test_a_study_puts_the_rows_into_its_ledger() -> None:
    ledger = MemoryLedger()
    study = Study(space={"x": [0.0, 1.0]}, goal="max score", ledger=ledger, sampler="grid")
    study.optimize(lambda trial: Measurement({"score": trial.config["x"]}, rows=b"ten bytes!"), trials=2)
    assert [trial.measurement.rows for trial in study.trials] == [b"", b""]
    assert [ledger.get(trial.measurement.rows_at) for trial in study.trials] == [b"ten bytes!"] * 2
    again = Study(study.name, goal="max score", ledger=ledger)
    assert again.trials[0].measurement.rows_at == study.trials[0].measurement.rows_at


def test_measurements_without_rows_are_written_and_read_as_before() -> None:
    plain = measurement_to_json(Measurement({"score": 1.0}, rows=b"never written"))
    assert set(plain) == {"scores", "status", "cost"}
    assert measurement_from_json(plain) == Measurement({"score": 1.0})
    kept = Measurement({"score": 1.0}, rows_at="ab" * 32)
    assert measurement_from_json(measurement_to_json(kept)) == kept
