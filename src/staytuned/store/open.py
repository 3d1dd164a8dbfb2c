"""From whatever names a ledger to the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from staytuned.errors import UsageError
from staytuned.protocols import Ledger
from staytuned.store.memory import MemoryLedger

_METHODS = ("append", "read", "claim", "put", "get")
_IN_MEMORY = (":memory:", "sqlite://", "sqlite:///:memory:")


def open_ledger(where: str | Path | Ledger | None = None, *, read_only: bool = False) -> Ledger:
    """The ledger at ``where``.

    Args:
        where: None or ":memory:" for one that ends with the process; a path or ``sqlite:///path`` for a file, made with its
            folders if there is none; ``postgresql://user:password@host/database`` or ``mysql://...`` for an empty database on a server; or a
            ledger, which comes back as it is.
        read_only: open it without ever writing to it.

    Raises:
        UsageError: it names no ledger that this staytuned can open.
        LedgerError: the file cannot be opened.

    >>> open_ledger()
    MemoryLedger(0 facts)
    """
    if where is None or (isinstance(where, str) and where in _IN_MEMORY):
        return MemoryLedger()
    if isinstance(where, str | Path):
        return _open_file(where, read_only)
    if all(callable(getattr(where, method, None)) for method in _METHODS):
        return where
    raise UsageError(f"ledger={where!r} is no ledger; pass a path, a URL such as sqlite:///path, None, or an object with the methods {', '.join(_METHODS)}")


def _open_file(where: str | Path, read_only: bool) -> Ledger:
    from staytuned.store.sql import SqlLedger  # here, so that a study in memory need not load sqlalchemy

    return cast(Ledger, SqlLedger(where, read_only=read_only))
