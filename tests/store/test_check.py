"""A sound ledger is found sound, every kind of damage is found, and repairing changes no fact."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from staytuned.protocols import Fact, Ledger
from staytuned.space.dims import Choice, Float
from staytuned.space.space import Space
from staytuned.store.check import check_ledger
from staytuned.store.gc import sweep
from staytuned.store.keeping import keeping
from staytuned.store.memory import MemoryLedger
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.trial import Measurement, Status


def filled(ledger: Ledger) -> Ledger:
    """A study in which much has happened."""
    study = Study("s", space=Space({"x": Float(0, 1), "f": Choice([min, max])}), ledger=ledger, seed=0, sampler="random")
    study.enqueue({"x": 0.5, "f": max})
    study.tell(study.ask(), Measurement({"loss": 1.0}, rows=b"rows"))
    study.tell(study.ask(), Status.FAILED)
    study.give_back(study.ask())
    study.ask()
    return ledger


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request, tmp_path):
    return filled(MemoryLedger() if request.param == "memory" else SqlLedger(tmp_path / "l.db"))


def said(ledger: Ledger, **options: bool) -> str:
    return "\n".join(f"{finding.place}: {finding.what}" for finding in check_ledger(ledger, **options).findings)


def test_a_sound_ledger(ledger):
    found = check_ledger(ledger)
    assert (found.findings, found.sound) == ((), True)
    assert (found.facts, found.streams, found.trials, found.blobs, found.idle) == (len(ledger.read()), 1, 3, 1, 0)


def asked(stream: str, number: int, queued: int = 0) -> Fact:
    body = {"number": number, "config": {}, "origin": "", "seed": 0, "fidelity": None, "started": 0, "queued": queued}
    return Fact(stream, "asked", body)


def told(number: int, status: str = "done") -> Fact:
    return Fact("study/s", "told", {"number": number, "measurement": {"scores": {}, "status": status, "cost": [0, 0, 0]}})


DAMAGE = {
    "a told trial that never began": (told(7), "trial 7, which had not begun"),
    "a gap": (asked("study/s", 9), "trial 3, 4, 5, 6, 7 and 1 more is not there"),
    "a trial twice": (asked("study/s", 0), "trial 0 began twice"),
    "from no queue": (asked("study/s", 3, queued=1), "trial 3 is said to come from fact 1"),
    "told twice": (told(0), "trial 0 was told twice"),
    "no measurement": (Fact("study/s", "told", {"number": 2}), "makes no sense: no 'measurement'"),
    "no such status": (told(2, "gone"), "'gone' is not a valid"),
    "no goal": (asked("study/t", 0), "study/t: its goal and space"),
    "a goal that is none": (Fact("study/u", "founded", {"goal": "be happy", "space": None, "seed": 0}, "founded"), "study/u: fact"),
    "a missing blob": (Fact("model/m", "registered", {"digest": "ab" * 32}), f"{'ab' * 32}: no blob"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_not_repaired(ledger, name):
    fact, message = DAMAGE[name]
    ledger.append([fact])
    before = ledger.read()
    assert message in said(ledger)
    found = check_ledger(ledger, repair=True)
    assert not found.sound
    assert all(finding.repaired is None for finding in found.findings)
    assert ledger.read() == before


def test_claims_that_hold_nothing_are_given_back(ledger):
    for key in ("study/s/0", "study/s/2", "study/s/99", "study/gone/0", "elsewhere/5"):
        ledger.claim(key, "ann", 1000.0)
    found = check_ledger(ledger)
    assert {(finding.place, finding.repaired) for finding in found.findings} == {("study/s/0", False), ("study/s/99", False), ("study/gone/0", False)}
    assert check_ledger(ledger, repair=True).sound
    assert {claim.key for claim in keeping(ledger).held()} == {"study/s/2", "elsewhere/5"}
    assert check_ledger(ledger).findings == ()


def test_many_findings_of_one_place_are_cut_short(ledger):
    ledger.append([Fact("study/s", "told", {"number": 100 + i}) for i in range(60)])
    found = check_ledger(ledger)
    assert len(found.findings) == 21
    assert "more of this kind" in found.findings[-1].what


def test_a_body_that_is_no_json(tmp_path):
    ledger = filled(SqlLedger(tmp_path / "l.db"))
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "l.db")) as connection:
        connection.execute("update facts set body = '{oops' where id = 3")
        connection.execute("update facts set body = '[]' where id = 2")
        connection.commit()
    text = said(ledger)
    assert "fact 3 ('asked' in 'study/s') cannot be read" in text
    assert "fact 2 ('enqueued' in 'study/s') holds no JSON object" in text


def test_a_damaged_blob_is_found_and_dropped_only_without_a_use(tmp_path):
    ledger = filled(SqlLedger(tmp_path / "l.db"))
    idle, used = ledger.put(b"idle"), ledger.put(b"rows")
    for path in tmp_path.rglob("*/??/??/*"):
        path.write_bytes(b"damaged")
    found = check_ledger(ledger, repair=True)
    assert {(finding.place, finding.repaired) for finding in found.findings} == {(idle, True), (used, None)}
    assert [blob.name for blob in keeping(ledger).shelf.kept()] == [used]


def test_sqlite_finds_a_broken_index_and_makes_it_anew(tmp_path):
    ledger = filled(SqlLedger(tmp_path / "l.db"))
    ledger.close()
    with closing(sqlite3.connect(tmp_path / "l.db")) as connection:  # take a row out behind the index's back
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("create table hidden as select * from sqlite_master where name = 'facts_by_stream'")
        connection.execute("delete from sqlite_master where name = 'facts_by_stream'")
        connection.commit()
    with closing(sqlite3.connect(tmp_path / "l.db")) as connection:
        connection.execute("insert into facts values (1000, 'study/x', 'kind', null, '{}', 0)")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("insert into sqlite_master select * from hidden")
        connection.execute("drop table hidden")
        connection.commit()
    assert "database: SQLite finds: " in said(ledger)
    assert "database" not in said(ledger, repair=True)
    assert [fact.stream for fact in ledger.read("study/x")] == ["study/x"]


# blobs without a use


def test_only_blobs_without_a_use_go(ledger):
    ledger.append([Fact("model/m", "registered", {"digest": ledger.put(b"model"), "deep": [{"table": ledger.put(b"table")}]})])
    ledger.append([Fact("other", "kind", {"anything": {"named": ledger.put(b"otherwise")}})])
    idle = ledger.put(b"idle")
    dry = sweep(ledger, 0.0, dry=True)
    assert (dry.kept, dry.removed, dry.removed_bytes, dry.young) == (4, 1, 4, 0)
    assert ledger.get(idle) == b"idle"
    assert sweep(ledger, 0.0) == dry
    assert sweep(ledger, 0.0).removed == 0
    assert check_ledger(ledger).idle == 0
    assert check_ledger(ledger).sound


def test_a_deleted_studys_blobs_go_unless_another_needs_them(ledger):
    rows = ledger.put(b"rows")
    keeping(ledger).alone(lambda door: door.remove(["study/s"]))
    ledger.append([Fact("model/m", "registered", {"digest": rows})])
    assert sweep(ledger, 0.0).removed == 0
    keeping(ledger).alone(lambda door: door.remove(["model/m"]))
    assert sweep(ledger, 0.0).removed == 1


def test_young_blobs_stay(tmp_path):
    ledger = SqlLedger(tmp_path / "l.db")
    ledger.put(b"about to be needed")
    assert (sweep(ledger).removed, sweep(ledger).young) == (0, 1)
    for path in (tmp_path / "l.blobs").rglob("??/??/*"):
        os.utime(path, (0, 0))
    assert sweep(ledger).removed == 1


def test_what_interrupted_writers_left_goes(tmp_path):
    ledger = SqlLedger(tmp_path / "l.db")
    digest = ledger.put(b"x")
    part = tmp_path / "l.blobs" / digest[:2] / digest[2:4] / f".{digest}.1.2.part"
    part.write_bytes(b"half")
    ledger.append([Fact("model/m", "registered", {"digest": digest})])
    assert sweep(ledger, 0.0).removed == 1
    assert not part.exists()
    assert ledger.get(digest) == b"x"
