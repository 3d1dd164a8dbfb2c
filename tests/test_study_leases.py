"""Who is at work on a trial: leases that a living worker renews, and what becomes of a dead one's trial."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from staytuned.errors import LedgerError, UsageError
from staytuned.protocols import Claim, Fact
from staytuned.space.dims import Float
from staytuned.store import hold as hold_module
from staytuned.store import watch as watch_module
from staytuned.store.hold import Hold
from staytuned.store.memory import MemoryLedger
from staytuned.store.watch import Watch
from staytuned.study import Study
from staytuned.trial import Status

LINE = {"x": Float(-1, 1)}


class Clock:
    """A ledger's time, which passes when told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch_module.time, "time", clock)
    return clock


@pytest.fixture
def ledger(clock: Clock) -> MemoryLedger:
    return MemoryLedger(clock=clock)


def study(ledger: Any, elsewhere: str = "", **options: Any) -> Study:
    """A study; as a worker of another machine would have it if the machine is named."""
    made = Study("s", **{"space": LINE, "sampler": "random", "seed": 1, "ledger": ledger} | options)
    if elsewhere:
        made._custody._hold._owner = f"{elsewhere}:1:1.00:ab"
    return made


def kinds(ledger: Any) -> list[str]:
    return [fact.kind for fact in ledger.read("study/s")]


class Counting(MemoryLedger):
    """Counts the transactions that write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def append(self, facts: Any, claims: Any = ()) -> list[int]:
        self.writes += 1
        return super().append(facts, claims)

    def claim(self, key: str, owner: str, lease: float, instead_of: str | None = None) -> str:
        self.writes += 1
        return super().claim(key, owner, lease, instead_of)


@pytest.mark.parametrize("parameters", [1, 20])
def test_a_trial_costs_two_transactions(parameters: int) -> None:
    ledger = Counting()
    space = {f"x{n}": Float(0, 1) for n in range(parameters)}
    one, other = (study(ledger, space=space) for _ in range(2))
    other.ask()  # under way elsewhere, which costs nothing
    before = ledger.writes
    for _ in range(10):
        one.tell(one.ask(), 1.0)
    assert ledger.writes - before == 20


def test_a_silent_worker_elsewhere_loses_its_trial_after_its_lease(clock: Clock, ledger: MemoryLedger) -> None:
    lost, other = study(ledger, "far", lease=60), study(ledger, lease=60)
    assert lost.ask().number == 0
    clock.now += 59
    assert other.ask().number == 1
    clock.now += 2
    assert other.ask().number == 0
    assert other.ask().number == 2
    assert kinds(ledger) == ["founded", "asked", "asked", "taken", "asked"]


def test_a_worker_that_lives_keeps_its_trial(clock: Clock, ledger: MemoryLedger) -> None:
    slow, other = study(ledger, "far", lease=60), study(ledger, lease=60)
    slow.ask()
    for number in range(1, 8):
        clock.now += 20
        slow._custody._hold.renew()
        assert other.ask().number == number
        other._custody._hold.renew()


def test_a_slow_worker_does_not_overwrite_who_took_over(clock: Clock, ledger: MemoryLedger) -> None:
    slow, other = study(ledger, "far"), study(ledger)
    trial = slow.ask()
    clock.now += 61
    assert other.tell(other.ask(), 1.0).number == 0
    assert slow.tell(trial, 2.0).scores == {"loss": 1.0}
    assert other.tell(0, 3.0).scores == {"loss": 1.0}
    assert kinds(ledger).count("told") == 1


def test_a_slow_workers_word_counts_if_it_is_the_first(clock: Clock, ledger: MemoryLedger) -> None:
    slow, other = study(ledger, "far"), study(ledger)
    trial = slow.ask()
    clock.now += 61
    again = other.ask()
    assert slow.tell(trial, 2.0).scores == {"loss": 2.0}
    assert other.tell(again, 1.0).scores == {"loss": 2.0}
    assert kinds(ledger).count("told") == 1


def test_a_slow_worker_cannot_give_back_what_another_took_over(clock: Clock, ledger: MemoryLedger) -> None:
    slow, other, third = study(ledger, "far"), study(ledger, "farther"), study(ledger)
    trial = slow.ask()
    clock.now += 61
    assert other.ask().number == 0
    slow.give_back(trial)
    assert third.ask().number == 1
    slow._custody._hold.renew()
    assert third.ask().number == 2
    assert "left" not in kinds(ledger)


@pytest.mark.parametrize("retry", [0, 1, 3])
def test_a_trial_whose_worker_dies_is_run_again_so_often(clock: Clock, ledger: MemoryLedger, retry: int) -> None:
    for life in range(1 + retry):
        assert study(ledger, f"machine{life}", retry=retry).ask().number == 0
        clock.now += 61
    last = study(ledger, retry=retry)
    assert last.ask().number == 1
    lost = last.trials[0]
    assert lost.status is Status.LOST
    assert f"its worker died, {1 + retry} times in a row, the last one machine{retry}:1:1.00:ab" in lost.cure
    assert f"retry={1 + retry}" in lost.cure
    assert Study("s", ledger=ledger).trials[0] == lost


def test_what_is_given_back_counts_for_no_death(ledger: MemoryLedger) -> None:
    for life in range(5):
        worker = study(ledger, f"machine{life}", retry=0)
        trial = worker.ask()
        assert trial.number == 0
        worker.give_back(trial)
        worker.give_back(trial)
    assert kinds(ledger).count("left") == 5
    assert study(ledger, retry=0).ask().number == 0


def test_a_study_without_retries_still_goes_on_with_its_own(ledger: MemoryLedger) -> None:
    one = study(ledger, retry=0)
    append = ledger.append
    ledger.append = lambda *args: (append(*args), exec("raise KeyboardInterrupt"))  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        one.ask()
    ledger.append = append  # type: ignore[method-assign]
    assert one.ask().number == 0


def test_what_a_dead_process_held_is_found_out_without_asking_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    monkeypatch.setattr(watch_module, "is_dead", lambda owner: looks.append(owner) or owner == "dead")
    watch = Watch(60)
    assert [watch.is_dead("alive"), watch.is_dead("alive"), watch.is_dead("dead"), watch.is_dead("dead"), watch.is_dead("")] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert looks == ["alive", "dead"]


def test_silence_is_looked_into_three_times_in_a_lease(clock: Clock) -> None:
    watch = Watch(60)
    start = clock.now
    said = []
    for _ in range(200):
        if watch.is_silent("k", start):
            said.append(round(clock.now - start))
        clock.now += 1
    assert said == [60, 80, 100, 120, 140, 160, 180]


# the thread that renews


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_lease_is_renewed_between_ask_and_tell(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    asked, other = study(path, "far", lease=0.3), study(path, lease=0.3)
    trial = asked.ask()
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        assert other.ask().number != trial.number
        time.sleep(0.1)
    asked.tell(trial, 1.0)


def test_a_worker_that_nobody_refers_to_renews_no_more(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    asked, other = study(path, "far", lease=0.2), study(path, lease=0.2)
    asked.ask()
    del asked
    gc.collect()
    _until(lambda: other.ask().number == 0)


class Failing(MemoryLedger):
    """A ledger that cannot be reached for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.calls = False, 0

    def claim(self, key: str, owner: str, lease: float, instead_of: str | None = None) -> str:
        self.calls += 1
        if self.down:
            raise LedgerError("no way there")
        return super().claim(key, owner, lease, instead_of)


