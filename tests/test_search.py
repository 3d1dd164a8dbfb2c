"""TuneSearchCV is a scikit-learn estimator, and says what it did besides."""

import pickle
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from searches import GRID, OURS, C, Stubborn, X, columns_agree, search, y
from staytuned.errors import UsageError
from staytuned.search import TuneSearchCV
from staytuned.space.dims import Float, Int


class Sleepy(Stubborn):
    """Takes its time to fit."""

    def __init__(self, seconds: float = 0.0, level: float = 0.5, limit: float = 0.5) -> None:
        super().__init__(level, limit)
        self.seconds = seconds

    def fit(self, X: Any, y: Any) -> Any:
        time.sleep(self.seconds)
        return super().fit(X, y)


# --- a scikit-learn estimator


@pytest.mark.slow
@parametrize_with_checks([search(trials=3, cv=2, error_score="raise")])
@pytest.mark.filterwarnings("ignore")
def test_passes_scikit_learns_exam(estimator: Any, check: Callable[[Any], None]) -> None:
    """All of it; RandomizedSearchCV takes it with error_score="raise" too, for a TypeError must come out as one."""
    check(estimator)


@parametrize_with_checks(
    [
        search({"alpha": Float(0.1, 10, log=True)}, Ridge(), trials=3, cv=2, method="sobol", error_score="raise"),
        search({"ridge__alpha": [0.1, 1.0]}, Pipeline([("scale", StandardScaler()), ("ridge", Ridge())]), cv=2, method="grid", error_score="raise"),
    ]
)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_passes_scikit_learns_exam_as_a_regressor(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_parameters_are_stored_as_given_and_reach_inside() -> None:
    tuned = search()
    assert clone(tuned).get_params()["space"] == C
    assert tuned.set_params(estimator__tol=0.1, trials=2).estimator.tol == 0.1
    assert not [name for name in vars(tuned) if name.endswith("_")]


def test_methods_are_those_of_the_estimator() -> None:
    assert not hasattr(search(estimator=SVC()), "predict_proba")
    assert hasattr(search(), "predict_proba")
    assert not hasattr(search(refit=False), "predict")
    with pytest.raises(NotFittedError):
        search().predict(X)
    with pytest.raises(AttributeError, match="before fit"):
        search().n_features_in_  # noqa: B018


def test_after_fit_it_is_its_best_estimator() -> None:
    frame = pd.DataFrame(X, columns=list("abcdef"))
    tuned = search().fit(frame, y)
    best = LogisticRegression(**tuned.best_params_).fit(frame, y)
    np.testing.assert_allclose(tuned.predict_proba(frame), best.predict_proba(frame))
    np.testing.assert_allclose(tuned.decision_function(frame), best.decision_function(frame))
    np.testing.assert_allclose(tuned.predict_log_proba(frame), best.predict_log_proba(frame))
    assert tuned.score(frame, y) == best.score(frame, y)
    assert list(tuned.classes_) == [0, 1]
    assert tuned.n_features_in_ == 6
    assert list(tuned.feature_names_in_) == list("abcdef")
    assert tuned.refit_time_ > 0


def test_transformers_are_tuned_too() -> None:
    tuned = search({"n_components": [1, 2, 3]}, PCA(), method="grid").fit(X)
    assert tuned.best_params_ == {"n_components": 3}
    np.testing.assert_allclose(tuned.inverse_transform(tuned.transform(X)), PCA(3).fit(X).inverse_transform(PCA(3).fit_transform(X)))
    assert len(tuned.score_samples(X)) == len(X)


def test_no_target_is_needed_where_the_estimator_needs_none() -> None:
    assert search({"n_clusters": [2, 3]}, KMeans(n_init=1, random_state=0), method="grid").fit(X).best_params_ == {"n_clusters": 3}
    with pytest.raises(UsageError, match="requires y"):
        search().fit(X)


def test_a_fitted_search_can_be_pickled() -> None:
    tuned = search().fit(X, y)
    copy = pickle.loads(pickle.dumps(tuned))
    np.testing.assert_array_equal(copy.predict(X), tuned.predict(X))
    assert copy.best_params_ == tuned.best_params_
    assert len(copy.trials_) == 6
    assert not hasattr(copy, "study_")


def test_nested_in_cross_validation() -> None:
    scores = cross_val_score(search(trials=3), X, y, cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.5


# --- what is tried


def test_the_estimator_as_it_stands_comes_first() -> None:
    tuned = search(estimator=LogisticRegression(C=7.0)).fit(X, y)
    assert tuned.cv_results_["origin"][0] == "default"
    assert tuned.cv_results_["params"][0] == {"C": 7.0}
    assert set(tuned.cv_results_["origin"][1:]) == {"random"}


def test_the_default_of_a_branch() -> None:
    space = [{"kernel": ["linear"], "C": Float(0.1, 10)}, {"kernel": ["rbf"], "C": Float(0.1, 10), "gamma": ["scale", "auto"]}]
    tuned = search(space, SVC()).fit(X, y)
    assert tuned.cv_results_["origin"][0] == "default"
    assert tuned.cv_results_["params"][0] == {"kernel": "rbf", "C": 1.0, "gamma": "scale"}


def test_no_default_outside_the_space_nor_on_a_grid() -> None:
    assert search(estimator=LogisticRegression(C=1e9)).fit(X, y).cv_results_["origin"][0] == "random"
    assert set(search(GRID, method="grid").fit(X, y).cv_results_["origin"]) == {"grid"}


@pytest.mark.parametrize("method", ["sobol", "tpe", "bayes", "evolution", "auto"])
def test_every_method(method: str) -> None:
    tuned = search(method=method, trials=4).fit(X, y)
    assert len(tuned.trials_) == 4
    assert search(method=method, trials=4).fit(X, y).cv_results_["params"] == tuned.cv_results_["params"]


@pytest.mark.parametrize("state", [3, np.random.RandomState(3), np.random.default_rng(3), np.int64(3)], ids=["int", "RandomState", "Generator", "int64"])
def test_random_states_of_all_kinds(state: Any) -> None:
    assert len(search(random_state=state, trials=2).fit(X, y).trials_) == 2


def test_a_finite_space_ends_early_without_a_word() -> None:
    tuned = search({"C": [0.1, 1, 10]}, trials=50).fit(X, y)
    assert len(tuned.trials_) == 3
    assert tuned.study_.why_ended


def test_time_is_a_budget_of_its_own() -> None:
    tuned = search(trials=None, time=0.3).fit(X, y)
    assert len(tuned.trials_) >= 1
    assert "time" in tuned.study_.why_ended


def test_equal_scores_go_to_the_earlier() -> None:
    tuned = search({"limit": Float(1, 9)}, Stubborn(0.3, limit=2.0), race=False).fit(X, y)
    assert tuned.best_index_ == 0
    assert list(tuned.cv_results_["rank_test_score"]) == [1] * 6


# --- races


def raced() -> TuneSearchCV:
    space = {"max_depth": Int(1, 12), "min_samples_leaf": Int(1, 55)}
    return search(space, DecisionTreeClassifier(random_state=0), trials=30, cv=KFold(5)).fit(X, y)


def test_raced_out_configs_rank_behind_all_finished_ones() -> None:
    tuned = raced()
    results = tuned.cv_results_
    out = results["status"] == "pruned"
    assert 0 < out.sum() < 29
    splits = np.column_stack([results[f"split{i}_test_score"] for i in range(5)])
    assert np.isnan(splits[out][:, -1]).all()
    assert np.isfinite(splits[out][:, :2]).all()
    assert np.isfinite(splits[~out]).all()
    assert np.isfinite(results["mean_test_score"]).all()
    assert results["rank_test_score"][out].min() > results["rank_test_score"][~out].max()
    assert tuned.cv_results_["status"][tuned.best_index_] == "done"
    assert tuned.best_score_ == results["mean_test_score"][~out].max()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"race": False}, {"method": "grid"}, {"cv": 2}, {"scoring": ["accuracy", "roc_auc"], "refit": False}], ids=str)
