"""What only SQLite needs: how a database file is opened, made durable, locked for writing and copied."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

# FULL: what was acknowledged survives a power cut too, not only a killed process.
PRAGMAS = ["PRAGMA synchronous=FULL"]


def sqlite_engine(path: Path, *, read_only: bool, patience: float) -> Engine:
    """An engine with at most one connection to the database file; the file is created if the first connection finds none.

    Transactions of ``engine.execution_options(writes=True)`` take the write lock as they begin.

    Args:
        patience: seconds to wait for another process's lock.
    """
    mode = _mode(path, read_only)

    def connect() -> sqlite3.Connection:
        nonlocal mode
        connection = _connect(path, mode, patience)
        if mode == "rwc":
            mode = "rw"  # a ledger that was deleted meanwhile must not come back empty
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0)
    event.listen(engine, "begin", _begin)
    return engine


def back_up(path: Path, copy: Path) -> None:
    """Copy a database that others may be using; the copy appears whole or not at all."""
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(_uri(path, "ro"), uri=True)) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)
    part.replace(copy)


def _mode(path: Path, read_only: bool) -> str:
    if not read_only:
        return "rwc"
    # Reading beside a writer needs files that SQLite makes next to the database. Where it may not, and no writer has, nobody writes.
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return "ro&immutable=1" if alone else "ro"


def _uri(path: Path, mode: str) -> str:
    return f"{path.as_uri()}?mode={mode}"


def _connect(path: Path, mode: str, patience: float) -> sqlite3.Connection:
    # isolation_level=None: Python shall not begin transactions on its own. Threads take turns, by the ledger's lock.
    connection = sqlite3.connect(_uri(path, mode), uri=True, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        if mode.startswith("rw"):
            _use_wal(connection, patience)
        for pragma in PRAGMAS:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Switch to the write-ahead log, in which readers and the writer do not wait for each other."""
    deadline = time.monotonic() + patience
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return  # where the file system cannot do it SQLite stays with its older journal, just as safe but slower
        except sqlite3.OperationalError as problem:
            # SQLite does not wait here by itself when others open the same new file.
            if problem.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _begin(connection: Connection) -> None:
    # Ids are given inside this lock, so they become visible in their order and a reader that asks for what came after the last
    # one it saw misses none. A PostgreSQL sequence does not promise that: there, an append has to lock the table first.
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
