"""The benchmark scripts run from end to end, on tables made up here; what they measure on real ones is stored beside them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(script: str, *arguments: str, folder: Path, timeout: float = 300) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(BENCHMARKS / script), "--results", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def turning_stream(rows: int) -> pd.DataFrame:
    """Two classes that can be told apart by one column, in the opposite direction in the second half."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(rows, 2))
    sign = np.where(np.arange(rows) < rows // 2, 3.0, -3.0)
    return pd.DataFrame({"step": np.arange(rows), "a": x[:, 0], "b": x[:, 1], "sold": np.where(sign * x[:, 0] + rng.logistic(size=rows) > 0, "yes", "no")})


@pytest.mark.slow
def test_the_tended_model_follows_a_world_that_turned(tmp_path: Path) -> None:
    turning_stream(2400).to_parquet(tmp_path / "sales.parquet")
    said = run(
        *("stream.py", "--data", str(tmp_path / "sales.parquet"), "--target", "sold", "--time-column", "step", "--metric", "accuracy"),
        *("--block", "200", "--trials", "2", "--retune-trials", "2", "--jobs", "1", "--first", "0.25", "--refit"),
        folder=tmp_path,
    )
    body = json.loads((tmp_path / "stream-sales.json").read_text())
    blocks, means = body["blocks"], body["means"]["metric"]
    assert [block["rows"] for block in blocks] == [200] * 9
    assert means["static"] < 0.5 < means["tended"]  # the turn costs the static model two thirds of the blocks
    assert {"static", "tended", "refit, all rows", "previous label", "block's last label"} <= set(means)
    assert body["actions"]["promote"] >= 1
    assert blocks[0]["version"] == 1 < blocks[-1]["version"]
    assert "promote" in said
    assert str(round(means["tended"], 4)) in (tmp_path / "stream-sales.md").read_text()


@pytest.mark.slow
def test_a_table_is_tuned_by_the_command_line_and_told_in_one_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(150, 3)), columns=["a", "b", "c"])
    table.assign(price=lambda t: 2 * t["a"] - t["b"] + 0.1 * rng.normal(size=150)).to_csv(tmp_path / "house.csv", index=False)
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    said = run("tables.py", "--table", str(tmp_path / "house.csv"), "price", "--table", str(tmp_path / "one.csv"), "b", "--trials", "4", folder=tmp_path)
    house, one = json.loads((tmp_path / "tables.json").read_text())["runs"]
    assert (house["table"], house["rows"], house["columns"], house["metric"]) == ("house", 150, 3, "rmse")
    assert house["test"] < house["dummy"]
    assert house["test_interval"][0] <= house["test"] <= house["test_interval"][1]
    assert sum(house["trials"].values()) == 4
    assert house["peak memory"] > 50 * 2**20
    assert one["code"] == 2
    assert one["said"][-1] in said


@pytest.mark.slow
def test_a_search_is_run_once_and_reported(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "search" / "run.py"), "--methods", "random", "sobol", "--only", "branin", "points150"]
    command += ["--seeds", "2", "--trials", "25", "--store", str(tmp_path / "store")]
    for due in (8, 0):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{due} runs of 25 trials")
    said = run("search/report.py", "--store", str(tmp_path / "store"), "--trials", "25", "--against", "sobol", "--write", folder=tmp_path)
    body = json.loads((tmp_path / "search-25.json").read_text())
    assert body["checkpoints"] == [25]
    assert {(problem, method, len(seeds)) for problem, methods in body["best"].items() for method, seeds in methods.items()} == {
        (problem, method, 2) for problem in ("branin", "points150") for method in ("random", "sobol")
    }
    assert min(body["best"]["branin"]["sobol"]["0"]) > 0.397
    assert said.strip() in (tmp_path / "search-25.md").read_text()


def test_eight_trials_at_once_take_an_eighth_of_the_simulated_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "search"))
    from run import searched  # type: ignore[import-not-found]

    class Counting:
        """Proposes 0, 1, 2, ... and notes how many of them it has heard of at each ask."""

        def __init__(self) -> None:
            self.heard: list[float] = []
            self.known: list[int] = []

        def ask(self) -> tuple[int, dict[str, int]]:
            self.known.append(len(self.heard))
            return len(self.known) - 1, {"x": len(self.known) - 1}

        def tell(self, ticket: int, loss: float) -> None:
            assert loss == ticket
            self.heard.append(loss)

    alone, crowd = Counting(), Counting()
    one, many = (searched(tuner, lambda config: float(config["x"]), 40, workers) for tuner, workers in ((alone, 1), (crowd, 8)))
    assert alone.known == list(range(40))
    assert all(number - 8 < heard <= number for number, heard in enumerate(crowd.known))
    assert crowd.known[:8] == [0] * 8
    assert one.losses == many.losses == [float(number) for number in range(40)]
    assert round(one.wall) == 40
    assert round(many.wall) == 5
    assert list(one.seconds) == [25]


