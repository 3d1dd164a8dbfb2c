"""A study with several objectives, with limits, with costs as metrics."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import staytuned as st
from staytuned.errors import NotFoundError, UsageError
from staytuned.goal import Goal
from staytuned.insight.leaderboard import leaderboard
from staytuned.insight.progress import progress
from staytuned.minimizing import minimize
from staytuned.open_trial import OpenTrial
from staytuned.protocols import Fact
from staytuned.store.memory import MemoryLedger
from staytuned.study import Study
from staytuned.trial import Cost, Measurement, Status

CURVE = {"x": st.Float(0, 1)}
TWO = "max accuracy, min latency"


def _by_hand(goal: Any, *results: Any) -> Study:
    study = Study(space=CURVE, goal=goal, sampler="random", seed=1)
    for result in results:
        study.tell(study.ask(), result)
    return study


# what comes back


@pytest.mark.parametrize("result", [(0.9, 12.0), [0.9, 12], {"latency": 12.0, "accuracy": 0.9}, Measurement({"accuracy": 0.9, "latency": 12.0})])
def test_objectives_come_as_a_tuple_in_their_order_or_by_name(result: Any) -> None:
    told = _by_hand(TWO, result).trials[0]
    assert told.status is Status.DONE
    assert dict(told.scores) == {"accuracy": 0.9, "latency": 12.0}
    study = Study(space=CURVE, goal=TWO, sampler="random")
    study.optimize(lambda _: result, trials=1)
    assert study.trials[0].scores == told.scores


@pytest.mark.parametrize(
    ("goal", "result", "said"),
    [
        (TWO, 0.9, "0.9 is no score for each of accuracy, latency; return 2 numbers in that order, or a dict"),
        (TWO, (0.9,), "(0.9,) is no score for each of accuracy, latency"),
        (TWO, (0.9, 1.0, 2.0), "(0.9, 1.0, 2.0) is no score for each"),
        (TWO, {"accuracy": 0.9}, "there is no 'latency' among the scores ('accuracy'); return a dict with 'accuracy', 'latency'"),
        (TWO, (0.9, math.nan), "latency=nan is no score; return a finite number"),
        (TWO, (0.9, "fast"), "latency='fast' is no score"),
        ("min loss where latency <= 5", 0.5, "there is no 'latency' among the scores ('loss'); return a dict with 'loss', 'latency'"),
        ("min loss where latency <= 5", {"loss": 0.5, "latency": math.inf}, "latency=inf is no score"),
        ("min loss, min seconds", {"loss": 0.5}, "what it cost in seconds is not known; return 'seconds' among the scores"),
    ],
)
def test_what_is_missing_is_named(goal: str, result: Any, said: str) -> None:
    trial = _by_hand(goal, result).trials[0]
    assert trial.status is Status.INVALID
    assert said in trial.cure


def test_costs_come_by_themselves() -> None:
    study = Study(space=CURVE, goal="max accuracy, min seconds where peak_memory <= 1e15", sampler="random", seed=1)
    study.optimize(lambda trial: trial.config["x"], trials=3)
    assert [t.status for t in study.trials] == [Status.DONE] * 3
    assert all(dict(t.scores) == {"accuracy": t.config["x"]} for t in study.trials)
    assert study.goal.vector(study.trials[0]) == (-study.trials[0].config["x"], study.trials[0].cost.seconds)
    assert study.feasible
    study.tell(study.ask(), {"accuracy": 2.0, "seconds": 3.0, "peak_memory": 1.0})
    study.tell(study.ask(), Measurement({"accuracy": 2.0}, cost=Cost(4.0, 4.0, 1)))
    assert study.goal.vector(study.trials[-2]) == (-2.0, 3.0)
    assert study.goal.vector(study.trials[-1]) == (-2.0, 4.0)
    assert study.trials[-2] in study.front


def test_a_goal_that_is_a_cost_needs_no_score() -> None:
    study = Study(space=CURVE, goal="min seconds", sampler="random", seed=1)
    study.optimize(lambda _: None, trials=2)
    assert study.best.cost.seconds == min(t.cost.seconds for t in study.trials)
    study = Study(space=CURVE, goal="min seconds where accuracy >= 0.5", sampler="random", seed=1)
    study.optimize(lambda trial: float(trial.number), trials=2)
    assert study.best.number == 1


# the front and the best


def test_the_front() -> None:
    study = _by_hand(TWO, (0.9, 30), (0.5, 10), (0.9, 30), (0.4, 20), "failed", (0.7, 15))
    study.ask()
    assert [t.number for t in study.front] == [0, 1, 5]
    with pytest.raises(UsageError, match=r"has 2 objectives, so no one trial is best; choose from study\.front") as caught:
        _ = study.best
    assert not isinstance(caught.value, NotFoundError)
    assert Study(space=CURVE, goal=TWO).front == []
    assert [t.number for t in _by_hand("min loss", 2.0, 1.0, 1.0).front] == [1]


def test_under_limits_the_best_keeps_them() -> None:
    study = _by_hand("max accuracy where latency <= 20", {"accuracy": 0.9, "latency": 30}, {"accuracy": 0.7, "latency": 20}, {"accuracy": 0.8, "latency": 21})
    assert study.best.number == 1
    assert study.feasible
    assert "none within" not in repr(study)


def test_if_no_trial_keeps_the_limits_the_nearest_is_best_and_it_is_said() -> None:
    study = Study("s", space=CURVE, goal="max accuracy where latency <= 20 and size <= 5", sampler="random", seed=1)
    assert not study.feasible
    assert repr(study) == "<Study 's': max accuracy where latency <= 20 and size <= 5, 0 trials>"
    study.optimize(lambda trial: {"accuracy": 0.5, "latency": 40.0 - trial.number, "size": 4}, trials=3)
    assert study.best.number == 2
    assert not study.feasible
    assert [t.number for t in study.front] == [2]
    assert study.why_ended == "all 3 trials asked for were run; no trial keeps the limits, the nearest is trial 2 with latency=38, not <= 20"
    assert repr(study).endswith("3 trials, none within the limits>")
    assert leaderboard(study.trials, study.goal).sentence == "No trial keeps the limits (latency <= 20 and size <= 5); the first breaks them least."


def test_the_running_best_is_the_goals_best() -> None:
    results = [
        {"loss": 1.0, "m": 2.0},
        {"loss": 5.0, "m": 1.5},
        "failed",
        {"loss": 4.0, "m": 1.0},
        {"loss": 4.0, "m": 0.0},
        {"loss": -9.0, "m": 1.1},
        {"loss": 3.0, "m": 1},
    ]
    study = Study(space=CURVE, goal="min loss where m <= 1", sampler="random", seed=1)
    opened = [study.ask() for _ in results]
    for place in (3, 0, 4, 2, 5, 1, 6):
        study.tell(opened[place], results[place])
        assert study.best is study.goal.best(study.trials)


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_minimize_under_limits(sampler: str) -> None:
    best = minimize(lambda c: {"loss": -c["x"], "size": 10 * c["x"]}, CURVE, trials=30, method=sampler, limits="size <= 5", seed=0)
    assert 3 < best.scores["size"] <= 5
    with pytest.raises(UsageError, match="the limit 'size' of a goal must read like"):
        minimize(lambda c: c["x"], CURVE, limits="size")


# stopping early


def _reports(trial: OpenTrial) -> dict[str, float]:
    for step in range(3):
        trial.report(trial.config["x"], step)
        if trial.should_prune():
            trial.prune()
    return {"loss": trial.config["x"], "size": -trial.config["x"]}


def _stopped(goal: str) -> list[int]:
    study = Study(space={"x": st.Float(0, 10)}, goal=goal, sampler="manual")
    for x in (1, 1, 1, 1, 1, 5, 5, 5, 5, 5, 6):
        study.enqueue({"x": x})
    study.optimize(_reports)
    return [t.number for t in study.trials if t.status is Status.PRUNED]


def test_a_trial_is_stopped_for_being_behind_those_it_competes_with() -> None:
    assert _stopped("min loss") == [5, 6, 7, 8, 9, 10]
    assert _stopped("min loss, min size") == []  # behind in the one, ahead in the other
    assert _stopped("min loss where size <= -3") == [10]  # the five that are ahead break the limit


# what it says


def test_the_frame_has_a_column_per_metric_and_says_what_is_on_the_front() -> None:
    study = _by_hand(f"{TWO} where size <= 5", {"accuracy": 0.9, "latency": 9, "size": 4, "f1": 0.1}, {"accuracy": 0.9, "latency": 8, "size": 6}, "failed")
    study.ask()
    frame = study.to_frame()
    assert list(frame.columns) == ["number", "status", "accuracy", "latency", "size", "f1", "front", "feasible", "seconds", "origin", "config.x", "cure"]
    assert list(frame.front) == [True, False, False, False]
    assert list(frame.feasible) == [True, False, False, False]
    assert list(Study(space=CURVE, goal=TWO).to_frame().columns) == ["number", "status", "accuracy", "latency", "front", "seconds", "origin", "cure"]


def test_a_cost_as_objective_has_one_column() -> None:
    study = _by_hand("min seconds where peak_memory <= 9", {"seconds": 2.5, "peak_memory": 8}, Measurement({}, cost=Cost(1.5, 1.0, 7)))
    frame = study.to_frame()
    assert list(frame.columns) == ["number", "status", "feasible", "seconds", "peak_memory", "origin", "config.x", "cure"]
    assert list(frame.seconds) == [2.5, 1.5]
    assert list(frame.peak_memory) == [8.0, 7.0]
    assert list(Study(space=CURVE, goal="min seconds").to_frame().columns) == ["number", "status", "seconds", "origin", "cure"]


def test_a_metric_named_like_a_column_keeps_out_of_its_way() -> None:
    frame = _by_hand("min number", {"number": 7.0, "status": 1.0}).to_frame()
    assert list(frame.number) == [0]
    assert list(frame["score.number"]) == [7.0]
    assert list(frame["score.status"]) == [1.0]


def test_the_leaderboard_puts_the_front_first_and_the_infeasible_last() -> None:
    study = _by_hand(
        f"{TWO} where size <= 5", *[dict(zip(("accuracy", "latency", "size"), v, strict=True)) for v in [(9, 1, 9), (5, 5, 5), (6, 4, 1), (3, 1, 1), (7, 8, 7)]]
    )
    board = leaderboard(study.trials, study.goal)
    assert [(row.trial, row.on_front, row.feasible) for row in board.rows] == [
        (2, True, True),
        (3, True, True),
        (1, False, True),
        (4, False, False),
        (0, False, False),
    ]
    assert dict(board.rows[0].scores) == {"accuracy": 6.0, "latency": 4.0, "size": 1.0}
    assert board.sentence.startswith("2 trials are on the front: none is better in one of accuracy, latency")


def test_progress_counts_only_what_keeps_the_limits() -> None:
    study = _by_hand("min loss where m <= 1", *[{"loss": loss, "m": m} for loss, m in [(1, 2), (5, 1), (2, 3), (4, 0)]])
    rows = progress(study.trials, study.goal).rows
    assert [row.feasible for row in rows] == [False, True, False, True]
    assert [row.best for row in rows[1:]] == [5, 5, 4]
    assert math.isnan(rows[0].best)


# the ledger


@pytest.mark.parametrize("goal", [TWO, ["max accuracy", "min latency"], f"{TWO} where size <= 0.30000000000000004 and seconds < 3"])
def test_a_study_keeps_its_whole_goal(tmp_path: Path, goal: Any) -> None:
    Study("s", space=CURVE, goal=goal, ledger=tmp_path / "s.db")
    assert Study("s", goal=str(Goal.parse(goal)), ledger=tmp_path / "s.db").goal == Goal.parse(goal)
    with pytest.raises(UsageError, match="in this ledger pursues 'max accuracy, min latency"):
        Study("s", goal="max accuracy", ledger=tmp_path / "s.db")


def test_a_ledger_from_before_several_objectives_opens() -> None:
    ledger = MemoryLedger()
    config = {"dimensions": {"x": {"type": "float", "low": 0.0, "high": 1.0}}, "constraints": []}
    asked = {"number": 0, "config": {"x": 0.5}, "origin": "sobol", "seed": 3, "fidelity": None, "started": 1.0, "queued": 0}
    told = {"number": 0, "measurement": {"scores": {"roc auc": 0.75}, "status": "done", "cost": [1.0, 1.0, 0]}}
    facts = [("founded", {"goal": "max roc auc", "space": config, "seed": 7}), ("asked", asked), ("told", told)]
    ledger.append([Fact("study/old", kind, body, key=kind) for kind, body in facts])
    study = Study("old", goal=Goal("roc auc", "max"), ledger=ledger)
    assert study.best.scores == {"roc auc": 0.75}
    assert study.tell(study.ask(), 0.8).scores == {"roc auc": 0.8}
