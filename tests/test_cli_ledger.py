"""The ledger's commands as a stranger meets them: right answers, one clear line for every mistake, and nothing lost."""

from __future__ import annotations

import csv
import gzip
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from staytuned.cli import main
from staytuned.protocols import Fact
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.trial import Measurement, Status

DATA = Path(__file__).parent / "data"
SPACE = Space({"x": Float(-3, 3), "kind": Choice(["a", "b"]), "rate": Float(1e-3, 1, log=True, when={"kind": ["a"]}), "n": Int(1, 9, step=2)}, ["x < n"])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a ledger of two studies; of the first one a trial is under way, but nobody's, and a config waits."""
    folder = tmp_path_factory.mktemp("home")
    ledger = SqlLedger(folder / "staytuned.db")
    study = Study("churn", space=SPACE, goal="max auc", ledger=ledger, seed=0, sampler="random")
    study.enqueue({"x": 0.5, "kind": "b", "n": 3})
    study.tell(study.ask(), Measurement({"auc": 0.75}, rows=b"what the rows said"))
    study.tell(study.ask(), 0.5)
    study.tell(study.ask(), Status.FAILED)
    study.ask()
    study.enqueue({"x": 0.25, "kind": "b", "n": 1})
    two = Study("two goals", goal="max auc, min loss", ledger=ledger, seed=0, sampler="random")
    for result in [(0.5, 1.0), (0.25, 0.5), (0.25, 2.0)]:
        trial = two.ask()
        trial.suggest_float("y", 0, 1)
        two.tell(trial, result)
    study.give_back(3)
    ledger.close()
    return folder


