"""Optuna's storages say here what they say to Optuna; tests/data/make_optuna.py made them with it."""

from __future__ import annotations

import gzip
import json
import math
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from staytuned.adapters.optuna import import_optuna, is_optuna, read_optuna
from staytuned.adapters.optuna_records import value_of
from staytuned.errors import NotFoundError, UsageError
from staytuned.space.dims import Choice, Float, Int
from staytuned.store.check import check_ledger
from staytuned.store.memory import MemoryLedger
from staytuned.study import Study
from staytuned.trial import Status

DATA = Path(__file__).parent / "data"
TOLD = json.loads((DATA / "optuna.json").read_text())
STATUS = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "lost", "WAITING": "running"}


@pytest.fixture(params=["sqlite", "journal"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def storage(kind, tmp_path) -> Path:
    path = tmp_path / f"optuna.{kind}"
    path.write_bytes(gzip.decompress((DATA / ("optuna.sqlite3.gz" if kind == "sqlite" else "optuna.journal.gz")).read_bytes()))
    return path


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_it_reads_what_optuna_reads(kind, storage, zone, monkeypatch):
    monkeypatch.setitem(os.environ, "TZ", zone)
    time.tzset()
    try:
        studies = read_optuna(storage)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert {study.name for study in studies} == set(TOLD[kind]) == {"single", "several"}
    for study in studies:
        for trial, told in zip(study.trials, TOLD[kind][study.name], strict=True):
            assert trial.number == told["number"]
            assert trial.state == told["state"]
            assert {name: value_of(param, trial.distributions[name]) for name, param in trial.params.items()} == told["params"]
            assert [str(value) for value in trial.values] == told["values"]
            assert {str(step): str(value) for step, value in trial.readings.items()} == told["readings"]
            assert (trial.started, trial.ended) == (told["started"], told["ended"])


def test_a_study_of_one_objective(kind, storage):
    ledger = MemoryLedger()
    moved, brought = import_optuna(storage, ledger, ["single"])
    assert [(one.name, str(one.goal), one.trials) for one in brought] == [("single", "max roc_auc", 10)]
    assert brought[0].left_out == ("8 user attributes were left out", "1 running in Optuna came as lost")
    study = Study("single", goal="max roc_auc", ledger=ledger, sampler="random")
    told = TOLD[kind]["single"]
    states = [STATUS[one["state"]] for one in told]
    states[5] = "invalid"  # infinity is no score
    assert [str(trial.status) for trial in study.trials] == states
    for trial, one in zip(study.trials[:8], told, strict=False):
        assert trial.config == one["params"]
        assert trial.started == one["started"]
        assert trial.cost.seconds == pytest.approx(one["ended"] - one["started"])
        assert {str(r.index): str(r.scores["roc_auc"]) for r in trial.readings} == one["readings"]
        assert all(reading.place == "step" for reading in trial.readings)
    assert study.best.number == max((float(one["values"][0]), i) for i, one in enumerate(told) if one["state"] == "COMPLETE" and one["values"] != ["inf"])[1]
    assert study.trials[3].scores == {"roc_auc": float(told[3]["values"][0])}  # what it had reached when it was pruned
    assert math.isnan(study.trials[2].readings[0].scores["roc_auc"])
    assert [trial.origin for trial in study.trials if trial.origin != "foreign"] == ["enqueued"] * 3
    assert study.space.dimensions == {
        "rate": Float(1e-4, 1, log=True),
        "share": Float(0.1, 0.9, step=0.2),
        "depth": Int(1, 64, log=True),
        "width": Int(8, 32, step=8),
        "kind": Choice(["tree", "linear", None, True, 2]),
        "extra": Float(-1, 1),
    }
    assert moved.facts == len(ledger.read())
    assert check_ledger(ledger).sound


def test_it_goes_on_where_optuna_stopped(storage):
    ledger = MemoryLedger()
    import_optuna(storage, ledger, ["single"])
    study = Study("single", goal="max roc_auc", ledger=ledger, seed=0)
    first = study.ask()  # the one that waits in Optuna's queue, with its number
    assert first.number == 9
    assert (first.suggest_float("rate", 1e-4, 1, log=True), first.suggest_categorical("kind", ["tree", "linear", None, True, 2])) == (0.125, None)
    study.tell(first, 0.5)
    second = study.ask()
    assert second.number == 10
    assert set(second.proposal) == set(study.space.names)
    study.tell(second, 0.25)
    assert [trial.status for trial in study.trials[8:]] == [Status.LOST, Status.DONE, Status.DONE]


def test_several_objectives_and_ranges_that_differ(kind, storage):
    ledger = MemoryLedger()
    _, brought = import_optuna(storage, ledger, ["several"], {"several": "two"})
    assert str(brought[0].goal) == "min value_0, max value_1"
    assert brought[0].left_out == ("the ranges of x differ between trials; they were joined",)
    study = Study("two", goal=brought[0].goal, ledger=ledger)
    assert study.space.dimensions == {"x": Float(0, 4), "n": Int(0, 5)}
    assert [list(trial.scores.values()) for trial in study.trials] == [[float(v) for v in one["values"]] for one in TOLD[kind]["several"]]
    assert study.front


def test_names_of_metrics_can_be_given(storage):
    ledger = MemoryLedger()
    _, brought = import_optuna(storage, ledger, ["several"], metrics=["latency", "accuracy"])
    assert str(brought[0].goal) == "min latency, max accuracy"
    with pytest.raises(UsageError, match="has 1 objectives, but metrics="):
        import_optuna(storage, ledger, metrics=["latency", "accuracy"])


def test_twice_changes_nothing(storage):
    ledger = MemoryLedger()
    new = import_optuna(storage, ledger)[0].facts
    before = ledger.read()
    moved, _ = import_optuna(storage, ledger)
    assert (moved.facts, moved.known) == (0, new)
    assert ledger.read() == before


def test_wrong_names(storage):
    with pytest.raises(NotFoundError, match=r"no study 'gone'.*it has 'single', 'several'"):
        import_optuna(storage, MemoryLedger(), ["gone"])
    with pytest.raises(UsageError, match="two studies one name"):
        import_optuna(storage, MemoryLedger(), rename={"single": "several"})
    with pytest.raises(NotFoundError, match="no such file"):
        read_optuna(storage.with_name("nope"))


def test_what_is_a_storage_and_what_is_not(storage, tmp_path):
    (tmp_path / "other").write_text('{"staytuned":"export"}\n')
    (tmp_path / "empty").write_text("")
    assert is_optuna(storage)
    assert not any(is_optuna(tmp_path / name) for name in ("other", "empty", "nope"))


def lines_of(tmp_path: Path) -> tuple[Path, list[bytes]]:
    path = tmp_path / "optuna.log"
    return path, gzip.decompress((DATA / "optuna.journal.gz").read_bytes()).splitlines(keepends=True)


def test_a_journal_that_is_being_written(tmp_path):
    path, lines = lines_of(tmp_path)
    path.write_bytes(b"".join(lines[:14]) + lines[14][:20])
    [study] = read_optuna(path)
    assert [trial.state for trial in study.trials] == ["COMPLETE"]


@pytest.mark.parametrize("line", [b"{oops\n", b'{"op_code": 77}\n', b'{"op_code": 4}\n', b'{"op_code": 1, "study_id": 9}\n', b"[1]\n"])
def test_a_broken_journal_names_the_line(tmp_path, line):
    path, lines = lines_of(tmp_path)
    path.write_bytes(b"".join([*lines[:7], line, *lines[7:]]))
    with pytest.raises(UsageError, match="line 8: it is no operation of Optuna"):
        read_optuna(path)


def test_distributions_of_older_optunas(tmp_path):
    old = {
        "a": ("UniformDistribution", {"low": 0.0, "high": 1.0}, 0.5, Float(0, 1)),
        "b": ("LogUniformDistribution", {"low": 0.1, "high": 1.0}, 0.5, Float(0.1, 1, log=True)),
        "c": ("DiscreteUniformDistribution", {"low": 0.0, "high": 1.0, "q": 0.25}, 0.5, Float(0, 1, step=0.25)),
        "d": ("IntUniformDistribution", {"low": 0, "high": 8, "step": 2}, 4.0, Int(0, 8, step=2)),
        "e": ("IntLogUniformDistribution", {"low": 1, "high": 8, "step": 1}, 4.0, Int(1, 8, log=True)),
        "f": ("CategoricalDistribution", {"choices": ["x", [1, 2]]}, 1.0, Choice(["x", "[1, 2]"])),
    }
    operations = [{"op_code": 0, "study_name": "old", "directions": [0]}, {"op_code": 4, "study_id": 0, "datetime_start": "2021-05-01T12:00:00.000001"}]
    for name, (kind, attributes, value, _) in old.items():
        text = json.dumps({"name": kind, "attributes": attributes})
        operations.append({"op_code": 5, "trial_id": 0, "param_name": name, "param_value_internal": value, "distribution": text})
    operations.append({"op_code": 6, "trial_id": 0, "state": 1, "values": [1.0], "datetime_complete": "2021-05-01T12:00:02.000001"})
    path, ledger = tmp_path / "old.log", MemoryLedger()
    path.write_text("".join(json.dumps(operation | {"worker_id": "w"}) + "\n" for operation in operations))
    _, [brought] = import_optuna(path, ledger)
    study = Study("old", goal="min value", ledger=ledger)
    assert study.space.dimensions == {name: dimension for name, (*_, dimension) in old.items()}
    assert study.trials[0].config == {"a": 0.5, "b": 0.5, "c": 0.5, "d": 4, "e": 4, "f": "[1, 2]"}
    assert study.trials[0].cost.seconds == pytest.approx(2.0)
    assert brought.left_out == ("a direction that was not set was taken for minimize",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("update version_info set schema_version = 11", "schema 11 at revision v3.2.0.a.*optuna storage upgrade --storage sqlite:///"),
        ("update alembic_version set version_num = 'v2.6.0.a'", "schema 12 at revision v2.6.0.a"),
        ("update trials set state = 'SLEEPING' where trial_id = 1", "'SLEEPING' is none of"),
        ("drop table trial_params", "no storage of Optuna; it has the tables"),
        ("update trials set number = 7 where trial_id = 1", "not numbered 0, 1, 2"),
        ("update trial_params set distribution_json = '{\"name\": 1}'", "does not read like those of Optuna"),
    ],
)
def test_another_schema_is_refused(tmp_path, change, message):
    path = tmp_path / "o.db"
    path.write_bytes(gzip.decompress((DATA / "optuna.sqlite3.gz").read_bytes()))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    with pytest.raises(UsageError, match=message):
        read_optuna(path)


def test_times_of_older_optunas_are_local(tmp_path, monkeypatch):
    path = tmp_path / "o.db"
    path.write_bytes(gzip.decompress((DATA / "optuna.sqlite3.gz").read_bytes()))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update version_info set library_version = '4.1.0'")
        connection.commit()
    monkeypatch.setitem(os.environ, "TZ", "Asia/Tokyo")
    time.tzset()
    try:
        [study, _] = read_optuna(path)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert study.trials[0].started == pytest.approx(TOLD["sqlite"]["single"][0]["started"] - 9 * 3600)
