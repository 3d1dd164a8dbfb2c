"""Is the 100,000th trial of a study as quick as the 1,000th, and how much memory does a worker need for it?

    .venv-peers/bin/python benchmarks/store/long.py --write

One worker asks and tells without an objective, in an SQLite file. At each length the times are medians over 200 trials, *resident* is the memory of the
process. The memory of Optuna's worker stands beside it up to 10,000 trials, in its storage in memory, for
scale: it keeps its trials, too.
"""

from __future__ import annotations

import argparse
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
import psutil
from ledgers import Optunas, Ours
from provenance import RESULTS, markdown, provenance, stored, written

SPAWN = multiprocessing.get_context("spawn")
LENGTHS = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
LOOKED = 200
PACKED = 10_000  # trials from which on older ones are packed


def resident() -> float:
    """MB of memory of this process."""
    return psutil.Process().memory_info().rss / 1e6


def worked(place: str, lengths: Sequence[int]) -> list[dict[str, float]]:
    """One worker's life."""
    bench, rows, count = Ours(place), [], 0
    for length in lengths:
        while count < length - LOOKED:
            bench.ask_and_tell()
            count += 1
        asks, tells, used = [], [], time.process_time()
        for _ in range(LOOKED):
            begun = time.perf_counter()
            trial = bench.study.ask()
            asked = time.perf_counter()
            bench.study.tell(trial, 1.0)
            asks.append(asked - begun)
            tells.append(time.perf_counter() - asked)
            count += 1
        used = (time.process_time() - used) / LOOKED
        rows.append({"trials": count, "ask": 1000 * float(np.median(asks)), "tell": 1000 * float(np.median(tells)), "cpu": 1000 * used, "resident": resident()})
        print({name: round(value, 2) for name, value in rows[-1].items()}, flush=True)
    return rows


def growth(rows: Sequence[dict[str, float]]) -> float:
    """Bytes of memory per trial from the first of these rows to the last; 0 of fewer than two."""
    return (rows[-1]["resident"] - rows[0]["resident"]) * 1e6 / (rows[-1]["trials"] - rows[0]["trials"]) if len(rows) > 1 else 0.0


def opened(place: str) -> dict[str, float]:
    """What it costs a new worker to continue."""
    before, begun = resident(), time.perf_counter()
    bench = Ours(place)
    read = time.perf_counter() - begun
    bench.study.ask()
    return {"seconds": read, "first ask": time.perf_counter() - begun - read, "MB more": resident() - before}


def of_optuna(trials: int) -> float:
    """Bytes per trial that Optuna keeps in memory."""
    import optuna

    bench = Optunas(optuna.storages.InMemoryStorage())
    for _ in range(100):
        bench.ask_and_tell()
    before = resident()
    for _ in range(trials):
        bench.ask_and_tell()
    return (resident() - before) * 1e6 / trials


def alone(function: Any, *arguments: Any) -> Any:
    """The answer of a process of its own."""
    with SPAWN.Pool(1) as pool:
        return pool.apply(function, arguments)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=max(LENGTHS))
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the file lies while it is measured  [default: here]")
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    try:
        place = folder / "staytuned.db"
        rows = alone(worked, str(place), [n for n in LENGTHS if n <= options.trials])
        again = alone(opened, str(place))
        size = place.stat().st_size / rows[-1]["trials"]
    finally:
        shutil.rmtree(folder)
    theirs = alone(of_optuna, min(options.trials, 10_000))
    first, last = rows[0], rows[-1]
    kept = [growth(part) for part in ([row for row in rows if row["trials"] <= PACKED], [row for row in rows if row["trials"] >= PACKED])]
    bytes_ = f"{kept[0]:.0f} bytes" + (f", and {kept[1]:.0f} of those beyond {PACKED:,}," if len(rows) > 1 and last["trials"] > PACKED else "")
    cells = [[f"{row['trials']:,}", f"{row['ask']:.2f}", f"{row['tell']:.2f}", f"{row['cpu']:.2f}", f"{row['resident']:.0f}"] for row in rows]
    made = provenance("store/long.py", arguments)
    said = (
        f"Ask at {last['trials']:,} trials takes {last['ask'] / first['ask']:.2f} times as long as at {first['trials']:,}. A worker keeps {bytes_} "
        f"of memory per trial of ten parameters (Optuna, in memory: {theirs:.0f}); on disk it is {size:.0f}. Opening the study of {last['trials']:,} "
        f"trials takes {again['seconds']:.1f} s and {again['MB more']:.0f} MB, and the first ask {again['first ask']:.2f} s."
    )
    text = f"{written(made)}\n\n{said}\n\n{markdown(['trials', 'ask, ms', 'tell, ms', 'CPU ms of both', 'resident, MB'], cells)}"
    print(text)
    if options.write:
        stored(
            options.results, "store-long", {"made": made, "rows": rows, "opened": again, "bytes per trial": [*kept, theirs, size]}, f"# Long studies\n\n{text}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
