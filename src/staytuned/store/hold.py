"""The keys that a worker holds: their leases are renewed in the background for as long as the worker lives and holds them."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from typing import Any

from staytuned.errors import LedgerError
from staytuned.protocols import Claim, Ledger
from staytuned.store.owner import new_owner


class Hold:
    """What one worker holds in a ledger. A copy, a pickle, and what a forked child finds are another worker's, which holds nothing.

    Args:
        ledger: where the keys are.
        lease: seconds after which a worker that says nothing counts as dead; it says so three times as often.
    """

    def __init__(self, ledger: Ledger, lease: float) -> None:
        self.ledger = ledger
        self.lease = lease
        self._begin()

    @property
    def owner(self) -> str:
        """This worker's name."""
        self._wake()
        return self._owner

    @property
    def due(self) -> float:
        """When to renew next, by the monotonic clock."""
        return self._renewed + self.lease / 3

    def wish(self, key: str, instead_of: str | None = None) -> Claim:
        """The claim that takes a key, for an append; when it is granted, say ``took``."""
        return Claim(key, self.owner, self.lease, instead_of)

    def end(self, key: str, instead_of: str | None = None) -> Claim:
        """The claim that gives a key back, for an append; when it is granted, say ``let_go``."""
        return Claim(key, self.owner, 0, instead_of)

    def took(self, key: str) -> None:
        """The key is held: renew it from now on."""
        self._wake()
        with self._lock:
            self._keys.add(key)
        _keep_alive(self)

    def let_go(self, key: str) -> None:
        """Renew the key no longer."""
        self._wake()
        with self._lock:
            self._keys.discard(key)

    def holds(self, key: str) -> bool:
        """Whether the key is held here, as far as this worker knows."""
        self._wake()
        return key in self._keys

    def renew(self) -> None:
        """Say that this worker lives; a key that has passed to another is let go."""
        with self._lock:
            keys = sorted(self._keys)
        for key in keys:
            try:
                self._renew(key)
            except LedgerError:
                continue  # the next time may do; a lease outlasts two that fail
        self._renewed = time.monotonic()

    def __reduce__(self) -> tuple[Any, ...]:
        return Hold, (self.ledger, self.lease)

    def _renew(self, key: str) -> None:
        holder = self.ledger.claim(key, self._owner, self.lease)
        with self._lock:
            wanted = key in self._keys
            if holder != self._owner:
                self._keys.discard(key)
        if not wanted and holder == self._owner:
            self.ledger.claim(key, self._owner, 0)  # it was given back while it was renewed

    def _begin(self) -> None:
        self._process, self._owner = os.getpid(), new_owner()
        self._keys: set[str] = set()
        self._lock = threading.Lock()
        self._renewed = time.monotonic()

    def _wake(self) -> None:
        if self._process != os.getpid():  # a child after a fork
            self._begin()


# One thread for all of a process's workers. It knows them weakly: a worker that nobody refers to any more renews nothing.
_HOLDS: weakref.WeakSet[Hold] = weakref.WeakSet()
_CHANGE = threading.Condition()
_THREAD: threading.Thread | None = None
_LONGEST = 3600.0  # seconds without a look


def _keep_alive(hold: Hold) -> None:
    global _THREAD
    with _CHANGE:
        if hold not in _HOLDS:
            _HOLDS.add(hold)
            _CHANGE.notify()
        if _THREAD is None:
            _THREAD = threading.Thread(target=_keep_renewing, name="staytuned-leases", daemon=True)
            _THREAD.start()


def _keep_renewing() -> None:
    while True:
        with _CHANGE:
            wait = min((hold.due for hold in _HOLDS), default=math.inf) - time.monotonic()
            if wait > 0:
                _CHANGE.wait(min(wait, _LONGEST))
                continue
        _renew_those_due()


def _renew_those_due() -> None:
    for hold in list(_HOLDS):
        if hold.due <= time.monotonic():
            hold.renew()


def _forget() -> None:
    """In a child after a fork: the thread is not there, and whoever held the lock neither."""
    global _CHANGE, _THREAD
    _HOLDS.clear()
    _CHANGE, _THREAD = threading.Condition(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
