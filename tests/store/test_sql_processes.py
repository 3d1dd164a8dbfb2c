"""Many processes on one SQLite file: nothing is lost, whoever dies."""

import math
import multiprocessing
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from staytuned._random import generator
from staytuned.protocols import Fact
from staytuned.store.sql import SqlLedger

# Forked, not spawned: it starts in no time, and puts the ledger's conduct at a fork to the test.
PROCESSES = multiprocessing.get_context("fork")

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def run(target, *arguments):
    """The answers of one process per tuple of arguments, all at once."""
    with PROCESSES.Pool(len(arguments)) as pool:
        return pool.starmap(target, arguments, chunksize=1)


def append_fifty(path, owner):
    ledger = SqlLedger(path)
    return [id for n in range(50) for id in ledger.append([Fact(f"of/{owner}", "kind", {"n": n}, key=str(n)), Fact("shared", "kind", key=str(n))])]


def test_four_processes_append(tmp_path):
    path = tmp_path / "new.db"
    ids = run(append_fifty, *((path, owner) for owner in range(4)))
    given = [id for some in ids for id in some if id]
    ledger = SqlLedger(path)
    assert len(set(given)) == len(given) == 250
    assert sorted(given) == [fact.id for fact in ledger.read()]
    for owner in range(4):
        assert [fact.body["n"] for fact in ledger.read(f"of/{owner}")] == list(range(50))
    assert sorted(int(fact.key) for fact in ledger.read("shared")) == list(range(50))


def follow(path):
    ledger, last, seen = SqlLedger(path), 0, []
    while len(seen) < 250:
        for fact in ledger.read(after=last):
            last = fact.id
            seen.append(last)
    return seen


def write_or_follow(path, owner):
    return follow(path) if owner is None else append_fifty(path, owner)


def test_a_reader_that_follows_misses_nothing(tmp_path):
    path = tmp_path / "new.db"
    *ids, seen = run(write_or_follow, *((path, owner) for owner in (0, 1, 2, 3, None)))
    assert seen == sorted(id for some in ids for id in some if id)


def claim_twenty(path, owner):
    ledger = SqlLedger(path)
    order = generator(0, "claims", owner).permutation(20)
    return {int(n): ledger.claim(str(n), owner, math.inf) for n in order}


def test_every_key_is_held_by_one(tmp_path):
    answers = run(claim_twenty, *((tmp_path / "new.db", owner) for owner in "abcd"))
    for n in range(20):
        [holder] = {answer[n] for answer in answers}
        assert holder in "abcd"


def write_until_killed(path, pipe, life):
    ledger = SqlLedger(path)
    for n in range(10**9):
        ids = ledger.append([Fact(f"life/{life}", "kind", {"n": n, "padding": "x" * (n % 7) * 300}, key=f"{n}/{part}") for part in range(3)])
        os.write(pipe, f"{ids[0]} {ids[2]}\n".encode())


def one_life(path, life, seconds):
    """Lines a writer printed before it was killed."""
    reading, writing = os.pipe()
    writer = PROCESSES.Process(target=write_until_killed, args=(path, writing, life))
    writer.start()
    os.close(writing)
    with os.fdopen(reading) as pipe:
        first = pipe.readline()
        time.sleep(seconds)
        os.kill(writer.pid, signal.SIGKILL)
        lines = [first, *pipe]
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    return [line.split() for line in lines if line.endswith("\n")]


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    path = tmp_path / "staytuned.db"
    delays = generator(0, "kills").uniform(0, 0.05, 15)
    acknowledged = {int(id) for life, delay in enumerate(delays) for ids in one_life(path, life, delay) for id in ids}
    facts = SqlLedger(path).read()
    assert len(acknowledged) >= 30
    assert acknowledged <= {fact.id for fact in facts}
    assert all(len(SqlLedger(path).read(f"life/{life}")) % 3 == 0 for life in range(15)), "an append is all or none"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def append_inherited(ledger, owner):
    return [ledger.append([Fact("a", "kind", {"owner": owner, "n": n})])[0] for n in range(20)]


def test_a_ledger_may_be_carried_across_a_fork(tmp_path):
    ledger = SqlLedger(tmp_path / "a.db")
    ledger.append([Fact("a", "kind")])
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, repr(append_inherited(ledger, "child")).encode())
        finally:
            os._exit(0)
    os.close(writing)
    mine = append_inherited(ledger, "parent")
    ledger.close()  # the parent's last connection goes while the child may still write
    with os.fdopen(reading) as pipe:
        theirs = eval(pipe.read())
    os.waitpid(child, 0)
    assert sorted([1, *mine, *theirs]) == [fact.id for fact in ledger.read()] == list(range(1, 42))


def test_no_connection_is_open_during_a_fork(tmp_path):
    ledger = SqlLedger(tmp_path / "a.db")
    ledger.append([Fact("a", "kind")])
    child = os.fork()
    if child == 0:
        os._exit(len(ledger._connections))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(ledger.read()) == 1


def test_forking_while_threads_write(tmp_path):
    ledger = SqlLedger(tmp_path / "a.db")
    children = []
    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(append_inherited, ledger, thread) for thread in range(2)]
        for number in range(4):
            child = os.fork()
            if child == 0:
                os._exit(0 if len(append_inherited(ledger, f"child {number}")) == 20 else 1)
            children.append(child)
        ids = [id for thread in busy for id in thread.result(timeout=60)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    there = [fact.id for fact in ledger.read()]
    assert there == list(range(1, 121))
    assert set(ids) <= set(there)
