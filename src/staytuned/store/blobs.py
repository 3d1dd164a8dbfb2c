"""Blobs by the hash of what they hold: as files in a folder, or as rows in a database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from staytuned.errors import BlobMissing
from staytuned.store.digest import checked_digest, digest_of
from staytuned.store.lines import checked_blob
from staytuned.store.schema import blobs
from staytuned.store.trouble import file_trouble


class FolderBlobs:
    """Keeps blobs as ``ab/cd/abcd...`` below a folder. Safe for threads and processes: a file appears whole or not at all.

    Args:
        path: the folder; made when the first blob is put.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()

    def put(self, blob: bytes) -> str:
        """Keep a blob; its SHA-256 in hex. Putting it again mends a damaged file and changes nothing otherwise.

        Raises:
            LedgerFull, LedgerReadOnly, LedgerError: the folder could not be written.
        """
        blob = checked_blob(blob)
        digest = digest_of(blob)
        place = self._place(digest)
        try:
            if place.is_file() and place.read_bytes() == blob:
                os.utime(place)  # as new: whoever collects what no fact names yet shall leave it
            else:
                _write_whole(place, blob)
        except OSError as problem:
            raise file_trouble(problem, place) from problem
        return digest

    def get(self, digest: str) -> bytes:
        """The blob with this SHA-256.

        Raises:
            BlobMissing: it is not there, or no longer matches its hash.
            LedgerError: it could not be read.
        """
        place = self._place(checked_digest(digest))
        try:
            blob = place.read_bytes()
        except FileNotFoundError as problem:
            raise BlobMissing(f"no blob {digest} at {place}; copy the folder {self.path.name} along with its ledger, or restore it from a backup") from problem
        except OSError as problem:
            raise file_trouble(problem, place) from problem
        if digest_of(blob) != digest:
            raise BlobMissing(f"the blob at {place} no longer matches its hash; restore it from a backup, or put it again")
        return blob

    def __repr__(self) -> str:
        return f"FolderBlobs({str(self.path)!r})"

    def _place(self, digest: str) -> Path:
        return self.path / digest[:2] / digest[2:4] / digest


Visit: TypeAlias = Callable[[Callable[[Connection], Any]], Any]  # carries out a step over a ledger's connection, and says what went wrong
_PART = 2**20  # bytes; servers limit how long a statement may be


class TableBlobs:
    """Keeps blobs in the database of a ledger, in parts. The first part is written last: a blob that has one is whole.

    Args:
        visit: gives a step the ledger's connection.
        place: what messages call the database.
    """

    def __init__(self, visit: Visit, place: str) -> None:
        self._visit = visit
        self._place = place

    def put(self, blob: bytes) -> str:
        """Keep a blob; its SHA-256 in hex. Putting it again changes nothing.

        Raises:
            LedgerFull, LedgerReadOnly, LedgerError: it could not be written.
        """
        blob = checked_blob(blob)
        digest = digest_of(blob)
        last = max(len(blob) - 1, 0) // _PART
        there = self._visit(lambda connection: set(connection.scalars(select(blobs.c.part).where(blobs.c.digest == digest))))
        for part in range(last, -1, -1) if 0 not in there else ():
            if part not in there:
                row = {"digest": digest, "part": part, "bytes": blob[part * _PART : (part + 1) * _PART]}
                self._visit(partial(_insert_if_new, row))
        return digest

    def get(self, digest: str) -> bytes:
        """The blob with this SHA-256.

        Raises:
            BlobMissing: it is not there, or no longer matches its hash.
            LedgerError: it could not be read.
        """
        wanted = select(blobs.c.part, blobs.c.bytes).where(blobs.c.digest == checked_digest(digest))
        parts = self._visit(lambda connection: connection.execute(wanted).all())
        blob = b"".join(bytes(part) for _, part in sorted(parts))
        if 0 not in {number for number, _ in parts}:
            raise BlobMissing(f"no blob {digest} in {self._place}; restore it from a backup, or put it again")
        if digest_of(blob) != digest:
            raise BlobMissing(f"the blob {digest} in {self._place} no longer matches its hash; restore it from a backup")
        return blob

    def __repr__(self) -> str:
        return f"TableBlobs({self._place!r})"


def _insert_if_new(row: dict[str, Any], connection: Connection) -> None:
    with suppress(IntegrityError):  # another one puts the same blob just now
        connection.execute(insert(blobs), row)


def _write_whole(place: Path, blob: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    # Two writers with the same name would have to write the same bytes, for the digest is part of it.
    part = place.with_name(f".{place.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    _fsync_folder(place.parent)


def _fsync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened, and needs no flushing
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
