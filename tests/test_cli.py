"""The command line as a stranger meets it: one clear line for every mistake, and nothing lost."""

import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from staytuned import __version__
from staytuned.cli import main
from staytuned.store.sql import SqlLedger

COMMAND = Path(sys.executable).with_name("staytuned")
TUNE = "tune ok.csv --target survived --trials 2 --quality fast --jobs 1 --seed 0"


def passengers(n: int = 150) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).round(3)
    survived = (x[:, 0] + 0.5 * x[:, 1] + rng.normal(size=n) > 0).astype(int)
    return pd.DataFrame({"age": x[:, 0], "fare": x[:, 1], "noise": x[:, 2], "port": rng.choice(list("SCQ"), n), "survived": survived})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a tuned model in it."""
    folder = tmp_path_factory.mktemp("home")
    passengers().to_csv(folder / "ok.csv", index=False)
    before = Path.cwd()
    os.chdir(folder)
    try:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(TUNE))
    finally:
        os.chdir(before)
    assert end.value.code == 0
    return folder


@pytest.fixture
def here(home, tmp_path, monkeypatch):
    """A copy of it to work in."""
    folder = tmp_path / "here"
    shutil.copytree(home, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("STAYTUNED_LEDGER", raising=False)
    return folder


@pytest.fixture
def say(here, capsys):  # noqa: ARG001 - to be in the folder
    """Runs a command line; (exit code, standard output, standard error)."""

    def run(line: str):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(shlex.split(line))
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return run


def refusal(answer) -> str:
    """The one line of a refusal."""
    code, _, err = answer
    assert code == 2, err
    assert err.startswith("staytuned: ")
    assert err.count("\n") == 1, err
    assert "internal error" not in err
    assert "Traceback" not in err
    assert "np." not in err
    return err


BAD_TABLES = {
    "nosuch": (None, "no such file: 'nosuch.csv'"),
    "empty": ("", "'empty.csv' is empty"),
    "header": ("a,b,survived\n", "no rows"),
    "onerow": ("a,b,survived\n1,2,0\n", "only 1 row"),
    "twice": ("a,a,survived\n1,2,0\n3,4,1\n", "more than one column named 'a'"),
    "colons": ("a:b:survived\n" + "1:2:0\n3:4:1\n" * 20, "separated by ':'"),
    "oneclass": ("a,survived\n" + "".join(f"{i * i % 17}.5,1\n" for i in range(40)), "only one value, '1'"),
    "names": ("a,survived\n" + "".join(f"{i * i % 17}.5,person {i}x\n" for i in range(40)), "all different, such as 'person 0x'"),
    "numbers": ("a,survived\n" + "".join(f"{i * i % 17}.5,{i}\n" for i in range(40)), "is an identifier: whole numbers"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_table_that_cannot_be_learned_from(name, here, say):
    text, expected = BAD_TABLES[name]
    if text is not None:
        Path(f"{name}.csv").write_text(text)
    assert expected in refusal(say(f"tune {name}.csv --target survived --trials 1"))
    assert not any(path.suffix == ".csv-wal" for path in here.iterdir())


BAD_WORDS = {
    "tune okk.csv --target survived": "did you mean 'ok.csv'",
    "tune . --target survived": "'.' is a folder",
    "tune /nope/x.csv --target survived": "'/nope' does not exist",
    "tune ok.csv --target survivd": "did you mean 'survived'",
    "tune ok.csv --target zzz": "it has 'age'",
    "tune ok.csv": "Missing option '--target'",
    "tune ok.csv --target": "'--target' requires an argument; see: staytuned tune --help",
    "tune": "Missing argument 'FILE'; see: staytuned tune --help",
    "tuen ok.csv": "Did you mean 'tune'",
    "tune ok.csv --target survived --tirals 3": "--trials",
    "tune ok.csv --target survived --trials three": "'three'",
    "tune ok.csv --target survived --trials=three": "'three'",
    "tune ok.csv --target survived --trials 0": "trials=0",
    "tune ok.csv --target survived --trials -1": "trials=-1",
    "tune ok.csv --target survived --time 0": "time=0.0",
    "tune ok.csv --target survived --time -5": "time=-5.0",
    "tune ok.csv --target survived --time nan": "time=nan",
    "tune ok.csv --target survived --trial-timeout 0": "trial_timeout=0.0",
    "tune ok.csv --target survived --metric rocauc": "did you mean 'roc_auc'",
    "tune ok.csv --target survived --metric rmse": "does not suit two classes",
    "tune ok.csv --target age --metric roc_auc": "does not suit regression",
    "tune ok.csv --target survived --method bayesian": "'bayesian' is not one of 'manual'",
    "tune ok.csv --target survived --quality super": "'super' is not one of 'fast'",
    "tune ok.csv --target survived --kind port": "--kind 'port'",
    "tune ok.csv --target survived --kind port=nonsense": "'nonsense' is not one of numeric",
    "tune ok.csv --target survived --kind prt=categorical": "did you mean 'port'",
    "tune ok.csv --target survived --drop prt": "did you mean 'port'",
    "tune ok.csv --target survived --drop survived": "the target itself",
    "tune ok.csv --target survived --task bin": "did you mean 'binary'",
    "tune ok.csv --target survived --test-size 2": "test_size=2.0",
    "tune ok.csv --target survived --cv 0": "cv=0",
    "tune ok.csv --target survived --cv 1000 --trials 1": "cv=1000",
    "tune ok.csv --target survived --jobs 0": "n_jobs=0",
    "tune ok.csv --target survived --seed -1": "random_state=-1",
    "tune ok.csv --target survived --memory lots": "'lots'",
    "tune ok.csv --target survived --memory .": "'.'",
    "tune ok.csv --target survived --memory 0": "'0'",
    "tune ok.csv --target survived --groups prt": "did you mean 'port'",
    "tune ok.csv --target survived --time-order fre": "did you mean 'fare'",
    "tune ok.csv --target survived --groups port --time-order age": "not by both",
    "tune ok.csv --target survived --space nope.yaml": "'nope.yaml' cannot be read",
    "tune ok.csv --target survived --configs nope.yaml": "'nope.yaml' cannot be read",
    "tune ok.csv --target survived --name a/b": "name='a/b'",
    "tune ok.csv --target survived --name ''": "name=''",
    "tune ok.csv --target survived --out ok.csv": "--out 'ok.csv'",
    "tune ok.csv --target survived --ledger s3://x/y": "names no ledger",
    "tune ok.csv --target survived --ledger .": "is a folder",
    "tune ok.csv --target survived --ledger ok.csv": "is not a ledger",
    "models --ledger nope.db": "no ledger at 'nope.db'",
    "models --ledger ok.csv": "is not a ledger",
    "history okk": "did you mean 'ok'",
    "predict okk ok.csv": "did you mean 'ok'",
    "predict ok nosuch.csv": "no such file",
    "predict ok ok.csv -o x.xlsx": "'x.xlsx'",
    "predict ok ok.csv -o .": "'.' is a folder",
    "predict ok ok.csv -o ok.csv/x.csv": "nothing can be written",
    "watch ok nosuch.csv": "no such file",
    "watch ok nosuch.csv --json": "no such file",
    "promote ok 99": "no version 99",
    "promote ok one": "VERSION",
    "rollback ok": "no predecessor",
    "tend nobody": "no model named 'nobody'",
}


@pytest.mark.parametrize("line", BAD_WORDS)
def test_a_command_that_cannot_be_carried_out(line, say):
    assert BAD_WORDS[line] in refusal(say(line))


BAD_FILES = {
    "--space": {
        "lightgbm: [1,2\n": "no valid YAML",
        "lightgmb: {num_leaves: [15]}\n": "did you mean 'lightgbm'",
        "lightgbm: {num_leafs: [15]}\n": "did you mean 'num_leaves'",
        "- 3\n": "not [3]",
    },
    "--configs": {
        "- {model: svm\n": "no valid YAML",
        "": "must hold a list",
        "model: linear\n": "must hold a list",
        "- {model: linaer}\n": "did you mean 'linear'",
        "- {model: svm}\n": "'svm' is left out",
        "- {model: linear, linear.c: 1}\n": "did you mean 'linear.C'",
        "- {model: linear, knn.p: 1}\n": "leave it out",
        "- {model: linear, linear.C: hot}\n": "linear.C='hot'",
        "- {model: linear, linear.C: 1e99}\n": "linear.C=1e+99",
    },
}


@pytest.mark.parametrize(("option", "text"), [(option, text) for option, texts in BAD_FILES.items() for text in texts])
def test_a_file_that_says_nothing_sensible(option, text, say):
    Path("wishes.yaml").write_text(text)
    assert BAD_FILES[option][text] in refusal(say(f"{TUNE} {option} wishes.yaml"))


def test_a_configs_file_that_is_no_text(say):
    Path("wishes.yaml").write_bytes(b"\xff\xfe\x00\x01")
    assert "'wishes.yaml' is no valid YAML" in refusal(say(f"{TUNE} --configs wishes.yaml"))


def test_debug_shows_where_it_failed(say):
    code, _, err = say("models --ledger nope.db --debug")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("staytuned: there is no ledger")


def test_version_and_help(say):
    assert say("--version") == (0, f"staytuned {__version__}\n", "")
    code, out, _ = say("")
    assert (code, "Commands:" in out) == (2, True)
    _, out, _ = say("--help")
    verbs = re.findall(r"^  ([a-z]+)  ", out.partition("Commands:")[2], flags=re.MULTILINE)
    assert verbs[:9] == ["tune", "compare", "models", "predict", "watch", "tend", "history", "promote", "rollback"]
    assert verbs[9:] == ["studies", "show", "trials", "best", "work", "delete", "check", "export", "import", "copy", "gc"]
    assert "..." not in out.partition("Commands:")[2]  # every summary fits its line
    for verb in verbs:
        code, out, err = say(f"{verb} --help")
        assert (code, err) == (0, "")
        assert f"staytuned {verb}" in out


# the loop


def test_tune_leaves_what_it_promises(home):
    assert (home / "staytuned.db").is_file()
    assert (home / "staytuned-out" / "ok" / "report.html").is_file()
    assert (home / "staytuned-out" / "ok" / "model.skops").is_file()


def test_tune_in_json_by_hand(say):
    Path("wishes.yaml").write_text("- {model: linear, linear.C: 3e-1}\n- {model: knn, knn.n_neighbors: 7}\n")
    code, out, err = say("tune ok.csv --target survived --method manual --configs wishes.yaml --quality fast --jobs 1 --json --name hand")
    assert code == 0
    body = json.loads(out)
    assert (body["model"], body["version"], body["in_service"], body["trials"]) == ("hand", 1, 1, 2)
    assert body["test_interval"][0] <= body["test"] <= body["test_interval"][1]
    assert "Read  150 rows" in err


def test_models_and_history(say):
    code, out, err = say("models")
    assert (code, err) == (0, "")
    assert "in service" in out
    [row] = json.loads(say("models --json")[1])
    assert (row["model"], row["version"], row["in_service"]) == ("ok", 1, True)
    assert "went into service" in say("history ok")[1]
    assert [event["kind"] for event in json.loads(say("history ok --json")[1])] == ["registered", "promoted"]


def test_models_of_an_empty_ledger(say):
    SqlLedger("fresh.db")
    Path("nothing.db").touch()
    code, out, err = say("models --ledger fresh.db")
    assert (code, out) == (0, "")
    assert "no models in 'fresh.db' yet" in err
    assert say("models --ledger fresh.db --json")[:2] == (0, "[]\n")
    for verb in ("models", "history ok", "predict ok ok.csv", "tend ok"):
        assert "'nothing.db' is empty" in refusal(say(f"{verb} --ledger nothing.db"))


def scored(say, table: pd.DataFrame) -> pd.DataFrame:
    table.to_csv("rows.csv", index=False)
    code, _, err = say("predict ok rows.csv -o scored.csv")
    assert code == 0, err
    assert f"{len(table)} rows scored by version 1" in err
    return pd.read_csv("scored.csv")


def test_predict_takes_rows_as_they_come(say):
    table = passengers()
    plain = table.drop(columns="survived")
    expected = scored(say, plain)
    assert list(expected.columns) == [*plain.columns, "prediction_id", "prediction", "probability_0", "probability_1", "model_version"]
    assert expected["prediction_id"].is_unique
    for other in (table, plain[plain.columns[::-1]], plain.assign(more=1), plain[:3]):
        got = scored(say, other)
        np.testing.assert_allclose(got["probability_1"], expected["probability_1"][: len(other)])
    assert set(scored(say, plain.assign(port="nowhere"))["prediction"]) <= {0, 1}
    assert set(scored(say, plain.assign(age=np.nan, fare=np.inf))["prediction"]) <= {0, 1}


def test_predict_refuses_what_it_cannot_score(say):
    passengers().drop(columns=["age", "port"]).to_csv("less.csv", index=False)
    assert "lacks 'age', 'port'" in refusal(say("predict ok less.csv"))
    passengers()[:0].to_csv("none.csv", index=False)
    assert "no rows" in refusal(say("predict ok none.csv"))


def test_predict_says_which_columns_gave_way(say):
    passengers().assign(prediction="mine").to_csv("rows.csv", index=False)
    code, out, err = say("predict ok rows.csv")
    assert code == 0
    assert "own 'prediction' gave way" in err
    assert "mine" not in out


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet", "jsonl"])
def test_predict_writes_what_read_table_reads(say, ending):
    from staytuned.automl.read import read_table

    assert say(f"predict ok ok.csv -o deep/down/scored.{ending}")[0] == 0
    assert len(read_table(f"deep/down/scored.{ending}")) == 150


def test_nothing_is_logged_where_nothing_can_be_written(say):
    refusal(say("predict ok ok.csv -o x.xlsx"))
    with sqlite3.connect("staytuned.db") as connection:
        assert connection.execute("select count(*) from facts where kind = 'predicted'").fetchone() == (0,)
    connection.close()


def test_watch_tells_by_its_exit_code(say, monkeypatch):
    passengers(600).to_csv("ok.csv", index=False)  # enough rows for a promise that means something
    assert say(f"{TUNE} --ledger more.db")[0] == 0
    monkeypatch.setenv("STAYTUNED_LEDGER", "more.db")
    table = passengers(1000)[600:]
    table[:150].to_csv("same.csv", index=False)
    table.assign(age=table["age"] + 9, survived=1 - table["survived"]).to_csv("changed.csv", index=False)
    code, out, err = say("watch ok same.csv")
    assert (code, err) == (0, "")
    assert out.startswith("HEALTHY")
    code, out, _ = say("watch ok changed.csv")
    assert code == 1
    assert out.startswith("ATTENTION")
    code, out, err = say("watch ok changed.csv --json")  # of a batch that was watched before
    assert (code, err) == (1, "")
    assert json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["verdict"] == "attention"
    assert json.loads(say("watch ok same.csv --json")[1], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))["verdict"] == "healthy"


@pytest.mark.parametrize("option", ["", " --json"])
def test_a_watch_that_fails_says_so(say, option):
    passengers().assign(survived="maybe").to_csv("odd.csv", index=False)
    answer = say(f"watch ok odd.csv{option}")
    assert "'maybe', unknown to the model; it knows 0, 1" in refusal(answer)
    assert answer[1] == ""
    Path("empty.csv").touch()
    assert "is empty" in refusal(say(f"watch ok empty.csv{option}"))


def test_tend_with_nothing_to_go_by_keeps_and_says_why(say):
    code, out, _ = say("tend ok")
    assert code == 0
    assert out.startswith("keep: ")
    assert out.endswith("version 1 is in service\n")
    body = json.loads(say("tend ok --json")[1])
    assert (body["action"], body["champion"]) == ("keep", 1)
    assert body["reason"]


@pytest.mark.slow
def test_promote_and_roll_back(say):
    assert say(f"{TUNE} --method random")[0] == 0
    assert [row["in_service"] for row in json.loads(say("models --json")[1])] == [True, False]
    assert say("promote ok 2 --reason 'it is new'")[1] == "version 2 of ok is in service\n"
    assert "it is new" in say("history ok")[1]
    assert say("rollback ok")[1] == "version 1 of ok is in service again\n"


# ledgers in trouble


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("staytuned.cli.places.open_ledger", lambda where, read_only=False: SqlLedger(where, read_only=read_only, patience=0.1))


@pytest.mark.usefixtures("impatient")
def test_a_ledger_that_another_process_holds(say):
    holder = sqlite3.connect("staytuned.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert "was held by another process" in refusal(say("predict ok ok.csv -o scored.csv"))
    assert "was held by another process" in refusal(say(TUNE))
    assert say("models")[0] == 0  # readers do not wait for writers
    holder.execute("ROLLBACK")
    holder.close()
    assert say("predict ok ok.csv -o scored.csv")[0] == 0


def test_a_ledger_from_a_newer_version(say):
    connection = sqlite3.connect("staytuned.db")
    connection.execute("update meta set value = '99' where name = 'version'")
    connection.commit()
    connection.close()
    for line in ("models", "predict ok ok.csv", TUNE):
        assert "has version 99" in refusal(say(line))


def test_a_database_that_is_no_ledger(say):
    connection = sqlite3.connect("other.db")
    connection.execute("create table mine (a)")
    connection.commit()
    connection.close()
    assert "it holds the tables mine" in refusal(say(f"{TUNE} --ledger other.db"))
    connection = sqlite3.connect("other.db")
    assert connection.execute("select name from sqlite_master").fetchall() == [("mine",)]
    connection.close()


@pytest.fixture
def small_disk(here):
    """A file system of 1 MB."""
    place = here / "disk"
    place.mkdir()
    if shutil.which("mount") is None or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, leave: int = 0) -> Path:
    """Fill a file system but for some bytes."""
    ballast = place / "ballast"
    with ballast.open("wb") as file:
        for size in (65536, 4096):
            try:
                while True:
                    os.write(file.fileno(), b"x" * size)
            except OSError:
                pass
        file.truncate(file.tell() - leave)
    return ballast


@pytest.mark.slow
def test_a_full_disk_loses_nothing(small_disk, say):
    ledger = small_disk / "s.db"
    SqlLedger(ledger)
    ballast = fill(small_disk, leave=120_000)
    line = f"{TUNE} --ledger {shlex.quote(str(ledger))}"
    said = refusal_after_steps(say(line))
    assert "free some space" in said
    ballast.unlink()
    assert say(line)[0] == 0
    assert len(json.loads(say(f"models --json --ledger {shlex.quote(str(ledger))}")[1])) == 1
    fill(small_disk)
    assert "free some space" in refusal_after_steps(say(f"predict ok ok.csv -o {shlex.quote(str(small_disk / 'scored.csv'))}"))


def test_a_ledger_that_may_only_be_read(small_disk, say):
    shutil.copy("staytuned.db", small_disk / "s.db")
    shutil.copytree("staytuned.blobs", small_disk / "s.blobs")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert len(json.loads(say(f"models --json --ledger {small_disk / 's.db'}")[1])) == 1
    for line in (f"predict ok ok.csv --ledger {small_disk / 's.db'}", f"{TUNE} --ledger {small_disk / 's.db'}", f"{TUNE} --ledger {small_disk / 'new.db'}"):
        assert str(small_disk) in refusal(say(line))
    assert "nothing can be written" in refusal(say(f"{TUNE} --out {small_disk / 'out'}"))


def refusal_after_steps(answer) -> str:
    return refusal((answer[0], "", answer[2]))


# interruptions


def tuning(*more: str) -> list[str]:
    return [str(COMMAND), "tune", "ok.csv", "--target", "survived", "--trials", "12", "--quality", "fast", "-j", "2", "--ledger", "s.db", *more]


def told(kind: str = "told") -> list[int]:
    if not Path("s.db").exists():
        return []
    connection = sqlite3.connect("file:s.db?mode=ro", uri=True, timeout=30)
    try:
        return [json.loads(body)["number"] for (body,) in connection.execute("select body from facts where stream = 'study/ok' and kind = ?", [kind])]
    except sqlite3.OperationalError:
        return []  # not made yet
    finally:
        connection.close()


def stopped_by(number: int, *, everyone: bool) -> tuple[int, str]:
    """Start tuning, send a signal after some trials; (exit code, what it printed)."""
    process = subprocess.Popen(tuning(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    while len(told()) < 3 and process.poll() is None:
        time.sleep(0.02)
    (os.killpg if everyone else os.kill)(process.pid, number)
    out = process.communicate(timeout=120)[0]
    return process.returncode, out


@pytest.mark.slow
@pytest.mark.parametrize("everyone", [False, True], ids=["process", "terminal"])
@pytest.mark.usefixtures("here")
def test_ctrl_c_saves_and_says_how_to_go_on(everyone):
    code, out = stopped_by(signal.SIGINT, everyone=everyone)
    assert code == 130
    assert "stopped. Everything finished is saved; to continue: staytuned tune ok.csv --target survived" in out
    before = told()
    assert 3 <= len(before) < 12
    assert_goes_on(before)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_kill_loses_no_trial():
    code, _ = stopped_by(signal.SIGKILL, everyone=False)
    assert code == -signal.SIGKILL
    assert_goes_on(told())


def assert_goes_on(before: list[int]) -> None:
    """The same command ends the same study, with every trial told once and the same rows kept for the test."""
    again = subprocess.run(tuning(), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "going on from there" in again.stdout
    after = told()
    assert after[: len(before)] == before
    assert sorted(after) == sorted(told("asked")) == list(range(12))
    third = subprocess.run(tuning(), capture_output=True, text=True, check=True)
    assert "going on from there" not in third.stdout  # that study is finished: a new one


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_reader_that_has_gone_is_no_failure():
    pipe = subprocess.run(
        ["bash", "-c", f"{shlex.quote(str(COMMAND))} predict ok ok.csv | head -1; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=False
    )
    assert pipe.returncode == 0, pipe.stderr
    assert pipe.stdout.startswith("age,fare,noise,port,survived,prediction_id")
    assert pipe.stderr == ""


# tables that are odd and yet fine


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("dropped", lambda t: t.assign(survived=t["survived"].where(t.index % 10 > 0)), "15 rows without a value of 'survived' dropped"),
        ("endless", lambda t: t.assign(age=np.where(t.index % 7 == 0, np.inf, t["age"])), "'age': 22 infinite values taken as missing"),
        ("ünï code", lambda t: t.rename(columns={"age": "Größe in cm", "port": '港口 <b>"x"&'}), "predicting 'survived'"),
    ],
)
def test_an_odd_table_is_tuned_all_the_same(name, change, said, say):
    change(passengers()).to_csv(f"{name}.csv", index=False)
    code, out, err = say(f"tune '{name}.csv' --target survived --trials 1 --quality fast --jobs 1 --seed 0")
    assert code == 0, err
    assert said in out
    assert f"staytuned predict {shlex.quote(name)} new.csv" in out
    assert say(f"predict '{name}' '{name}.csv' -o scored.csv")[0] == 0


@pytest.mark.slow
def test_a_column_of_100_000_categories(say):
    n, rng = 100_000, np.random.default_rng(0)
    table = pd.DataFrame({"zip": [f"c{i}" for i in range(n)], "half": [f"c{i // 2}" for i in range(n)], "v": rng.normal(size=n)})
    table.assign(survived=(table["v"] + rng.normal(size=n) > 0).astype(int)).to_csv("many.csv", index=False)
    code, out, err = say("tune many.csv --target survived --trials 2 --quality fast --jobs 1 --seed 0")
    assert code == 0, err
    assert "1 identifier, 1 categorical" in out