@pytest.fixture
def ledger(home, tmp_path, monkeypatch) -> SqlLedger:
    """A copy of it to work in."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STAYTUNED_LEDGER", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return SqlLedger("staytuned.db")


@pytest.fixture
def say(ledger, capsys):  # noqa: ARG001 - to be in the folder
    """Runs a command line; (exit code, standard output, standard error)."""

    def run(line: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line))
        out, err = capsys.readouterr()
        assert "internal error" not in err, err
        return end.value.code, out, err

    return run


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_studies(say, ledger):
    code, out, _ = say("studies")
    assert code == 0
    assert [row[:2] for row in lines(out)[1:]] == [["churn", "max"], ["two", "goals"]]
    assert json.loads(say("studies --json")[1]) == [
        {"study": "churn", "goal": "max auc", "trials": 4, "ended": 3, "best": 0.75, "last": ledger.read("study/churn")[-1].at},
        {"study": "two goals", "goal": "max auc, min loss", "trials": 3, "ended": 3, "best": 0.5, "last": ledger.read("study/two goals")[-1].at},
    ]


def test_only_the_last_studies_are_listed_unless_all_are_asked_for(say, ledger):
    for number in range(55):
        Study(f"s{number}", space=SPACE, ledger=ledger, seed=0)
    code, out, err = say("studies")
    assert (code, len(lines(out))) == (0, 51)
    assert err == "and 7 more: staytuned studies --all\n"
    assert len(lines(say("studies --all")[1])) == 58
    assert len(json.loads(say("studies --all --json")[1])) == 57


def test_the_best_of_many_studies_is_that_of_each(say, ledger, monkeypatch):
    one_by_one = json.loads(say("studies --json")[1])
    monkeypatch.setattr("staytuned.cli.listed._MANY", 0)  # all at once
    rationed = Study("rationed", space=SPACE, scheduler="asha", fidelity=1 / 3, ledger=ledger, seed=0, sampler="random")
    rationed.optimize(lambda trial: trial.fidelity, trials=4)
    at_once = json.loads(say("studies --json")[1])
    assert at_once[1:] == one_by_one
    assert at_once[0]["best"] == rationed.best.scores["loss"]


def test_show(say):
    code, out, _ = say("show churn")
    assert code == 0
    for text in (
        "max auc",
        "4: 2 done, 1 failed, 1 running",
        "1 configs to be tried next",
        "trial 0: auc 0.75, x=0.5, kind=b, n=3",
        "nobody, free to be taken",
    ):
        assert text in out
    for row in (["x", "-3", "to", "3"], ["rate", "0.001", "to", "1,", "log", "kind", "is", "a"], ["n", "1", "to", "9", "in", "steps", "of", "2"]):
        assert row in lines(out)
    assert "constraint x < n" in out
    body = json.loads(say("show churn --json")[1])
    assert body["status"] == {"done": 2, "failed": 1, "running": 1}
    assert body["best"][0]["config"] == {"x": 0.5, "kind": "b", "n": 3}
    assert [worker["trial"] for worker in body["under_way"]] == [3]
    assert set(body["space"]["dimensions"]) == {"x", "kind", "rate", "n"}


def test_show_says_who_is_at_work(say, ledger):
    Study("churn", goal="max auc", ledger=ledger).ask()
    [worker] = json.loads(say("show churn --json")[1])["under_way"]
    assert worker["trial"] == 3
    assert str(worker["worker"]).count(":") >= 3
    assert 0 < worker["lease"] <= 60


def test_trials(say):
    code, out, _ = say("trials churn")
    assert code == 0
    assert [row[:2] for row in lines(out)[1:]] == [["0", "done"], ["1", "done"], ["2", "failed"], ["3", "running"]]
    assert [row[0] for row in lines(say("trials churn --top 1")[1])[1:]] == ["0"]
    assert [trial["number"] for trial in json.loads(say("trials churn --status failed --status running --json")[1])] == [2, 3]
    first = json.loads(say("trials churn --json")[1])[0]
    assert (first["scores"], first["config"], first["origin"]) == ({"auc": 0.75}, {"x": 0.5, "kind": "b", "n": 3}, "enqueued")
    code, out, err = say("trials churn --csv all.csv")
    assert (code, out, err) == (0, "", "4 trials written to all.csv\n")
    rows = list(csv.DictReader(Path("all.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["done", "done", "failed", "running"]
    assert (rows[0]["auc"], rows[0]["config.x"]) == ("0.75", "0.5")


def test_best(say):
    code, out, _ = say("best churn")
    assert (code, lines(out)[2:]) == (0, [["x", "0.5"], ["kind", "b"], ["n", "3"]])
    assert json.loads(say("best churn --json")[1])["config"] == {"x": 0.5, "kind": "b", "n": 3}
    assert [trial["number"] for trial in json.loads(say("best 'two goals' --json")[1])] == [0, 1]


def test_a_study_of_python_objects_is_shown_by_place(say, ledger):
    Study("opaque", space=Space({"f": Choice([min, max])}), ledger=ledger, seed=0, sampler="random").optimize(lambda _: 1.0, trials=2)
    assert json.loads(say("best opaque --json")[1])["config"]["f"].startswith("choice ")
    assert "holds Python objects" in say("show opaque")[1]


WRONG = {
    "show chrun": "did you mean 'churn'?",
    "trials zzz": "there is no study 'zzz'; the ledger has 'churn', 'two goals'",
    "best zzz": "there is no study 'zzz'",
    "delete zzz --yes": "there is no study 'zzz'",
    "delete churn": "to do it: staytuned delete churn --yes",
    "trials churn --top 0": "--top 0 must be at least 1",
    "trials churn --status asleep": "'asleep' is not one of",
    "studies --ledger nope.db": "there is no ledger at 'nope.db'",
    "check --ledger nope.db": "there is no ledger at 'nope.db'",
    "copy nope.db other.db": "there is no ledger at 'nope.db'",
    "copy staytuned.db staytuned.db": "onto itself",
    "copy staytuned.db other.db --rename churn": "--rename 'churn' must read like churn=churn-2",
    "copy staytuned.db other.db --study zzz": "there is no study 'zzz'",
    "export staytuned.db": "is no export of staytuned",
    "export x.jsonl --study zzz": "there is no study 'zzz'",
    "import nope.jsonl": "no such file: 'nope.jsonl'",
    "import wrong.txt": "neither a file that 'staytuned export' wrote nor a storage of Optuna",
    "import staytuned.db": "no storage of Optuna; it has the tables",
    "gc --grace -1": "--grace -1.0 must be 0 or a positive number",
    "work staytuned.db --study zzz --objective obj:f": "there is no study 'zzz'; the ledger has 'churn', 'two goals'",
    "work nope.db --study churn --objective obj:f": "there is no ledger at 'nope.db'",
    "work staytuned.db --study churn --objective obj": "must read like module:function or file.py:function",
    "work staytuned.db --study churn --objective nomodule:f": "the module 'nomodule' cannot be imported",
    "work staytuned.db --study churn --objective nofile.py:f": "no such file: 'nofile.py'",
    "work staytuned.db --study churn --objective obj.py:g": "'obj.py' has no function 'g'; it has f, objective",
    "work staytuned.db --study churn --objective broken.py": "ZeroDivisionError: division by zero",
    "work staytuned.db --study churn --objective obj.py": "give --trials, --total or --timeout",
    "work staytuned.db --study churn": "Missing option '--objective'",
}
OBJECTIVE = "def f(trial):\n    return trial.config['x']\n\n\ndef objective(trial):\n    return f(trial)\n"


@pytest.mark.parametrize("line", WRONG)
def test_what_cannot_be(line, say, ledger):
    Path("wrong.txt").write_text("what is this\n")
    Path("obj.py").write_text(OBJECTIVE)
    Path("broken.py").write_text("1 / 0\n")
    before = ledger.read()
    code, _, err = say(line)
    assert code == 2
    assert err.startswith("staytuned: ")
    assert err.count("\n") == 1
    assert WRONG[line] in err
    assert ledger.read() == before
    assert not Path("nope.db").exists()


def test_delete_and_gc(say, ledger):
    [blob] = Path("staytuned.blobs").rglob("??/??/*")
    code, out, _ = say("delete churn --yes")
    assert code == 0
    assert out.startswith("study churn is deleted, ")
    assert [row["study"] for row in json.loads(say("studies --json")[1])] == ["two goals"]
    assert say("gc")[1].startswith("0 blobs (0 bytes) removed, 0 (0 bytes) kept; 1 without a use are younger than 24 h")
    assert say("gc --grace 0 --dry-run")[1] == "1 blobs (18 bytes) would be removed, 0 (0 bytes) kept\n"
    assert blob.exists()
    assert say("gc --grace 0")[1] == "1 blobs (18 bytes) removed, 0 (0 bytes) kept\n"
    assert not blob.exists()
    assert Study("churn", space=SPACE, ledger=ledger, seed=0).trials == ()


def test_a_study_at_which_somebody_works_is_not_deleted(say, ledger):
    worker = Study("churn", goal="max auc", ledger=ledger)
    worker.ask()
    code, _, err = say("delete churn --yes")
    assert code == 2
    assert "1 workers are at work on study 'churn'" in err
    assert say("delete churn --yes --force")[0] == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_export_and_import(say, name):
    assert say(f"export {name}")[0] == 0
    code, out, _ = say(f"import {name} --ledger other.db")
    assert code == 0
    assert out.endswith(" facts and 1 blobs brought into other.db\n")
    assert "0 facts and 1 blobs brought into other.db, " in say(f"import {name} --ledger other.db")[1]
    mine, its = (json.loads(say(f"trials churn --json --ledger {where}")[1]) for where in ("staytuned.db", "other.db"))
    assert mine == its
    assert say(f"import {name} --study churn --rename churn=more --ledger other.db")[0] == 0
    assert json.loads(say("trials more --json --ledger other.db")[1]) == mine
    assert say("check --ledger other.db")[0] == 0


def test_a_truncated_export_is_refused(say):
    say("export out.jsonl")
    Path("out.jsonl").write_bytes(Path("out.jsonl").read_bytes()[:-50])
    code, _, err = say("import out.jsonl --ledger other.db")
    assert code == 2
    assert "the file is cut off here" in err
    assert json.loads(say("studies --json --ledger other.db")[1]) == []


def test_copy(say):
    assert say("copy staytuned.db other.db --study churn")[0] == 0
    assert say("copy staytuned.db other.db")[0] == 0
    assert "0 facts" in say("copy staytuned.db other.db")[1]
    assert json.loads(say("studies --json --ledger other.db")[1]) == json.loads(say("studies --json")[1])


@pytest.mark.parametrize("packed", ["optuna.sqlite3.gz", "optuna.journal.gz"])
def test_import_from_optuna(say, packed):
    Path("optuna.store").write_bytes(gzip.decompress((DATA / packed).read_bytes()))
    code, out, err = say("import optuna.store --rename single=mine")
    assert code == 0
    assert "study mine: max roc_auc, 10 trials" in out
    assert "note: mine: 8 user attributes were left out" in err
    assert "0 facts and 0 blobs" in say("import optuna.store --rename single=mine")[1]
    assert json.loads(say("show mine --json")[1])["trials"] == 10
    code, _, err = say("import optuna.store --study several --metric one --ledger other.db")
    assert code == 2
    assert "has 2 objectives" in err


def test_check(say, ledger):
    code, out, _ = say("check")
    assert code == 0
    assert out.startswith("SOUND: ")
    ledger.claim("study/churn/0", "ann", 1000.0)
    code, out, _ = say("check")
    assert code == 1
    assert out.startswith("UNTIDY: ")
    assert "can be: --repair" in out
    assert say("check --repair")[0] == 0
    assert say("check --repair")[1].startswith("SOUND: ")
    ledger.append([Fact("study/churn", "told", {"number": 77})])
    code, out, _ = say("check --json")
    assert code == 1
    body = json.loads(out)
    assert (body["sound"], body["findings"][0]["repaired"]) == (False, None)
    assert say("check")[1].startswith("DAMAGED: ")


@pytest.mark.parametrize("where", ["obj:f", "obj.py:f", "obj.py"])
def test_work_joins_in(say, ledger, where, monkeypatch):
    monkeypatch.delitem(sys.modules, "obj", raising=False)
    Path("obj.py").write_text(OBJECTIVE)
    code, out, err = say(f"work staytuned.db --study churn --objective {where} --trials 2 --method random")
    assert code == 0
    assert err.splitlines() == ["joining study churn: max auc, 4 trials so far", "ended because all 2 trials asked for were run"]
    assert [line.split(":")[0] for line in out.splitlines()] == ["trial 3 done", "trial 4 done"]  # the one that was given back, the one enqueued
    study = Study("churn", goal="max auc", ledger=ledger)
    assert [study.trials[n].scores["auc"] for n in (3, 4)] == [study.trials[n].config["x"] for n in (3, 4)]


@pytest.mark.slow
def test_work_in_processes_and_from_the_shell(ledger):
    Path("obj.py").write_text(OBJECTIVE)
    command = [Path(sys.executable).with_name("staytuned"), "work", "staytuned.db", "--study", "churn", "--objective", "obj.py:f"]
    done = [subprocess.Popen([*command, "--trials", "3", "-j", "2", "--method", "random"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = "".join(process.communicate()[0] for process in done)
    assert [process.returncode for process in done] == [0, 0]
    assert sorted(int(line.split()[1]) for line in told.splitlines()) == list(range(3, 9))
    assert len(Study("churn", goal="max auc", ledger=ledger).trials) == 9
