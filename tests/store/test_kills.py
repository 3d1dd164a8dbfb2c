"""Workers and readers that are killed at random instants, hundreds of them: what was acknowledged stays, and exactly the trials asked for are run."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from staytuned._random import generator
from staytuned.errors import SpaceExhausted
from staytuned.open_trial import OpenTrial
from staytuned.protocols import Fact
from staytuned.space.dims import Float
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.trial import Status, Trial

# Forked, not spawned: a new life begins in no time.
PROCESSES = multiprocessing.get_context("fork")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

WORKERS, TRIALS = 3, 120


def noted(place: Path, *words: Any) -> None:
    """Write a line that is on the disk when this returns. Half a line is left by whoever is killed while writing it."""
    handle = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"\n{json.dumps(words)}".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def notes(folder: Path, role: str) -> list[list[Any]]:
    """All whole lines of a role's lives."""
    lines = [line for place in folder.glob(f"{role}-*") for line in place.read_text().splitlines() if line.endswith("]")]
    return [json.loads(line) for line in lines]


def study(url: str) -> Study:
    return Study("s", space={"x": Float(-1, 1)}, sampler="random", ledger=url, seed=1, retry=10**6)


def by_optimize(url: str, place: Path, total: int) -> None:
    """A worker as a user writes it. Every run of a trial has a score of its own, so that a second telling would show."""

    def objective(trial: OpenTrial) -> float:
        noted(place, "ran", trial.number)
        time.sleep(0.01 * (secrets.randbelow(100) / 100))
        return float(secrets.randbelow(2**50))

    def acknowledged(trial: Trial) -> None:
        noted(place, "told", trial.number, trial.scores["loss"])

    study(url).optimize(objective, total=total, on_trial=acknowledged)


def by_hand(url: str, place: Path, total: int) -> None:
    """A worker that asks and tells by itself, and gives a trial back now and then; it leaves what others have under way in the end to ``optimize``."""
    mine = study(url)
    while True:
        try:
            trial = mine.ask(total=total)
        except SpaceExhausted:
            break
        if secrets.randbelow(20) == 0:
            mine.give_back(trial)
            continue
        noted(place, "ran", trial.number)
        told = mine.tell(trial, float(secrets.randbelow(2**50)))
        noted(place, "told", told.number, told.scores["loss"])
    by_optimize(url, place, total)


def reading(url: str, place: Path, total: int) -> None:
    """Follows the ledger and notes what it saw: that must not vanish either."""
    ledger, last, told = SqlLedger(url), 0, 0
    while told < total:
        facts = ledger.read("study/s", after=last)
        if not facts:
            time.sleep(0.005)
            continue
        noted(place, "saw", *([fact.id, fact.kind, fact.key] for fact in facts))
        told += sum(fact.kind == "told" for fact in facts)
        last = facts[-1].id


ROLES: dict[str, Callable[[str, Path, int], None]] = {"reader": reading, "by_hand": by_hand, **{f"worker{n}": by_optimize for n in range(1, WORKERS)}}


class Lives:
    """The processes of one study, one for each role. Each is replaced when it was killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder, self._count = url, folder, 0
        self._alive = {role: self._begun(role) for role in ROLES}

    def _begun(self, role: str) -> Any:
        self._count += 1
        kind = "reader" if role == "reader" else "worker"
        process = PROCESSES.Process(target=ROLES[role], args=(self._url, self._folder / f"{kind}-{self._count}", TRIALS))
        process.start()
        return process

    def kill(self, role: str) -> bool:
        """Whether it was killed before it had ended by itself."""
        process = self._alive[role]
        process.kill()
        process.join()
        if process.exitcode == 0:
            return False
        assert process.exitcode == -signal.SIGKILL, f"{role} ended by itself with {process.exitcode}"
        self._alive[role] = self._begun(role)
        return True

    def join(self) -> None:
        for role, process in self._alive.items():
            process.join(60)
            assert process.exitcode == 0, f"{role} ended with {process.exitcode}"


def killed_again_and_again(url: str, folder: Path, seed: int) -> int:
    """Kills until one of them has ended by itself, which is when all trials have; how many there were."""
    rng = generator(seed, "kills")
    lives, kills = Lives(url, folder), 0
    while True:
        time.sleep(float(rng.uniform(0, 0.06)))
        if not lives.kill(str(rng.choice(list(ROLES)))):
            break
        kills += 1
        assert kills < 1000, "nobody gets on"
    lives.join()
    return kills


def check_nothing_was_lost(url: str, folder: Path) -> None:
    """The ledger against what its users had noted down."""
    ledger = SqlLedger(url)
    facts = ledger.read("study/s")
    assert [fact.id for fact in ledger.read()] == list(range(1, len(facts) + 1))
    told = {fact.body["number"]: fact.body["measurement"]["scores"].get("loss") for fact in facts if fact.kind == "told"}
    for kind in ("asked", "told"):
        assert sorted(fact.body["number"] for fact in facts if fact.kind == kind) == list(range(TRIALS)), "each once, and none too many"
    words = notes(folder, "worker")
    acknowledged = [(number, loss) for what, number, *rest in words if what == "told" for loss in rest]
    assert len(acknowledged) > TRIALS // 2
    assert all(told[number] == loss for number, loss in acknowledged), "what was acknowledged is there, with its value"
    there = {(fact.id, fact.kind, fact.key) for fact in facts}
    assert all(tuple(line) in there for what, *lines in notes(folder, "reader") for line in lines), "what was read once stays"
    trials = Study("s", ledger=ledger).trials
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert {trial.status for trial in trials} == {Status.DONE}
    assert ledger.append([Fact("after", "kind")]) == [len(facts) + 1]


def test_sqlite_users_killed_again_and_again(tmp_path: Path) -> None:
    kills, seed = 0, 0
    while kills < 220:
        seed += 1
        folder = tmp_path / str(seed)
        folder.mkdir()
        kills += killed_again_and_again(str(folder / "staytuned.db"), folder, seed)
        check_nothing_was_lost(str(folder / "staytuned.db"), folder)
        with closing(sqlite3.connect(folder / "staytuned.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    print(f"{kills} kills in {seed} studies")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_users_of_a_server_killed_again_and_again(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    server, kills, seed = request.getfixturevalue(f"{kind}_server"), 0, 1000
    while kills < {"postgresql": 110, "mysql": 40}[kind]:
        seed += 1
        folder, url = tmp_path / str(seed), server.new()
        folder.mkdir()
        kills += killed_again_and_again(url, folder, seed)
        check_nothing_was_lost(url, folder)
    print(f"{kills} kills in {seed - 1000} studies")


def test_a_server_that_crashes_under_load_loses_nothing_and_no_worker(postgresql_server: Any, tmp_path: Path) -> None:
    url = postgresql_server.new()
    lives, rng = Lives(url, tmp_path), generator(0, "crashes")
    while len(list(tmp_path.iterdir())) < len(ROLES):  # whoever is only opening the ledger is told that the server is away
        time.sleep(0.01)
    for _ in range(4):
        time.sleep(float(rng.uniform(0.1, 0.4)))
        postgresql_server.crash()
        time.sleep(float(rng.uniform(0, 0.3)))
        postgresql_server.start()
    lives.join()
    check_nothing_was_lost(url, tmp_path)
