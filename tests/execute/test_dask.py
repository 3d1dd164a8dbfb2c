"""A study on a real Dask cluster of processes on this machine."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from staytuned.errors import UsageError
from staytuned.execute.crew import crew_of
from staytuned.execute.dask import is_dask
from staytuned.open_trial import OpenTrial
from staytuned.space.dims import Float
from staytuned.study import Study
from staytuned.trial import Status

distributed = pytest.importorskip("distributed", reason="Dask is not installed; pip install 'staytuned[dask]'")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Dask's own threads and sockets

LINE = {"x": Float(-1, 1)}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        warnings.catch_warnings(action="ignore"),
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, resources={"GPU": 1}) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        yield client


def _wait_for_workers(client: Any) -> None:
    client.wait_for_workers(2, timeout=60)


class Table:
    """An objective that holds a table, and says which object it is where it runs."""

    def __init__(self, rows: np.ndarray[Any, Any]) -> None:
        self.rows = rows

    def __call__(self, trial: OpenTrial) -> dict[str, float]:
        return {"loss": float(self.rows.sum()) * trial.config["x"] ** 2, "pid": os.getpid(), "object": id(self)}


def test_the_crew_is_as_large_as_the_cluster(client: Any) -> None:
    assert is_dask(client.get_executor())
    assert crew_of(client.get_executor()).under_way == 4
    assert crew_of(client.get_executor(), 9).under_way == 9
    assert crew_of(client.get_executor(resources={"GPU": 1})).under_way == 2
    assert crew_of(client.get_executor(workers=[next(iter(client.nthreads()))])).under_way == 2


def test_trials_run_side_by_side_and_say_what_they_said(client: Any) -> None:
    def objective(trial: OpenTrial) -> dict[str, float]:
        begun = time.time()
        print("trial", trial.number)
        time.sleep(0.5)
        if trial.number == 1:
            raise ValueError("boom")
        return {"loss": trial.config["x"] ** 2, "begun": begun, "ended": time.time()}

    study = Study(space=LINE, sampler="random", seed=1)
    study.optimize(objective, trials=8, executor=client.get_executor())
    assert [trial.status for trial in study.trials] == [Status.DONE, Status.FAILED] + [Status.DONE] * 6
    assert [trial.log for trial in study.trials] == [f"trial {number}\n" for number in range(8)]
    assert study.trials[1].traceback.endswith("ValueError: boom\n")
    done = [trial.scores for trial in study.trials if trial.status == "done"]
    assert any(a["begun"] < b["begun"] < a["ended"] for a in done for b in done)


def test_a_large_table_is_not_sent_with_every_trial(client: Any) -> None:
    table = Table(np.ones((500, 500)))
    study = Study(space=LINE, sampler="random", seed=1)
    study.optimize(table, trials=24, executor=client.get_executor())
    assert len({(t.scores["pid"], t.scores["object"]) for t in study.trials}) <= 6  # once per worker; Dask may hand it over again while it spreads it
    assert [trial.status for trial in study.trials] == [Status.DONE] * 24


def test_resources_are_passed_on(client: Any) -> None:
    def objective(trial: OpenTrial) -> dict[str, float]:
        begun = time.time()
        time.sleep(0.2)
        return {"loss": trial.config["x"] ** 2, "begun": begun, "ended": time.time(), "pid": os.getpid()}

    study = Study(space=LINE, sampler="random", seed=1)
    study.optimize(objective, trials=8, executor=client.get_executor(resources={"GPU": 1}), n_jobs=6)
    for a in study.trials:
        for b in study.trials:
            if a.number != b.number and a.scores["pid"] == b.scores["pid"]:
                assert a.scores["ended"] <= b.scores["begun"] or b.scores["ended"] <= a.scores["begun"]  # one GPU, one trial at a time


def test_a_trial_whose_workers_all_die_is_lost_and_the_study_goes_on(client: Any) -> None:
    def objective(trial: OpenTrial) -> float:
        if trial.number == 1:
            os._exit(3)
        return trial.config["x"] ** 2

    study = Study(space=LINE, sampler="random", seed=1)
    study.optimize(objective, trials=4, executor=client.get_executor(), n_jobs=1)  # one by one, or Dask blames those beside it for their workers' deaths
    assert [trial.status for trial in study.trials] == [Status.DONE, Status.LOST, Status.DONE, Status.DONE]
    assert "allowed-failures" in study.trials[1].cure
    _wait_for_workers(client)


def test_workers_that_die_with_the_table_cost_no_trial(client: Any, tmp_path: Path) -> None:
    table = np.ones((500, 500))

    def objective(trial: OpenTrial) -> float:
        if trial.number == 2 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            for pid in pids:
                os.kill(pid, 9)
        return float(table.sum()) * trial.config["x"] ** 2

    pids = list(client.run(os.getpid).values())
    study = Study(space=LINE, sampler="random", seed=1)
    study.optimize(objective, trials=8, executor=client.get_executor())
    assert (tmp_path / "died").exists()
    assert [trial.status for trial in study.trials] == [Status.DONE] * 8
    _wait_for_workers(client)


def test_time_is_up(client: Any, tmp_path: Path) -> None:
    def objective(trial: OpenTrial) -> float:
        (tmp_path / str(trial.number)).touch()
        time.sleep(3)
        return 1.0

    study = Study(space=LINE, sampler="random", seed=1)
    study.optimize(objective, timeout=0.5, executor=client.get_executor(), n_jobs=8)
    assert study.why_ended == "the time was up"
    assert len(study.trials) == 8
    assert len(list(tmp_path.iterdir())) <= 4
    study.optimize(lambda _: 1.0, trials=8, executor=client.get_executor())
    assert [trial.status for trial in study.trials] == [Status.DONE] * 8
    assert len(list(tmp_path.iterdir())) <= 4  # those in line were cancelled, and did not run


def test_an_objective_that_cannot_be_sent(client: Any) -> None:
    lock = threading.Lock()
    study = Study(space=LINE, sampler="random")
    with pytest.raises(UsageError, match="cannot be sent to Dask's workers"):
        study.optimize(lambda _: float(lock.locked()), trials=1, executor=client.get_executor())
