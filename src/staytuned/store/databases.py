"""What a ledger asks of a database: one writer at a time, and words for what went wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine

from staytuned.store.blobs import Visit
from staytuned.store.mysql import MySQL
from staytuned.store.postgresql import PostgreSQL
from staytuned.store.server import Kind, Server
from staytuned.store.sqlite import SqliteFile, database_path


class Blobs(Protocol):
    """Keeps blobs by their SHA-256."""

    def put(self, blob: bytes) -> str: ...
    def get(self, digest: str) -> bytes: ...


class Database(Protocol):
    """A database that holds a ledger. Its connections commit every statement by itself, but between ``begin`` and ``commit``."""

    url: str  # opens it again, in another process too
    place: str  # what messages call it, without a password

    @property
    def engine(self) -> Engine:
        """Makes connections, and keeps none."""
        ...

    def begin(self, connection: Connection, lasting: bool) -> float:
        """Begin a transaction as the only writer; the time in Unix seconds, by the clock that all its users share.

        Args:
            lasting: what is written must survive a power cut; if not, a killed process only.
        """
        ...

    def commit(self, connection: Connection) -> None:
        """Keep what was written since ``begin``, and let the next writer in."""
        ...

    def create(self, connection: Connection) -> None:
        """Make the tables of a new ledger."""
        ...

    def made(self) -> None:
        """It holds a ledger now."""
        ...

    def blobs(self, visit: Visit) -> Blobs:
        """Where blobs are kept if nothing else is said."""
        ...

    def back_up(self, connection: Connection, version: int) -> None:
        """Keep a copy of a ledger of an older version, before it is changed."""
        ...

    def lost(self, problem: BaseException) -> bool:
        """Whether the connection broke, so that another one may do."""
        ...

    def trouble(self, problem: BaseException) -> Exception:
        """What the database or the disk said, as one line with the way out."""
        ...


def database_for(url: str | Path, *, read_only: bool, patience: float) -> Database:
    """The database that a URL or a path names.

    Raises:
        UsageError: it names none.
        LedgerError: it cannot be reached.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9]*)(\+[a-z0-9_]+)?://", str(url))
    if scheme is not None and (kind := _KINDS.get(scheme[1])) is not None:
        return Server(f"{kind.scheme}{str(url).removeprefix(scheme[1])}", kind, read_only=read_only, patience=patience)
    return SqliteFile(database_path(url), read_only=read_only, patience=patience)


_KINDS: dict[str, Kind] = {"postgresql": PostgreSQL(), "postgres": PostgreSQL(), "mysql": MySQL(), "mariadb": MySQL()}
SCHEMES = ("sqlite", *_KINDS)
