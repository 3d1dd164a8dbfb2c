"""Older ledgers are brought up to date after a copy; newer ones are left alone."""

import itertools
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy.exc import NoSuchTableError, ProgrammingError

from staytuned.errors import LedgerError, LedgerReadOnly, LedgerTooNew
from staytuned.protocols import Fact
from staytuned.store import migrations
from staytuned.store.sql import SqlLedger


def add_note(connection):
    connection.exec_driver_sql("ALTER TABLE facts ADD COLUMN note TEXT DEFAULT 'none'")


def rename_streams(connection):
    connection.exec_driver_sql("UPDATE facts SET stream = 'study/' || stream")


def stumble(connection):
    add_note(connection)
    connection.exec_driver_sql("UPDATE nowhere SET x = 1")


def query(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "staytuned.db"
    ledger = SqlLedger(path)
    ledger.append([Fact("a", "kind", {"n": n}) for n in range(3)])
    ledger.close()
    return path


def test_a_new_ledger_has_the_newest_version(old):
    assert query(old, "SELECT * FROM meta") == [("version", "1")]
    assert migrations.newest() == 1


def test_an_older_ledger_is_migrated_after_a_copy(old, monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", [add_note, rename_streams])
    ledger = SqlLedger(old)
    assert [fact.stream for fact in ledger.read()] == ["study/a"] * 3
    assert query(old, "SELECT value FROM meta") == [("3",)]
    assert query(old, "SELECT note FROM facts") == [("none",)] * 3
    monkeypatch.setattr(migrations, "STEPS", [])
    copy = SqlLedger(old.with_name("staytuned.db.v1.bak"))
    assert [fact.stream for fact in copy.read()] == ["a"] * 3


def test_steps_already_taken_are_left_out(old, monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", [add_note])
    SqlLedger(old).close()
    monkeypatch.setattr(migrations, "STEPS", [add_note, rename_streams])
    SqlLedger(old).close()
    assert [fact.stream for fact in SqlLedger(old).read()] == ["study/a"] * 3
    assert {file.name for file in old.parent.iterdir()} >= {"staytuned.db.v1.bak", "staytuned.db.v2.bak"}


def test_a_step_that_fails_leaves_the_ledger_as_it_was(old, monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", [stumble])
    with pytest.raises(LedgerError, match="no such table: nowhere"):
        SqlLedger(old)
    monkeypatch.setattr(migrations, "STEPS", [])
    assert len(SqlLedger(old).read()) == 3
    assert len(query(old, "PRAGMA table_info(facts)")) == 6
    monkeypatch.setattr(migrations, "STEPS", [add_note])
    assert len(SqlLedger(old).read()) == 3, "the copy of the first attempt is no obstacle"


def test_a_newer_ledger_is_left_alone(old, monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", [add_note])
    SqlLedger(old).close()
    monkeypatch.setattr(migrations, "STEPS", [])
    before = old.read_bytes()
    for read_only in (False, True):
        with pytest.raises(LedgerTooNew, match=r"staytuned\.db has version 2, .* up to 1; upgrade it: pip install --upgrade staytuned"):
            SqlLedger(old, read_only=read_only)
    assert old.read_bytes() == before


def test_a_reader_does_not_migrate(old, monkeypatch):
    monkeypatch.setattr(migrations, "STEPS", [add_note])
    with pytest.raises(LedgerReadOnly, match=r"version 1, older than 2; open it once for writing"):
        SqlLedger(old, read_only=True)
    assert not old.with_name("staytuned.db.v1.bak").exists()


def test_two_open_an_older_ledger_at_once(old, monkeypatch):
    calls = itertools.count()
    monkeypatch.setattr(migrations, "STEPS", [lambda connection: (next(calls), add_note(connection))])
    inside = migrations.prepare

    def overtaken(connection, database):
        # The other one finished between this one's look and its lock.
        inside(connection, database)
        inside(connection, database)

    monkeypatch.setattr(migrations, "prepare", overtaken)
    assert len(SqlLedger(old).read()) == 3
    assert next(calls) == 1


def test_a_ledger_whose_making_was_cut_off_is_made_anew(tmp_path) -> None:
    path = tmp_path / "staytuned.db"
    SqlLedger(path).close()
    with closing(sqlite3.connect(path)) as half, half:
        half.execute("DROP INDEX facts_by_stream")
        half.execute("DROP TABLE meta")
    ledger = SqlLedger(path)
    assert ledger.append([Fact("study/a", "founded")]) == [1]
    ledger.close()
    with closing(sqlite3.connect(path)) as whole:
        assert whole.execute("SELECT name FROM sqlite_master WHERE name = 'facts_by_stream'").fetchall()


def test_a_half_made_ledger_may_vanish_while_it_is_looked_at(tmp_path, monkeypatch) -> None:
    """As on MySQL, where another process that makes it anew is seen taking its tables away."""
    path, look = tmp_path / "s.db", migrations._unfinished
    SqlLedger(path).close()
    with closing(sqlite3.connect(path)) as half, half:
        half.execute("DROP TABLE meta")

    def vanishing(connection, names):
        with closing(sqlite3.connect(path)) as other, other:
            if other.execute("SELECT count(*) FROM sqlite_master WHERE name = 'claims'").fetchone()[0]:
                other.execute("DROP TABLE claims")
                raise NoSuchTableError("claims")
        return look(connection, names)

    monkeypatch.setattr(migrations, "_unfinished", vanishing)
    with pytest.raises(LedgerError, match=r"s\.db is just being made a ledger by another process; open it again in a moment"):
        SqlLedger(path, read_only=True)
    with closing(sqlite3.connect(path)) as half, half:
        half.execute("CREATE TABLE claims (key TEXT, owner TEXT, until REAL)")
    assert SqlLedger(path).append([Fact("a", "kind")]) == [1]


def test_a_table_that_cannot_be_read_is_not_taken_for_one_that_vanished(tmp_path, monkeypatch) -> None:
    path = tmp_path / "s.db"
    SqlLedger(path).close()
    with closing(sqlite3.connect(path)) as half, half:
        half.execute("DROP TABLE meta")

    def forbidden(*_):
        raise ProgrammingError("SELECT", {}, Exception("permission denied for table claims"))

    monkeypatch.setattr(migrations, "_unfinished", forbidden)
    with pytest.raises(LedgerError, match="permission denied for table claims"):
        SqlLedger(path)


def test_tables_of_ours_with_something_in_them_are_not_made_anew(tmp_path) -> None:
    path = tmp_path / "staytuned.db"
    ledger = SqlLedger(path)
    ledger.append([Fact("study/a", "founded")])
    ledger.close()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DROP TABLE meta")
    with pytest.raises(LedgerError, match="not a ledger"):
        SqlLedger(path)