@pytest.mark.slow
def test_every_ablation_changes_the_search_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "search"))
    from ablate import AT_ONCE, VARIANTS, ablated  # type: ignore[import-not-found]

    for variants, workers in ((VARIANTS, 1), (AT_ONCE, 8)):
        found = {variant: ablated((variant, "mixed", 0, workers))[2].losses for variant in variants}
        for variant, losses in found.items():
            assert len(losses) == 100
            assert variant == "as it is" or losses != found["as it is"], f"{variant!r} changes nothing"
    assert ablated(("as it is", "mixed", 0, 1))[2].losses == ablated(("as it is", "mixed", 0, 1))[2].losses  # eight at once depend on seconds


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A folder of data sets as STAYTUNED_DATA names one, with a single small table in it under the names that are asked for."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(150, 4))
    frame = pd.DataFrame(X, columns=list("abcd")).assign(target=X[:, 0] + np.sin(X[:, 1]) + 0.2 * rng.normal(size=150))
    frame.to_parquet(tmp_path / "made_up.parquet")
    entries = [{"name": name, "file": "made_up.parquet", "target": "target", "task": "regression"} for name in ("pol", "concrete")]
    (tmp_path / "index.json").write_text(json.dumps(entries))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("evaluate/grids.py", ["--only", "100 ridge alphas", "--repeats", "1"], "100 ridge alphas"),
        ("evaluate/reach.py", ["--only", "concrete", "--estimators", "svm"], "of the time"),
        ("evaluate/bias.py", ["--only", "equal", "--replications", "5", "--no-store"], "30 configs of equal risk"),
        ("evaluate/enough.py", ["--only", "concrete", "--seeds", "1"], "of 1 searches"),
        ("execute/efficiency.py", ["--only", "threads", "staytuned's processes", "--workers", "2", "--trials", "4", "--seconds", "0.1"], "of 2 workers' time"),
    ],
)
def test_what_measuring_less_is_worth(script: str, arguments: list[str], said: str, made_up: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "STAYTUNED_DATA": str(made_up)}
    done = subprocess.run([sys.executable, str(BENCHMARKS / script), *arguments], capture_output=True, text=True, timeout=300, env=environment, cwd=made_up)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    if script.endswith("grids.py"):
        assert float(done.stdout.splitlines()[-1].split("|")[-2]) <= 1e-10  # the largest difference between two scores


PEERS = BENCHMARKS.parent / ".venv-peers" / "bin" / "python"


def python_with_optuna() -> str:
    """This Python, or that of the peers; skips where neither has Optuna."""
    if importlib.util.find_spec("optuna"):
        return sys.executable
    if PEERS.exists() and not subprocess.run([PEERS, "-c", "import optuna, staytuned"], capture_output=True, check=False).returncode:
        return str(PEERS)
    pytest.skip("no Optuna here, nor in .venv-peers: make peers")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "against_optuna", "said", "kept"),
    [
        ("load", ["--trials", "40", "--studies", "60"], False, "60 studies in one file", "runs"),
        ("long", ["--trials", "2000"], True, "Opening the study of 2,000 trials", "rows"),
        ("many", ["--processes", "2", "--trials", "3", "--repeats", "2"], True, "2 processes x 3 trials x 3 reports", "runs"),
        ("throughput", ["--repeats", "2", "--seconds", "0.3"], True, "Flushes of 4 KiB per second", "rates"),
    ],
)
def test_ledgers_are_timed_and_lose_nothing(script: str, arguments: list[str], against_optuna: bool, said: str, kept: str, tmp_path: Path) -> None:
    python = python_with_optuna() if against_optuna else sys.executable
    command = [python, str(BENCHMARKS / "store" / f"{script}.py"), *arguments, "--folder", str(tmp_path), "--results", str(tmp_path), "--write"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    body = json.loads((tmp_path / f"store-{script}.json").read_text())
    assert body[kept]
    if script == "load":
        [run] = body["runs"].values()
        assert (run["trials"], run["lost"], run["twice"], run["errors"]) == (40, 0, 0, [])
    if script == "many":
        assert all(ended == 6 and not errors for seconds, ended, errors in body["runs"]["staytuned, SQLite"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"store-{script}.json", f"store-{script}.md"]  # nothing else is left behind
