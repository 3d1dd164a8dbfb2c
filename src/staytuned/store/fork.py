"""Closes database connections before this process forks; they come back when next used, in parent and child.

A connection must not be open across a fork at all, used or not: SQLite keeps its file locks in a table in memory. The
child would inherit the table without the locks, believe itself protected, and lose what it writes as soon as the parent
closes the file.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Pausable(Protocol):
    """Something with open connections."""

    def pause(self) -> None:
        """Wait for calls under way, close every connection and hold new calls up."""
        ...

    def resume(self) -> None:
        """Let calls in again."""
        ...


def pause_at_fork(thing: Pausable) -> None:
    """Pause ``thing`` whenever this process forks, for as long as it lives."""
    with _REGISTER:
        _ALIVE.add(thing)


_ALIVE: weakref.WeakSet[Pausable] = weakref.WeakSet()
_PAUSED: list[Pausable] = []
_REGISTER = threading.Lock()


def _pause_all() -> None:
    _REGISTER.acquire()
    for thing in list(_ALIVE):
        thing.pause()
        _PAUSED.append(thing)


def _resume_all() -> None:
    while _PAUSED:
        _PAUSED.pop().resume()
    _REGISTER.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_pause_all, after_in_parent=_resume_all, after_in_child=_resume_all)
