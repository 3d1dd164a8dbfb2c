"""The ledger that stays: in a database, with its blobs in a folder beside it or in the database itself."""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Error as SqliteError
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from staytuned.errors import LedgerError, LedgerReadOnly
from staytuned.protocols import Claim, Fact
from staytuned.store import migrations, statements
from staytuned.store.databases import Blobs, database_for
from staytuned.store.fork import pause_at_fork
from staytuned.store.lease import checked_claims, grant
from staytuned.store.lines import to_line
from staytuned.store.remote import blobs_at

_T = TypeVar("_T")


class SqlLedger:
    """A ledger in a database, shared by any number of threads and processes: of one machine in an SQLite file, of many on a server.

    What was acknowledged survives ``kill -9`` and power cuts. An older ledger is brought to this version when opened, after a copy was made, such as
    ``staytuned.db.v1.bak`` or the table ``facts_v1``.

    Args:
        url: a plain path, ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, folders are made as needed; or ``postgresql://user:password@host/database``
            or ``mysql://user:password@host/database``, an empty database that is there already.
        blobs: the folder or fsspec URL for blobs; by default ``staytuned.blobs`` beside ``staytuned.db``, and on a server the database itself.
        read_only: never write, not even to bring it to this version.
        patience: seconds to wait while another process writes, and for a server that went away to come back.
        clock: Unix time in seconds; by default the database's.

    Raises:
        UsageError: the URL is of another kind, or the package that its server needs is not installed.
        LedgerError: it cannot be opened: LedgerLocked, LedgerReadOnly, LedgerTooNew, LedgerFull, or not a ledger.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        blobs: str | Path | None = None,
        read_only: bool = False,
        patience: float = 30.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.read_only = read_only
        self._arguments = {"blobs": blobs if blobs is None or "://" in str(blobs) else str(Path(blobs).absolute()), "patience": patience, "clock": clock}
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._database = database_for(url, read_only=read_only, patience=patience)
        self._connections: list[Connection] = []  # one while it is in use, none before, after and during a fork
        self._opened = False
        weakref.finalize(self, _close, self._connections)
        pause_at_fork(self)
        self._prepare()
        self._opened = True  # from now on, a connection that breaks is worth another try
        self.blobs: Blobs = self._database.blobs(self._read) if blobs is None else blobs_at(blobs)

    @property
    def place(self) -> str:
        """Where it is: a path, or a URL without a password."""
        return self._database.place

    def append(self, facts: Sequence[Fact], claims: Sequence[Claim] = ()) -> list[int]:
        """Write facts, all or none; the id each was given, 0 for one whose key its stream already had. With claims, all of it happens or nothing.

        Raises:
            UsageError: a fact cannot be written as JSON, or a claim makes no sense; nothing happens then.
            LedgerError: LedgerLocked, LedgerReadOnly, LedgerFull; nothing happens then.
        """
        lines = [to_line(fact) for fact in facts]
        claims = checked_claims(claims)
        if not lines and not claims:
            return []
        tried: list[tuple[list[int], float]] = []

        def step(connection: Connection, now: float) -> list[int]:
            if tried and statements.are_there(connection, lines, *tried[-1]):
                return tried[-1][0]  # the connection broke after all was written, before the answer came
            tried.append((statements.append(connection, lines, claims, now), now))
            return tried[-1][0]

        return self._write(step, lasting=not any(claim.lease for claim in claims))

    def read(self, stream: str = "", after: int = 0, kind: str | None = None, limit: int | None = None) -> list[Fact]:
        """The facts with an id above ``after``, in order of id, the first ``limit``; an empty stream means all, a trailing slash all that begin so."""
        return self._read(lambda connection: statements.read(connection, stream, after, kind, limit))

    def claim(self, key: str, owner: str, lease: float, instead_of: str | None = None) -> str:
        """Who holds ``key`` after this call; empty if nobody does, since it was given back with a lease of 0."""
        [claim] = checked_claims([Claim(key, owner, lease, instead_of)])

        def step(connection: Connection, now: float) -> str:
            held = statements.held_by(connection, claim.key)
            granted = grant(held, claim, now)
            statements.put_lease(connection, claim.key, held, granted)
            return granted.owner

        return self._write(step, lasting=False)

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
        """Let go of the database. The ledger opens it again by itself when next used."""
        with self._lock:
            _close(self._connections)

    def pause(self) -> None:
        """Close the connection and hold calls up, while this process forks."""
        self._lock.acquire()
        _close(self._connections)

    def resume(self) -> None:
        """Let calls in again after a fork."""
        self._lock.release()

    def __repr__(self) -> str:
        return f"SqlLedger({self.place!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._database.url, self.read_only, self._arguments)

    def _prepare(self) -> None:
        try:
            found = self._read(lambda connection: migrations.version(connection, self.place))
        except migrations.NotALedger:
            if self.read_only:
                raise
            found = 0  # another process may be about to make it one, which takes some steps where tables are made one by one
        if found != migrations.newest():
            if self.read_only:
                what = f"has version {found}, older than {migrations.newest()}" if found else "is empty"
                raise LedgerReadOnly(f"{self.place} {what}; open it once for writing, which makes it ready")
            self._write(lambda connection, _: migrations.prepare(connection, self._database))
        self._database.made()

    def _must_write(self) -> None:
        if self.read_only:
            raise LedgerReadOnly(f"{self.place} was opened with read_only=True; open it without to write")

    def _read(self, step: Callable[[Connection], _T]) -> _T:
        with self._lock, self._said_clearly():
            return self._connected(step)

    def _write(self, step: Callable[[Connection, float], _T], lasting: bool = True) -> _T:
        def transaction(connection: Connection) -> _T:
            now = self._database.begin(connection, lasting)
            answer = step(connection, now if self._clock is None else self._clock())
            self._database.commit(connection)
            return answer

        self._must_write()
        with self._lock, self._said_clearly():
            return self._connected(transaction)

    def _connected(self, step: Callable[[Connection], _T]) -> _T:
        """The step's answer, over a connection that works: one that broke is replaced while patience lasts. Any other failure takes back what was not
        committed.

        A step that is tried again must find out whether it was carried out before. It can: who writes waits until the broken connection's transaction
        has ended.
        """
        deadline = math.inf
        while True:
            try:
                if not self._connections:
                    self._connections.append(self._database.engine.connect())
                return step(self._connections[0])
            except BaseException as problem:
                _close(self._connections)
                deadline = min(deadline, time.monotonic() + self._patience)  # from the first failure on: a connection that is cut is found out late
                if not self._opened or not self._database.lost(problem) or time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)

    @contextmanager
    def _said_clearly(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as problem:
            raise self._database.trouble(problem.orig or problem) from problem
        except (SqliteError, OSError) as problem:
            raise self._database.trouble(problem) from problem
        except SQLAlchemyError as problem:
            raise LedgerError(f"{self.place}: {problem}") from problem


def _close(connections: list[Connection]) -> None:
    while connections:
        connection = connections.pop()
        connection.invalidate()  # without a word to the database, which may be gone: it takes back by itself what was not committed
        connection.close()


def _reopen(url: str, read_only: bool, arguments: dict[str, Any]) -> SqlLedger:
    return SqlLedger(url, read_only=read_only, **arguments)
