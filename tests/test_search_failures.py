"""What TuneSearchCV makes of configs that fail, and of arguments that make no sense."""

from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import FitFailedWarning

from searches import Stubborn, X, search, y
from staytuned.errors import SpaceError
from staytuned.space.dims import Float

# --- failures


def test_a_failing_config_costs_only_itself() -> None:
    with pytest.warns(FitFailedWarning, match=r"of 12 trials failed.*level .* is too high"):
        tuned = search({"level": Float(0, 1)}, Stubborn(), trials=12).fit(X, y)
    failed = tuned.cv_results_["status"] == "failed"
    assert 0 < failed.sum() < 12
    assert np.isnan(tuned.cv_results_["mean_test_score"][failed]).all()
    assert np.isnan(tuned.cv_results_["split0_test_score"][failed]).all()
    assert tuned.cv_results_["rank_test_score"][failed].min() > tuned.cv_results_["rank_test_score"][~failed].max()
    assert tuned.best_params_["level"] <= 0.5
    assert tuned.trials_[tuned.best_index_].config == tuned.best_params_


def test_failures_may_be_given_a_score() -> None:
    with pytest.warns(FitFailedWarning):
        tuned = search({"level": Float(0, 1)}, Stubborn(), trials=12, error_score=-1).fit(X, y)
    failed = tuned.cv_results_["status"] == "failed"
    assert set(tuned.cv_results_["mean_test_score"][failed]) == {-1.0}


def test_failures_may_be_raised() -> None:
    with pytest.raises(RuntimeError, match=r"level 1\.0 is too high"):
        search({"level": Float(0, 1)}, Stubborn(), error_score="raise").fit(X, y)


def test_when_all_fail_the_error_says_why() -> None:
    with pytest.raises(ValueError, match=r"all the 6 trials failed.*is too high"):
        search({"level": Float(0.6, 1)}, Stubborn()).fit(X, y)


def test_nothing_but_nan() -> None:
    with pytest.raises(ValueError, match=r"all the 3 trials failed.*score=nan"):
        search(scoring=lambda estimator, X, y: float("nan"), trials=3).fit(X, y)  # noqa: ARG005


def test_some_nan() -> None:
    def scoring(estimator: Any, X: Any, y: Any) -> float:
        return float("nan") if estimator.C < 1 else float(estimator.score(X, y))

    with pytest.warns(FitFailedWarning):
        tuned = search(scoring=scoring, trials=12).fit(X, y)
    assert tuned.best_params_["C"] >= 1
    assert "invalid" in tuned.cv_results_["status"]


# --- arguments


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"space": {"c": Float(0, 1)}}, "'c' is not a parameter of LogisticRegression; did you mean 'C'"),
        ({"space": {"C": 3}}, "C=3 is not a dimension"),
        ({"space": []}, "no branch"),
        ({"space": "C"}, "a space is a dict"),
        ({"method": "tpee"}, "did you mean 'tpe'"),
        ({"trials": 0}, "trials=0"),
        ({"trials": 2.5}, r"trials=2\.5"),
        ({"trials": None}, "trials=None without time="),
        ({"time": -1}, "-1"),
        ({"race": "often"}, "race='often'"),
        ({"error_score": "ignore"}, "error_score='ignore'"),
        ({"random_state": -1}, "random_state=-1"),
        ({"random_state": "x"}, "random_state='x'"),
        ({"n_jobs": 0}, "n_jobs=0"),
        ({"cv": []}, "cv="),
        ({"scoring": []}, "at least one metric"),
        ({"scoring": "acuracy"}, "acuracy"),
        ({"estimator": 3}, "estimator=3"),
    ],
    ids=str,
)
def test_bad_arguments_are_quoted(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        search(**options).fit(X, y)


def test_bad_spaces_are_space_errors() -> None:
    with pytest.raises(SpaceError):
        search({"C": {"type": "floot"}}).fit(X, y)
