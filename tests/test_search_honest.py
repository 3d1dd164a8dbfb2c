"""The best score of a search is corrected for its having been chosen: the naive one is the search's own, the other nearer to the truth."""

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, LeaveOneOut, RepeatedStratifiedKFold, StratifiedKFold, TimeSeriesSplit, cross_val_score, cross_validate
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from staytuned.errors import Overtuned
from staytuned.search import TuneSearchCV
from staytuned.space.dims import Choice, Float, Int

X, y = make_classification(n_samples=100, n_features=6, n_informative=3, flip_y=0.2, random_state=0)
WORDS = np.where(y == 1, "yes", "no")
U, v = make_regression(n_samples=80, n_features=5, noise=20.0, random_state=0)
C = {"C": Float(1e-3, 1e3, log=True)}
ALPHA = {"alpha": Float(1e-2, 1e2, log=True)}
NEIGHBOURS = {"n_neighbors": Int(3, 12), "p": Choice([1, 2])}
CLASSIFICATION = [None, "accuracy", "roc_auc", "neg_log_loss"]
ONE_OF_EACH = [pytest.param(None, marks=pytest.mark.slow), "accuracy", pytest.param("roc_auc", marks=pytest.mark.slow), "neg_log_loss"]
REGRESSION = [None, "r2", "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"]


def search(estimator, space, X, y, fit=None, **options):
    made = TuneSearchCV(estimator, space, **{"method": "random", "trials": 6, "cv": 3, "random_state": 0} | options)
    return made.fit(X, y, **(fit or {}))


def agrees(found) -> None:
    assert found.honest_ is not None
    assert found.honest_.naive == pytest.approx(found.best_score_, abs=1e-9)
    assert found.honest_.direction == "max"
    assert found.honest_.low <= found.honest_.corrected <= found.honest_.high


@pytest.mark.parametrize("race", [True, False])
@pytest.mark.parametrize("labels", [y, WORDS], ids=["numbers", "words"])
@pytest.mark.parametrize("scoring", CLASSIFICATION)
def test_the_naive_score_is_the_searchs_own(scoring, labels, race) -> None:
    found = search(LogisticRegression(), C, X, labels, scoring=scoring, race=race)
    agrees(found)
    assert found.honest_.configs == 6


@pytest.mark.parametrize("scoring", REGRESSION)
def test_and_so_it_is_for_numbers(scoring) -> None:
    agrees(search(Ridge(), ALPHA, U, v, scoring=scoring, reuse=False))


@pytest.mark.parametrize("scoring", CLASSIFICATION)
def test_every_config_of_a_column_was_chosen_from(scoring) -> None:
    found = search(KNeighborsClassifier(7), NEIGHBOURS, X, WORDS, scoring=scoring, trials=3)
    agrees(found)
    assert found.honest_.configs == 21  # the estimator as it was passed, and two columns
    grid = search(KNeighborsClassifier(), {"n_neighbors": [3, 5, 9], "weights": ["uniform", "distance"]}, X, y, scoring=scoring, method="grid", trials=None)
    agrees(grid)
    assert grid.honest_.configs == 6
    assert grid.honest_.lead is None


@pytest.mark.parametrize("scoring", REGRESSION)
def test_columns_of_a_regressor(scoring) -> None:
    agrees(search(KNeighborsRegressor(), NEIGHBOURS, U, v, scoring=scoring, trials=3))
    agrees(search(Ridge(), {"alpha": [0.1, 1.0, 10.0]}, U, v, scoring=scoring, method="grid", trials=None))


def test_the_lead_is_over_the_estimator_as_it_was_passed() -> None:
    found = search(KNeighborsClassifier(1), {"n_neighbors": Int(1, 20)}, X, y, scoring="neg_log_loss")
    assert found.honest_.naive_lead == pytest.approx(found.best_score_ - found.cv_results_["mean_test_score"][0])
    assert found.honest_.lead.low > 0  # one neighbour is a poor guess of a probability


PIPE, PIPE_SPACE = make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": Float(1e-3, 1e3, log=True)}


@pytest.mark.parametrize("scoring", ONE_OF_EACH)
def test_a_pipeline(scoring) -> None:
    agrees(search(PIPE, PIPE_SPACE, X, WORDS, scoring=scoring))
    pipe = make_pipeline(StandardScaler(), KNeighborsClassifier())
    agrees(search(pipe, {"kneighborsclassifier__n_neighbors": Int(2, 9)}, X, WORDS, scoring=scoring, trials=2))


@pytest.mark.slow
def test_the_same_in_processes() -> None:
    alone = search(PIPE, PIPE_SPACE, X, y, race=False)
    agrees(alone)
    assert search(PIPE, PIPE_SPACE, X, y, race=False, n_jobs=2).honest_ == alone.honest_


