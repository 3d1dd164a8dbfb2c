"""The SQLite ledger: it takes the exam, gives the memory ledger's answers, and says what is wrong with a file."""

import itertools
import math
import pickle
import sqlite3
from contextlib import closing

import pytest
from same_answers import check_same_answers

from staytuned.errors import LedgerError, LedgerFull, LedgerLocked, LedgerReadOnly, UsageError
from staytuned.protocols import Claim, Fact
from staytuned.store import sqlite as sqlite_module
from staytuned.store.sql import SqlLedger
from staytuned.store.sqlite import database_path
from staytuned.testing.ledger_laws import LEDGER_LAWS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "staytuned.db"


@pytest.mark.parametrize("law", LEDGER_LAWS, ids=lambda law: law.__name__)
def test_law(law, tmp_path):
    number = itertools.count()
    law(lambda: SqlLedger(tmp_path / f"{next(number)}.db"))


def test_any_sequence_of_calls_gives_the_memory_ledgers_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "FLUSHES", {True: "OFF", False: "OFF"})
    number = itertools.count()
    check_same_answers(lambda: tmp_path / f"{next(number)}.db", examples=30)


def test_what_was_written_is_there_after_opening_again(path):
    first = SqlLedger(path)
    first.append([Fact("study/a", "asked", {"n": 1}, key="1")])
    first.claim("k", "ann", math.inf)
    digest = first.put(b"model")
    facts = first.read()
    first.close()
    for second in (SqlLedger(f"sqlite:///{path}"), SqlLedger(path, read_only=True), pickle.loads(pickle.dumps(first)), first):
        assert second.read() == facts
        assert second.get(digest) == b"model"
    assert SqlLedger(path).append([Fact("study/a", "asked", key="1"), Fact("b", "asked")]) == [0, 2]
    assert SqlLedger(path).claim("k", "bob", 1) == "ann"


def pragma(ledger, name):
    return ledger._connections[0].exec_driver_sql(f"PRAGMA {name}").scalar()


def test_what_was_found_out_is_flushed_to_a_write_ahead_log_and_a_claim_with_the_next_of_it(path):
    ledger = SqlLedger(path)
    assert pragma(ledger, "journal_mode") == "wal"
    begun, ended = Claim("k", "ann", 60), Claim("k", "ann", 0)
    for call, flush in [
        (lambda: ledger.append([Fact("a", "told")]), 2),
        (lambda: ledger.append([Fact("a", "asked")], [begun]), 1),
        (lambda: ledger.append([Fact("a", "told")], [ended]), 2),
        (lambda: ledger.claim("k", "ann", 60), 1),
        (lambda: ledger.append([Fact("a", "told")]), 2),
    ]:
        call()
        assert pragma(ledger, "synchronous") == flush


