import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.goal import Goal
from staytuned.insight.leaderboard import leaderboard
from staytuned.trial import Cost, Measurement, Reading, Status, Trial

GOAL = Goal("acc", "max")


def trial(number, score, model="svm", status=Status.DONE, readings=()):
    return Trial(number, {"model": model}, "random", measurement=Measurement({"acc": score}, status, readings=readings, cost=Cost(2.0)))


def test_best_first_and_failures_left_out():
    history = [
        trial(0, 0.5),
        trial(1, 0.9),
        trial(2, math.nan),
        trial(3, 0.99, status=Status.PRUNED),
        trial(4, 1.0, status=Status.FAILED),
        Trial(5, {}),
        trial(6, 0.9),
    ]
    rows = leaderboard(history, GOAL).rows
    assert [(r.rank, r.trial) for r in rows] == [(1, 1), (2, 6), (3, 0)]


def test_limit_and_direction():
    history = [trial(i, i / 10) for i in range(9)]
    assert [r.trial for r in leaderboard(history, Goal("acc", "min"), limit=2).rows] == [0, 1]
    assert len(leaderboard(history, GOAL, limit=None).rows) == 9


def test_the_best_of_every_model():
    history = [trial(0, 0.5, "svm"), trial(1, 0.9, "tree"), trial(2, 0.7, "svm"), Trial(3, {}, measurement=Measurement({"acc": 1.0}))]
    found = leaderboard(history, GOAL, by="model")
    assert [(r.config["model"], r.trial) for r in found.rows] == [("tree", 1), ("svm", 2)]


def test_error_and_training_score_come_from_the_folds():
    # the folds 0.7, 0.8, 0.9 have standard deviation 0.1, and 0.1 / sqrt(3) is the error of their mean
    folds = [Reading("fold", k, {"acc": 0.7 + k / 10}, {"acc": 0.9 + k / 100}) for k in range(3)]
    (row,) = leaderboard([trial(0, 0.8, readings=[*folds, Reading("step", 0, {"acc": 0.1}, {"acc": 0.1})])], GOAL).rows
    assert row.error == pytest.approx(0.1 / math.sqrt(3))
    assert row.train_score == pytest.approx(0.91)


def test_what_was_not_measured_is_nan():
    one_fold = [Reading("fold", 0, {"acc": 0.7})]
    steps = [Reading("step", k, {"acc": 0.5}, {"acc": 0.6 + k / 10}) for k in range(3)]
    first, second = leaderboard([trial(0, 0.8, readings=one_fold), trial(1, 0.5, readings=steps)], GOAL).rows
    assert math.isnan(first.error)
    assert math.isnan(first.train_score)
    assert second.train_score == pytest.approx(0.8)


@given(st.lists(st.floats(allow_nan=True), max_size=15), st.sampled_from(["min", "max"]))
def test_the_first_is_the_goals_best(scores, direction):
    goal = Goal("acc", direction)
    history = [trial(i, s) for i, s in enumerate(scores)]
    rows, best = leaderboard(history, goal).rows, goal.best(history)
    assert [r.trial for r in rows[:1]] == ([best.number] if best else [])
    assert [goal.loss(r.score) for r in rows] == sorted(goal.loss(r.score) for r in rows)
