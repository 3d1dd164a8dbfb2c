"""Nothing escapes the guard, and what it says helps."""

import functools
import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as some

from staytuned.errors import StayTunedError, TrialKilled, TrialOutOfMemory, TrialPruned, TrialTimeout, UsageError, WorkerDied
from staytuned.evaluate import guard
from staytuned.evaluate.guard import failure, measured, told
from staytuned.goal import Goal
from staytuned.trial import Cost, Measurement, Reading, Status


@pytest.mark.parametrize("score", [0.25, 1, True, np.float32(0.25), np.int64(3), np.array(2.5), np.array([2.5])[0]])
def test_a_number_is_the_score(score: Any) -> None:
    measurement = measured(lambda: score, "loss")
    assert measurement.status is Status.DONE
    assert measurement.scores == {"loss": float(score)}
    assert type(measurement.scores["loss"]) is float


def test_a_mapping_brings_several_scores() -> None:
    measurement = measured(lambda: {"auc": np.float64(0.7), "f1": math.nan}, "auc")
    assert measurement.status is Status.DONE
    assert measurement.scores["auc"] == 0.7
    assert math.isnan(measurement.scores["f1"])


def test_a_measurement_passes_with_all_it_holds() -> None:
    told = Measurement({"auc": 0.7}, readings=(Reading("fold", 0, {"auc": 0.6}),), config={"C": 1.0})
    got = measured(lambda: told, "auc")
    assert (got.scores, got.readings, got.config, got.status) == (told.scores, told.readings, told.config, Status.DONE)
    assert got.cost.seconds > 0


@pytest.mark.parametrize("status", [Status.PRUNED, Status.FAILED, Status.TIMEOUT])
def test_a_measurement_that_failed_stays_as_it_was_told(status: Status) -> None:
    told = Measurement({"loss": math.nan}, status, "as told", cost=Cost(1.0, 2.0, 3))
    assert measured(lambda: told, "auc") == told


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (math.nan, "auc=nan is no score"),
        (math.inf, "auc=inf is no score"),
        (-math.inf, "auc=-inf is no score"),
        ({"auc": math.nan}, "auc=nan is no score"),
        (Measurement({"auc": math.inf}), "auc=inf is no score"),
        (None, "auc=None is no score"),
        ("0.5", "auc='0.5' is no score"),
        (1j, "auc=1j is no score"),
        (np.array([1.0, 2.0]), r"auc=array\(\[1., 2.\]\) is no score"),
        ([0.5], r"auc=\[0.5\] is no score"),
        (10**400, "auc=1000"),
        ({"auc": 0.5, "note": "good"}, "note='good' is no score"),
        ({"loss": 0.5, "f1": 1.0}, r"no 'auc' among the scores \('loss', 'f1'\)"),
        ({}, r"no 'auc' among the scores \(nothing\)"),
        (Measurement({"loss": 0.5}), r"no 'auc' among the scores \('loss'\)"),
    ],
)
def test_what_is_no_score_is_quoted(outcome: Any, said: str) -> None:
    measurement = measured(lambda: outcome, "auc")
    assert measurement.status is Status.INVALID
    assert re.match(said if not said.startswith("no ") else f"there is {said}", measurement.cure), measurement.cure
    assert "; return" in measurement.cure
    assert len(measurement.cure) < 200


def _broken(_: object = None) -> float:
    return [1.0][3]


def test_an_exception_says_what_and_where() -> None:
    measurement = measured(_broken, "loss")
    assert measurement.status is Status.FAILED
    line = _broken.__code__.co_firstlineno + 1
    assert measurement.cure == f"IndexError: list index out of range; at {Path(__file__).name}:{line} in _broken"
    assert measurement.scores == {}


def test_the_place_is_the_users_own_line() -> None:
    measurement = measured(lambda: np.linalg.inv(np.zeros((2, 2))), "loss")
    assert measurement.cure.startswith("LinAlgError: ")
    assert f"at {Path(__file__).name}:" in measurement.cure


