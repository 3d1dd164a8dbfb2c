"""Which configs were tried: a set that costs eight bytes a config once there are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

import numpy as np
import numpy.typing as npt

_MANY = 10_000  # keys that are kept as they are


class Keys(Container[bytes]):
    """Keys that come in with a trial and stay once it has ended.

    Of all but the newest keys only a hash of 64 bits is kept: among a million configs, the chance that one that was never tried counts as tried is one in
    ten million million for each that is asked about.
    """

    def __init__(self) -> None:
        self._running: Counter[bytes] = Counter()
        self._ended: set[bytes] = set()
        self._hashes: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def __contains__(self, key: object) -> bool:
        return key in self._running or key in self._ended or (len(self._hashes) > 0 and self._was_there(hash(key)))

    def begin(self, key: bytes) -> None:
        """A trial with this key is under way."""
        self._running[key] += 1

    def leave(self, key: bytes) -> None:
        """It is so no longer."""
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]

    def end(self, key: bytes) -> None:
        """A trial with this key has ended."""
        self._ended.add(key)
        if len(self._ended) > _MANY:
            hashes = np.fromiter(map(hash, self._ended), dtype=np.int64, count=len(self._ended))
            self._hashes = np.union1d(self._hashes, hashes)
            self._ended.clear()

    def _was_there(self, hashed: int) -> bool:
        at = int(np.searchsorted(self._hashes, hashed))
        return at < len(self._hashes) and int(self._hashes[at]) == hashed
