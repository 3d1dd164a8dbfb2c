"""What went wrong on disk or in SQLite, said in one line with the way out."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from pathlib import Path

from staytuned.errors import LedgerError, LedgerFull, LedgerLocked, LedgerReadOnly

_ROOM = 100_000  # bytes that SQLite may need at once
_GROWTH = 2**23  # bytes by which a file may soon have grown; its write-ahead log takes half of it


def file_trouble(problem: OSError, place: Path) -> LedgerError:
    """The ledger error for a file or folder that could not be written or read."""
    what = problem.strerror or str(problem)
    if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return LedgerFull(f"{place}: no room left ({what}); free some space and run the same command again, nothing recorded is lost")
    if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LedgerReadOnly(f"{place}: {what}; choose a ledger where you may write, or ask for the right to")
    if problem.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return LedgerError(f"{place}: {what}; a file stands where a folder is needed, or the other way round: choose another path")
    return LedgerError(f"{place}: {what}; check the disk and the path")


def sqlite_trouble(problem: BaseException, path: Path, patience: float) -> LedgerError:
    """The ledger error for what SQLite said about the database at ``path``, after waiting ``patience`` seconds for others."""
    match getattr(problem, "sqlite_errorcode", 0) & 0xFF:  # the upper bits refine the code
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerLocked(f"{path} was held by another process for {patience:g} s; wait until it ends, or stop it, and try again")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return LedgerReadOnly(f"{path} may not be written; ask for the right to, copy the ledger to a folder of your own, or open it with read_only=True")
        case sqlite3.SQLITE_IOERR if (reason := _unwritable(path)) is not None:  # SQLite keeps the reason to itself
            return file_trouble(reason, path)
        case sqlite3.SQLITE_FULL:
            return LedgerFull(f"{path}: no room left; free some space and run the same command again, nothing recorded is lost")
        case sqlite3.SQLITE_NOTADB:
            return LedgerError(f"{path} is not a ledger (not an SQLite database); choose another path, it was left as it is")
        case sqlite3.SQLITE_CORRUPT:
            return LedgerError(f"{path} is damaged ({problem}); restore a backup, or save what is left with: sqlite3 {path.name} .recover")
        case sqlite3.SQLITE_CANTOPEN:
            return _cannot_open(path)
        case _:
            return LedgerError(f"{path}: {' '.join(str(problem).split())}; check the disk and that no other program changed the file")


def _unwritable(path: Path) -> OSError | None:
    """Why a file beside the ledger and of its size cannot be written: no room, a quota, a limit on the size of files."""
    try:
        sizes = [place.stat().st_size for place in (path, path.with_name(f"{path.name}-wal")) if place.exists()]
        with tempfile.TemporaryFile(dir=path.parent, buffering=0) as trial:
            trial.write(bytes(_ROOM))
            trial.seek(max(sizes, default=0) + _GROWTH)
            trial.write(b"0")
            os.fsync(trial.fileno())
    except OSError as problem:
        return problem
    return None


def _cannot_open(path: Path) -> LedgerError:
    if path.is_dir():
        return LedgerError(f"{path} is a folder; name a file in it, such as {path / 'staytuned.db'}")
    if not path.exists() and path.parent.is_dir() and os.access(path.parent, os.W_OK):
        return LedgerError(f"{path} is gone: it was moved or deleted; put it back or open it anew")
    return LedgerReadOnly(f"{path} could not be opened; check that you may read and write it and its folder")
