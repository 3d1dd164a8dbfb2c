"""The ledger on servers: it takes the exam, gives the memory ledger's answers, and says what is wrong."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from same_answers import check_same_answers
from sqlalchemy import create_engine

from staytuned.errors import BlobMissing, LedgerError, LedgerLocked, LedgerReadOnly, LedgerTooNew, UsageError
from staytuned.protocols import Claim, Fact
from staytuned.space.dims import Float
from staytuned.store import migrations
from staytuned.store.open import open_ledger
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.testing.ledger_laws import LEDGER_LAWS
from staytuned.trial import Status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PyMySQL leaves a socket that could not be connected to the collector
]


@pytest.fixture(autouse=True)
def _left_sockets():
    yield
    gc.collect()


PROCESSES = multiprocessing.get_context("spawn")


@pytest.mark.parametrize("law", LEDGER_LAWS, ids=lambda law: law.__name__)
def test_law(law, server):
    law(lambda: SqlLedger(server.new()))


def test_what_was_written_is_there_after_opening_again(server):
    url = server.new()
    first = open_ledger(url)
    first.append([Fact("study/a", "asked", {"n": 1}, key="1")], [Claim("k", "ann", math.inf)])
    digest = first.put(b"model" * 500_000)
    facts = first.read()
    first.close()
    for second in (SqlLedger(url), SqlLedger(url, read_only=True), pickle.loads(pickle.dumps(first)), first):
        assert second.read() == facts
        assert second.get(digest) == b"model" * 500_000
    assert SqlLedger(url).append([Fact("study/a", "asked", key="1"), Fact("b", "asked")]) == [0, 2]
    assert SqlLedger(url).claim("k", "bob", 1) == "ann"


def test_blobs_may_lie_in_a_folder(server, tmp_path):
    ledger = SqlLedger(server.new(), blobs=tmp_path / "models")
    digest = ledger.put(b"x")
    assert pickle.loads(pickle.dumps(ledger)).get(digest) == b"x"
    assert (tmp_path / "models").is_dir()


@contextmanager
def raw(server, url):
    database = url.rsplit("/", 1)[1].split("?")[0] if "?" not in url else url.split("?")[0].rsplit("/", 1)[1]
    engine = create_engine(server.sqlalchemy_url(database), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_a_blob_that_was_cut_short_or_damaged_is_missing(server):
    url = server.new()
    ledger = SqlLedger(url)
    blob = bytes(3 * 2**20)
    digest = ledger.put(blob)
    with raw(server, url) as connection:
        connection.exec_driver_sql("DELETE FROM blobs WHERE part = 0")
    with pytest.raises(BlobMissing, match="no blob"):
        ledger.get(digest)
    ledger.put(blob)
    assert ledger.get(digest) == blob
    with raw(server, url) as connection:
        connection.exec_driver_sql("UPDATE blobs SET bytes = 'x' WHERE part = 1")
    with pytest.raises(BlobMissing, match="no longer matches"):
        ledger.get(digest)


def test_the_longest_names_fit(server):
    ledger = SqlLedger(server.new())
    name = "ä" * 500
    assert ledger.append([Fact(name, name, key=name)], [Claim(name, name, 60)]) == [1]
    assert ledger.claim(name, "other", 1) == name
    assert [fact.key for fact in ledger.read(name)] == [name]


def test_leases_go_by_the_servers_clock(server, monkeypatch):
    ledger = SqlLedger(server.new())
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    ledger.append([Fact("a", "kind")], [Claim("k", "ann", 600)])
    assert abs(ledger.read()[0].at - began) < 60
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert ledger.claim("k", "bob", 1) == "ann"


def test_locked(server):
    url = server.new()
    ledger, other = SqlLedger(url, patience=1), SqlLedger(url)
    ledger.append([Fact("a", "kind")])
    with other._lock:
        other._database.begin(other._connections[0], True)
        with pytest.raises(LedgerLocked, match=r"was held by another process for 1 s; .*try again"):
            ledger.append([Fact("b", "kind")])
        assert len(ledger.read()) == 1, "readers do not wait for a writer"
    other.close()
    assert ledger.append([Fact("b", "kind")]) == [2]


def test_a_writer_that_falls_silent_stands_in_nobodys_way_for_long(server):
    url = server.new()
    silent, other = SqlLedger(url, patience=1), SqlLedger(url)
    silent.append([Fact("a", "kind")])
    silent._database.begin(silent._connections[0], True)
    silent._connections[0].exec_driver_sql("UPDATE meta SET value = 'half done'")
    assert other.append([Fact("b", "kind")]) == [2]
    assert silent.append([Fact("c", "kind")]) == [3], "it finds its connection gone, and makes another"


def test_a_server_that_is_started_again_is_found_again(server):
    ledger = SqlLedger(server.new())
    ledger.append([Fact("a", "kind")])
    server.stop()
    threading.Timer(0.5, server.start).start()
    assert len(ledger.read()) == 1
    ledger.append([Fact("a", "kind")])
    assert ledger.get(ledger.put(b"x")) == b"x"


def test_a_server_that_stays_away(server):
    ledger = SqlLedger(server.new(), patience=0.5)
    url = server.new()
    ledger.append([Fact("a", "kind")])
    server.stop()
    try:
        for call in (ledger.read, lambda: ledger.append([Fact("a", "kind")]), lambda: ledger.put(b"x"), lambda: SqlLedger(url)):
            with pytest.raises(LedgerError, match=r"cannot be reached .*check that the server runs") as caught:
                call()
            assert "pa@ss" not in str(caught.value)
            assert "pa%40ss" not in str(caught.value)
            assert "\n" not in str(caught.value)
    finally:
        server.start()
    assert ledger.append([Fact("a", "kind")]) == [2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("pa%40ss", "secret"), "refused the user or the password; check both"),
        (("/d", "/none"), "no such database or user on this server; create it|no such database on this server; create it"),
    ],
)
def test_what_cannot_be_opened(server, change, words):
    url = server.new()
    with pytest.raises(LedgerError, match=words) as caught:
        SqlLedger(url.replace(*change, 1))
    assert not any(secret in str(caught.value) for secret in ("pa@ss", "pa%40ss", "secret", "\n"))


def test_no_password_is_shown(server):
    ledger = SqlLedger(server.new())
    assert "owner@" in ledger.place
    assert "pa" not in ledger.place.replace("postgresql", "")
    assert "pa%40ss" not in repr(ledger)
    assert "pa%40ss" not in repr(ledger.blobs)


def test_read_only(server):
    url = server.new()
    with pytest.raises(LedgerReadOnly, match="is empty"):
        SqlLedger(url, read_only=True)
    SqlLedger(url).append([Fact("a", "kind")])
    reader = SqlLedger(url, read_only=True)
    for call in (lambda: reader.append([Fact("a", "kind")]), lambda: reader.claim("k", "ann", 1), lambda: reader.put(b"x")):
        with pytest.raises(LedgerReadOnly, match="read_only=True"):
            call()
    with pytest.raises(Exception, match=r"(?i)read.only"):
        reader._connections[0].exec_driver_sql("DELETE FROM facts")


def test_another_programs_database(server):
    url = server.new()
    with raw(server, url) as connection:
        connection.exec_driver_sql("CREATE TABLE experiments(x INTEGER)")
    with pytest.raises(LedgerError, match=r"not a ledger \(it holds the tables experiments\)"):
        SqlLedger(url)


def add_note(connection):
    connection.exec_driver_sql("ALTER TABLE facts ADD COLUMN note VARCHAR(9) DEFAULT 'none'")


def test_an_older_ledger_is_migrated_after_a_copy_and_a_newer_one_left_alone(server, monkeypatch):
    url = server.new()
    SqlLedger(url).append([Fact("a", "kind", {"n": n}) for n in range(3)])
    monkeypatch.setattr(migrations, "STEPS", [add_note])
    assert len(SqlLedger(url).read()) == 3
    assert len(SqlLedger(url).read()) == 3
    with raw(server, url) as connection:
        assert connection.exec_driver_sql("SELECT count(note) FROM facts").scalar() == 3
        assert connection.exec_driver_sql("SELECT count(*) FROM facts_v1").scalar() == 3
    monkeypatch.setattr(migrations, "STEPS", [])
    with pytest.raises(LedgerTooNew, match=r"has version 2, .* up to 1; upgrade it"):
        SqlLedger(url)


def test_a_database_that_cannot_hold_every_name(postgresql_server):
    postgresql_server.run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(LedgerError, match=r"its texts are in LATIN1, .*ENCODING 'UTF8'"):
        SqlLedger(postgresql_server.url.format("latin"))


def test_any_sequence_of_calls_gives_the_memory_ledgers_answers(server):
    check_same_answers(server.new, examples=15)


# many processes


def append_fifty(url, owner):
    ledger = SqlLedger(url)
    return [id for n in range(50) for id in ledger.append([Fact(f"of/{owner}", "kind", {"n": n}, key=str(n)), Fact("shared", "kind", key=str(n))])]


def follow(url):
    ledger, last, seen = SqlLedger(url), 0, []
    end = time.monotonic() + 120
    while len(seen) < 250 and time.monotonic() < end:
        for fact in ledger.read(after=last):
            last = fact.id
            seen.append(last)
    return seen


def write_or_follow(url, owner):
    return follow(url) if owner is None else append_fifty(url, owner)


def test_many_open_a_new_ledger_at_once_and_a_reader_that_follows_misses_nothing(server):
    url = server.new()
    with PROCESSES.Pool(5) as pool:
        *ids, seen = pool.starmap(write_or_follow, [(url, owner) for owner in (0, 1, 2, 3, None)], chunksize=1)
    given = sorted(id for some in ids for id in some if id)
    assert seen == given == list(range(1, 251))


def append_until_killed(url, ready):
    ledger = SqlLedger(url)
    for n in range(10**9):
        ledger.append([Fact("a", "kind", key=f"{n}/{part}/{os.getpid()}") for part in range(3)], [Claim(f"{os.getpid()}/{n}", "me", 60)])
        ready.set()


def test_a_killed_writer_leaves_nothing_half_done_and_nobody_waiting(server):
    url = server.new()
    ledger = SqlLedger(url)
    for _ in range(3):
        ready = PROCESSES.Event()
        writer = PROCESSES.Process(target=append_until_killed, args=(url, ready))
        writer.start()
        assert ready.wait(60)
        time.sleep(0.05)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        ledger.append([Fact("b", "kind")])
    assert len(ledger.read("a")) % 3 == 0
    ids = [fact.id for fact in ledger.read()]
    assert ids == list(range(1, len(ids) + 1))


def ran(number):
    return float(number)


def tune(url, trials):
    study = Study("s", space={"x": Float(-1, 1)}, sampler="random", ledger=url, seed=1)
    study.optimize(lambda trial: ran(trial.number), trials=trials)


def test_workers_share_a_study(server):
    url = server.new()
    Study("s", space={"x": Float(-1, 1)}, sampler="random", ledger=url, seed=1)
    with PROCESSES.Pool(4) as pool:
        pool.starmap(tune, [(url, 12)] * 4, chunksize=1)
    alone = Study("s", space={"x": Float(-1, 1)}, sampler="random", seed=1)
    alone.optimize(lambda trial: ran(trial.number), trials=48)
    together = Study("s", ledger=url)
    assert [(t.number, t.config, t.scores) for t in together.trials] == [(t.number, t.config, t.scores) for t in alone.trials]
    assert {trial.status for trial in together.trials} == {Status.DONE}
    asked = [fact.body["number"] for fact in together.ledger.read("study/s", kind="asked")]
    assert asked == list(range(48))
    with raw_ledger(together.ledger) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM claims").scalar() == 0


@contextmanager
def raw_ledger(ledger):
    with ledger._lock:
        yield ledger._connections[0]


# what needs no server


@pytest.mark.parametrize(
    ("url", "extra"), [("postgresql://u:secret@h/d", "postgresql"), ("mysql://u:secret@h/d", "mysql"), ("mariadb://u:secret@h/d", "mysql")]
)
def test_a_package_that_is_missing(monkeypatch, url, extra):
    for package in ("psycopg", "pymysql"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"//u@h/d needs a package that is not installed .*pip install 'staytuned\[{extra}\]'") as caught:
        SqlLedger(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [("postgresql://u:secret@h", "names no database"), ("postgresql://u:secret@h:port/d", "cannot be read"), ("oracle://u:secret@h/d", "oracle://...")],
)
def test_urls_that_name_no_database(url, words):
    with pytest.raises(UsageError, match=words) as caught:
        SqlLedger(url)
    assert "secret" not in str(caught.value)
