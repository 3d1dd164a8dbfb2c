"""Where ledgers, tables and folders are: opened and checked, with the way out where they are not there."""

from __future__ import annotations

import os
import re
from pathlib import Path

from staytuned.errors import NotFoundError, UsageError
from staytuned.protocols import Ledger
from staytuned.store.open import open_ledger


def opened(ledger: str) -> Ledger:
    """The ledger, made if there is none."""
    return open_ledger(ledger)


def existing(ledger: str, *, read_only: bool = False) -> Ledger:
    """The ledger, which a reading verb must not create."""
    path = Path(ledger.removeprefix("sqlite:///"))
    if "://" not in ledger.removeprefix("sqlite:///") and not path.exists():
        raise NotFoundError(f"there is no ledger at {str(path)!r}; run 'staytuned tune' first, or name one with --ledger")
    if path.is_file() and path.stat().st_size == 0:
        raise NotFoundError(f"the ledger {str(path)!r} is empty; run 'staytuned tune' first, or name another with --ledger")
    return open_ledger(ledger, read_only=read_only)


def name_of(table: str) -> str:
    """What a file of a table is called, without its endings."""
    name = re.sub(r"(\.(csv|tsv|txt|parquet|pq|json|jsonl|ndjson|gz|bz2|xz|zip|zst))+$", "", Path(table).name, flags=re.IGNORECASE)
    return name.replace("/", "-") or "model"


def check_folder(folder: Path, option: str) -> None:
    """Now, and not after an hour's work."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"{option} {str(folder)!r}: nothing can be written to {str(there)!r}; choose another folder")
