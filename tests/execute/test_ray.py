"""The Ray executor on a real Ray on this machine: the laws, deaths, ends, and a study."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worker_tasks

from staytuned.errors import UsageError, WorkerDied
from staytuned.execute.ray import RayExecutor
from staytuned.open_trial import OpenTrial
from staytuned.space.dims import Float
from staytuned.study import Study
from staytuned.testing.executor_laws import EXECUTOR_LAWS, Law
from staytuned.trial import Status

pytest.importorskip("ray", reason="Ray is not installed; pip install 'staytuned[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own processes and sockets

LINE = {"x": Float(-1, 1)}
PATIENCE = 120.0


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    import ray

    here = {"PYTHONPATH": str(Path(__file__).parent)}
    ray.init(
        "local", num_cpus=3, resources={"accelerator": 2}, include_dashboard=False, log_to_driver=False, configure_logging=False, runtime_env={"env_vars": here}
    )
    yield
    ray.shutdown()


@pytest.fixture
def executor() -> Iterator[RayExecutor]:
    with RayExecutor(retries=1) as executor:
        yield executor


@pytest.mark.parametrize("law", EXECUTOR_LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law(RayExecutor)


def test_there_are_as_many_workers_as_the_cluster_has_room_for() -> None:
    assert RayExecutor().workers == 3
    assert RayExecutor(num_cpus=2).workers == 1
    assert RayExecutor(num_cpus=0.5, resources={"accelerator": 1}).workers == 2


def test_a_worker_that_dies_is_an_error_after_the_retries(executor: RayExecutor, tmp_path: Path) -> None:
    def die() -> None:
        (tmp_path / str(time.time_ns())).touch()
        os._exit(3)

    with pytest.raises(WorkerDied, match="allow more with retries="):
        executor.submit(die).result(PATIENCE)
    assert len(list(tmp_path.iterdir())) == 2
    assert executor.submit(pow, 7, 2).result(PATIENCE) == 49


def test_a_worker_that_dies_once_costs_nothing(executor: RayExecutor, tmp_path: Path) -> None:
    def die_once() -> str:
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os._exit(3)
        return "lived"

    assert executor.submit(die_once).result(PATIENCE) == "lived"


def test_a_running_task_is_cancelled(executor: RayExecutor, tmp_path: Path) -> None:
    def stay() -> None:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(600)

    futures: list[Future[None]] = [executor.submit(stay) for _ in range(3)]
    _until(lambda: len(list(tmp_path.iterdir())) == 3)
    assert all(future.cancel() for future in futures)
    assert not wait(futures, timeout=0).not_done
    assert executor.submit(pow, 7, 2).result(PATIENCE) == 49  # there is room again


def test_an_exception_brings_its_traceback(executor: RayExecutor) -> None:
    problem = executor.submit(worker_tasks.divide, 1, 0).exception(PATIENCE)
    assert isinstance(problem, ZeroDivisionError)
    assert "in divide" in problem.__notes__[0]
    problem = executor.submit(worker_tasks.fail_with_two_arguments).exception(PATIENCE)
    assert type(problem) is RuntimeError
    assert "Stubborn" in str(problem)


def test_a_callable_is_packed_once_and_unpacked_once_per_worker(executor: RayExecutor) -> None:
    worker_tasks.Counting.packed = 0
    evaluator = worker_tasks.Counting()
    answers = [future.result(PATIENCE) for future in [executor.submit(evaluator, i) for i in range(40)]]
    assert [i for i, _, _ in answers] == list(range(40))
    assert worker_tasks.Counting.packed == 1
    assert {unpacked for _, unpacked, _ in answers} == {1}


def test_what_cannot_be_sent_is_said(executor: RayExecutor) -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(UsageError, match=r"cannot be sent to Ray \(TypeError"):
        executor.submit(repr, lock).result(PATIENCE)
    with pytest.raises(UsageError, match="cannot be sent back from Ray's worker"):
        executor.submit(threading.Lock).result(PATIENCE)


def test_resources_and_options_are_passed_on() -> None:
    with RayExecutor(num_cpus=2, resources={"accelerator": 1}, options={"runtime_env": {"env_vars": {"SAID": "so"}}}) as executor:
        assert executor.submit(os.getenv, "SAID").result(PATIENCE) == "so"
        assert executor.submit(_assigned).result(PATIENCE) == {"CPU": 2.0, "accelerator": 1.0}


def _assigned() -> Any:
    import ray

    return {name: count for name, count in ray.get_runtime_context().get_assigned_resources().items() if not name.startswith("node:")}


def test_a_study(executor: RayExecutor) -> None:
    table = np.ones((300, 300))

    def objective(trial: OpenTrial) -> float:
        print("trial", trial.number)
        if trial.number == 1:
            raise ValueError("boom")
        if trial.number == 2:
            os._exit(3)
        return float(table.sum()) * trial.config["x"] ** 2

    study = Study(space=LINE, sampler="random", seed=1)
    study.optimize(objective, trials=6, executor=executor)
    assert [trial.status for trial in study.trials] == [Status.DONE, Status.FAILED, Status.LOST] + [Status.DONE] * 3
    assert [trial.log for trial in study.trials] == [f"trial {number}\n" if number != 2 else "" for number in range(6)]
    assert study.trials[1].traceback.endswith("ValueError: boom\n")
    assert "its worker died each time" in study.trials[2].cure


def test_time_is_up(executor: RayExecutor, tmp_path: Path) -> None:
    def objective(_: OpenTrial) -> float:
        (tmp_path / "begun").touch()
        time.sleep(600)
        return 1.0

    study = Study(space=LINE, sampler="random", seed=1)
    study.optimize(objective, timeout=1.0, executor=executor)
    assert study.why_ended == "the time was up"
    assert [trial.status for trial in study.trials] == [Status.RUNNING] * 3
    study.optimize(lambda _: 1.0, trials=3, executor=executor)
    assert [trial.status for trial in study.trials] == [Status.DONE] * 3


def _until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
