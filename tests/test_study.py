"""The first loop: ask, run, measure, tell, record."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import staytuned as st
from staytuned.errors import NotFoundError, SpaceError, UsageError
from staytuned.execute.processes import ProcessExecutor
from staytuned.goal import Goal
from staytuned.minimizing import minimize
from staytuned.open_trial import OpenTrial
from staytuned.samplers.named import METHODS
from staytuned.schedulers.median import MedianRule
from staytuned.store.memory import MemoryLedger
from staytuned.store.owner import new_owner
from staytuned.study import Study
from staytuned.trial import Measurement, Status, Trial
from studies import LINE, square, statuses, story

# ask and tell


def test_ask_and_tell(ledger: Any) -> None:
    study = Study("s", space=LINE, sampler="random", ledger=ledger, seed=3)
    for number in range(5):
        trial = study.ask()
        assert trial.number == number
        assert study.trials[number].status is Status.RUNNING
        told = study.tell(trial, trial.config["x"])
        assert told == study.trials[number]
        assert told.status is Status.DONE
    assert study.best.scores["loss"] == min(t.scores["loss"] for t in study.trials)
    assert story(Study("s", ledger=ledger)) == story(study)


def test_the_first_word_counts(ledger: Any) -> None:
    study = Study("s", space=LINE, ledger=ledger)
    trial = study.ask()
    study.tell(trial, 0.5)
    assert study.tell(trial, 0.1).scores == {"loss": 0.5}
    assert study.tell(0, "failed").status is Status.DONE
    assert Study("s", ledger=ledger).tell(0, 7.0).scores == {"loss": 0.5}


def test_a_trial_may_be_told_by_its_number_its_record_or_itself() -> None:
    study = Study(space=LINE)
    for handle in (study.ask(), study.ask().number, study.trials and study.ask() and study.trials[-1], np.int64(study.ask().number)):
        assert study.tell(handle, 1.0).status is Status.DONE  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "status", "cure"),
    [
        (0.5, Status.DONE, ""),
        (np.float32(0.5), Status.DONE, ""),
        ({"loss": 0.5, "other": math.nan}, Status.DONE, ""),
        (Measurement({"loss": 0.5}), Status.DONE, ""),
        (math.nan, Status.INVALID, "loss=nan is no score"),
        (-math.inf, Status.INVALID, "loss=-inf is no score"),
        (Measurement({"loss": math.nan}), Status.INVALID, "loss=nan is no score"),
        ({"accuracy": 0.5}, Status.INVALID, "no 'loss' among the scores ('accuracy')"),
        (None, Status.INVALID, "loss=None is no score"),
        ("failed", Status.FAILED, "told as failed"),
        (Status.LOST, Status.LOST, "told as lost"),
        ("pruned", Status.PRUNED, "told as pruned"),
    ],
)
def test_what_may_be_told(result: Any, status: Status, cure: str) -> None:
    study = Study(space=LINE)
    trial = study.tell(study.ask(), result)
    assert trial.status is status
    assert cure in trial.cure
    assert trial.cost.seconds == 0


@pytest.mark.parametrize(
    ("result", "said"),
    [("fialed", "'fialed' is neither a score"), ("running", "'running'"), ("done", "'done'"), (Measurement(status=Status.RUNNING), "ends no trial")],
)
def test_what_may_not_be_told(result: Any, said: str) -> None:
    study = Study(space=LINE)
    trial = study.ask()
    with pytest.raises(UsageError, match=said):
        study.tell(trial, result)
    assert study.trials[0].status is Status.RUNNING


@pytest.mark.parametrize("number", [3, -1])
def test_no_such_trial(number: int) -> None:
    study = Study(space=LINE)
    study.tell(study.ask(), 1.0)
    with pytest.raises(UsageError, match=f"has no trial {number}; it has 1"):
        study.tell(number, 0.5)


# the queue


def test_the_queue_goes_first_in_its_order(ledger: Any) -> None:
    study = Study("s", space=LINE, sampler="random", ledger=ledger, seed=1)
    study.optimize(square, trials=1)
    for x in (0.5, -0.5, 0.25):
        study.enqueue({"x": x}, origin="default" if x == 0.25 else "enqueued")
    assert len(study.queue) == 3
    study = Study("s", ledger=ledger, sampler="random")
    assert len(study.queue) == 3
    study.optimize(square, trials=4)
    assert [t.config["x"] for t in study.trials[1:4]] == [0.5, -0.5, 0.25]
    assert [t.origin for t in study.trials] == ["random", "enqueued", "enqueued", "default", "random"]
    assert len(study.queue) == 0


def test_what_does_not_fit_is_not_enqueued() -> None:
    study = Study(space=LINE)
    for config, said in [({"x": 3}, "cannot enqueue: x=3 is outside Float"), ({}, "'x' is missing"), ({"x": 0, "y": 1}, "'y' is not in the space")]:
        with pytest.raises(SpaceError, match=said):
            study.enqueue(config)
    assert len(study.queue) == 0


def test_by_hand_the_study_ends_with_the_queue() -> None:
    study = Study(space=LINE, sampler="manual")
    study.enqueue({"x": 0.5})
    study.enqueue({"x": -0.25})
    study.optimize(square)
    assert [t.config["x"] for t in study.trials] == [0.5, -0.25]
    assert "give more configs" in study.why_ended


# define by run


def _branching(trial: OpenTrial) -> float:
    if trial.suggest_categorical("model", ["svm", "tree"]) == "svm":
        return (trial.suggest_float("C", 1e-3, 1e3, log=True) - 1) ** 2
    return float(trial.suggest_int("depth", 1, 20))


@pytest.mark.parametrize("method", ["random", "tpe", pytest.param("bayes", marks=pytest.mark.slow)])
def test_an_objective_may_say_what_varies_as_it_runs(ledger: Any, method: str) -> None:
    study = Study("s", sampler=method, ledger=ledger, seed=4)
    study.optimize(_branching, trials=12)
    assert set(statuses(study)) == {Status.DONE}
    assert {tuple(t.config) for t in study.trials} == {("model", "C"), ("model", "depth")}
    assert set(study.space.names) == {"model", "C", "depth"}
    again = Study("s", sampler=method, ledger=ledger)
    assert again.space == study.space
    assert story(again) == story(study)
    again.optimize(_branching, trials=1)
    whole = Study(sampler=method, seed=4)
    whole.optimize(_branching, trials=13)
    assert story(whole) == story(again)


def test_define_by_run_with_ask_and_tell_and_with_workers() -> None:
    study = Study(sampler="random", seed=2)
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1))
    assert study.trials[0].config == {"x": study.trials[0].scores["loss"]}
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), trials=3, n_jobs=2)
    assert all(t.config == {"x": t.scores["loss"]} for t in study.trials)
    assert len(study.trials) == 4


def test_an_enqueued_config_reaches_a_define_by_run_objective() -> None:
    study = Study(seed=2)
    study.enqueue({"model": "svm", "C": 1.0})
    study.optimize(_branching, trials=1)
    assert study.best.config == {"model": "svm", "C": 1.0}


def test_a_suggestion_that_cannot_be_kept_fails_the_trial_and_not_the_study() -> None:
    study = Study(seed=1)
    study.optimize(lambda trial: float(len(trial.suggest_categorical("layers", [(64,), (64, 64)]))), trials=2)
    assert statuses(study) == [Status.FAILED] * 2
    assert "the choice (64,) cannot be written as JSON" in study.trials[0].cure


# stopping early


def test_the_median_rule_stops_who_is_behind() -> None:
    def objective(trial: OpenTrial) -> float:
        for step in range(6):
            trial.report(trial.config["x"] + 0.1 * step, step)
            if trial.should_prune():
                trial.prune()
        return float(trial.config["x"])

    study = Study(space={"x": st.Float(0, 10)}, sampler="manual")
    # Five finish. The median of their averages over the first two steps is 3.05, so 3 may go on and 4 may not; nothing is judged at step 0.
    for x in (1, 2, 3, 4, 5, 3, 4, 2.9):
        study.enqueue({"x": x})
    study.optimize(objective, trials=8)
    assert statuses(study) == [Status.DONE] * 6 + [Status.PRUNED, Status.DONE]
    stopped = study.trials[6]
    assert [reading.index for reading in stopped.readings] == [0, 1]
    assert stopped.scores == {"loss": 4.0}
    assert study.best.number == 0


# failures


def test_a_failing_objective_is_recorded_with_its_cure_and_the_study_goes_on() -> None:
    def objective(trial: OpenTrial) -> float:
        if trial.number == 1:
            raise ValueError("the matrix is singular")
        return math.nan if trial.number == 2 else 1.0

    study = Study(space=LINE, sampler="random")
    seen: list[Trial] = []
    study.optimize(objective, trials=4, on_trial=seen.append)
    assert statuses(study) == [Status.DONE, Status.FAILED, Status.INVALID, Status.DONE]
    assert "ValueError: the matrix is singular; at test_study.py:" in study.trials[1].cure
    assert "loss=nan is no score" in study.trials[2].cure
    assert seen == list(study.trials)


def test_if_nothing_finished_the_last_failure_is_said() -> None:
    study = Study("s", space=LINE)
    with pytest.raises(NotFoundError, match=r"no trial of study 's' has finished with a score$"):
        _ = study.best
    study.optimize(lambda _: 1 / 0, trials=2)
    with pytest.raises(NotFoundError, match="the last failure: ZeroDivisionError: division by zero"):
        _ = study.best


def test_a_hanging_trial_is_ended_and_the_study_goes_on() -> None:
    def objective(trial: OpenTrial) -> float:
        if trial.number == 1:
            time.sleep(600)
        return 1.0

    study = Study(space=LINE, sampler="random")
    study.optimize(objective, trials=3, timeout=300, trial_timeout=0.5)
    assert statuses(study) == [Status.DONE, Status.TIMEOUT, Status.DONE]
    assert "limit of 0.5" in study.trials[1].cure


@pytest.mark.slow
def test_a_memory_eater_is_ended_and_the_study_goes_on() -> None:
    gib = 2**30

    def objective(trial: OpenTrial) -> float:
        if trial.number == 1:
            hoard = []
            for _ in range(40):
                hoard.append(np.ones(gib // 160))
                time.sleep(0.02)
            time.sleep(60)
        return 1.0

    study = Study(space=LINE, sampler="random")
    study.optimize(objective, trials=3, memory=gib)
    assert statuses(study) == [Status.DONE, Status.MEMORY, Status.DONE]
    assert study.trials[1].cure


def test_a_dying_worker_costs_its_trial_only() -> None:
    def objective(trial: OpenTrial) -> float:
        if trial.number == 0:
            os._exit(3)
        return 1.0

    study = Study(space=LINE, sampler="random")
    study.optimize(objective, trials=2, n_jobs=2)
    assert sorted(statuses(study)) == [Status.DONE, Status.LOST]


# workers


def test_two_workers_do_what_one_does() -> None:
    one, two = Study("s", space=LINE, sampler="random", seed=5), Study("s", space=LINE, sampler="random", seed=5)
    one.optimize(square, trials=8)
    two.optimize(lambda trial: trial.config["x"] ** 2, trials=8, n_jobs=2)  # by value: a worker need not import all of this file
    assert story(one) == story(two)


def test_two_workers_work_at_once(tmp_path: Path) -> None:
    def objective(trial: OpenTrial) -> float:
        (tmp_path / str(trial.number)).touch()
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return float(len(list(tmp_path.iterdir())))

    study = Study(space=LINE, sampler="random", seed=5)
    study.optimize(objective, trials=2, n_jobs=2)
    assert [t.scores["loss"] for t in study.trials] == [2.0, 2.0]


@pytest.mark.parametrize("workers", [1, 3])
def test_anybodys_executor_will_do(workers: int) -> None:
    study = Study(space=LINE, sampler="random", seed=5)
    with ThreadPoolExecutor(workers) as executor:
        study.optimize(square, trials=6, executor=executor)
        assert executor.submit(pow, 2, 3).result() == 8  # it is still open: who made it shuts it down
    alone = Study(space=LINE, sampler="random", seed=5)
    alone.optimize(square, trials=6)
    assert story(alone) == story(study)


def test_an_executor_that_breaks_loses_no_trial() -> None:
    class Broken(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
            raise RuntimeError("no workers today")

    study = Study(space=LINE, sampler="random", seed=5)
    with pytest.raises(RuntimeError, match="no workers today"):
        study.optimize(square, trials=2, executor=Broken())
    study.optimize(square, trials=1)
    assert statuses(study) == [Status.DONE]


# what a trial costs the study


class Still:
    """A sampler that proposes one config for ever, and remembers which histories it was shown."""

    name = "still"

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def ask(self, history: Any, n: int = 1) -> list[dict[str, Any]]:
        self.shown.append((history, len(history)))
        return [{"x": 0.5}] * n


class Counted(MedianRule):
    """The median rule, counting the trials it is asked to look through."""

    looked: ClassVar[list[int]] = []

    def brief(self, history: Any) -> Any:
        self.looked.append(len(history))
        return super().brief(history)


def test_a_sampler_sees_one_list_that_grows_with_ended_trials_in_their_places() -> None:
    sampler = Still()
    study = Study(space=LINE, sampler=sampler)
    opened = [study.ask() for _ in range(3)]
    study.tell(opened[1], 1.0)
    study.ask()
    histories, lengths = zip(*sampler.shown, strict=True)
    assert all(history is histories[0] for history in histories)
    assert lengths == (0, 1, 2, 3)
    assert [t.status for t in histories[0]] == [Status.RUNNING, Status.DONE, Status.RUNNING, Status.RUNNING]


def test_the_scheduler_looks_only_through_trials_that_reported_and_only_when_one_more_has() -> None:
    def objective(trial: OpenTrial) -> float:
        if trial.number in (10, 20):
            trial.report(1.0, 0)
        return 1.0

    Counted.looked.clear()
    study = Study(space=LINE, sampler=Still(), scheduler=Counted(Goal()))
    study.optimize(objective, trials=30)
    assert Counted.looked == [1, 2]


def test_a_trial_reads_only_what_is_new_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = MemoryLedger()
    study = Study("s", space=LINE, sampler=Still(), ledger=ledger)
    read, got = ledger.read, []
    monkeypatch.setattr(ledger, "read", lambda *args, **kwargs: got.append(len(found := read(*args, **kwargs))) or found)
    study.optimize(lambda _: 1.0, trials=40)
    assert sum(got) == 80  # every fact once
    assert len(got) <= 3 * 41


def test_origin_is_asked_for_after_the_proposal_it_describes() -> None:
    class Both(Still):
        def origin(self, history: Any) -> str:
            return f"after {len(self.shown)} of {len(history)}"

    study = Study(space=LINE, sampler=Both())
    study.optimize(lambda _: 1.0, trials=2)
    assert [t.origin for t in study.trials] == ["after 1 of 0", "after 2 of 1"]


def test_what_was_told_meanwhile_hides_no_trial_that_was_left() -> None:
    ledger = MemoryLedger()
    study, other = (Study("s", space=LINE, sampler="random", ledger=ledger, seed=1) for _ in range(2))
    first = study.ask()
    study.optimize(lambda _: 1.0, trials=1, on_trial=lambda _: study.tell(first, 1.0) and None)
    left = other.ask().number
    other.give_back(left)
    assert study.ask().number == left


# the ledger


def test_two_studies_on_one_ledger_never_share_a_trial(tmp_path: Path) -> None:
    studies = [Study("s", space=LINE, sampler="random", ledger=tmp_path / "s.db", seed=1) for _ in range(2)]
    asked = [studies[turn % 2].ask() for turn in range(10)]
    assert [trial.number for trial in asked] == list(range(10))
    for turn, trial in reversed(list(enumerate(asked))):
        studies[(turn + 1) % 2].tell(trial, square(trial))  # by the one that did not ask
    studies[0].refresh(), studies[1].refresh()
    assert story(studies[0]) == story(studies[1])
    assert set(statuses(studies[0])) == {Status.DONE}


def test_two_studies_at_once_never_share_a_trial(tmp_path: Path) -> None:
    ran: list[int] = []

    def work() -> None:
        study = Study("s", space=LINE, sampler="random", ledger=tmp_path / "s.db", seed=1)
        study.optimize(lambda trial: ran.append(trial.number) or 1.0, trials=15)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == list(range(45))
    study = Study("s", ledger=tmp_path / "s.db")
    assert statuses(study) == [Status.DONE] * 45


def test_a_ledger_that_fails_does_not_lock_the_trial_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = MemoryLedger()
    study, other = (Study("s", space=LINE, sampler="random", ledger=ledger, seed=1) for _ in range(2))
    append = ledger.append

    def full(*_: Any) -> list[int]:
        raise st.StayTunedError("disk full")

    monkeypatch.setattr(ledger, "append", full)
    with pytest.raises(st.StayTunedError, match="disk full"):
        study.ask()
    monkeypatch.setattr(ledger, "append", append)
    assert other.ask().number == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"goal": "max loss"}, "pursues 'min loss', not 'max loss'; give the new study another name"),
        ({"goal": "min rmse"}, "pursues 'min loss'"),
        ({"space": {"x": st.Float(-1, 2)}}, "has another space"),
        ({"space": {"y": st.Float(-1, 1)}}, "has another space"),
        ({"space": {"x": st.Choice([(1,), (2,)])}}, "has another space"),
    ],
)
def test_a_study_keeps_its_goal_and_its_space(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    Study("s", space=LINE, ledger=tmp_path / "s.db")
    with pytest.raises(UsageError, match=said):
        Study("s", ledger=tmp_path / "s.db", **options)


def test_a_study_keeps_its_seed(ledger: Any) -> None:
    assert Study("s", space=LINE, ledger=ledger, seed=5).seed == 5
    assert Study("s", ledger=ledger).seed == 5
    fresh = Study("t", space=LINE, ledger=ledger).seed
    assert Study("t", ledger=ledger).seed == fresh


@pytest.mark.parametrize("seed", [-1, 1.5, "7", True])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    with pytest.raises(UsageError, match=r"seed=.* must be a whole number") as caught:
        Study(space=LINE, seed=seed)
    assert repr(seed) in str(caught.value)


def test_objects_as_choices_need_the_space_again(tmp_path: Path) -> None:
    space = {"layers": st.Choice([(64,), (64, 64)]), "x": st.Float(0, 1)}
    study = Study("s", space=space, sampler="random", ledger=tmp_path / "s.db", seed=1)
    study.optimize(lambda trial: float(len(trial.config["layers"])), trials=6)
    assert {t.config["layers"] for t in study.trials} == {(64,), (64, 64)}
    with pytest.raises(UsageError, match=r"a space of Python objects.*pass the same space= again"):
        Study("s", ledger=tmp_path / "s.db")
    assert story(Study("s", space=space, ledger=tmp_path / "s.db")) == story(study)


@pytest.mark.parametrize(
    ("host", "pid", "born", "dead"),
    [
        (None, None, None, False),
        (None, None, "1.00", True),  # the number was given out again
        (None, "4194305", None, True),  # above every process number
        ("elsewhere", "4194305", None, False),
    ],
)
def test_only_the_trial_of_a_process_known_to_be_gone_is_taken_over(host: str | None, pid: str | None, born: str | None, dead: bool) -> None:
    own = new_owner().rsplit(":", 3)
    holder = ":".join([host or own[0], pid or own[1], born or own[2], "0"])
    ledger = MemoryLedger()
    first = Study("s", space=LINE, sampler="random", ledger=ledger)
    first._custody._hold._owner = holder
    assert first.ask().number == 0
    assert Study("s", sampler="random", ledger=ledger).ask().number == (0 if dead else 1)


# what it says


def test_a_misspelt_method_is_said_at_once() -> None:
    with pytest.raises(UsageError, match="method='randon' is not known; did you mean 'random'"):
        Study(space=LINE, sampler="randon")


def test_the_frame_has_a_row_per_trial() -> None:
    study = Study(space={"x": st.Float(0, 1), "k": st.Choice(["a", "b"])}, goal="max auc", sampler="random", seed=1)
    columns = ["number", "status", "auc", "seconds", "origin", "cure"]
    assert list(study.to_frame().columns) == columns
    study.optimize(lambda trial: {"auc": trial.config["x"], "f1": 0.5} if trial.number else 1 / 0, trials=3)
    study.ask()
    frame = study.to_frame()
    assert set(frame.columns) == {*columns, "f1", "config.x", "config.k"}
    assert list(frame["number"]) == [0, 1, 2, 3]
    assert list(frame["status"]) == ["failed", "done", "done", "running"]
    assert list(frame["auc"].isna()) == [True, False, False, True]
    assert "ZeroDivisionError" in frame["cure"][0]
    assert list(frame["config.x"]) == [t.config["x"] for t in study.trials]


@pytest.mark.parametrize("method", [m for m in METHODS if m != "manual"])
def test_minimize_with_every_method(method: str) -> None:
    best = minimize(lambda c: abs(c["x"] - 0.25) + (c["k"] == "b"), {"x": st.Float(0, 1, step=0.05), "k": ["a", "b"]}, trials=16, method=method, seed=2)
    assert best.config["k"] == "a"
    assert best.scores["loss"] <= 0.25


def test_minimize_by_hand_has_nothing_to_try() -> None:
    with pytest.raises(NotFoundError, match="no configs were given by hand; give more configs"):
        minimize(lambda c: c["x"], LINE, method="manual")


def test_minimize_repeats_itself() -> None:
    runs = [minimize(lambda c: c["x"] ** 2, LINE, trials=15, method="sobol", seed=3) for _ in range(2)]
    assert (runs[0].config, runs[0].number) == (runs[1].config, runs[1].number)


def test_an_executor_with_limits_of_its_own_keeps_them_within_a_budget_of_time() -> None:
    study = Study(space=LINE, sampler="random")
    with ProcessExecutor(1, timeout=0.25) as executor:
        study.optimize(lambda trial: time.sleep(600 * (trial.number == 0)) or 1.0, trials=2, timeout=300, executor=executor)
    assert statuses(study) == [Status.TIMEOUT, Status.DONE]
