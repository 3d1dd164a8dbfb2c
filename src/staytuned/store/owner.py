"""Who holds a claim: a name that says which process of which machine, so that a dead holder can be told from a slow one."""

from __future__ import annotations

import secrets
import socket

import psutil


def new_owner() -> str:
    """A name for one holder in this process, different from every other holder's."""
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Whether the holder was a process of this machine that is gone; another machine's, or anybody else's, is never known to be."""
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or parts[0] != socket.gethostname():
        return False
    _, pid, born, _ = parts
    try:
        process = psutil.Process(int(pid))
        # a number is given out again, in a restarted container to the very same program: only the birth tells
        return bool(process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - float(born)) > _CLOCK_STEP)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


_CLOCK_STEP = 2.0  # seconds by which a corrected clock may move a birth
