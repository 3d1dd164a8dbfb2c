"""What better means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.errors import UsageError
from staytuned.goal import Budget, Goal
from staytuned.trial import Measurement, Status, Trial

losses = st.lists(st.floats() | st.sampled_from([0.0, 1.0]), max_size=12)


def _trial(number: int, score: float, status: Status = Status.DONE) -> Trial:
    return Trial(number, {}, measurement=Measurement({"loss": score}, status))


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("min loss", Goal("loss", "min")),
        ("max roc_auc", Goal("roc_auc", "max")),
        ("min", Goal("loss", "min")),
        ("MAX", Goal("loss", "max")),
        ("  Minimise   rmse  ", Goal("rmse", "min")),
        ("maximize Accuracy", Goal("Accuracy", "max")),
        (Goal("f1", "max"), Goal("f1", "max")),
    ],
)
def test_goals_are_read(text: Any, goal: Goal) -> None:
    assert Goal.parse(text) == goal
    assert Goal.parse(str(goal)) == goal


@pytest.mark.parametrize("text", ["", "loss", "roc_auc max", "max roc auc", "smallest loss", None, 3])
def test_what_is_no_goal_is_quoted(text: Any) -> None:
    with pytest.raises(UsageError, match=f"goal={text!r} must read like"):
        Goal.parse(text)
    with pytest.raises(UsageError, match="direction='up'"):
        Goal("loss", "up")  # type: ignore[arg-type]


@given(losses, st.sampled_from(["min", "max"]))
def test_the_best_is_the_earliest_that_no_finite_score_beats(scores: list[float], direction: Any) -> None:
    goal = Goal("loss", direction)
    history = [_trial(i, score) for i, score in enumerate(scores)]
    finite = [score for score in scores if math.isfinite(score)]
    best = goal.best(reversed(history))
    if not finite:
        assert best is None
    else:
        assert best is not None
        wanted = min(finite) if direction == "min" else max(finite)
        assert best.number == scores.index(wanted)
        assert not any(goal.better(score, goal.score(best)) for score in finite)


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.DONE, Status.RUNNING)])
def test_only_a_finished_trial_can_be_best(status: Status) -> None:
    history = [_trial(0, 5.0), _trial(1, 0.0, status), Trial(2, {}), Trial(3, {}, measurement=Measurement({"another": -1.0}))]
    best = Goal().best(history)
    assert best is not None
    assert best.number == 0
    assert Goal().best(history[1:]) is None


def test_losses_are_lower_is_better_and_nan_where_nothing_was_learned() -> None:
    history = [_trial(0, 2.0), _trial(1, 3.0, Status.PRUNED), _trial(2, 4.0, Status.FAILED), Trial(3, {}), Trial(4, {}, measurement=Measurement({"f1": 1.0}))]
    np.testing.assert_array_equal(Goal("loss", "min").losses(history), [2, 3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(Goal("loss", "max").losses(history), [-2, -3, np.nan, np.nan, np.nan])
    assert Goal().losses([]).shape == (0,)


@pytest.mark.parametrize("trials", [0, -1, 2.5, math.nan, math.inf, "10", True, [3]])
def test_a_budget_of_trials_is_a_whole_number(trials: Any) -> None:
    with pytest.raises(UsageError, match=r"trials=.* whole number of at least 1") as caught:
        Budget(trials=trials)
    assert repr(trials) in str(caught.value)


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, "60", True])
def test_a_budget_of_time_is_positive(seconds: Any) -> None:
    with pytest.raises(UsageError, match="must be a positive number") as caught:
        Budget(seconds=seconds)
    assert repr(seconds) in str(caught.value)


def test_budgets_that_make_sense() -> None:
    assert Budget() == Budget(None, None)
    assert Budget(np.int64(3), np.float64(0.5)) == Budget(3, 0.5)
    assert Budget(seconds=math.inf).seconds == math.inf