def test_where_there_is_no_write_ahead_log_everything_is_flushed(path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_use_wal", lambda *_: False)
    ledger = SqlLedger(path)
    ledger.append([Fact("a", "asked")], [Claim("k", "ann", 60)])
    assert pragma(ledger, "synchronous") == 2


@pytest.mark.parametrize(
    ("name", "blobs"),
    [
        ("staytuned.db", "staytuned.blobs"),
        ("a.sqlite", "a.blobs"),
        ("ledger", "ledger.blobs"),
        ("run.1", "run.1.blobs"),
        ("a b?c#d%20ü.db", "a b?c#d%20ü.blobs"),
    ],
)
def test_blobs_lie_beside_the_file(tmp_path, name, blobs):
    ledger = SqlLedger(f"sqlite:///{tmp_path}/new/folder/{name}")
    ledger.put(b"x")
    ledger.close()
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted([name, blobs])


def test_blobs_may_lie_elsewhere(tmp_path, path):
    ledger = SqlLedger(path, blobs=tmp_path / "models")
    digest = ledger.put(b"x")
    assert pickle.loads(pickle.dumps(ledger)).get(digest) == b"x"
    assert (tmp_path / "models").is_dir()


def test_relative_paths_stay_where_they_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = SqlLedger("sqlite:///a.db")
    monkeypatch.chdir("/")
    ledger.close()
    ledger.append([Fact("a", "kind")])
    ledger.put(b"x")
    assert {path.name for path in tmp_path.iterdir()} >= {"a.db", "a.blobs"}
    assert database_path("sqlite:////abs/x.db").as_posix() == "/abs/x.db"


@pytest.mark.parametrize("url", ["", ":memory:", "sqlite://", "sqlite:///", "sqlite://x.db", "sqlite:x.db", "s3://bucket"])
def test_urls_that_name_no_file(url):
    with pytest.raises(UsageError, match=r"sqlite:///staytuned\.db") as caught:
        SqlLedger(url)
    assert repr("s3://..." if url.startswith("s3") else url) in str(caught.value)


def test_locked(path):
    ledger = SqlLedger(path, patience=0.05)
    ledger.append([Fact("a", "kind")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerLocked, match=r"staytuned\.db was held by another process for 0\.05 s; .*try again"):
            ledger.append([Fact("b", "kind")])
        with pytest.raises(LedgerLocked):
            ledger.claim("k", "ann", 1)
        assert len(ledger.read()) == 1, "readers do not wait for a writer"
        other.execute("ROLLBACK")
    assert ledger.append([Fact("b", "kind")]) == [2]


def test_locked_while_opening(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE x(y)")
        with pytest.raises(LedgerLocked, match=r"0\.05 s"):
            SqlLedger(path, patience=0.05)


def test_read_only(path):
    writer = SqlLedger(path)
    writer.append([Fact("a", "kind")])
    reader = SqlLedger(path, read_only=True)
    for call in (lambda: reader.append([Fact("a", "kind")]), lambda: reader.claim("k", "ann", 1), lambda: reader.put(b"x")):
        with pytest.raises(LedgerReadOnly, match="read_only=True"):
            call()
    with pytest.raises(Exception, match="readonly"):
        reader._connections[0].exec_driver_sql("DELETE FROM facts")
    writer.append([Fact("b", "kind")])
    assert len(reader.read()) == 2, "a reader sees what is written meanwhile"
    assert not reader.blobs.path.exists()


def test_a_file_the_system_protects(path):
    ledger = SqlLedger(path)
    for call in (lambda: ledger.append([Fact("a", "kind")]), lambda: ledger.claim("k", "ann", 1)):
        ledger.read()
        ledger._connections[0].exec_driver_sql("PRAGMA query_only=1")
        with pytest.raises(LedgerReadOnly, match=r"staytuned\.db may not be written; .*copy the ledger"):
            call()
    assert ledger.read() == []


def test_reading_where_nothing_may_be_made(path, monkeypatch):
    SqlLedger(path).append([Fact("a", "kind")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for extra in path.parent.glob("*.db-*"):
        extra.unlink()
    monkeypatch.setattr(sqlite_module.os, "access", lambda *_: False)
    reader = SqlLedger(path, read_only=True)
    assert len(reader.read()) == 1
    assert [file.name for file in path.parent.iterdir()] == ["staytuned.db"]


def test_disk_full(path):
    ledger = SqlLedger(path)
    pragma(ledger, "max_page_count=40")
    small = ledger.append([Fact("a", "kind", key="small")])
    with pytest.raises(LedgerFull, match=r"staytuned\.db: no room left; free some space.*nothing recorded is lost"):
        ledger.append([Fact("a", "kind", key="new"), Fact("a", "kind", {"x": "y" * 500_000})])
    assert [fact.id for fact in ledger.read()] == small
    assert ledger.append([Fact("a", "kind", key="new")]) == [2], "there is room again"


def test_not_a_database(path):
    text = "Survived,Age\n1,2\n" * 200
    path.write_text(text)
    for read_only in (False, True):
        with pytest.raises(LedgerError, match=r"staytuned\.db is not a ledger .*choose another path"):
            SqlLedger(path, read_only=read_only)
    assert path.read_text() == text


def test_another_programs_database(path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE experiments(x)")
    with pytest.raises(LedgerError, match=r"not a ledger \(it holds the tables experiments\)"):
        SqlLedger(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE meta(x)")
    with pytest.raises(LedgerError, match="not a ledger"):
        SqlLedger(path)


def test_a_damaged_file(path):
    ledger = SqlLedger(path)
    ledger.append([Fact("a", "kind", {"x": "y" * 2000}) for _ in range(100)])
    ledger.close()
    raw = bytearray(path.read_bytes())
    raw[4096 * 8 :] = b"\xff" * (len(raw) - 4096 * 8)
    path.write_bytes(raw)
    with pytest.raises(LedgerError, match=r"staytuned\.db is damaged .*\.recover"):
        SqlLedger(path).read()


def test_folders_and_missing_files(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LedgerError, match=r"is a folder; name a file in it, such as .*staytuned\.db"):
        SqlLedger(tmp_path)
    with pytest.raises(LedgerError, match="choose another path"):
        SqlLedger(tmp_path / "file" / "x.db")
    with pytest.raises(LedgerError, match=r"no ledger at .*none\.db"):
        SqlLedger(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()


def test_an_empty_file_becomes_a_ledger_only_by_writing(path):
    path.touch()
    with pytest.raises(LedgerReadOnly, match="is empty"):
        SqlLedger(path, read_only=True)
    assert SqlLedger(path).append([Fact("a", "kind")]) == [1]


def test_nothing_is_written_into_a_deleted_file(path):
    ledger = SqlLedger(path)
    ledger.append([Fact("a", "kind")])
    for file in path.parent.glob("staytuned.db*"):
        file.unlink()
    with pytest.raises(LedgerError, match="moved, deleted or replaced"):
        ledger.append([Fact("a", "kind")])
    ledger.close()
    with pytest.raises(LedgerError, match="is gone"):
        ledger.read()
    assert not path.exists()


def test_messages_are_one_line(path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE meta(name, value)")
        other.execute("INSERT INTO meta VALUES ('version', '1')")
        other.commit()
    with pytest.raises(LedgerError, match="no such table") as caught:
        SqlLedger(path).read()
    assert "\n" not in str(caught.value)
