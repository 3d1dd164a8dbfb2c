"""The ledger that stays: one SQLite file, with a folder of blobs beside it."""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, true, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from staytuned.errors import LedgerError, LedgerReadOnly, UsageError
from staytuned.protocols import Fact
from staytuned.store import migrations
from staytuned.store.blobs import FolderBlobs
from staytuned.store.fork import pause_at_fork
from staytuned.store.lease import FREE, Lease, grant, request
from staytuned.store.lines import Line, to_fact, to_line
from staytuned.store.schema import claims, facts
from staytuned.store.sqlite import back_up, sqlite_engine
from staytuned.store.trouble import file_trouble, sqlite_trouble

_LARGEST_ID = 2**63 - 1


class SqlLedger:
    """A ledger in an SQLite file, shared by any number of threads and processes of one machine; survives ``kill -9`` and power cuts.

    An older ledger is brought to this version when opened, after a copy such as ``staytuned.db.v1.bak`` was made.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, or a plain path; folders are made as needed.
        blobs: the folder for blobs; by default ``staytuned.blobs`` beside ``staytuned.db``.
        read_only: never write, not even to bring it to this version.
        patience: seconds to wait while another process holds the file.
        clock: Unix time in seconds.

    Raises:
        UsageError: the URL is of another kind.
        LedgerError: it cannot be opened: LedgerLocked, LedgerReadOnly, LedgerTooNew, LedgerFull, or not a ledger.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        blobs: str | Path | None = None,
        read_only: bool = False,
        patience: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = database_path(url)
        self.blobs = FolderBlobs(_blobs_beside(self.path) if blobs is None else blobs)
        self.read_only = read_only
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._file: tuple[int, int] | None = None
        self._find_or_make_room()
        self._engine = sqlite_engine(self.path, read_only=read_only, patience=patience)
        self._writer = self._engine.execution_options(writes=True)
        weakref.finalize(self, self._engine.dispose)
        pause_at_fork(self)
        self._prepare()
        self._file = _identity(self.path)

    def append(self, facts: Sequence[Fact]) -> list[int]:
        """Write facts, all or none; the id each was given, 0 for one whose key its stream already had.

        Raises:
            UsageError: a fact cannot be written as JSON; none is written then.
            LedgerError: LedgerLocked, LedgerReadOnly, LedgerFull; none is written then.
        """
        lines = [to_line(fact) for fact in facts]
        if not lines:
            return []
        with self._writing() as connection:
            now = self._clock()
            return [_append(connection, line, now) for line in lines]

    def read(self, stream: str = "", after: int = 0, kind: str | None = None) -> list[Fact]:
        """The facts with an id above ``after``, in order of id; an empty stream means all, a trailing slash all that begin so."""
        wanted = _in_stream(stream) & (facts.c.id > min(after, _LARGEST_ID))
        if kind is not None:
            wanted &= facts.c.kind == kind
        with self._reading() as connection:
            rows = connection.execute(select(facts).where(wanted).order_by(facts.c.id)).all()
        return [_to_fact(row) for row in rows]

    def claim(self, key: str, owner: str, lease: float, instead_of: str | None = None) -> str:
        """Who holds ``key`` after this call; empty if nobody does, since it was given back with a lease of 0."""
        wish = request(key, owner, lease, instead_of)
        this_key = claims.c.key == key
        with self._writing() as connection:
            connection.execute(insert(claims).values(key=key, owner=FREE.owner, until=FREE.until).on_conflict_do_nothing())
            held = Lease(*connection.execute(select(claims.c.owner, claims.c.until).where(this_key).with_for_update()).one())
            granted = grant(held, wish, self._clock())
            if granted is not held:
                connection.execute(update(claims).where(this_key).values(granted._asdict()))
        return granted.owner

    def put(self, blob: bytes) -> str:
        """Keep a blob; its SHA-256 in hex. Putting it again changes nothing.

        Raises:
            LedgerError: LedgerReadOnly, LedgerFull.
        """
        self._must_write()
        return self.blobs.put(blob)

    def get(self, digest: str) -> bytes:
        """The blob with this SHA-256.

        Raises:
            BlobMissing: it is not there, or no longer matches its hash.
        """
        return self.blobs.get(digest)

    def close(self) -> None:
        """Let go of the file. The ledger opens it again by itself when next used."""
        with self._lock:
            self._engine.dispose()

    def pause(self) -> None:
        """Close the connection and hold calls up, while this process forks."""
        self._lock.acquire()
        self._engine.dispose()

    def resume(self) -> None:
        """Let calls in again after a fork."""
        self._lock.release()

    def __repr__(self) -> str:
        return f"SqlLedger({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.blobs.path, self.read_only, self._patience, self._clock)

    def _find_or_make_room(self) -> None:
        if self.read_only and not self.path.exists():
            raise LedgerError(f"no ledger at {self.path}; check the path, or open it for writing to begin one")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise file_trouble(problem, self.path.parent) from problem

    def _prepare(self) -> None:
        place = str(self.path)
        with self._reading() as connection:
            found = migrations.version(connection, place)
        if found == migrations.newest():
            return
        if self.read_only:
            what = f"has version {found}, older than {migrations.newest()}" if found else "is empty"
            raise LedgerReadOnly(f"{place} {what}; open it once for writing, which makes it ready")
        with self._writing() as connection:
            migrations.prepare(connection, place, self._back_up)

    def _back_up(self, old: int) -> None:
        back_up(self.path, self.path.with_name(f"{self.path.name}.v{old}.bak"))

    def _must_write(self) -> None:
        if self.read_only:
            raise LedgerReadOnly(f"{self.path} was opened with read_only=True; open it without to write")

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._lock, self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._must_write()
        with self._lock, self._translated(), self._writer.begin() as connection:
            # Writing into a file that was deleted succeeds, and nobody will ever read it.
            if self._file not in (None, _identity(self.path)):
                raise LedgerError(f"{self.path} was moved, deleted or replaced while it was open; put it back, or open the ledger anew")
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as problem:
            raise sqlite_trouble(problem.orig or problem, self.path, self._patience) from problem
        except sqlite3.Error as problem:
            raise sqlite_trouble(problem, self.path, self._patience) from problem
        except SQLAlchemyError as problem:
            raise LedgerError(f"{self.path}: {problem}") from problem
        except OSError as problem:
            raise file_trouble(problem, self.path) from problem


def database_path(url: str | Path) -> Path:
    """The absolute path of the file that a URL or a plain path names.

    Raises:
        UsageError: it names no file, or another kind of database.
    """
    text = str(url)
    if text.startswith("sqlite:"):
        text = text.removeprefix("sqlite:///")
    if not text or text == ":memory:" or text.startswith("sqlite:") or "://" in text:
        raise UsageError(f"ledger={str(url)!r} names no SQLite file; write a path such as staytuned.db, or sqlite:///staytuned.db")
    return Path(text).expanduser().absolute()


def _reopen(path: Path, blobs: Path, read_only: bool, patience: float, clock: Callable[[], float]) -> SqlLedger:
    return SqlLedger(path, blobs=blobs, read_only=read_only, patience=patience, clock=clock)


def _blobs_beside(path: Path) -> Path:
    known = path.suffix in (".db", ".sqlite", ".sqlite3")
    return path.with_suffix(".blobs") if known else path.with_name(f"{path.name}.blobs")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _append(connection: Connection, line: Line, now: float) -> int:
    statement = insert(facts).values(**line._asdict(), at=now).on_conflict_do_nothing().returning(facts.c.id)
    return connection.execute(statement).scalar() or 0


def _in_stream(stream: str) -> ColumnElement[bool]:
    if not stream:
        return true()
    if not stream.endswith("/"):
        return facts.c.stream == stream
    # A range can use the index, and unlike LIKE it tells upper case from lower. "0" is the character after "/".
    return (facts.c.stream >= stream) & (facts.c.stream < stream[:-1] + "0")


def _to_fact(row: Row[Any]) -> Fact:
    return to_fact(Line(row.stream, row.kind, row.key, row.body), row.id, row.at)
