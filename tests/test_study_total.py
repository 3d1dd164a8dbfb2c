"""Exactly the asked number of trials over all workers."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from staytuned.errors import SpaceExhausted, UsageError
from staytuned.space.dims import Float
from staytuned.store.memory import MemoryLedger
from staytuned.study import Study
from staytuned.trial import Status

LINE = {"x": Float(-1, 1)}


def study(ledger: Any, **options: Any) -> Study:
    return Study("s", **{"space": LINE, "sampler": "random", "seed": 1, "ledger": ledger} | options)


def objective(trial: Any) -> float:
    return float(trial.config["x"])


@pytest.mark.parametrize(("first", "total", "trials", "ran"), [(0, 5, None, 5), (3, 5, None, 2), (5, 5, None, 0), (7, 5, None, 0), (2, 9, 4, 4), (2, 4, 9, 2)])
def test_no_more_than_the_total(first: int, total: int, trials: int | None, ran: int) -> None:
    ledger = MemoryLedger()
    if first:
        study(ledger).optimize(objective, trials=first)
    mine = study(ledger)
    mine.optimize(objective, total=total, trials=trials)
    assert len(mine.trials) == first + ran
    assert str(total) in mine.why_ended or str(trials) in mine.why_ended
    assert mine.ask().number == first + ran, "whoever asks by hand without a total knows what they do"


def test_by_hand_no_more_than_the_total() -> None:
    """Two who ask in turn, neither of whom looks how many trials there are."""
    ledger = MemoryLedger()
    workers = [study(ledger), study(ledger)]
    asked = [workers[n % 2].ask(total=3) for n in range(3)]
    assert [trial.number for trial in asked] == [0, 1, 2]
    for worker in workers:
        with pytest.raises(SpaceExhausted, match="the study has 3 trials, and total=3 asks for no more"):
            worker.ask(total=3)
    workers[0].give_back(asked[0])
    assert workers[1].ask(total=3).number == 0, "what is given back is not one more"


def test_the_last_worker_waits_for_what_is_under_way_elsewhere() -> None:
    ledger = MemoryLedger()
    mine, other = study(ledger), study(ledger)
    trial = other.ask()
    worker = threading.Thread(target=mine.optimize, args=(objective,), kwargs={"total": 3})
    worker.start()
    while len(Study("s", ledger=ledger).trials) < 3:
        time.sleep(0.01)
    time.sleep(0.1)
    assert worker.is_alive()
    other.tell(trial, 1.0)
    worker.join(10)
    assert not worker.is_alive()
    assert [trial.status for trial in mine.trials] == [Status.DONE] * 3


def test_the_wait_ends_with_the_time() -> None:
    ledger = MemoryLedger()
    mine, other = study(ledger), study(ledger)
    other.ask()
    mine.optimize(objective, total=3, timeout=0.3)
    assert mine.why_ended == "the time was up"
    assert [trial.status for trial in mine.trials] == [Status.RUNNING, Status.DONE, Status.DONE]


def test_what_was_given_back_is_run_and_counts_once() -> None:
    ledger = MemoryLedger()
    mine, other = study(ledger), study(ledger)
    other.give_back(other.ask())
    mine.optimize(objective, total=2)
    assert [trial.status for trial in mine.trials] == [Status.DONE] * 2


@pytest.mark.parametrize("total", [0, -1, 2.5, True, "10"])
def test_a_total_that_makes_no_sense(total: Any) -> None:
    with pytest.raises(UsageError, match=rf"total={total!r} must be a whole number of at least 1"):
        study(MemoryLedger()).optimize(objective, total=total)
    with pytest.raises(UsageError, match=rf"total={total!r} must be a whole number of at least 1"):
        study(MemoryLedger()).ask(total=total)


def work(path: Path) -> int:
    mine = study(path)
    ran: list[int] = []
    mine.optimize(objective, total=100, on_trial=lambda trial: ran.append(trial.number))
    assert len(mine.trials) == 100
    return len(ran)


@pytest.mark.slow
def test_eight_processes_run_a_hundred_trials_between_them(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        ran = pool.map(work, [tmp_path / "staytuned.db"] * 8, chunksize=1)
    assert sum(ran) == 100
    trials = study(tmp_path / "staytuned.db").trials
    assert [trial.number for trial in trials] == list(range(100))
    alone = study(None)
    alone.optimize(objective, total=100)
    assert [(trial.config, trial.scores) for trial in trials] == [(trial.config, trial.scores) for trial in alone.trials]
