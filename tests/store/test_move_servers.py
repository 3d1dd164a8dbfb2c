"""Moving, checking and tidying up on real servers: there and back again nothing is lost."""

from __future__ import annotations

import pytest

from staytuned.protocols import Fact
from staytuned.space.dims import Float
from staytuned.space.space import Space
from staytuned.store.check import check_ledger
from staytuned.store.gc import sweep
from staytuned.store.keeping import keeping
from staytuned.store.memory import MemoryLedger
from staytuned.store.move import copy_ledger
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.trial import Measurement

pytestmark = pytest.mark.slow


def test_there_and_back_again(server):
    here, there, back = MemoryLedger(), SqlLedger(server.new()), MemoryLedger()
    study = Study("größe/\U0001f600", space=Space({"x": Float(0, 1)}), ledger=here, seed=0, sampler="random")
    study.enqueue({"x": 0.5})
    for rows in (b"some rows", b"x" * 3_000_000):
        study.tell(study.ask(), Measurement({"loss": 1 / 3}, rows=rows))
    there.append([Fact("study/other", "kind")])
    copy_ledger(here, there)
    copy_ledger(there, back, [study.name])
    assert [(f.stream, f.kind, f.key, f.at) for f in back.read()] == [(f.stream, f.kind, f.key, f.at) for f in here.read()]
    assert Study(study.name, ledger=back).trials == study.trials
    assert copy_ledger(here, there).facts == 0
    streams = keeping(there).streams("study/")
    assert {stream.name for stream in streams} == {"study/other", f"study/{study.name}"}
    assert keeping(there).streams("study/gr")[0].kinds == {"founded": 1, "enqueued": 1, "asked": 2, "told": 2}
    assert check_ledger(there).sound


def test_what_is_deleted_is_swept_at_the_second_look(server):
    ledger = SqlLedger(server.new())
    study = Study("s", space=Space({"x": Float(0, 1)}), ledger=ledger, seed=0, sampler="random")
    study.tell(study.ask(), Measurement({"loss": 1.0}, rows=b"x" * 3_000_000))
    ledger.claim("study/s/0", "ann", 1000.0)
    used = ledger.put(b"a model")
    ledger.append([Fact("model/m", "registered", {"digest": used})])
    last = ledger.read()[-1].id
    assert keeping(ledger).alone(lambda door: door.remove(["study/s"])) == 3
    assert keeping(ledger).held() == []
    assert ledger.append([Fact("x", "kind")])[0] == last + 2
    assert (sweep(ledger, 3600.0).removed, sweep(ledger, 3600.0).young) == (0, 1)
    found = check_ledger(ledger)
    assert (found.sound, found.blobs, found.idle, found.idle_bytes) == (True, 2, 1, 3_000_000)
    swept = sweep(ledger, 0.0)
    assert (swept.removed, swept.removed_bytes, swept.kept) == (1, 3_000_000, 1)
    assert ledger.get(used) == b"a model"


def test_a_failure_half_way_leaves_nothing_behind(server):
    ledger = SqlLedger(server.new())
    ledger.append([Fact("a", "kind")])
    with pytest.raises(ZeroDivisionError):
        keeping(ledger).alone(lambda door: door.remove(["a"]) / 0)
    assert [fact.stream for fact in ledger.read()] == ["a"]
