"""A ledger's database in a file of SQLite: how it is opened, made durable, locked for writing and copied."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, NullPool, create_engine

from staytuned.errors import LedgerError, UsageError
from staytuned.store.blobs import FolderBlobs, Visit
from staytuned.store.schema import TABLES
from staytuned.store.trouble import file_trouble, sqlite_trouble

# What was acknowledged survives a killed process; with FULL a power cut too. Only that work has begun need not survive it:
# the worker does not either. In its place in the log it is flushed with whatever comes after it, so nothing is ever out of order.
FLUSHES = {True: "FULL", False: "NORMAL"}


class SqliteFile:
    """A database file on this machine.

    Args:
        path: absolute; its folders are made as needed.
        read_only: never write to it.
        patience: seconds to wait for another process's lock.

    Raises:
        LedgerError: there is no such file to read, or no folder can be made for it.
    """

    def __init__(self, path: Path, *, read_only: bool, patience: float) -> None:
        self.path = path
        self.place = str(path)
        self.url = str(path)
        self._patience = patience
        self._flush, self._logs_ahead = "", False
        self._file: tuple[int, int] | None = None
        self._find_or_make_room(read_only)
        self._mode = _mode(path, read_only)
        self._engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)

    @property
    def engine(self) -> Engine:
        return self._engine

    def begin(self, connection: Connection, lasting: bool) -> float:
        """Become the only writer; the time."""
        # Writing into a file that was deleted succeeds, and nobody will ever read it.
        if self._file not in (None, _identity(self.path)):
            raise LedgerError(f"{self.path} was moved, deleted or replaced while it was open; put it back, or open the ledger anew")
        if self._flush != (flush := FLUSHES[lasting or not self._logs_ahead]):
            _driver(connection).execute(f"PRAGMA synchronous={flush}")
            self._flush = flush
        self._wait_for_turn(_driver(connection))
        return time.time()

    def _wait_for_turn(self, connection: sqlite3.Connection) -> None:
        """Begin to write. SQLite's own way to wait sleeps ever longer, up to 0.1 s, and whoever waited longest is served last."""
        deadline = time.monotonic() + self._patience
        connection.execute("PRAGMA busy_timeout=0")
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(f"PRAGMA busy_timeout={round(1000 * self._patience)}")
                return
            except sqlite3.OperationalError as problem:
                if not _is_busy(problem) or time.monotonic() > deadline:
                    raise
                time.sleep(_TURN)

    def commit(self, connection: Connection) -> None:
        """Keep what was written, and let the next writer in."""
        _driver(connection).execute("COMMIT")

    def create(self, connection: Connection) -> None:
        """Make the tables of a new ledger."""
        TABLES.create_all(connection)

    def made(self) -> None:
        """The file is a ledger now."""
        self._file = _identity(self.path)

    def lost(self, problem: BaseException) -> bool:  # noqa: ARG002
        """Whether the connection broke, so that another one may do."""
        return False

    def trouble(self, problem: BaseException) -> LedgerError:
        """What went wrong, and the way out."""
        return file_trouble(problem, self.path) if isinstance(problem, OSError) else sqlite_trouble(problem, self.path, self._patience)

    def back_up(self, connection: Connection, version: int) -> None:  # noqa: ARG002
        """Copy the file, which others may be using; the copy appears whole or not at all."""
        copy = self.path.with_name(f"{self.path.name}.v{version}.bak")
        part = copy.with_name(f"{copy.name}.part")
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(_uri(self.path, "ro"), uri=True)) as source, closing(sqlite3.connect(part)) as target:
            source.backup(target)
        part.replace(copy)

    def blobs(self, visit: Visit) -> FolderBlobs:  # noqa: ARG002
        """Where blobs lie if nothing else is said: in the folder ``staytuned.blobs`` beside ``staytuned.db``."""
        known = self.path.suffix in (".db", ".sqlite", ".sqlite3")
        return FolderBlobs(self.path.with_suffix(".blobs") if known else self.path.with_name(f"{self.path.name}.blobs"))

    def _find_or_make_room(self, read_only: bool) -> None:
        if read_only and not self.path.exists():
            raise LedgerError(f"no ledger at {self.path}; check the path, or open it for writing to begin one")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise file_trouble(problem, self.path.parent) from problem

    def _connect(self) -> sqlite3.Connection:
        # isolation_level=None: Python shall not begin transactions on its own. Threads take turns, by the ledger's lock.
        connection = sqlite3.connect(_uri(self.path, self._mode), uri=True, timeout=self._patience, isolation_level=None, check_same_thread=False)
        self._flush = ""
        try:
            if self._mode.startswith("rw"):
                self._logs_ahead = _use_wal(connection, self._patience)
        except BaseException:
            connection.close()
            raise
        if self._mode == "rwc":
            self._mode = "rw"  # a ledger that was deleted meanwhile must not come back empty
        return connection


def database_path(url: str | Path) -> Path:
    """The absolute path of the file that a URL or a plain path names.

    Raises:
        UsageError: it names no file.
    """
    text = str(url)
    if text.startswith("sqlite:"):
        text = text.removeprefix("sqlite:///")
    if not text or text == ":memory:" or text.startswith("sqlite:") or "://" in text:
        scheme, found, _ = str(url).partition("://")
        known = f"{scheme}://..." if found and scheme != "sqlite" else str(url)  # there may be a password in it
        places = "a path such as staytuned.db, or sqlite:///staytuned.db, postgresql://user@host/database or mysql://user@host/database"
        raise UsageError(f"ledger={known!r} names no ledger; write {places}")
    return Path(text).expanduser().absolute()


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.dbapi_connection)


def _mode(path: Path, read_only: bool) -> str:
    if not read_only:
        return "rwc"
    # Reading beside a writer needs files that SQLite makes next to the database. Where it may not, and no writer has, nobody writes.
    alone = not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    return "ro&immutable=1" if alone else "ro"


def _uri(path: Path, mode: str) -> str:
    return f"{path.as_uri()}?mode={mode}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _use_wal(connection: sqlite3.Connection, patience: float) -> bool:
    """Switch to the write-ahead log, in which readers and the writer do not wait for each other; whether the file system can do it."""
    deadline = time.monotonic() + patience
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            # Where it cannot be done SQLite stays with its older journal, just as safe but slower.
            return bool(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal")
        except sqlite3.OperationalError as problem:
            # SQLite does not wait here by itself when others open the same new file.
            if not _is_busy(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    return True


def _is_busy(problem: sqlite3.OperationalError) -> bool:
    return problem.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


_TURN = 0.002  # seconds between two tries to become the writer
