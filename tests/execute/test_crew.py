"""What a study makes of any executor: how many trials at once, and what becomes of them."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from staytuned.errors import UsageError, WorkerDied
from staytuned.execute import dask, ray
from staytuned.execute._remote import Following, with_line
from staytuned.execute.crew import crew_of
from staytuned.execute.inline import InlineExecutor
from staytuned.execute.processes import ProcessExecutor
from staytuned.open_trial import OpenTrial
from staytuned.space.dims import Float
from staytuned.study import Study
from staytuned.trial import Status

LINE = {"x": Float(-1, 1)}


class Quiet(Executor):
    """Says nothing of its workers; holds what it is given."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
        self.futures.append(Future())
        return self.futures[-1]


# How many


def test_how_many_trials_an_executor_is_given() -> None:
    with ThreadPoolExecutor(3) as threads, ProcessExecutor(5) as processes:
        assert crew_of(threads).under_way == 3
        assert crew_of(processes).under_way == 5
        assert crew_of(threads, 7).under_way == 7
        assert crew_of(threads).glance == math.inf
    assert crew_of(InlineExecutor()).under_way == crew_of(Quiet()).under_way == 1
    assert crew_of(Quiet(), 16).under_way == 16


def test_many_workers_have_a_few_trials_in_line() -> None:
    assert [with_line(workers) for workers in (1, 7, 8, 16, 100)] == [1, 7, 9, 18, 112]


@pytest.mark.parametrize("at_once", [0, -1, 1.5, True])
def test_a_number_that_cannot_be(at_once: Any) -> None:
    with pytest.raises(UsageError, match=f"n_jobs={at_once!r} with an executor"):
        Study(space=LINE).optimize(lambda _: 1.0, trials=1, executor=InlineExecutor(), n_jobs=at_once)


def test_what_is_no_executor() -> None:
    with pytest.raises(UsageError, match=r"has no submit\(\)"):
        Study(space=LINE).optimize(lambda _: 1.0, trials=1, executor=8)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [{"trial_timeout": 5.0}, {"memory": 10**9}])
