"""Blobs at any URL that fsspec knows: S3, Google Cloud Storage, Azure, HDFS, SFTP and so on."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from staytuned.errors import BlobMissing, LedgerError, LedgerReadOnly, UsageError
from staytuned.store.blobs import FolderBlobs
from staytuned.store.digest import checked_digest, digest_of
from staytuned.store.lines import checked_blob
from staytuned.store.shelf import Kept

_T = TypeVar("_T")
_WHOLE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "r2", "memory")  # where an object appears whole or not at all


def blobs_at(where: str | Path) -> FolderBlobs | RemoteBlobs:
    """Blobs in a folder, named by a path or a ``file://`` URL, or at any other URL.

    Raises:
        UsageError: a package for this kind of URL is not installed.
    """
    text = str(where)
    if text.startswith("file://"):
        return FolderBlobs(unquote(urlsplit(text).path))
    return RemoteBlobs(text) if "://" in text else FolderBlobs(where)


class RemoteBlobs:
    """Keeps blobs as ``ab/cd/abcd...`` below a URL. Safe for threads, processes and machines: a blob appears whole or not at all.

    Args:
        url: such as ``s3://bucket/churn``; the bucket must be there.
        options: what fsspec hands to the store, such as ``endpoint_url`` or ``anon``; keys and secrets are better kept in its own configuration.

    Raises:
        UsageError: a package for this kind of URL is not installed, or there is no such kind.

    >>> blobs = RemoteBlobs("memory://docs")
    >>> blobs.get(blobs.put(b"model"))
    b'model'
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url
        self.place = _plain(url)
        self._options = options
        self._process = os.getpid()
        self._store, self._root = _opened(url, options)

    def put(self, blob: bytes) -> str:
        """Keep a blob; its SHA-256 in hex. Putting it again mends a damaged one.

        Raises:
            LedgerError: it could not be written; LedgerReadOnly where that is not allowed.
        """
        blob = checked_blob(blob)
        digest = digest_of(blob)
        with suppress(BlobMissing):
            self.get(digest)
            return digest
        self._said(lambda store: self._write(store, self._path(digest), blob))
        return digest

    def get(self, digest: str) -> bytes:
        """The blob with this SHA-256.

        Raises:
            BlobMissing: it is not there, or no longer matches its hash.
            LedgerError: it could not be read.
        """
        place = self._path(checked_digest(digest))
        try:
            blob = self._said(lambda store: bytes(store.cat_file(place)))
        except FileNotFoundError as problem:
            raise BlobMissing(f"no blob {digest} at {self.place}; copy it along with its ledger, or restore it from a backup") from problem
        if digest_of(blob) != digest:
            raise BlobMissing(f"the blob {digest} at {self.place} no longer matches its hash; restore it from a backup, or put it again")
        return blob

    def kept(self) -> Iterator[Kept]:
        """All blobs, in no order."""
        try:
            found = self._said(lambda store: store.find(self._root, detail=True))
        except FileNotFoundError:
            return
        for path, about in found.items():
            yield Kept(str(path).rpartition("/")[2], int(about.get("size") or 0), _written(about))

    def drop(self, name: str) -> None:
        """Remove one; nothing happens if it is not there."""
        digest = name.removeprefix(".")[:64]
        folder = self._path(digest).rpartition("/")[0]
        with suppress(FileNotFoundError):
            self._said(lambda store: store.rm_file(f"{folder}/{name}"))

    def unused(self, names: set[str]) -> None:
        """The store knows when a blob was written."""

    def __repr__(self) -> str:
        return f"RemoteBlobs({self.place!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.url, self._options)

    def _write(self, store: Any, path: str, blob: bytes) -> None:
        protocols = (store.protocol,) if isinstance(store.protocol, str) else tuple(store.protocol)
        if any(protocol in _WHOLE for protocol in protocols):
            store.pipe_file(path, blob)
            return
        folder, _, name = path.rpartition("/")
        part = f"{folder}/.{name}.{secrets.token_hex(4)}.part"
        store.makedirs(folder, exist_ok=True)
        try:
            store.pipe_file(part, blob)
            store.mv(part, path)
        except BaseException:
            with suppress(Exception):
                store.rm_file(part)
            raise

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest[2:4]}/{digest}"

    def _said(self, step: Callable[[Any], _T]) -> _T:
        if self._process != os.getpid():
            self._store, self._process = _opened(self.url, self._options | {"skip_instance_cache": True})[0], os.getpid()  # connections survive no fork
        try:
            return step(self._store)
        except FileNotFoundError:
            raise
        except PermissionError as problem:
            raise LedgerReadOnly(f"{self.place}: {_line(problem)}; ask for the right to it, or choose another place for blobs") from problem
        except Exception as problem:  # every store raises its own
            raise LedgerError(f"{self.place}: {type(problem).__name__}: {_line(problem)}; check the URL and the network, and try again") from problem


def _opened(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as problem:
        raise UsageError(f"blobs at {_plain(url)} need fsspec: pip install 'staytuned[fsspec]'") from problem
    try:
        store, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as problem:
        raise UsageError(f"{_plain(url)} cannot be opened: {problem}") from problem
    return store, str(root).rstrip("/")


def _written(about: dict[str, Any]) -> float:
    """When, in Unix seconds, as far as the store says; now if it does not."""
    for name in ("LastModified", "last_modified", "mtime", "updated", "created"):
        found = about.get(name)
        if isinstance(found, int | float):
            return float(found)
        if isinstance(found, str):
            with suppress(ValueError):
                found = datetime.fromisoformat(found)
        if isinstance(found, datetime):
            return found.timestamp()
    return time.time()


def _again(url: str, options: dict[str, Any]) -> RemoteBlobs:
    return RemoteBlobs(url, **options)


def _plain(url: str) -> str:
    return re.sub("//[^/@]*@", "//", url)


def _line(problem: BaseException) -> str:
    return " ".join(str(problem).split())
