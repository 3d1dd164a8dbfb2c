import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.goal import Goal
from staytuned.insight.fit import fit_gap

ACCURACY, RMSE = Goal("accuracy", "max"), Goal("rmse", "min")


@pytest.mark.parametrize(
    ("train", "validation", "goal", "spread", "dummy", "kind"),
    [
        (1.00, 0.80, ACCURACY, 0.02, 0.62, "overfitting"),
        (0.86, 0.84, ACCURACY, 0.02, 0.62, "fine"),
        (0.63, 0.62, ACCURACY, 0.02, 0.62, "underfitting"),
        (0.80, 0.81, ACCURACY, 0.02, 0.62, "fine"),
        (0.95, 0.80, ACCURACY, 0.20, 0.62, "fine"),  # the folds differ by more than the gap
        (1.00, 0.60, ACCURACY, 0.02, 0.62, "overfitting"),  # learnt by heart: no better than the dummy on new rows
        (1.00, 0.85, ACCURACY, None, None, "overfitting"),
        (0.90, 0.85, ACCURACY, None, None, "fine"),
        (1.0, 3.0, RMSE, 0.1, 9.0, "overfitting"),
        (2.9, 3.0, RMSE, 0.1, 9.0, "fine"),
        (8.8, 9.1, RMSE, 0.1, 9.0, "underfitting"),
        (1.0, 1.05, RMSE, None, None, "fine"),
        (-0.10, -0.60, Goal("neg_log_loss", "max"), 0.05, -0.69, "overfitting"),
        (-0.67, -0.69, Goal("neg_log_loss", "max"), 0.05, -0.69, "underfitting"),
        (52.0, 50.0, Goal("profit", "max"), 1.0, 60.0, "underfitting"),  # no perfect profit is known; worse than the dummy is
    ],
)
def test_verdicts(train, validation, goal, spread, dummy, kind):
    found = fit_gap(train, validation, goal, spread=spread, dummy=dummy)
    assert found.kind == kind
    assert found.gap == pytest.approx(goal.loss(validation) - goal.loss(train))
    for number in (train, validation):
        assert f"{number:.4g}" in found.sentence


def test_the_test_score_is_held_against_the_promise():
    said = [fit_gap(0.86, 0.84, ACCURACY, spread=0.02, test=(test - 0.02, test, test + 0.02)).sentence for test in (0.83, 0.70, 0.95)]
    assert "in line with validation" in said[0]
    assert "worse than validation promised" in said[1]
    assert "better than validation promised" in said[2]
    assert fit_gap(0.86, 0.84, ACCURACY, test=(math.nan, 0.83, math.nan)).sentence.endswith("On the untouched test part it is 0.83.")


@pytest.mark.parametrize(("train", "validation", "missing"), [(math.nan, 0.8, "training"), (0.8, math.nan, "validation")])
def test_a_missing_score_is_said_to_be_missing(train, validation, missing):
    found = fit_gap(train, validation, ACCURACY, spread=0.1, test=(0.6, 0.7, 0.8), dummy=0.5)
    assert found.kind == "unknown"
    assert f"no {missing} score" in found.sentence


@given(*(st.floats(-1e6, 1e6) for _ in range(2)), *(st.none() | st.floats(allow_nan=True) for _ in range(3)), st.sampled_from([ACCURACY, RMSE]))
def test_any_numbers_get_one_of_the_verdicts_and_a_sentence(train, validation, spread, test, dummy, goal):
    tested = None if test is None else (test - 1, test, test + 1)
    found = fit_gap(train, validation, goal, spread=spread, test=tested, dummy=dummy)
    assert found.kind in ("overfitting", "underfitting", "fine")
    assert found.sentence.endswith(".")
    assert "nan" not in found.sentence
    assert found.kind != "overfitting" or found.gap > 0