def test_limits_that_an_executor_would_not_hear_of(limit: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be given to an executor that is there already"):
        Study(space=LINE).optimize(lambda _: 1.0, trials=1, executor=InlineExecutor(), **limit)


def test_no_more_trials_at_once_than_asked_for() -> None:
    lock, running, most = threading.Lock(), [0], [0]
    together = threading.Barrier(3)

    def objective(trial: OpenTrial) -> float:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(60)
        with lock:
            running[0] -= 1
        return trial.config["x"] ** 2

    study = Study(space=LINE, sampler="random", seed=1)
    with ThreadPoolExecutor(8) as executor:
        study.optimize(objective, trials=12, executor=executor, n_jobs=3)
    assert most == [3]
    assert len(study.trials) == 12


class Growing(ThreadPoolExecutor):
    """One worker at first, four once a trial has ended."""

    glance = 0.01

    def __init__(self) -> None:
        super().__init__(4)
        self.workers = 1


def test_a_crew_that_grows_is_put_to_work_while_a_trial_runs() -> None:
    executor, all_at_once = Growing(), threading.Barrier(4)

    def objective(_: OpenTrial) -> float:
        executor.workers = 4
        all_at_once.wait(60)  # the first waits for three more, which must be begun before it ends
        return 1.0

    study = Study(space=LINE, sampler="random")
    with executor:
        study.optimize(objective, trials=4, executor=executor)
    assert [trial.status for trial in study.trials] == [Status.DONE] * 4


# Ends


def test_futures_are_cancelled_and_trials_given_back_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("staytuned.study._GRACE", 0.1)
    executor, study = Quiet(), Study(space=LINE, sampler="random")
    study.optimize(lambda _: 1.0, timeout=0.05, executor=executor, n_jobs=4)
    assert study.why_ended == "the time was up"
    assert [future.cancelled() for future in executor.futures] == [True] * 4
    study.optimize(lambda _: 1.0, trials=4)
    assert [trial.status for trial in study.trials] == [Status.DONE] * 4


def test_futures_are_cancelled_and_trials_given_back_at_an_interruption() -> None:
    class Interrupted(Quiet):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            if len(self.futures) == 3:
                raise KeyboardInterrupt
            return super().submit(fn, *args, **kwargs)

    executor, study = Interrupted(), Study(space=LINE, sampler="random")
    with pytest.raises(KeyboardInterrupt):
        study.optimize(lambda _: 1.0, trials=9, executor=executor, n_jobs=4)
    assert [future.cancelled() for future in executor.futures] == [True] * 3
    study.optimize(lambda _: 1.0, trials=4)
    assert [trial.status for trial in study.trials] == [Status.DONE] * 4


# What comes home


@pytest.fixture(params=["here", "threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    make = {"here": InlineExecutor, "threads": lambda: ThreadPoolExecutor(2), "processes": lambda: ProcessExecutor(2)}[request.param]
    with make() as executor:
        yield executor


def test_logs_and_tracebacks_come_home_with_the_trial(executor: Executor) -> None:
    def objective(trial: OpenTrial) -> float:
        print("trial", trial.number)
        logging.getLogger("objective").warning("careful")
        if trial.number == 1:
            raise ValueError("boom")
        return 1.0

    study = Study(space=LINE, sampler="random")
    study.optimize(objective, trials=3, executor=executor)
    for number, trial in enumerate(study.trials):
        assert f"trial {number}\n" in trial.log
        assert trial.log.count("careful\n") == 1
    assert [bool(trial.traceback) for trial in study.trials] == [False, True, False]
    assert 'raise ValueError("boom")\nValueError: boom\n' in study.trials[1].traceback
    assert study.trials[1].status is Status.FAILED


# A future that stands for another machine's


def test_a_future_that_is_cancelled_withdraws_its_task_once() -> None:
    withdrawn: list[int] = []
    future = Following()
    future.stands_for(lambda: withdrawn.append(1))
    waiting = threading.Thread(target=wait, args=([future],))
    waiting.start()
    assert future.cancel()
    assert future.cancel()
    waiting.join(60)
    assert not waiting.is_alive()
    assert (withdrawn, future.cancelled(), future.done()) == ([1], True, True)
    future.settle(1, None)  # it comes too late
    assert future.cancelled()


def test_a_future_cancelled_before_its_task_is_there() -> None:
    withdrawn: list[int] = []
    future = Following()
    assert future.cancel()
    future.stands_for(lambda: withdrawn.append(1))
    assert withdrawn == [1]


def test_a_future_that_is_settled_lets_go_of_its_task() -> None:
    future, problem = Following(), ValueError("boom")
    future.stands_for(lambda: pytest.fail("there is nothing to withdraw"))
    future.settle(None, problem)
    assert future.exception(0) is problem
    assert not future.cancel()
    assert not future.cancelled()


# Clusters, without one


WORKER = {"nthreads": 4, "name": "w1", "host": "10.0.0.1", "resources": {"GPU": 2.0}}


@pytest.mark.parametrize(
    ("wishes", "places"),
    [
        ({}, 4),
        ({"resources": {"GPU": 1}}, 2),
        ({"resources": {"GPU": 0.5}}, 4),
        ({"resources": {"TPU": 1}}, 0),
        ({"resources": {}}, 4),
        ({"workers": "w1"}, 4),
        ({"workers": ["tcp://10.0.0.1:9"]}, 4),
        ({"workers": ["w2"]}, 0),
        ({"workers": ["w2"], "allow_other_workers": True}, 4),
    ],
)
def test_places_on_a_worker_of_dasks(wishes: dict[str, Any], places: int) -> None:
    assert dask.room(WORKER, "tcp://10.0.0.1:9", wishes) == places


@pytest.mark.parametrize(
    ("needs", "places"),
    [
        ({"CPU": 1}, 16),
        ({"CPU": 3}, 5),
        ({"CPU": 0.1}, 160),
        ({"CPU": 1, "GPU": 0.25}, 8),
        ({"CPU": 1, "GPU": 0, "memory": 30e9}, 2),
        ({"CPU": 0}, 16),
        ({"CPU": 1, "accelerator": 1}, 0),
    ],
)
def test_places_in_a_ray_cluster(needs: dict[str, float], places: int) -> None:
    assert ray.room({"CPU": 16.0, "GPU": 2.0, "memory": 64e9}, needs) == places


def test_no_other_executor_is_taken_for_dasks() -> None:
    assert not any(dask.is_dask(executor) for executor in (InlineExecutor(), Quiet(), object()))


def test_what_is_wrong_is_said_before_ray_is_started() -> None:
    with pytest.raises(UsageError, match="num_gpus=-1, retries=-2 must be 0 or more"):
        ray.RayExecutor(num_gpus=-1, retries=-2)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("staytuned.execute.ray.importlib.import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'staytuned\[ray\]'"):
        ray.RayExecutor()
    assert issubclass(WorkerDied, Exception)
