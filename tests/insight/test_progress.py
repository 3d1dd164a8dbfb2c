import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.goal import Goal
from staytuned.insight.progress import progress
from staytuned.trial import Cost, Measurement, Status, Trial


def trial(number, score, status=Status.DONE, started=0.0, seconds=0.0):
    scores = {} if score is None else {"acc": score}
    return Trial(number, {}, "random", started=started, measurement=Measurement(scores, status, cost=Cost(seconds)))


def test_no_trials_no_rows():
    assert progress([], Goal("acc", "max")).rows == ()


def test_best_so_far_heeds_only_finished_trials_with_a_score():
    history = [trial(0, None, Status.FAILED), trial(1, 0.5), trial(2, 0.9, Status.PRUNED), trial(3, math.nan), trial(4, 0.7), Trial(5, {})]
    rows = progress(history, Goal("acc", "max")).rows
    assert math.isnan(rows[0].best)
    assert [r.best for r in rows[1:]] == [0.5, 0.5, 0.5, 0.7, 0.7]
    assert [r.status for r in rows] == [t.status for t in history]


def test_lower_is_better_where_the_goal_says_so():
    rows = progress([trial(0, 0.5), trial(1, 0.7), trial(2, 0.2)], Goal("acc", "min")).rows
    assert [r.best for r in rows] == [0.5, 0.5, 0.2]


def test_seconds_run_from_the_first_start_to_the_trials_end():
    rows = progress([trial(0, 0.5, started=1000.0, seconds=2.0), trial(1, 0.6, started=1001.0, seconds=5.0)], Goal("acc", "max")).rows
    assert [r.seconds for r in rows] == [2.0, 6.0]


def test_without_a_recorded_start_there_are_no_seconds():
    assert math.isnan(progress([trial(0, 0.5)], Goal("acc", "max")).rows[0].seconds)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=20), st.sampled_from(["min", "max"]))
def test_the_last_best_is_the_goals_best(scores, direction):
    goal = Goal("acc", direction)
    history = [trial(i, s) for i, s in enumerate(scores)]
    best = goal.best(history)
    last = progress(history, goal).rows[-1].best if history else math.nan
    assert last == pytest.approx(goal.score(best)) if best else math.isnan(last)
