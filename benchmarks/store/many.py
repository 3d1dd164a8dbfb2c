"""How long do 8 processes take for 25 trials each, with three reports a trial, in one file?

    .venv-peers/bin/python benchmarks/store/many.py --write

The clock runs from the moment when all processes have opened the study until the last one ends. Optuna writes every parameter and every report when it is said;
ours keeps a trial's reports with its end, in one transaction.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ground  # noqa: F401
import numpy as np
from ledgers import LEDGERS, OURS
from provenance import RESULTS, markdown, provenance, stored, written
from repeats import ratio, said

SPAWN = multiprocessing.get_context("spawn")


def work(name: str, folder: Path, trials: int, begin: Any, errors: Any) -> None:
    """One worker; its error, if it has one, is put into the queue."""
    try:
        bench = LEDGERS[name](folder)
        begin.wait()
        bench.optimize(trials)
    except Exception as problem:
        errors.put(f"{type(problem).__name__}: {problem}"[:200])
        begin.abort()


def together(name: str, folder: Path, processes: int, trials: int) -> tuple[float, int, list[str]]:
    """Seconds, how many trials have a score in the end, and what went wrong."""
    LEDGERS[name](folder)
    begin, errors = SPAWN.Barrier(processes + 1), SPAWN.Queue()
    workers = [SPAWN.Process(target=work, args=(name, folder, trials, begin, errors)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    begin.wait()
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begun
    found = []
    while not errors.empty():
        found.append(errors.get())
    return seconds, LEDGERS[name](folder).ended(), found


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--trials", type=int, default=25, help="of each process")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ledgers", nargs="+", default=[OURS, "Optuna, SQLite", "Optuna, journal file"], choices=list(LEDGERS))
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the files lie while they are measured  [default: here]")
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    runs: dict[str, list[tuple[float, int, list[str]]]] = {name: [] for name in options.ledgers}
    for repeat in range(options.repeats):
        for name in np.roll(options.ledgers, repeat).tolist():
            folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
            try:
                runs[name].append(together(name, folder, options.processes, options.trials))
            finally:
                shutil.rmtree(folder)
            seconds, ended, errors = runs[name][-1]
            print(f"{repeat + 1}: {name}: {seconds:.2f} s, {ended} trials, {len(errors)} errors {errors[:1]}", flush=True)
    wanted = options.processes * options.trials
    speed = {name: [ended / seconds for seconds, ended, _ in found] for name, found in runs.items()}
    cells = [
        [
            name,
            f"{np.median([seconds for seconds, _, _ in found]):.1f}",
            f"{np.median(speed[name]):.1f}",
            "" if name == OURS or OURS not in speed else said(ratio(speed[OURS], speed[name])),
            " ".join(f"{ended} of {wanted}" for _, ended, _ in found),
            str(sum(len(errors) for _, _, errors in found)),
        ]
        for name, found in runs.items()
    ]
    made = provenance("store/many.py", arguments) | {"optuna": importlib.metadata.version("optuna")}
    table = markdown(["ledger", "seconds, median", "trials/s, median", "ours is faster by", "trials that ended", "processes that failed"], cells)
    text = f"{written(made)}; Optuna {made['optuna']}\n\n{options.processes} processes x {options.trials} trials x 3 reports.\n\n{table}"
    print(text)
    if options.write:
        stored(options.results, "store-many", {"made": made, "runs": runs}, f"# Many processes on one file\n\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
