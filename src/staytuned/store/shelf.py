"""Every blob that a ledger keeps, wherever it keeps them: listed, and dropped one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, delete, func, insert, select

from staytuned.errors import UsageError
from staytuned.store.blobs import FolderBlobs, TableBlobs
from staytuned.store.schema import blobs as blobs_table
from staytuned.store.schema import meta
from staytuned.store.trouble import file_trouble


class Kept(NamedTuple):
    """A blob.

    Args:
        name: its SHA-256 in hex; of what an interrupted writer left, anything else.
        size: in bytes.
        since: Unix time in seconds at which it was written, or first seen without a use.
    """

    name: str
    size: int
    since: float


class Shelf(Protocol):
    """Where blobs lie."""

    def kept(self) -> Iterator[Kept]:
        """All blobs, in no order."""
        ...

    def drop(self, name: str) -> None:
        """Remove one; nothing happens if it is not there."""
        ...

    def unused(self, names: set[str]) -> None:
        """Remember that these have no use, where the time of writing is not kept."""
        ...


Visit = Callable[[Callable[[Connection], Any]], Any]
Change = Callable[[Callable[[Connection, float], Any]], Any]


def shelf_of(blobs: object, visit: Visit, change: Change) -> Shelf:
    """The shelf of a ledger's blobs.

    Raises:
        UsageError: they cannot be listed.
    """
    if isinstance(blobs, FolderBlobs):
        return _Folder(blobs.path)
    if isinstance(blobs, TableBlobs):
        return _Tables(visit, change)
    if all(callable(getattr(blobs, method, None)) for method in ("kept", "drop", "unused")):
        return blobs  # type: ignore[return-value]
    raise UsageError(f"the blobs in {blobs!r} cannot be listed; it needs the methods kept, drop and unused")


def memory_shelf(blobs: dict[str, bytes]) -> Shelf:
    """The shelf of blobs in memory."""
    return _Memory(blobs)


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def kept(self) -> Iterator[Kept]:
        for place in self._path.glob("??/??/*"):
            try:
                found = place.stat()
            except FileNotFoundError:
                continue  # it went while we looked
            except OSError as problem:
                raise file_trouble(problem, place) from problem
            yield Kept(place.name, found.st_size, found.st_mtime)

    def drop(self, name: str) -> None:
        for place in self._path.glob(f"??/??/{name}"):
            try:
                place.unlink(missing_ok=True)
            except OSError as problem:
                raise file_trouble(problem, place) from problem

    def unused(self, names: set[str]) -> None:
        """A file knows when it was written."""


_NOTE = "unused/"  # and a digest: since when a blob of the table was seen without a use


class _Tables:
    def __init__(self, visit: Visit, change: Change) -> None:
        self._visit = visit
        self._change = change

    def kept(self) -> Iterator[Kept]:
        sizes = select(blobs_table.c.digest, func.sum(func.length(blobs_table.c.bytes))).group_by(blobs_table.c.digest)
        rows = self._visit(lambda connection: connection.execute(sizes).all())
        since = self._visit(_notes)
        now = time.time()
        for name, size in rows:
            yield Kept(name, int(size), since.get(name, now))

    def drop(self, name: str) -> None:
        def step(connection: Connection, _: float) -> None:
            connection.execute(delete(blobs_table).where(blobs_table.c.digest == name))
            connection.execute(delete(meta).where(meta.c.name == f"{_NOTE}{name}"))

        self._change(step)

    def unused(self, names: set[str]) -> None:
        def step(connection: Connection, now: float) -> None:
            noted = set(_notes(connection))
            for name in sorted(noted - names):
                connection.execute(delete(meta).where(meta.c.name == f"{_NOTE}{name}"))
            if new := sorted(names - noted):
                connection.execute(insert(meta), [{"name": f"{_NOTE}{name}", "value": str(now)} for name in new])

        self._change(step)


def _notes(connection: Connection) -> dict[str, float]:
    rows = connection.execute(select(meta.c.name, meta.c.value)).all()
    return {name.removeprefix(_NOTE): float(value) for name, value in rows if name.startswith(_NOTE)}


class _Memory:
    def __init__(self, blobs: dict[str, bytes]) -> None:
        self._blobs = blobs

    def kept(self) -> Iterator[Kept]:
        for name, blob in list(self._blobs.items()):
            yield Kept(name, len(blob), 0.0)

    def drop(self, name: str) -> None:
        self._blobs.pop(name, None)

    def unused(self, names: set[str]) -> None:
        """Nobody else can be about to use them."""
