"""Many workers on one ledger, many studies in one ledger: the sizes that a test can afford. ``benchmarks/store/load.py`` has the full ones."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from staytuned.space.dims import Float
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.trial import Status

PROCESSES = multiprocessing.get_context("spawn")

pytestmark = pytest.mark.slow


def study(ledger: Any, name: str = "s") -> Study:
    return Study(name, space={"x": Float(-1, 1)}, sampler="random", ledger=ledger, seed=1)


def work(url: str, total: int, threads: int = 1) -> list[int]:
    """The numbers of the trials that this process ran, in threads with a connection each."""

    def one(_: int) -> list[int]:
        ran: list[int] = []
        study(SqlLedger(url, patience=120)).optimize(lambda trial: trial.config["x"], total=total, on_trial=lambda trial: ran.append(trial.number))
        return ran

    with ThreadPoolExecutor(threads) as pool:
        return [number for ran in pool.map(one, range(threads)) for number in ran]


def check(url: str, ran: Sequence[Sequence[int]], total: int) -> None:
    assert sorted(number for numbers in ran for number in numbers) == list(range(total)), "each trial was run once"
    together, alone = study(url), study(None)
    alone.optimize(lambda trial: trial.config["x"], total=total)
    assert [(trial.number, trial.config, trial.scores) for trial in together.trials] == [(trial.number, trial.config, trial.scores) for trial in alone.trials]
    assert {trial.status for trial in together.trials} == {Status.DONE}


def test_sixteen_processes_on_one_file(tmp_path: Path) -> None:
    url = str(tmp_path / "staytuned.db")
    with PROCESSES.Pool(16) as pool:
        ran = pool.starmap(work, [(url, 96)] * 16, chunksize=1)
    check(url, ran, 96)


def test_thirty_two_workers_on_one_server(postgresql_server: Any) -> None:
    url = postgresql_server.new()
    with PROCESSES.Pool(2) as pool:
        ran = pool.starmap(work, [(url, 128, 16)] * 2, chunksize=1)
    check(url, ran, 128)


def test_three_hundred_studies_in_one_ledger(tmp_path: Path) -> None:
    ledger = SqlLedger(tmp_path / "staytuned.db")
    for number in range(300):
        study(ledger, f"s{number}").optimize(lambda trial: trial.config["x"], total=2)
    for number in (0, 1, 10, 150, 299):  # s1 is how s10 begins
        trials = study(ledger, f"s{number}").trials
        assert [trial.scores for trial in trials] == [{"loss": trial.config["x"]} for trial in trials]
        assert len(trials) == 2
    assert len(ledger.read("study/")) == 1500
