"""What a process said last, in a file that outlives it: the process writes, and whoever ended it reads.

A worker process inherits the file and announces it to itself, by number and with its own process id, so that what it starts, which inherits the announcement
too, does not take it for its own. Who announces and who reads need not know who writes.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from contextlib import suppress

ANNOUNCED = "STAYTUNED_OUTPUT"  # of a worker's environment: "process id:descriptor"; see execute/_worker, which can import nothing
SAFE = 4096  # characters that are there in any case, even if the process was ended while it wrote

_MAGIC = b"staytuned words\0"
_HEAD = len(_MAGIC) + 8  # then how many bytes were ever written
_ROOM = 8 * SAFE + 4  # bytes, written round and round: a character takes four at most, and one text that is being written spoils no more than half
_COUNT = struct.Struct("<Q")


def opened() -> int | None:
    """The descriptor of a new file for a process to be started, in memory where the system can; None if there is none to be had."""
    blank = _MAGIC + bytes(8 + _ROOM)  # written, not only reserved: a full disk is noticed here
    with suppress(OSError):
        descriptor = _nameless()
        with suppress(OSError):
            if os.pwrite(descriptor, blank, 0) == len(blank):
                return descriptor
        os.close(descriptor)
    return None


def emptied(descriptor: int) -> None:
    """Nothing that was said so far is read any more."""
    with suppress(OSError):
        os.pwrite(descriptor, bytes(8), len(_MAGIC))


def read(descriptor: int) -> str:
    """What was written last: all of it if that is ``SAFE`` characters or less, else at least so many and one."""
    with suppress(OSError):
        whole = os.pread(descriptor, _HEAD + _ROOM, 0)
        written, ring = _COUNT.unpack_from(whole, len(_MAGIC))[0], whole[_HEAD:]
        end = written % _ROOM
        said = ring[:written] if written <= _ROOM else ring[end:] + ring[:end]
        return said.decode("utf-8", "ignore")  # the oldest character may have lost its beginning
    return ""


def of_this_process() -> LastWords | None:
    """The file that was announced to this very process; None if none was."""
    process, _, descriptor = os.environ.get(ANNOUNCED, "").partition(":")
    if process != str(os.getpid()):
        return None
    with suppress(OSError, ValueError):
        if os.fstat(int(descriptor)).st_size == _HEAD + _ROOM and os.pread(int(descriptor), len(_MAGIC), 0) == _MAGIC:  # else the number is another's by now
            return LastWords(int(descriptor))
    return None


class LastWords:
    """Writes to such a file, without a call of the system.

    Args:
        descriptor: of the file; it may be closed afterwards.
    """

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _HEAD + _ROOM)
        self._process = os.getpid()
        self._written = 0

    @property
    def own(self) -> bool:
        """Whether this is the process that began it, and no fork of it."""
        return os.getpid() == self._process

    def clear(self) -> None:
        """Begin anew."""
        if self.own:
            self._count(0)

    def add(self, text: str) -> None:
        """Write on; of a long text its end, and so much that it is seen to be one."""
        if not self.own:
            return
        body = text[-SAFE - 1 :].encode("utf-8", "replace")
        place = self._written % _ROOM
        first = body[: _ROOM - place]
        self._map[_HEAD + place : _HEAD + place + len(first)] = first
        self._map[_HEAD : _HEAD + len(body) - len(first)] = body[len(first) :]
        self._count(self._written + len(body))

    def _count(self, written: int) -> None:
        self._written = written
        _COUNT.pack_into(self._map, len(_MAGIC), written)


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("staytuned-output")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
