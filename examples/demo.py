"""The main job from end to end, on a real table: what ``make demo`` runs.

Tunes on 1,000 of the 1,309 passengers in titanic.csv, scores the others, watches first a batch like the old ones and then one whose world has
changed, and tends the model. Everything it makes is in the folder ``demo``.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
FOLDER = Path("demo")
COMMAND = Path(sys.executable).with_name("staytuned")


def main() -> None:
    began = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    write_tables()
    os.environ["STAYTUNED_LEDGER"] = "staytuned.db"
    print("Titanic: 1,000 passengers to learn from; the other 309, and a changed world, come later.\n")
    run("staytuned tune titanic.csv --target survived --time 60 --seed 1")
    run("staytuned models")
    run("staytuned predict titanic new.csv -o scored.csv")
    run("staytuned watch titanic labelled.csv", codes=(0, 1))
    print("\nNow the world changes: fares triple, and men are put into the boats first.")
    run("staytuned watch titanic changed.csv", codes=(0, 1))
    run("staytuned tend titanic")
    run("staytuned watch titanic later.csv", codes=(0, 1))
    run("staytuned history titanic")
    print(f"\nDone in {time.monotonic() - began:.0f} seconds. What is where:")
    print(f"  report   {(FOLDER / 'staytuned-out' / 'titanic' / 'report.html').resolve()}   (open it in a browser)")
    print(f"  model    {(FOLDER / 'staytuned-out' / 'titanic' / 'model.skops').resolve()}")
    print(f"  ledger   {(FOLDER / 'staytuned.db').resolve()}   (every trial, prediction, look and decision)")
    print("\nNext, on a table of your own:")
    print(f"  {COMMAND} tune yours.csv --target COLUMN --time 60")


def write_tables() -> None:
    """titanic.csv to learn from; new.csv and labelled.csv from the same world; changed.csv and later.csv from another."""
    table = pd.read_csv(HERE / "titanic.csv").sample(frac=1, random_state=3).reset_index(drop=True)
    rng = np.random.default_rng(0)
    table[:1000].to_csv(FOLDER / "titanic.csv", index=False)
    table[1000:].drop(columns="survived").to_csv(FOLDER / "new.csv", index=False)
    table[1000:].to_csv(FOLDER / "labelled.csv", index=False)
    for name, part in (("changed", table[:650]), ("later", table[650:])):
        batch = part.sample(frac=1, random_state=1).assign(fare=lambda t: 3 * t["fare"])
        chance = np.where(batch["sex"] == "female", 0.1, 0.6) + np.where(batch["pclass"] == 1, 0.2, 0.0)
        batch.assign(survived=(rng.random(len(batch)) < chance).astype(int)).to_csv(FOLDER / f"{name}.csv", index=False)


def run(command: str, codes: tuple[int, ...] = (0,)) -> None:
    print(f"\n$ {command}", flush=True)
    words = shlex.split(command)
    code = subprocess.run([COMMAND, *words[1:]], cwd=FOLDER, check=False).returncode
    if code not in codes:
        sys.exit(f"'{command}' ended with exit code {code}")
    if code:
        print(f"(exit code {code})")


if __name__ == "__main__":
    main()