def test_races_can_be_off(options: dict[str, Any]) -> None:
    space = {"max_depth": Int(1, 12), "min_samples_leaf": Int(1, 55)}
    tuned = search(space, DecisionTreeClassifier(random_state=0), **{"trials": 20, "cv": 4} | options).fit(X, y)
    assert set(tuned.cv_results_["status"]) == {"done"}


# --- the search as it runs


def test_verbose_prints_a_line_per_trial(capsys: pytest.CaptureFixture[str]) -> None:
    search(verbose=1, trials=3).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["trial", "0", "default"], ["trial", "1", "random"], ["trial", "2", "random"]]
    assert all("C=" in line and "score 0." in line for line in lines)
    search(trials=2).fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_trial_past_its_time_is_cut_off() -> None:
    with pytest.warns(FitFailedWarning, match="1 of 2 trials failed"):
        tuned = search({"seconds": [0.0, 60.0]}, Sleepy(), trial_timeout=2.0, trials=None).fit(X, y)
    assert sorted(tuned.cv_results_["status"]) == ["done", "timeout"]
    assert tuned.best_params_ == {"seconds": 0.0}


@pytest.mark.slow
def test_two_processes_find_what_one_does() -> None:
    """A method that looks at no scores, on folds that are all measured."""
    one, two = (search(n_jobs=n, race=False, trials=4).fit(X, y) for n in (1, 2))
    columns_agree(two.cv_results_, {name: column for name, column in one.cv_results_.items() if name not in OURS})
    assert list(two.cv_results_["origin"]) == list(one.cv_results_["origin"])


