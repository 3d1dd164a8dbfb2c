"""What moves arrives as it was, once, whole, or not at all."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.errors import NotFoundError, StayTunedError, UsageError
from staytuned.protocols import Claim, Fact, Ledger
from staytuned.space.dims import Choice, Float
from staytuned.space.space import Space
from staytuned.store.exported import export_ledger, import_ledger
from staytuned.store.keeping import keeping
from staytuned.store.memory import MemoryLedger
from staytuned.store.move import copy_ledger
from staytuned.store.references import renumbered, uses
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.trial import Measurement

SPACE = Space({"x": Float(-1, 1), "kind": Choice(["a", "b"])})


def filled(ledger: Ledger) -> Ledger:
    """Two studies whose facts take turns, one with blobs and a queue, and a model with its steward."""
    one = Study("one", space=SPACE, ledger=ledger, seed=1, sampler="random")
    two = Study("zwei/ü", goal="max score", ledger=ledger, seed=2, sampler="random")
    one.enqueue({"x": 0.5, "kind": "b"})
    for _ in range(3):
        one.tell(one.ask(), 1.0)
        trial = two.ask()
        two.tell(trial, trial.suggest_float("y", 0, 1))
    one.enqueue({"x": 0.25, "kind": "a"})
    one.tell(one.ask(), Measurement({"loss": 0.0}, rows=b"rows of trial 3"))
    one.ask()
    digest = ledger.put(b"a model")
    [since] = ledger.append([Fact("model/m", "promoted", {"digest": digest, "sentence": "ä"}, key="stage/0")])
    facts = [Fact("steward/m", "watched", {"era": since, "token": "t"}, key=f"watched/{since}/t")]
    facts.append(Fact("steward/m", "dueled", {"duel": f"predecessor/{since}"}, key=f"dueled/predecessor/{since}/7"))
    ledger.append([*facts, Fact("steward/m", "noted", {"big": 2**60, "text": "\ud800 \0"})])
    return ledger


@pytest.fixture(params=["memory", "sqlite"])
def new(request, tmp_path):
    """Makes ledgers of one kind."""
    count = iter(range(100))
    return MemoryLedger if request.param == "memory" else lambda: SqlLedger(tmp_path / f"{next(count)}.db")


def contents(ledger: Ledger) -> list[tuple[object, ...]]:
    """Everything but ids, stream by stream; ids that bodies speak of are replaced by what they name."""
    named = {fact.id: (fact.stream, fact.kind, fact.at) for fact in ledger.read()}

    def spoken(fact: Fact) -> Fact:
        body = dict(fact.body)
        for word in ("queued", "era"):
            if body.get(word):
                body[word] = named[body[word]]
        if "duel" in body:
            body["duel"] = named[int(body["duel"].rpartition("/")[2])]
        key = fact.key
        if fact.stream.startswith("steward/") and key:
            key = "/".join(str(named[int(part)]) if part.isdigit() and int(part) in named and part != "7" else part for part in key.split("/"))
        return Fact(fact.stream, fact.kind, body, key, at=fact.at)

    return sorted(((f.stream, f.kind, json.dumps(f.body, sort_keys=True), f.key, f.at) for f in map(spoken, ledger.read())), key=repr)


def whole(ledger: Ledger) -> None:
    """Every blob that a fact means is there."""
    for fact in ledger.read():
        for digest in uses(fact.body):
            ledger.get(digest)


def test_a_copy_is_the_same_ledger(new, tmp_path):
    source, target = filled(new()), SqlLedger(tmp_path / "target.db")
    target.append([Fact("study/other", "kind")] * 3)  # so that ids must change
    moved = copy_ledger(source, target)
    assert (moved.facts, moved.known, moved.blobs, moved.missing) == (len(source.read()), 0, 2, ())
    assert [row for row in contents(target) if row[0] != "study/other"] == contents(source)
    whole(target)
    for name in ("one", "zwei/ü"):
        there = Study(name, goal="min loss" if name == "one" else "max score", ledger=target)
        here = Study(name, goal="min loss" if name == "one" else "max score", ledger=source)
        assert there.trials == here.trials
        assert there.seed == here.seed
        assert there.queue == here.queue


def test_a_queue_is_emptied_by_the_same_trials_after_ids_have_changed():
    source, target = MemoryLedger(), MemoryLedger()
    study = Study("one", space=SPACE, ledger=source, seed=1, sampler="random")
    for x in (0.1, 0.2, 0.3):
        study.enqueue({"x": x, "kind": "a"})
    study.ask()
    target.append([Fact("study/other", "enqueued")] * 7)
    copy_ledger(source, target)
    assert [config["x"] for config in Study("one", ledger=target).queue] == [0.2, 0.3]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_out_into_a_file_and_in_again(new, tmp_path, ending):
    source, target, path = filled(new()), new(), tmp_path / f"out.{ending}"
    out = export_ledger(source, path)
    back = import_ledger(path, target)
    assert (back.facts, back.blobs) == (out.facts, out.blobs) == (len(source.read()), 2)
    assert contents(target) == contents(source)
    whole(target)
    assert (gzip.decompress(path.read_bytes()) if ending.endswith("gz") else path.read_bytes()).startswith(b'{"staytuned":"export","format":1,')


def test_twice_changes_nothing_and_later_brings_what_was_added(new, tmp_path):
    source, target = filled(new()), new()
    export_ledger(source, tmp_path / "a.jsonl")
    import_ledger(tmp_path / "a.jsonl", target)
    before = target.read()
    again = import_ledger(tmp_path / "a.jsonl", target)
    assert (again.facts, again.known) == (0, len(before))
    assert copy_ledger(source, target).facts == 0
    assert target.read() == before
    study = Study("one", ledger=source)
    study.tell(study.ask(), 0.5)
    more = copy_ledger(source, target).facts
    assert more == len(source.read()) - len(before) > 0
    assert import_ledger(tmp_path / "a.jsonl", target).facts == 0  # the older file has nothing that is new
    assert contents(target) == contents(source)


def test_one_study_under_another_name(new, tmp_path):
    source, target = filled(new()), new()
    moved = copy_ledger(source, target, ["one"], {"one": "eins"})
    assert moved.streams == ("study/eins",)
    assert Study("eins", ledger=target).trials == Study("one", ledger=source).trials
    export_ledger(source, tmp_path / "one.jsonl", ["one"])
    import_ledger(tmp_path / "one.jsonl", target, rename={"one": "uno"})
    assert {fact.stream for fact in target.read()} == {"study/eins", "study/uno"}
    for call in (partial(copy_ledger, source, target), partial(export_ledger, source, tmp_path / "x"), partial(import_ledger, tmp_path / "one.jsonl", target)):
        with pytest.raises(NotFoundError, match="no study 'three'"):
            call(["three"])
    with pytest.raises(UsageError, match="both be called 'one'"):
        copy_ledger(source, target, None, {"zwei/ü": "one"})


def test_another_history_is_not_mixed_in(new):
    source, target = filled(new()), new()
    Study("zwei/ü", goal="max score", ledger=target, seed=9)
    before = target.read()
    with pytest.raises(UsageError, match=r"'zwei/ü' is in this ledger already with another history \(from its fact 1, 'founded'\).*--rename"):
        copy_ledger(source, target)
    assert target.read() == before


FACTS = st.builds(
    Fact,
    stream=st.sampled_from(["study/a", "study/A", "model/ä", "x/\U0001f600"]),
    kind=st.sampled_from(["asked", "told", "enqueued"]),
    body=st.dictionaries(st.text(max_size=3), st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.lists(st.integers()), max_size=3),
    key=st.none() | st.integers(0, 9).map(str),
)


@given(st.lists(FACTS, max_size=12), st.lists(FACTS, max_size=12))
def test_whatever_is_in_a_ledger_survives_the_journey(tmp_path_factory, facts, later):
    source, target, path = MemoryLedger(), MemoryLedger(), tmp_path_factory.mktemp("journey") / "x.jsonl"
    for batch in (facts, later):
        source.append(batch)
        export_ledger(source, path)
        import_ledger(path, target)
        for stream in {fact.stream for fact in source.read()}:
            there, here = ([(fact.kind, fact.key, fact.body, fact.at) for fact in ledger.read(stream)] for ledger in (target, source))
            assert there == here


def test_many_may_bring_the_same_at_once(tmp_path):
    source = filled(MemoryLedger())
    SqlLedger(tmp_path / "t.db")

    def bring(_: int) -> int:
        return copy_ledger(source, SqlLedger(tmp_path / "t.db")).facts

    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(bring, range(4)))
    assert sorted(new) == [0, 0, 0, len(source.read())]
    assert contents(SqlLedger(tmp_path / "t.db")) == contents(source)


def test_leases_stay_behind(new):
    source, target = filled(new()), new()
    source.claim("study/one/3", "ann", 1000.0)
    copy_ledger(source, target)
    assert keeping(target).held() == []


def test_onto_itself_is_refused(tmp_path):
    ledger = SqlLedger(tmp_path / "a.db")
    with pytest.raises(UsageError, match="onto itself"):
        copy_ledger(ledger, SqlLedger(tmp_path / "a.db"))


def test_missing_blobs_are_said_and_hinder_nothing(tmp_path):
    source, target = filled(SqlLedger(tmp_path / "a.db")), MemoryLedger()
    [digest] = [digest for fact in source.read("study/one") for digest in uses(fact.body)]
    keeping(source).shelf.drop(digest)
    assert export_ledger(source, tmp_path / "a.jsonl").missing == (digest,)
    assert import_ledger(tmp_path / "a.jsonl", target).missing == (digest,)
    assert copy_ledger(source, MemoryLedger()).missing == (digest,)


def broken(lines: list[bytes]) -> dict[str, tuple[list[bytes], str]]:
    """Ways in which a file may be damaged, and what the message says."""
    blob = next(i for i, line in enumerate(lines) if b'"blob"' in line)
    changed = json.loads(lines[blob])
    changed["base64"] = "AAAA" + changed["base64"][4:]
    return {
        "cut between lines": (lines[:-1], f"line {len(lines) - 1}: the file is cut off here"),
        "cut inside a line": ([*lines[:5], lines[5][:20]], "line 6: the file is cut off here"),
        "a line that is no JSON": ([*lines[:3], b"{oops}\n", *lines[4:]], "line 4: it is no JSON"),
        "a number that is none": ([*lines[:3], lines[3].replace(b'"at":', b'"at":NaN,"was":'), *lines[4:]], "line 4: it is no JSON"),
        "a list": ([*lines[:3], b"[1]\n", *lines[3:]], "line 4: it is no JSON object"),
        "a line left out": ([*lines[:3], *lines[4:]], "but there are"),
        "a line twice": ([*lines[:4], *lines[3:]], "line 5: its id or key was there before"),
        "a fact without a kind": ([*lines[:3], lines[3].replace(b'"kind"', b'"kin"'), *lines[4:]], "line 4: it has no 'kind'"),
        "a stream without a name": ([*lines[:1], lines[1].replace(b'"stream":"study/one"', b'"stream":""'), *lines[2:]], "line 2: stream=''"),
        "a changed blob": ([*lines[:blob], json.dumps(changed).encode() + b"\n", *lines[blob + 1 :]], f"line {blob + 1}: its blob does not match its hash"),
        "more after the end": ([*lines, lines[1]], "something follows the last line"),
        "another file": ([b"a,b\n", b"1,2\n"], "no export of staytuned"),
        "nothing": ([], "is empty"),
        "a newer format": ([lines[0].replace(b'"format":1', b'"format":2'), *lines[1:]], "has format 2, and this staytuned reads 1"),
    }


def test_a_broken_file_is_refused_and_nothing_is_half_imported(tmp_path):
    export_ledger(filled(MemoryLedger()), tmp_path / "good.jsonl")
    for name, (lines, message) in broken((tmp_path / "good.jsonl").read_bytes().splitlines(keepends=True)).items():
        path, target = tmp_path / "bad.jsonl", MemoryLedger()
        path.write_bytes(b"".join(lines))
        with pytest.raises(UsageError) as said:
            import_ledger(path, target)
        assert message in str(said.value), name
        assert (target.read(), target._blobs) == ([], {}), name


def test_a_packed_file_that_is_cut_off(tmp_path):
    export_ledger(filled(MemoryLedger()), tmp_path / "good.jsonl.gz")
    (tmp_path / "bad.jsonl.gz").write_bytes((tmp_path / "good.jsonl.gz").read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"cannot be unpacked|cut off"):
        import_ledger(tmp_path / "bad.jsonl.gz", MemoryLedger())


def test_a_failure_half_way_leaves_nothing_behind(new, monkeypatch):
    source, target = filled(new()), new()
    target.append([Fact("study/other", "kind")])
    monkeypatch.setattr("staytuned.store.move._PART", 3)
    monkeypatch.setattr("staytuned.store.move.renumbered", lambda line, ids: 1 / 0 if line.stream == "steward/m" else renumbered(line, ids))
    with pytest.raises(ZeroDivisionError):
        copy_ledger(source, target)
    assert [fact.stream for fact in target.read()] == ["study/other"]
    assert target.append([Fact("study/one", "founded", key="founded")]) == [2]


def test_an_export_does_not_overwrite_what_is_none(tmp_path):
    ledger = filled(SqlLedger(tmp_path / "a.db"))
    with pytest.raises(UsageError, match="is no export of staytuned"):
        export_ledger(ledger, tmp_path / "a.db")
    export_ledger(ledger, tmp_path / "a.jsonl")
    export_ledger(ledger, tmp_path / "a.jsonl")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(StayTunedError, match="a file stands where a folder is needed"):
        export_ledger(ledger, tmp_path / "a.jsonl" / "b.jsonl")


def test_a_deleted_stream_is_gone_and_no_id_is_given_twice(new):
    ledger = filled(new())
    last = ledger.read()[-1].id
    ledger.claim("study/one/4", "ann", 1000.0)
    ledger.claim("study/one/more/4", "bob", 1000.0)  # of another study, whose name begins so
    kept = len([fact for fact in ledger.read() if fact.stream != "study/one"])
    removed = keeping(ledger).alone(lambda door: door.remove(["study/one"]))
    assert removed == last - kept
    assert ledger.read("study/one") == []
    assert [(claim.key, claim.owner) for claim in keeping(ledger).held() if "more" in claim.key or "one" in claim.key] == [("study/one/more/4", "bob")]
    assert ledger.append([Fact("study/one", "founded", key="founded")], [Claim("study/one/0", "ann", 1.0)])[0] > last
    assert ledger.read("ledger", kind="deleted")[0].body == {"streams": ["study/one"], "facts": removed}


def test_another_ones_ledger_cannot_be_kept(tmp_path):
    class Theirs:
        pass

    with pytest.raises(UsageError, match="cannot be kept by staytuned"):
        export_ledger(Theirs(), Path(tmp_path) / "x")  # type: ignore[arg-type]
