"""Where the real tables are, and what made a result: every stored result says both."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("staytuned", "numpy", "scipy", "scikit-learn", "pandas", "lightgbm")


def data_folder() -> Path:
    """STAYTUNED_DATA, by default ``../shared/data`` beside the repository."""
    return Path(os.environ.get("STAYTUNED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def data_set(name: str) -> tuple[Path, Mapping[str, Any]]:
    """The file of a real data set and what its index says of it.

    Raises:
        SystemExit: there is none.
    """
    folder = data_folder()
    if not (folder / "index.json").exists():
        sys.exit(f"there is no index.json in {folder}; set STAYTUNED_DATA to the folder of the real data sets")
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    found = next((entry for entry in (index if isinstance(index, list) else index["datasets"]) if entry["name"] == name), None)
    if found is None:
        sys.exit(f"there is no data set {name!r} in {folder}")
    return folder / found["file"], found


def provenance(script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What must be known to make a result again, and to judge its seconds. Where it was written does not belong to it."""
    kept = [word for before, word in zip(["", *arguments], arguments, strict=False) if not {before, word} & {"--results", "--ledger", "--store"}]
    return {
        "command": shlex.join(["python", f"benchmarks/{script}", *kept]),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "processors": os.cpu_count(),
        "load": [round(x, 1) for x in psutil.getloadavg()],
    }


def written(made: Mapping[str, Any]) -> str:
    """The same in one line."""
    libraries = ", ".join(f"{name} {version}" for name, version in made["libraries"].items())
    return f"{made['command']}  ({made['made']}; Python {made['python']}, {libraries}; {made['processors']} processors, load {made['load'][0]})"


def stored(folder: Path, name: str, body: Mapping[str, Any], text: str) -> None:
    """Write a result twice: as JSON, and as it was printed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text.rstrip() + "\n", encoding="utf-8")


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that reads well before it is rendered, too."""
    widths = [max(len(str(row[place])) for row in (headers, *rows)) for place in range(len(headers))]
    lines = [headers, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines)