def test_without_a_line_of_the_users_the_innermost_is_named() -> None:
    measurement = measured(functools.partial(json.loads, "{"), "loss")
    assert "JSONDecodeError" in measurement.cure
    assert "at decoder.py:" in measurement.cure


@pytest.mark.parametrize(
    ("problem", "status", "said"),
    [
        (TrialPruned("behind the median"), Status.PRUNED, "behind the median"),
        (TrialPruned(), Status.PRUNED, "stopped early, as it could not win"),
        (MemoryError(), Status.MEMORY, "MemoryError; narrow the space to smaller configs, or run fewer at once"),
        (TrialOutOfMemory("grew; raise the limit"), Status.MEMORY, "grew; raise the limit"),
        (TrialTimeout("ran; raise the limit"), Status.TIMEOUT, "ran; raise the limit"),
        (WorkerDied("gone"), Status.LOST, "gone"),
        (TrialKilled("ended"), Status.LOST, "ended"),
        (BrokenExecutor("pool"), Status.LOST, "BrokenExecutor: pool"),
        (CancelledError(), Status.LOST, "cancelled before it ran; tell the study to continue to have it run"),
        (UsageError("no"), Status.FAILED, "UsageError: no"),
        (StayTunedError(), Status.FAILED, "StayTunedError"),
        (OSError(28, "No space left on device"), Status.FAILED, "OSError: [Errno 28] No space left on device"),
        (GeneratorExit(), Status.FAILED, "GeneratorExit"),
    ],
)
def test_every_exception_has_its_status_and_cure(problem: BaseException, status: Status, said: str) -> None:
    assert failure(problem) == Measurement(status=status, cure=said)

    def work() -> float:
        raise problem

    measurement = measured(work, "loss")
    assert measurement.status is status
    assert measurement.cure.startswith(said.partition(";")[0])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interruptions_pass(kind: type[BaseException]) -> None:
    def work() -> float:
        raise kind

    with pytest.raises(kind):
        measured(work, "loss")


@given(some.one_of(some.none(), some.text(), some.floats(), some.integers(), some.lists(some.floats()), some.dictionaries(some.text(), some.floats())))
def test_done_means_a_finite_score(outcome: Any) -> None:
    measurement = measured(lambda: outcome, "loss")
    finite = math.isfinite(measurement.scores.get("loss", math.nan))
    assert (measurement.status is Status.DONE) == finite
    assert (measurement.cure == "") == finite


def test_failure_keeps_the_cost_it_is_given() -> None:
    cost = Cost(3.0, 2.0, 1)
    assert failure(TrialTimeout("ran"), cost).cost == cost


@pytest.mark.parametrize("work", [_broken, lambda: 1.0, lambda: math.nan])
def test_the_cost_is_filled_whatever_happens(work: Callable[[], float]) -> None:
    cost = measured(work, "loss").cost
    assert cost.seconds > 0
    assert cost.cpu_seconds >= 0
    assert cost.peak_memory > 1_000_000


def test_waiting_costs_time_and_no_processor() -> None:
    def nap() -> float:
        time.sleep(0.2)
        return 0.0

    cost = measured(nap, "loss").cost
    assert cost.seconds >= 0.2
    assert cost.cpu_seconds < cost.seconds


def test_threads_are_counted() -> None:
    def burn() -> None:
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    def work() -> float:
        threads = [threading.Thread(target=burn) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 0.0

    assert measured(work, "loss").cost.cpu_seconds >= 0.19


def test_peak_memory_sees_a_block_that_is_gone() -> None:
    size = int(psutil.Process().memory_info().rss)
    assert measured(lambda: float(len(b"x" * 100_000_000)), "loss").cost.peak_memory >= size + 90_000_000


def test_peak_memory_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise OSError

    monkeypatch.setattr(guard.Path, "read_text", refuse)
    assert measured(lambda: 1.0, "loss").cost.peak_memory > 1_000_000


def test_the_traceback_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="staytuned"):
        measured(_broken, "loss")
    assert "list index out of range" in caplog.text


SEVERAL = Goal.parse("max auc, min latency, min seconds where size <= 5")


