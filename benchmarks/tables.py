"""``staytuned tune`` as it comes, on real tables: what it finds, how long it takes, what went wrong.

Each table is one run of the command line in a process of its own, with no option but the target and the time.

    python benchmarks/tables.py
    python benchmarks/tables.py --time 20 --only titanic1309 credit_g
    python benchmarks/tables.py --table sales.parquet sold
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time as clock
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from provenance import RESULTS, data_set, markdown, provenance, stored, written

from staytuned.automl.read import read_table
from staytuned.registry import Registry
from staytuned.store.open import open_ledger
from staytuned.study import Study
from staytuned.trial import Trial

TABLES = ("titanic1309", "boston_housing", "adult", "diamonds", "soybean", "credit_g", "mushroom")


def main(arguments: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _options(words)
    made = provenance("tables.py", words)
    wanted = [(Path(path), target) for path, target in options.table or ()]
    if options.only or not wanted:
        wanted += [(path, entry["target"]) for path, entry in map(data_set, options.only or TABLES)]
    runs = []
    for path, target in wanted:
        runs.append(_tuned(path, target, options))
        print(_line(runs[-1]), flush=True)
    text = "\n\n".join([f"`{written(made)}`", markdown(HEADERS, [_row(run, options.time) for run in runs]), _troubles(runs)])
    print(f"\n{text}")
    if not options.no_store:
        stored(options.results, options.name, {"provenance": made, "runs": runs}, f"# staytuned tune, {_budget(options)}\n\n{text}")


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tables.py", description="staytuned tune as it comes, on real tables.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"data sets in STAYTUNED_DATA  [default: {' '.join(TABLES)}]")
    parser.add_argument("--table", nargs=2, action="append", metavar=("PATH", "TARGET"), help="a table of your own; may be repeated")
    parser.add_argument("--time", type=float, default=60, help="seconds for each")
    parser.add_argument("--trials", type=int, help="configs for each instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="show what each run says")
    parser.add_argument("--name", default="tables", help="of the result")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--no-store", action="store_true", help="print only")
    return parser.parse_args(words)


def _budget(options: argparse.Namespace) -> str:
    return f"{options.trials} trials each" if options.trials else f"{options.time:g} seconds each"


def _tuned(path: Path, target: str, options: argparse.Namespace) -> dict[str, Any]:
    """One run of the command, and what it left in its ledger."""
    budget = ["--trials", str(options.trials)] if options.trials else ["--time", str(options.time)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "staytuned", "tune", str(path), "--target", target, *budget, "--seed", str(options.seed), "--json"]
        began = clock.monotonic()
        code, out, said, memory = _watched([*command, "--ledger", f"{folder}/l.db", "--out", f"{folder}/out"])
        seconds = clock.monotonic() - began
        if options.verbose:
            print(f"\n{path.stem}\n{said}", flush=True)
        frame = read_table(path)
        run: dict[str, Any] = {"table": path.stem, "rows": len(frame), "columns": frame.shape[1] - 1, "seconds": seconds, "peak memory": memory}
        run |= {"code": code, "said": said.splitlines()}
        if code:
            return run
        body = json.loads(out)
        run |= {key: body[key] for key in ("metric", "validation", "test", "test_interval", "baseline_test", "config")}
        return run | {"dummy": _dummy(said)} | _searched(f"{folder}/l.db", body["model"])


def _watched(command: Sequence[str]) -> tuple[int, str, str, int]:
    """(exit code, standard output, standard error, largest sum of resident sizes over all its processes, in bytes)."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = psutil.Popen(command, stdout=out, stderr=err)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident(process))
            clock.sleep(0.1)
        out.seek(0)
        err.seek(0)
        return process.returncode, out.read(), err.read(), peak


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        everyone = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    for one in everyone:
        try:
            total += one.memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total


def _dummy(said: str) -> float | None:
    """The validation score of a model that looks at no column, which the run says and nobody stores."""
    line = next((line for line in said.splitlines() if "looks at no column" in line), None)
    return None if line is None else float(line.split(" in validation")[0].split()[-1])


def _searched(ledger: str, name: str) -> dict[str, Any]:
    store = open_ledger(ledger)
    study_name = Registry(store).champion(name).lineage.study
    goal = store.read(f"study/{study_name}", kind="founded")[0].body["goal"]
    study = Study(study_name, goal=goal, ledger=store)
    best = study.goal.best(trial for trial in study.trials if trial.origin == "default")
    failed = [trial for trial in study.trials if trial.status.failed]
    return {
        "baseline validation": None if best is None else study.goal.score(best),
        "baseline family": None if best is None else _family(best),
        "trials": dict(Counter(str(trial.status) for trial in study.trials)),
        "trial seconds": sum(trial.measurement.cost.seconds for trial in study.trials if trial.measurement is not None),
        "failures": [{"family": _family(trial), "status": str(trial.status), "cure": trial.cure, "config": dict(trial.config)} for trial in failed],
        "done by family": dict(Counter(_family(trial) for trial in study.trials if not trial.status.failed)),
    }


def _family(trial: Trial) -> str:
    return str(trial.config.get("model"))


HEADERS = ("table", "rows", "columns", "metric", "dummy", "default: validation", "test", "tuned: validation", "test (95 % interval)", "winner",
           "done", "raced out", "failed", "seconds", "over", "peak memory")  # fmt: skip


def _row(run: Mapping[str, Any], budget: float) -> list[str]:
    size = [run["table"], f"{run['rows']:,}", str(run["columns"])]
    over = [f"{run['seconds']:.0f}", f"{100 * (run['seconds'] / budget - 1):+.0f} %", f"{run['peak memory'] / 2**20:.0f} MB"]
    if run["code"]:
        return [*size, f"exit code {run['code']}", *[""] * 9, *over]
    low, high = run["test_interval"]
    done, raced = (run["trials"].get(status, 0) for status in ("done", "pruned"))
    scores = [_number(run["dummy"]), _number(run["baseline validation"]), _number(run["baseline_test"]), _number(run["validation"])]
    test = f"{_number(run['test'])} ({_number(low)} to {_number(high)})"
    return [*size, run["metric"], *scores, test, run["config"]["model"], str(done), str(raced), str(len(run["failures"])), *over]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _line(run: Mapping[str, Any]) -> str:
    if run["code"]:
        return f"{run['table']}: exit code {run['code']} after {run['seconds']:.0f} s: {run['said'][-1] if run['said'] else ''}"
    return f"{run['table']}: {run['metric']} {_number(run['test'])} on the test part, {sum(run['trials'].values())} trials, {run['seconds']:.0f} s"


def _troubles(runs: Sequence[Mapping[str, Any]]) -> str:
    """Each failure once, with how often it came; and what a run remarked on."""
    lines = []
    for run in runs:
        if run["code"]:
            lines.append(f"- {run['table']}: exit code {run['code']}: {run['said'][-1] if run['said'] else ''}")
        counted = Counter((failure["family"], failure["status"], failure["cure"]) for failure in run.get("failures", ()))
        lines += [f"- {run['table']}: {family}, {status} ({count} times): {cure}" for (family, status, cure), count in counted.items()]
    return "Failed trials and runs:\n\n" + "\n".join(lines) if lines else "No trial and no run failed."


if __name__ == "__main__":
    main()
