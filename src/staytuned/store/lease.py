"""Who holds a key: the rule that every ledger applies, without a clock or a disk."""

from __future__ import annotations

import math
from typing import NamedTuple

from staytuned.errors import UsageError
from staytuned.store.lines import checked_name


class Lease(NamedTuple):
    """A key's holder, until a moment in Unix seconds."""

    owner: str
    until: float


FREE = Lease("", -math.inf)


class Request(NamedTuple):
    """Someone wants a key for so many seconds; 0 gives it back."""

    key: str
    owner: str
    seconds: float
    instead_of: str | None


def request(key: str, owner: str, lease: float, instead_of: str | None) -> Request:
    """The request, checked.

    Raises:
        UsageError: a name is empty or cannot be stored, or the lease is negative or NaN.
    """
    if not lease >= 0:
        raise UsageError(f"lease={lease!r} for {key!r} must be 0 (give it back) or a positive number of seconds")
    if instead_of is not None:
        checked_name("instead_of", instead_of)
    return Request(checked_name("key", key), checked_name("owner", owner), float(lease), instead_of)


def grant(held: Lease, wish: Request, now: float) -> Lease:
    """The lease after the request: the same object if it was refused.

    >>> grant(FREE, Request("trial/7", "ann", 60.0, None), now=100.0)
    Lease(owner='ann', until=160.0)
    """
    if now < held.until and held.owner not in (wish.owner, wish.instead_of):
        return held
    return Lease(wish.owner, now + wish.seconds) if wish.seconds else FREE
