"""How many trials a second can be asked for and told, ten parameters each, when everything is kept on disk?

    .venv-peers/bin/python benchmarks/store/throughput.py --write

Random search on all sides and no objective, so that only the storage is measured. All take turns in every repeat, in another order each time. *Flushes* is what
the disk is capable of: ours flushes once a trial, when it is told. Run it in a folder on a disk: one in memory flushes nothing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import ground  # noqa: F401
import numpy as np
from ledgers import LEDGERS, OURS
from provenance import RESULTS, markdown, provenance, stored, written
from repeats import flushes, ratio, said

PEERS = ("Optuna, SQLite", "Optuna, journal file")
WARM = 3


def rate(name: str, folder: Path, seconds: float) -> tuple[float, float]:
    """Trials per second of the clock, and per second of this process's processor time, of a new study."""
    bench, count = LEDGERS[name](folder), 0
    for _ in range(WARM):
        bench.ask_and_tell()
    begun, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < seconds:
        bench.ask_and_tell()
        count += 1
    return count / (time.perf_counter() - begun), count / (time.process_time() - used)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5, help="per run")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the files lie while they are measured  [default: here]")
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    names = [OURS, *PEERS]
    rates: dict[str, list[float]] = {name: [] for name in names}
    busy: dict[str, list[float]] = {name: [] for name in names}
    disk = []
    for repeat in range(options.repeats):
        for name in np.roll(names, repeat).tolist():
            folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
            try:
                disk.append(flushes(folder))
                clock, processor = rate(name, folder, options.seconds)
            finally:
                shutil.rmtree(folder)
            rates[name].append(clock)
            busy[name].append(processor)
            print(f"{repeat + 1}: {name}: {clock:.1f} trials/s, {processor:.1f} per CPU second", flush=True)
    ratios = {name: (ratio(rates[OURS], rates[name]), ratio(busy[OURS], busy[name])) for name in PEERS}
    cells = [
        [name, f"{np.median(rates[name]):.1f}", f"{1000 / np.median(busy[name]):.2f}", *([said(r) for r in ratios[name]] if name in ratios else ["", ""])]
        for name in names
    ]
    made = provenance("store/throughput.py", arguments) | {"optuna": importlib.metadata.version("optuna")}
    table = markdown(["ledger", "trials/s, median", "CPU ms per trial", "ours is faster by", "by CPU time"], cells)
    text = f"{written(made)}; Optuna {made['optuna']}\n\nFlushes of 4 KiB per second: median {np.median(disk):.0f}. Repeats: {options.repeats}.\n\n{table}"
    print(text)
    if options.write:
        body = {"made": made, "rates": rates, "per CPU second": busy, "flushes": disk, "ratios": ratios}
        stored(options.results, "store-throughput", body, f"# Trials per second through ask and tell\n\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
