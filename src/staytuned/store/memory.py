"""The ledger that forgets when the process ends: the reference that all others are held to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from staytuned.errors import BlobMissing
from staytuned.protocols import Claim, Fact
from staytuned.store.digest import digest_of
from staytuned.store.lease import FREE, Lease, checked_claims, grant, refused
from staytuned.store.lines import Line, checked_blob, to_fact, to_line


class MemoryLedger:
    """A ledger in this process's memory. Safe for threads; a pickle or a copy is a ledger of its own.

    Args:
        clock: Unix time in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: list[tuple[Line, float]] = []
        self._keys: set[tuple[str, str]] = set()
        self._leases: dict[str, Lease] = {}
        self._blobs: dict[str, bytes] = {}

    def append(self, facts: Sequence[Fact], claims: Sequence[Claim] = ()) -> list[int]:
        """Write facts, all or none; the id each was given, 0 for one whose key its stream already had. With claims, all of it happens or nothing.

        Raises:
            UsageError: a fact cannot be written as JSON, or a claim makes no sense; nothing happens then.
        """
        lines = [to_line(fact) for fact in facts]
        claims = checked_claims(claims)
        with self._lock:
            now = self._clock()
            if claims and not (all(self._is_free(claim, now) for claim in claims) and self._are_new(lines)):
                return [0] * len(lines)
            for claim in claims:
                self._claim(claim, now)
            return [self._append(line, now) for line in lines]

    def read(self, stream: str = "", after: int = 0, kind: str | None = None, limit: int | None = None) -> list[Fact]:
        """The facts with an id above ``after``, in order of id, the first ``limit``; an empty stream means all, a trailing slash all that begin so."""
        start = max(after, 0)
        with self._lock:
            end = len(self._lines)
        lines = ((id, *self._lines[id - 1]) for id in range(start + 1, end + 1))  # lines stay as they are
        found = (to_fact(line, id, at) for id, line, at in lines if _belongs(line.stream, stream) and kind in (None, line.kind))
        return list(found if limit is None else islice(found, max(limit, 0)))

    def claim(self, key: str, owner: str, lease: float, instead_of: str | None = None) -> str:
        """Who holds ``key`` after this call; empty if nobody does, since it was given back with a lease of 0."""
        [claim] = checked_claims([Claim(key, owner, lease, instead_of)])
        with self._lock:
            return self._claim(claim, self._clock()).owner

    def put(self, blob: bytes) -> str:
        """Keep a blob; its SHA-256 in hex."""
        blob = checked_blob(blob)
        digest = digest_of(blob)
        with self._lock:
            self._blobs[digest] = blob
        return digest

    def get(self, digest: str) -> bytes:
        """The blob with this SHA-256.

        Raises:
            BlobMissing: it was never put here.
        """
        with self._lock:
            if digest not in self._blobs:
                raise BlobMissing(f"no blob {digest!r} in this memory ledger; it was never put here")
            return self._blobs[digest]

    def __repr__(self) -> str:
        return f"MemoryLedger({len(self._lines)} facts)"

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            copies = {"_lines": list(self._lines), "_keys": set(self._keys), "_leases": dict(self._leases), "_blobs": dict(self._blobs)}
        return {"_clock": self._clock} | copies

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _is_free(self, claim: Claim, now: float) -> bool:
        return not refused(self._leases.get(claim.key, FREE), claim, now)

    def _are_new(self, lines: Sequence[Line]) -> bool:
        keys = [(line.stream, line.key) for line in lines if line.key is not None]
        return len(set(keys)) == len(keys) and self._keys.isdisjoint(keys)

    def _claim(self, claim: Claim, now: float) -> Lease:
        granted = self._leases[claim.key] = grant(self._leases.get(claim.key, FREE), claim, now)
        return granted

    def _append(self, line: Line, now: float) -> int:
        if line.key is not None:
            if (line.stream, line.key) in self._keys:
                return 0
            self._keys.add((line.stream, line.key))
        self._lines.append((line, now))
        return len(self._lines)


def _belongs(stream: str, wanted: str) -> bool:
    return stream == wanted or not wanted or (wanted.endswith("/") and stream.startswith(wanted))
