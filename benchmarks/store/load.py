"""Does a ledger stand what is more than most will ever ask of it? 16 processes on one file, 64 workers on PostgreSQL, 10,000 studies in one ledger.

    .venv/bin/python benchmarks/store/load.py --postgresql postgresql://user:password@host/database --write

Workers run nothing but ask and tell until the study has its total. *Lost* and *twice* count trials; both have to be 0. The database on the server must be
empty.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ground  # noqa: F401
import numpy as np
from ledgers import SPACE
from provenance import RESULTS, markdown, provenance, stored, written

from staytuned.store.sql import SqlLedger
from staytuned.study import Study

SPAWN = multiprocessing.get_context("spawn")


def study(place: Any, name: str = "load") -> Study:
    return Study(name, space=SPACE, sampler="random", ledger=place, seed=0)


def worked(place: str, total: int, threads: int, begin: Any, answers: Any) -> None:
    """One process with so many workers; each tells the numbers it ran, and how long its trials took."""

    def one(_: int) -> tuple[list[int], list[float], str]:
        ran: list[int] = []
        ends: list[float] = []
        try:
            mine = study(SqlLedger(place, patience=120))
            begin.wait()
            ends.append(time.perf_counter())
            mine.optimize(lambda _: 1.0, total=total, on_trial=lambda trial: (ran.append(trial.number), ends.append(time.perf_counter())))
        except Exception as problem:
            return ran, ends, f"{type(problem).__name__}: {problem}"
        return ran, ends, ""

    with ThreadPoolExecutor(threads) as pool:
        answers.put(list(pool.map(one, range(threads))))


def together(place: str, processes: int, threads: int, total: int) -> dict[str, Any]:
    """One study run by all workers."""
    study(place)
    begin, answers = SPAWN.Barrier(processes * threads + 1), SPAWN.Queue()
    workers = [SPAWN.Process(target=worked, args=(place, total, threads, begin, answers)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    begin.wait()
    begun = time.perf_counter()
    lives = [life for _ in workers for life in answers.get()]
    seconds = time.perf_counter() - begun
    for worker in workers:
        worker.join()
    told = [fact.body["number"] for fact in SqlLedger(place).read("study/load", kind="told")]
    runs, times = Counter(number for ran, _, _ in lives for number in ran), np.concatenate([np.diff(ends) for _, ends, _ in lives])
    return {
        "trials": len(told), "seconds": seconds, "median": 1000 * float(np.median(times)), "longest": 1000 * float(times.max()),
        "lost": total - len(set(told)), "twice": sum(count > 1 for count in runs.values()) + len(told) - len(set(told)),
        "errors": [said for *_, said in lives if said],
    }  # fmt: skip


def studies(place: str, count: int) -> list[float]:
    """Milliseconds to begin a study and run one trial of it: of the first, and of the last, fifty."""
    ledger, spent = SqlLedger(place), []
    for number in range(count):
        begun = time.perf_counter()
        mine = study(ledger, f"s{number}")
        mine.tell(mine.ask(), 1.0)
        spent.append(time.perf_counter() - begun)
    return [1000 * float(np.median(spent[:50])), 1000 * float(np.median(spent[-50:]))]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--postgresql", metavar="URL", help="an empty database; without it that part is left out")
    parser.add_argument("--trials", type=int, default=3200, help="of each study that many share")
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the files lie while they are measured  [default: here]")
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    found = {}
    try:
        found["SQLite, 16 processes"] = together(str(folder / "staytuned.db"), 16, 1, options.trials)
        print(found, flush=True)
        if options.postgresql:
            found["PostgreSQL, 64 workers in 4 processes"] = together(options.postgresql, 4, 16, options.trials)
            print(found, flush=True)
        first, last = studies(str(folder / "studies.db"), options.studies)
    finally:
        shutil.rmtree(folder)
    cells = [
        [
            *(name, str(row["trials"]), f"{row['trials'] / row['seconds']:.0f}", f"{row['median']:.0f}", f"{row['longest']:.0f}"),
            *(str(row["lost"]), str(row["twice"]), str(len(row["errors"]))),
        ]
        for name, row in found.items()
    ]
    made = provenance("store/load.py", [word for word in arguments if "://" not in word and word != "--postgresql"])
    table = markdown(["ledger", "trials", "trials/s of all", "ms per trial, median", "longest", "lost", "twice", "errors"], cells)
    said = f"{options.studies:,} studies in one file: beginning one and running a trial of it takes {first:.1f} ms at first and {last:.1f} ms in the end."
    text = f"{written(made)}\n\n{table}\n\n{said}"
    print(text)
    if options.write:
        stored(options.results, "store-load", {"made": made, "runs": found, "studies": [first, last]}, f"# Ledgers under load\n\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
