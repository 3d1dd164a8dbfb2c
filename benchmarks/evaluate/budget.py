"""Does a budget of time hold? Wall-clock seconds taken against seconds given.

    python benchmarks/evaluate/budget.py --write
    python benchmarks/evaluate/budget.py --seconds 10 60

``staytuned tune`` is timed as a process of its own, from its start to its end, with reading, the last fit, the test, the report and the model
kept. ``TuneSearchCV(time=)`` and ``OptunaSearchCV(timeout=)``, where it is installed, tune a gradient boosting whose fits take seconds, in this process; the
time is of the search, the last fit not included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ground  # noqa: F401
import pandas as pd
from lightgbm import LGBMClassifier
from provenance import RESULTS, data_set, markdown, provenance, stored, written
from scipy.stats import loguniform, randint

from staytuned.search import TuneSearchCV

TABLES = ("titanic", "adult")
SECONDS = (10, 60, 300)
MOST_SECONDS = 300  # which takes five minutes a table; shorter ones are measured on both


def command(name: str, seconds: int) -> Mapping[str, Any]:
    """``staytuned tune`` on a table."""
    path, entry = data_set(name)
    with TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "staytuned", "tune", str(path), "--target", entry["target"], "--time", str(seconds), "--seed", "0"]
        began = time.perf_counter()
        done = subprocess.run([*line, "--out", folder, "--ledger", str(Path(folder) / "ledger.db")], capture_output=True, text=True, check=False)
        taken = time.perf_counter() - began
        models = len(list(Path(folder).rglob("*.skops"))) + len(list(Path(folder).rglob("*.pkl")))
    return {"what": "staytuned tune", "table": name, "given": seconds, "taken": taken, "ended well": done.returncode == 0, "models": models}


def search(name: str, seconds: int) -> Mapping[str, Any]:
    """``TuneSearchCV`` over a model whose fits take seconds."""
    path, entry = data_set(name)
    frame = pd.read_parquet(path)
    y = frame[entry["target"]].astype("category").cat.codes.to_numpy()
    X = frame.drop(columns=entry["target"]).select_dtypes("number").to_numpy(dtype=float)
    space = {"n_estimators": randint(200, 1001), "learning_rate": loguniform(0.01, 0.3), "num_leaves": randint(16, 256)}
    model = TuneSearchCV(LGBMClassifier(random_state=0, n_jobs=1, verbose=-1), space, time=seconds, trials=None, cv=5, random_state=0, refit=False)
    began = time.perf_counter()
    model.fit(X, y)
    taken = time.perf_counter() - began
    return {"what": "TuneSearchCV", "table": name, "given": seconds, "taken": taken, "ended well": bool(model.best_params_), "models": len(model.trials_)}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", nargs="+", type=int, default=list(SECONDS))
    parser.add_argument("--only", nargs="+", default=list(TABLES), metavar="TABLE", help=f"data sets in STAYTUNED_DATA  [default: {' '.join(TABLES)}]")
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    rows = []
    for seconds in options.seconds:
        cases = [(command, name) for name in (options.only if seconds < MOST_SECONDS else options.only[-1:])] + [(search, options.only[-1])]
        for measure, name in cases:
            rows.append(measure(name, seconds))
            print(rows[-1], flush=True)
    made = provenance("evaluate/budget.py", arguments)
    cells = [
        [str(r["what"]), str(r["table"]), str(r["given"]), f"{r['taken']:.2f}", f"{r['taken'] / r['given'] - 1:+.1%}", "yes" if r["ended well"] else "no"]
        for r in rows
    ]
    text = f"{written(made)}\n\n{markdown(['what', 'table', 'seconds given', 'taken', 'overshoot', 'ended with a model'], cells)}"
    print(text)
    if options.write:
        stored(RESULTS, "budget", {"made": made, "rows": rows}, f"# Budgets of time\n\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