@pytest.mark.parametrize(
    ("outcome", "scores"),
    [
        ({"auc": 0.5, "latency": 2, "size": 9, "f1": math.nan}, {"auc": 0.5, "latency": 2.0, "size": 9.0}),
        ({"auc": 0.5, "latency": 2, "size": 9, "seconds": 3}, {"auc": 0.5, "latency": 2.0, "size": 9.0, "seconds": 3.0}),
        (Measurement({"auc": 0.5, "latency": 2.0, "size": 9.0}), {"auc": 0.5, "latency": 2.0, "size": 9.0}),
    ],
)
def test_every_metric_of_a_goal_is_there_and_costs_come_by_themselves(outcome: Any, scores: dict[str, float]) -> None:
    measurement = measured(lambda: outcome, SEVERAL)
    assert measurement.status is Status.DONE
    assert {name: score for name, score in measurement.scores.items() if not math.isnan(score)} == scores


@pytest.mark.parametrize("outcome", [(1, 2), [1, 2], np.array([1, 2]), (1, 2.0, 7), np.array([1, 2, 7])])
def test_a_tuple_holds_the_objectives_in_their_order_with_or_without_costs(outcome: Any) -> None:
    measurement = measured(lambda: outcome, Goal.parse("max auc, min latency, min seconds"))
    assert measurement.status is Status.DONE
    assert dict(measurement.scores) == {"auc": 1.0, "latency": 2.0} | ({"seconds": 7.0} if len(outcome) == 3 else {})


@pytest.mark.parametrize("outcome", [(1, 2, 3, 4), (1,), 0.5, None, "0.5", np.zeros((2, 2))])
def test_what_cannot_be_told_apart_is_quoted(outcome: Any) -> None:
    measurement = measured(lambda: outcome, SEVERAL)
    assert measurement.status is Status.INVALID
    assert "is no score for each of auc, latency, seconds; return 3 numbers in that order, or a dict" in measurement.cure


def test_one_number_is_the_one_metric_that_is_no_cost() -> None:
    assert measured(lambda: 0.5, Goal.parse("max auc, min seconds")).scores == {"auc": 0.5}
    assert measured(lambda: 0.5, Goal.parse("min seconds where auc >= 0.4")).scores == {"auc": 0.5}
    assert measured(lambda: 0.5, Goal.parse("min seconds")).scores == {"seconds": 0.5}
    assert measured(lambda: None, Goal.parse("min seconds where peak_memory <= 1e15")).status is Status.DONE


def test_what_was_measured_elsewhere_has_the_cost_it_brings() -> None:
    assert told(0.5, "auc") == Measurement({"auc": 0.5})
    assert told(Measurement({"auc": 0.5}, cost=Cost(3.0)), "auc").cost == Cost(3.0)
    assert told(0.5, Goal.parse("max auc, min seconds")).status is Status.INVALID
    assert told(Measurement({"auc": 0.5}, cost=Cost(3.0)), Goal.parse("max auc, min seconds")).status is Status.DONE
    assert "size is not known" not in told({"auc": 0.5}, Goal.parse("max auc where size <= 5")).cure


def test_a_system_that_does_not_tell_memory_is_no_reason_to_believe_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_peak_memory", lambda: 0)
    measurement = measured(lambda: 0.5, Goal.parse("max auc where peak_memory <= 1e9"))
    assert measurement.status is Status.INVALID
    assert "what it cost in peak_memory is not known; return 'peak_memory' among the scores" in measurement.cure


def test_an_outcome_that_will_not_be_read_is_a_failure() -> None:
    class Stubborn:
        def __float__(self) -> float:
            raise RuntimeError("not now")

    failed = told(Stubborn(), "auc")  # type: ignore[arg-type]
    assert failed == Measurement(status=Status.FAILED, cure=failed.cure, traceback=failed.traceback)
    assert failed.traceback.endswith("RuntimeError: not now\n")
    assert measured(lambda: Stubborn(), "auc").cure.startswith("RuntimeError: not now")  # type: ignore[arg-type, return-value]
