"""Verbs share their options, and load what they need and no more."""

import json
import re
import subprocess
import sys

import pytest
import typer.main

from staytuned.cli import app
from staytuned.store.open import open_ledger
from staytuned.study import Study

VERBS = typer.main.get_command(app).commands
SHARED = ("table", "target", "metric", "space", "task", "kind", "drop", "groups", "time_order", "test_size", "cv", "seed", "trial_timeout", "ledger")
HEAVY = {"pandas", "sklearn", "scipy", "matplotlib", "lightgbm", "pyarrow"}


def param(verb: str, name: str):
    return next(param for param in VERBS[verb].params if param.name == name)


@pytest.mark.parametrize("name", SHARED)
def test_tune_and_compare_mean_the_same_by_an_option(name):
    tune, compare = param("tune", name), param("compare", name)
    assert (tune.opts, tune.help, tune.metavar, tune.default) == (compare.opts, compare.help, compare.metavar, compare.default)
    assert tune.help


@pytest.mark.parametrize("verb", [name for name, verb in VERBS.items() if any(p.name == "ledger" and p.opts == ["--ledger"] for p in verb.params)])
def test_a_ledger_may_be_a_path_or_a_url(verb):
    option = param(verb, "ledger")
    assert re.search(r"a path, or an sqlite:///, postgresql:// or mysql:// URL", option.help)
    assert (option.default, option.envvar) == ("staytuned.db", "STAYTUNED_LEDGER")


READING = ("studies", "studies --json", "models", "check", "show s", "trials s", "best s", "export out.jsonl", "gc", "delete s --yes")
EACH_IN_TURN = """
import json, sys
from staytuned.cli import main
for line in json.loads(sys.argv[1]):
    try:
        main(line)
    except SystemExit as end:
        print("ended", json.dumps([line, end.code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def loaded_by(*lines: list[str]) -> dict[str, set[str]]:
    """The top-level packages that a fresh interpreter has loaded after each of these command lines, one after the other."""
    done = subprocess.run([sys.executable, "-c", EACH_IN_TURN, json.dumps(lines)], capture_output=True, text=True, check=True)
    loaded = {}
    for said in done.stderr.splitlines():
        if not said.startswith("ended ["):
            continue
        line, code, names = json.loads(said.removeprefix("ended "))
        assert code == 0, done.stderr
        loaded[" ".join(line)] = set(names)
    assert len(loaded) == len(lines)
    return loaded


def test_help_loads_nothing_heavy():
    for line, names in loaded_by(["--help"], ["tune", "--help"]).items():
        assert not names & {*HEAVY, "sqlalchemy"}, line


def test_a_verb_that_only_reads_the_ledger_loads_no_tables(tmp_path):
    place = str(tmp_path / "l.db")
    ledger = open_ledger(place)
    Study("s", space={"x": [0.0, 1.0]}, sampler="grid", seed=0, ledger=ledger).optimize(lambda trial: trial.config["x"], trials=2)
    lines = [[*words.replace("out.jsonl", str(tmp_path / "out.jsonl")).split(), "--ledger", place] for words in READING]
    for line, names in loaded_by(*lines).items():
        assert not names & HEAVY, line
