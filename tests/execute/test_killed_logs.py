"""What a trial had said when its process was ended, by whatever it was."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import worker_tasks

from staytuned import _last_words
from staytuned.errors import TrialKilled, TrialOutOfMemory, TrialTimeout, WorkerDied
from staytuned.evaluate.guard import failure, measured
from staytuned.evaluate.output import KEPT
from staytuned.execute.processes import ProcessExecutor
from staytuned.space.dims import Float
from staytuned.study import Study
from staytuned.trial import Measurement, Status, Trial

PATIENCE = 60.0
LIMIT = 0.3


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(1) as executor:
        executor.submit(measured, worker_tasks.talks_and_ends, "loss").result(PATIENCE)  # a worker that has loaded what a trial needs
        yield executor


def ended(executor: ProcessExecutor, work: Any, seconds: float | None = None) -> TrialKilled:
    problem = executor.submit_within(seconds, measured, work, "loss").exception(PATIENCE)
    assert isinstance(problem, TrialKilled)
    return problem


def test_a_study_records_it() -> None:
    with ProcessExecutor(1, timeout=LIMIT) as executor:
        study = Study(space={"x": Float(0, 1)}, seed=0)
        study.optimize(worker_tasks.talks_and_hangs, trials=1, executor=executor)
        [trial] = study.trials
        assert (trial.status, trial.log) == (Status.TIMEOUT, "begun\nhm\n")
        study.optimize(worker_tasks.talks_and_leaves, trials=1, executor=executor)
        assert (study.trials[1].status, study.trials[1].log) == (Status.LOST, "leaving\n")


def test_one_that_ran_past_its_memory() -> None:
    with ProcessExecutor(1, memory=300_000_000) as executor:
        problem = ended(executor, worker_tasks.talks_and_grows)
    assert isinstance(problem, TrialOutOfMemory)
    assert problem.log == "growing\n"


def test_one_that_ends_with_its_executor() -> None:
    executor = ProcessExecutor(1)
    future = executor.submit(measured, worker_tasks.talks_and_hangs, "loss")
    worker = None
    while worker is None or not _last_words.read(worker):
        worker = next((link._output for link in list(executor._pool.links)), None)
        assert not future.done()
        time.sleep(0.01)
    executor.kill()
    problem = future.exception(0)
    assert isinstance(problem, TrialKilled)
    assert problem.log.startswith("begun\n")


def test_of_much_the_end(executor: ProcessExecutor) -> None:
    log = failure(ended(executor, worker_tasks.talks_without_end, LIMIT)).log
    mark, _, *lines = log.splitlines()
    assert mark == "[...]"
    assert len(log) == len("[...]\n") + KEPT
    numbers = [int(line.partition(" ")[0]) for line in lines if line.endswith("é")]
    assert len(numbers) >= len(lines) - 1  # the last may be half written, as the first is
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[0] > KEPT


def test_the_next_begins_with_nothing(executor: ProcessExecutor) -> None:
    assert executor.submit(measured, worker_tasks.talks_and_ends, "loss").result(PATIENCE).log == "all is well\n"
    assert ended(executor, worker_tasks.silent_and_leaves).log == ""
    executor.submit(measured, worker_tasks.talks_and_ends, "loss").result(PATIENCE)
    problem = executor.submit(os._exit, 1).exception(PATIENCE)  # no trial at all, and so nothing is kept
    assert isinstance(problem, WorkerDied)
    assert problem.log == ""


def test_only_what_the_trial_says_itself(executor: ProcessExecutor) -> None:
    assert ended(executor, worker_tasks.talks_with_children).log == "first\nlast\n"


def test_of_work_inside_work_the_outer_is_kept(executor: ProcessExecutor) -> None:
    assert ended(executor, worker_tasks.talks_inside).log == "outer begins\nouter again\n"


def test_no_file_is_left_open() -> None:
    before = psutil.Process().num_fds()
    with ProcessExecutor(2) as executor:
        for future in [executor.submit(os._exit, 1) if i % 2 else executor.submit(pow, 2, 2) for i in range(6)]:
            future.exception(PATIENCE)
    assert psutil.Process().num_fds() <= before


def test_where_no_file_can_be_had_trials_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_last_words, "opened", lambda: None)
    with ProcessExecutor(1) as executor:
        assert executor.submit(measured, worker_tasks.talks_and_ends, "loss").result(PATIENCE).log == "all is well\n"
        assert ended(executor, worker_tasks.talks_and_leaves).log == ""


def test_it_travels_and_comes_home_from_further_in() -> None:
    problem = TrialTimeout("too long")
    assert problem.log == ""
    problem.log = "said\n"
    assert pickle.loads(pickle.dumps(problem)).log == "said\n"
    assert failure(problem) == Measurement(status=Status.TIMEOUT, cure="too long", log="said\n")
    assert failure(ValueError("no")).log == ""

    def work() -> float:
        print("mine")
        raise problem

    assert Trial(0, {}).measured(measured(work, "loss")).log == "mine\nsaid\n"