@pytest.mark.slow
def test_a_search_continues_in_its_ledger(tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path / 'tuned.db'}"
    whole = search(trials=6).fit(X, y)
    part = search(trials=2, ledger=ledger).fit(X, y)
    rest = search(trials=6, ledger=ledger).fit(X, y)
    assert len(part.trials_) == 2
    assert rest.cv_results_["params"] == whole.cv_results_["params"]
    assert list(rest.cv_results_["origin"]) == list(whole.cv_results_["origin"])
    assert rest.best_score_ == whole.best_score_
    again = search(trials=6, ledger=ledger).fit(X, y)
    assert len(again.trials_) == 6
    assert again.study_.name == rest.study_.name
    assert "before" in again.study_.why_ended


@pytest.mark.slow
def test_another_table_is_another_search(tmp_path: Path) -> None:
    ledger = str(tmp_path / "tuned.db")
    first = search(trials=2, ledger=ledger).fit(X, y)
    other = search(trials=2, ledger=ledger).fit(X[::-1], y)
    assert other.study_.name != first.study_.name
    search(trials=2, ledger=ledger, name="mine").fit(X, y)
    with pytest.raises(UsageError, match="another name"):
        search(trials=2, ledger=ledger, name="mine").fit(X[::-1], y)


def test_a_ledger_holds_estimators_as_choices(tmp_path: Path) -> None:
    pipe = Pipeline([("clf", SVC())])
    space = {"clf": [SVC(), DecisionTreeClassifier(random_state=0)]}
    for trials in (1, 2):
        tuned = search(space, pipe, trials=trials, ledger=str(tmp_path / "tuned.db")).fit(X, y)
    assert {type(trial.config["clf"]) for trial in tuned.trials_} == {SVC, DecisionTreeClassifier}


def test_unconverged_configs_are_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(estimator=LogisticRegression(max_iter=1), refit=False).fit(X * 100, y)


def test_a_regressor_by_its_error() -> None:
    target = X[:, 0] * 3 + X[:, 1]
    tuned = search({"alpha": Float(1e-3, 1e3, log=True)}, Ridge(), scoring="neg_mean_absolute_error").fit(X, target)
    assert -tuned.score(X, target) == pytest.approx(mean_absolute_error(target, tuned.predict(X)))
    assert tuned.best_score_ < 0