def test_a_ledger_out_of_reach_for_a_moment_is_asked_again() -> None:
    ledger = Failing()
    hold = Hold(ledger, 0.06)
    ledger.append([], [hold.wish("k")])
    hold.took("k")
    ledger.down = True
    _until(lambda: ledger.calls >= 2)
    ledger.down = False
    calls = ledger.calls
    _until(lambda: ledger.calls > calls + 1)
    assert hold.holds("k")


def test_what_was_given_back_while_it_was_renewed_stays_given_back() -> None:
    class Crossed(MemoryLedger):
        def claim(self, key: str, owner: str, lease: float, instead_of: str | None = None) -> str:
            if lease:
                hold.let_go(key)
                self.append([], [Claim(key, owner, 0)])
            return super().claim(key, owner, lease, instead_of)

    ledger = Crossed()
    hold = Hold(ledger, 600)
    ledger.append([], [hold.wish("k")])
    hold.took("k")
    hold.renew()
    assert MemoryLedger.claim(ledger, "k", "other", 1) == "other"


def test_one_thread_renews_for_all_and_none_is_there_for_nothing() -> None:
    studies = [study(MemoryLedger()) for _ in range(5)]
    for each in studies:
        each.ask()
    assert sum(thread.name == "staytuned-leases" for thread in threading.enumerate()) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda hold: pickle.loads(pickle.dumps(hold))])
def test_a_copy_is_another_worker(copied: Any) -> None:
    hold = Hold(MemoryLedger(), 60)
    hold.took("k")
    other = copied(hold)
    assert other.owner != hold.owner
    assert not other.holds("k")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_after_a_fork_is_another_worker_and_renews_its_own(tmp_path: Path) -> None:
    parent = study(tmp_path / "s.db", lease=0.3)
    mine = parent.ask()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            other = parent.ask()
            end = time.monotonic() + 0.7
            while time.monotonic() < end:
                time.sleep(0.05)
            fresh = study(tmp_path / "s.db", lease=0.3)
            os.write(writing, f"{other.number} {fresh.ask().number} {hold_module._THREAD is not None and hold_module._THREAD.is_alive()}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "1 2 True"
    assert parent.tell(mine, 1.0).number == 0


@pytest.mark.parametrize("options", [{"lease": 0}, {"lease": -1.0}, {"lease": float("nan")}, {"lease": "60"}, {"retry": -1}, {"retry": 1.5}, {"retry": True}])
def test_what_makes_no_sense(options: dict[str, Any]) -> None:
    [(name, value)] = options.items()
    with pytest.raises(UsageError, match=f"{name}={value!r} must be"):
        study(MemoryLedger(), **options)


def test_a_study_of_an_earlier_staytuned_is_continued(ledger: MemoryLedger) -> None:
    first = study(ledger)
    first.tell(first.ask(), 1.0)
    [asked] = ledger.read("study/s", kind="asked")
    body = {key: value for key, value in asked.body.items() if key != "by"} | {"number": 1}
    ledger.append([Fact("study/s", "asked", body, key="asked/1")])  # left by a process that is gone
    assert study(ledger).ask().number == 1