@pytest.mark.parametrize("scoring", ONE_OF_EACH)
def test_what_was_raced_out_was_chosen_from_too(scoring) -> None:
    found = search(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2], "min_samples_leaf": Int(1, 45)}, X, y, cv=6, trials=25, scoring=scoring)
    assert "pruned" in found.cv_results_["status"]
    agrees(found)
    assert found.honest_.configs == 25


def test_estimators_among_the_values() -> None:
    spaces = [{"last": [LogisticRegression()], "last__C": [0.1, 1.0]}, {"last": [KNeighborsClassifier()], "last__n_neighbors": Int(2, 9)}]
    agrees(search(Pipeline([("scale", StandardScaler()), ("last", LogisticRegression())]), spaces, X, y))


def test_a_search_goes_on_from_its_ledger(tmp_path) -> None:
    options = {"ledger": tmp_path / "ledger.db", "race": False}
    search(LogisticRegression(), C, X, y, trials=3, **options)
    resumed = search(LogisticRegression(), C, X, y, **options)
    agrees(resumed)
    assert resumed.honest_ == search(LogisticRegression(), C, X, y, race=False).honest_
    assert search(LogisticRegression(), C, X, y, **options).honest_ == resumed.honest_  # nothing was left to run


def test_a_search_that_began_without_rows_says_nothing(tmp_path) -> None:
    options = {"ledger": tmp_path / "ledger.db"}
    search(LogisticRegression(), C, X, y, trials=3, honest=False, **options)
    assert search(LogisticRegression(), C, X, y, **options).honest_ is None


def test_groups_repeats_and_time() -> None:
    groups = np.arange(100) // 10
    by_group = search(LogisticRegression(), C, X, y, {"groups": groups}, cv=GroupKFold(3), scoring="neg_log_loss")
    agrees(by_group)
    assert by_group.honest_ != search(LogisticRegression(), C, X, y, cv=list(GroupKFold(3).split(X, y, groups)), scoring="neg_log_loss").honest_
    agrees(search(LogisticRegression(), C, X, y, cv=RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0), trials=3))
    agrees(search(LogisticRegression(), C, X, y, cv=TimeSeriesSplit(3), trials=3))
    agrees(search(LogisticRegression(), C, X[:20], y[:20], cv=LeaveOneOut(), trials=3))


def test_the_metric_that_decides_is_corrected() -> None:
    for refit in ("accuracy", "roc_auc", "neg_log_loss"):
        agrees(search(LogisticRegression(), C, X, y, scoring=["accuracy", "roc_auc", "neg_log_loss", "f1"], refit=refit, trials=3))


@pytest.mark.parametrize(
    "options",
    [
        {"honest": False},
        {"scoring": "f1"},
        {"scoring": lambda estimator, X, y: float(np.mean(estimator.predict(X) == y))},
        {"scoring": ["accuracy", "roc_auc"], "refit": False},
        {"refit": lambda results: 0},  # noqa: ARG005
        {"cv": [(np.arange(50), np.arange(50, 100))]},
        {"fit": {"sample_weight": np.where(y == 1, 5.0, 0.2)}},
    ],
    ids=["off", "f1", "callable", "undecided", "function", "one fold", "weights"],
)
def test_where_it_is_off_nothing_is_stored(options) -> None:
    found = search(LogisticRegression(), C, X, y, **options)
    assert found.honest_ is None
    assert not any(trial.measurement.rows_at or trial.measurement.rows for trial in found.study_.trials)


def test_the_scores_are_the_same_without() -> None:
    for scoring in (None, "roc_auc"):
        on, off = (search(LogisticRegression(), C, X, y, scoring=scoring, honest=honest) for honest in ("auto", False))
        for name in ("split0_test_score", "split2_test_score", "mean_test_score"):
            np.testing.assert_array_equal(on.cv_results_[name], off.cv_results_[name])


def test_a_table_that_is_too_long_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr("staytuned.evaluate.overtuned._MOST_ROWS", 99)
    assert search(LogisticRegression(), C, X, y).honest_ is None
    agrees(search(LogisticRegression(), C, X, y, honest=True))


def test_a_fitted_search_is_pickled_with_it() -> None:
    found = search(LogisticRegression(), C, X, y)
    assert pickle.loads(pickle.dumps(found)).honest_ == found.honest_
    assert all(trial.measurement.rows == b"" for trial in found.trials_)


def test_said_when_asked_for(capsys) -> None:
    found = search(LogisticRegression(), C, X, y, verbose=2)
    assert capsys.readouterr().out.splitlines()[-1] == found.honest_.said


def test_a_misspelt_option() -> None:
    with pytest.raises(ValueError, match="honest='yes' must be True, False or 'auto'"):
        search(LogisticRegression(), C, X, y, honest="yes")
    assert clone(TuneSearchCV(Ridge(), ALPHA, honest=False)).honest is False


