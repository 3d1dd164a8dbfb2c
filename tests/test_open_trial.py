"""A trial as an objective sees it."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from staytuned.errors import SpaceError, TrialPruned, UsageError
from staytuned.goal import Goal
from staytuned.open_trial import Evaluated, OpenTrial
from staytuned.protocols import Verdict
from staytuned.schedulers.median import MedianRule
from staytuned.trial import History, Measurement, Reading, Status, Trial


@dataclass(frozen=True)
class Strict:
    """Stops whatever has reported more than a limit."""

    limit: float

    def judge(self, history: History, trial: Trial) -> Verdict:
        assert trial.status is Status.RUNNING
        return Verdict.STOP if trial.readings and trial.readings[-1].scores["loss"] > self.limit + len(history) else Verdict.GO_ON

    def brief(self, history: History) -> History:
        return history

    def estimate(self, history: History, trial: Trial) -> float:
        return 100.0 + len(history) + len(trial.readings)


def _opened(**options: Any) -> OpenTrial:
    options = {"number": 0, "config": {}, "seed": 7, "goal": Goal(), "scheduler": Strict(1.0)} | options
    return OpenTrial(**options)


def _suggest_all(trial: OpenTrial) -> dict[str, Any]:
    trial.suggest_float("x", 0, 1)
    trial.suggest_float("lr", 1e-4, 1, log=True)
    trial.suggest_float("share", 0, 1, step=0.25)
    trial.suggest_int("n", 1, 9, step=2)
    trial.suggest_int("units", 1, 1024, log=True)
    trial.suggest_categorical("kernel", ["rbf", "poly"])
    trial.suggest_ordinal("size", [16, 32, 128])
    return trial.config


def test_suggestions_lie_where_they_were_asked_for_and_depend_on_the_seed_alone() -> None:
    trial = _opened()
    config = dict(_suggest_all(trial))
    assert all(dimension.contains(config[name]) for name, dimension in trial.suggested.items())
    assert list(trial.suggested) == list(config) == ["x", "lr", "share", "n", "units", "kernel", "size"]
    assert _suggest_all(trial) == config
    assert _suggest_all(_opened(number=5)) == config
    assert _suggest_all(_opened(seed=8)) != config
    assert isinstance(config["x"], float)
    assert isinstance(config["n"], int)


def test_the_order_of_asking_does_not_matter() -> None:
    one, other = _opened(), _opened()
    one.suggest_float("a", 0, 1), one.suggest_float("b", 0, 1)
    other.suggest_float("b", 0, 1), other.suggest_float("a", 0, 1)
    assert one.config == other.config


def test_a_proposal_is_taken_where_it_fits() -> None:
    trial = _opened(proposal={"x": 0.25, "n": 50})
    assert trial.suggest_float("x", 0, 1) == 0.25
    assert 1 <= trial.suggest_int("n", 1, 9) <= 9


def test_a_name_has_one_dimension() -> None:
    trial = _opened(config={"n": 5})
    assert trial.suggest_int("n", 1, 9) == 5
    assert trial.suggested == {}
    with pytest.raises(UsageError, match=r"n=5 in this trial is outside Int\(low=6"):
        trial.suggest_int("n", 6, 9)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda t: t.suggest_float("x", 1, 0), "low=1.0 is above high=0.0"),
        (lambda t: t.suggest_int("x", 0, 9, log=True), "log scale"),
        (lambda t: t.suggest_categorical("x", []), "has no choices"),
        (lambda t: t.suggest_categorical("x", [(1, 2)]), r"the choice \(1, 2\) cannot be written as JSON"),
    ],
)
def test_a_nonsensical_suggestion_is_refused_at_once(ask: Any, said: str) -> None:
    trial = _opened()
    with pytest.raises(SpaceError, match=said):
        ask(trial)
    assert trial.config == {}


def test_reports_reach_the_scheduler() -> None:
    trial = _opened(peers=[Trial(0, {})])
    assert not trial.should_prune()
    trial.report(2.0, step=0)
    assert not trial.should_prune()
    trial.report(2.1, step=1)
    assert trial.should_prune()
    assert trial.readings == [Reading("step", 0, {"loss": 2.0}), Reading("step", 1, {"loss": 2.1})]
    with pytest.raises(TrialPruned, match="stopped after step 1"):
        trial.prune()


def test_a_stopped_trial_gets_the_schedulers_estimate() -> None:
    trial = _opened()
    pruned = Measurement(status=Status.PRUNED)
    assert trial.closed(pruned).scores == {}
    trial.report(math.nan, 0)
    assert trial.closed(pruned).scores == {}
    trial.report(3.0, 1)
    closed = trial.closed(pruned)
    assert closed.scores == {"loss": 102.0}
    assert closed.readings == tuple(trial.readings)
    assert closed.config is None
    assert trial.closed(Measurement({"loss": 5.0})).scores == {"loss": 5.0}


def test_a_trial_that_reported_only_nan_closes_under_the_median_rule() -> None:
    trial = _opened(scheduler=MedianRule(Goal()))
    trial.report(math.nan, 0)
    assert trial.closed(Measurement(status=Status.PRUNED)).scores == {}


def test_what_was_suggested_is_the_config_in_the_end() -> None:
    trial = _opened(config={"given": 1})
    trial.suggest_float("x", 0, 1)
    assert trial.closed(Measurement({"loss": 1.0})).config == trial.config


def test_an_evaluator_is_an_objective() -> None:
    def evaluator(config: dict[str, Any], fidelity: float | None, seed: int, stop: Any) -> Measurement:
        readings = [Reading("fold", i, {"loss": config["x"] * i}) for i in range(4)]
        seen = next(i + 1 for i in range(4) if stop(readings[: i + 1]))
        return Measurement({"loss": float(seen)}, readings=readings[:seen], cure=f"{fidelity} {seed}")

    measurement = Evaluated(evaluator)(_opened(config={"x": 0.7}, fidelity=0.5))
    assert measurement.scores == {"loss": 3.0}
    assert measurement.cure == "0.5 7"


def test_an_open_trial_travels() -> None:
    trial = _opened(config={"x": 1}, peers=[Trial(0, {})])
    trial.report(1.0, 0)
    assert pickle.loads(pickle.dumps(trial)) == trial
