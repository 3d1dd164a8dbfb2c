"""A connection that breaks while it commits: whether or not the database still did, everything is written once and the answer is right."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from staytuned.errors import LedgerError
from staytuned.protocols import Claim, Fact
from staytuned.store.sql import SqlLedger


class Breaking:
    """A database whose connection breaks at some commits, before or after they took effect."""

    def __init__(self, database: Any, times: int, after: bool) -> None:
        self._database, self.times, self._after = database, times, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def lost(self, problem: BaseException) -> bool:
        return isinstance(problem, DBAPIError)

    def commit(self, connection: Any) -> None:
        if self.times > 0:
            self.times -= 1
            if self._after:
                self._database.commit(connection)
            raise DBAPIError("COMMIT", None, sqlite3.OperationalError("server closed the connection"))
        self._database.commit(connection)


@pytest.fixture(params=[(1, False), (1, True), (3, False)], ids=["before", "after", "three times"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqlLedger:
    made = SqlLedger(tmp_path / "staytuned.db")
    made.append([Fact("a", "kind", {"n": 0}, key="0")])
    monkeypatch.setattr("staytuned.store.sql.time.sleep", lambda _: None)
    made._database = Breaking(made._database, *request.param)
    return made


def test_facts_are_written_once(ledger: SqlLedger) -> None:
    facts = [Fact("a", "kind", {"n": 1}), Fact("a", "kind", {"n": 0}, key="0"), Fact("a", "kind", {"n": 2}, key="2")]
    assert ledger.append(facts) == [2, 0, 3]
    assert ledger._database.times == 0
    assert [(fact.id, fact.body["n"]) for fact in ledger.read()] == [(1, 0), (2, 1), (3, 2)]
    assert ledger.append([Fact("a", "kind", {"n": 1})]) == [4], "the same words said again are another fact"


def test_a_fact_with_a_claim_is_written_once(ledger: SqlLedger) -> None:
    assert ledger.append([Fact("a", "told", key="told/7")], [Claim("a/7", "ann", 0)]) == [2]
    assert ledger.append([Fact("a", "asked", key="asked/8")], [Claim("a/8", "ann", 60)]) == [3]
    assert ledger.claim("a/8", "bob", 60) == "ann"


def test_a_refusal_stays_one(ledger: SqlLedger) -> None:
    assert ledger.append([Fact("a", "kind", key="0")], [Claim("k", "ann", 60)]) == [0]
    assert ledger.claim("k", "bob", 60) == "bob"


def test_a_claim_is_granted(ledger: SqlLedger) -> None:
    assert ledger.claim("k", "ann", 60) == "ann"
    assert ledger.claim("k", "bob", 60) == "ann"


def test_patience_ends(tmp_path: Path) -> None:
    ledger = SqlLedger(tmp_path / "staytuned.db", patience=0.2)
    ledger._database = Breaking(ledger._database, 10**6, after=False)
    with pytest.raises(LedgerError, match="server closed the connection"):
        ledger.append([Fact("a", "kind")])
    ledger._database.times = 0
    assert ledger.append([Fact("a", "kind")]) == [1]