class Guess(ClassifierMixin, BaseEstimator):
    """Throws a coin for each row, another one for each seed."""

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, X, y):  # noqa: ARG002
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[(np.sin(1e4 * (self.seed + 1) * X[:, 0]) > 0).astype(int)]


def coins(seed: int, rows: int = 120):
    """A table of noise whose labels are noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 2)), rng.integers(0, 2, rows)


def test_a_search_that_found_nothing_but_luck_is_warned_of() -> None:
    table, noise = coins(0)
    with pytest.warns(Overtuned, match="the best of 60 configs scores") as told:
        found = search(Guess(), {"seed": list(range(60))}, table, noise, trials=60, refit=False).honest_
    (warning,) = told
    assert f"scores {found.naive:.4g}, but what is chosen without a tenth of the rows scores {found.corrected:.4g} on them" in str(warning.message)
    assert found.naive - found.corrected > 2 * found.error
    search(Guess(), {"seed": list(range(60))}, table, noise, trials=60, refit=False, honest=False)  # who does not ask is not told


@pytest.mark.parametrize("scoring", ONE_OF_EACH)
def test_where_there_is_something_to_learn_there_is_no_warning(scoring) -> None:
    table, labels = make_classification(n_samples=200, n_features=6, n_informative=3, class_sep=1.5, random_state=0)
    found = search(KNeighborsClassifier(), {"n_neighbors": Int(1, 20), "p": Choice([1, 2])}, table, labels, scoring=scoring, trials=3, cv=5)
    assert found.honest_.configs == 41
    assert found.honest_.corrected > (0.8 if scoring != "neg_log_loss" else -0.6)


def test_one_row_that_is_sure_and_wrong_is_no_overtuning() -> None:
    found = search(KNeighborsClassifier(1), {"n_neighbors": Int(1, 20)}, X, y, scoring="neg_log_loss").honest_
    assert not found.plausible
    assert found.chosen > 0.9  # few neighbours win only where such a row is left out, and no warning was raised


@pytest.mark.filterwarnings("ignore::staytuned.errors.Overtuned")
@pytest.mark.slow
def test_on_pure_noise_the_corrected_score_is_nearer_to_the_truth() -> None:
    """The truth is one half, whatever was chosen."""
    naive, found = [], []
    for seed in range(8):
        table, noise = coins(seed)
        honest = search(Guess(), {"seed": list(range(60))}, table, noise, trials=60, refit=False).honest_
        naive.append(honest.naive)
        found.append(honest.corrected)
    assert np.mean(naive) > 0.58
    assert abs(np.mean(found) - 0.5) < 0.04
    assert np.mean(np.abs(np.array(found) - 0.5)) < np.mean(np.abs(np.array(naive) - 0.5))


# --- nested cross-validation


def test_the_outer_score_is_that_of_a_search_on_each_training_part() -> None:
    outer = StratifiedKFold(2, shuffle=True, random_state=1)
    made = TuneSearchCV(KNeighborsClassifier(), NEIGHBOURS, method="random", trials=3, cv=3, scoring="neg_log_loss", random_state=0)
    scores = cross_val_score(made, X, y, cv=outer)
    nested = cross_validate(made, X, y, cv=outer, return_estimator=True)
    np.testing.assert_array_equal(nested["test_score"], scores)
    assert len(set(scores)) == 2
    for (train, test), score, inside in zip(outer.split(X, y), scores, nested["estimator"], strict=True):
        alone = clone(made).fit(X[train], y[train])
        assert list(alone.reused_) == ["n_neighbors"]
        assert alone.score(X[test], y[test]) == score
        model = KNeighborsClassifier(**alone.best_params_).fit(X[train], y[train])
        assert score == pytest.approx(-log_loss(y[test], model.predict_proba(X[test])), rel=1e-12)
        agrees(inside)
        assert inside.honest_ == alone.honest_
        assert inside.best_params_ == alone.best_params_


@pytest.mark.filterwarnings("ignore::staytuned.errors.Overtuned")
@pytest.mark.slow
def test_on_pure_noise_the_nested_score_is_chance_and_the_searchs_own_is_not() -> None:
    made = TuneSearchCV(
        KNeighborsClassifier(), {"n_neighbors": Int(1, 40), "weights": ["uniform", "distance"]}, method="random", trials=2, cv=3, random_state=0
    )
    outer, naive = [], []
    for seed in range(3):
        table, noise = coins(seed)
        nested = cross_validate(made, table, noise, cv=4, return_estimator=True)
        outer += list(nested["test_score"])
        naive += [inside.best_score_ for inside in nested["estimator"]]
    assert abs(np.mean(outer) - 0.5) < 2 * np.sqrt(0.25 / 360)
    assert np.mean(naive) > np.mean(outer) + 0.03
