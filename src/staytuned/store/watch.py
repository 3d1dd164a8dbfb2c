"""Which workers look dead, without asking the ledger: so that looking costs next to nothing."""

from __future__ import annotations

import time

from staytuned.store.owner import is_dead


class Watch:
    """Watches the keys that others hold.

    Args:
        lease: seconds of silence after which it is worth asking the ledger whether a key is still held.
    """

    def __init__(self, lease: float) -> None:
        self.lease = lease
        self._seen: dict[str, tuple[float, bool]] = {}
        self._next: dict[str, float] = {}

    def is_dead(self, owner: str) -> bool:
        """Whether a holder is known to be dead: a process of this machine that is gone. Looked at once a second."""
        looked, dead = self._seen.get(owner, (-_AGAIN, False))
        if not dead and time.monotonic() - looked >= _AGAIN:
            dead = bool(owner) and is_dead(owner)
            self._seen[owner] = (time.monotonic(), dead)
        return dead

    def is_silent(self, key: str, since: float) -> bool:
        """Whether a lease taken at ``since`` (Unix seconds) may have run out by now. Yes is said three times in a lease."""
        now = time.time()
        if now < max(since + self.lease, self._next.get(key, 0.0)):
            return False
        self._next[key] = now + self.lease / 3
        return True


_AGAIN = 1.0  # seconds
