"""Blobs that no fact refers to any more, such as those of a study that was deleted or of a worker that died while it wrote."""

from __future__ import annotations

import time
from dataclasses import dataclass

from staytuned.errors import UsageError
from staytuned.protocols import Ledger
from staytuned.store.keeping import keeping
from staytuned.store.references import may_use

GRACE = 24 * 3600.0  # seconds; a worker puts a blob first and appends the fact that needs it then


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of the blobs.

    Args:
        kept, kept_bytes: that facts refer to.
        removed, removed_bytes: that none does; where nothing was to be removed, that could be.
        young: that none refers to, but which may be about to be needed.
    """

    kept: int
    kept_bytes: int
    removed: int
    removed_bytes: int
    young: int


def sweep(ledger: Ledger, grace: float = GRACE, *, dry: bool = False) -> Swept:
    """Remove the blobs that no fact refers to, and what interrupted writers left.

    A folder of blobs must belong to this ledger alone. A database does not know when a blob was written: there the grace begins when it
    is first seen without a use, so that a second sweep removes it.

    Args:
        grace: seconds for which a blob without a use is kept; 0 where nobody is at work on the ledger.
        dry: only look.

    Raises:
        UsageError: the grace is negative.
    """
    if not grace >= 0:
        raise UsageError(f"grace={grace!r} must be 0 or a positive number of seconds, such as 86400")
    kept_ledger = keeping(ledger)
    blobs = list(kept_ledger.shelf.kept())  # before the facts: a blob that comes later is not in the list
    used = {digest for row in kept_ledger.rows() for digest in may_use(row)}
    idle = [blob for blob in blobs if blob.name not in used]
    now = time.time()
    old = [blob for blob in idle if now - blob.since >= grace]
    if not dry:
        kept_ledger.shelf.unused({blob.name for blob in idle})
        for blob in old:
            kept_ledger.shelf.drop(blob.name)
    inside = [blob for blob in blobs if blob.name in used]
    return Swept(len(inside), sum(blob.size for blob in inside), len(old), sum(blob.size for blob in old), len(idle) - len(old))
