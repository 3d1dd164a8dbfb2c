"""Who holds a key: the rule that every ledger applies, without a clock or a disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from staytuned.errors import UsageError
from staytuned.protocols import Claim
from staytuned.store.lines import checked_name


class Lease(NamedTuple):
    """A key's holder, until a moment in Unix seconds."""

    owner: str
    until: float


FREE = Lease("", -math.inf)


def checked_claims(claims: Sequence[Claim]) -> list[Claim]:
    """The claims, each checked.

    Raises:
        UsageError: a name is empty or cannot be stored, a lease is negative or NaN, or a key is claimed twice at once.
    """
    if len({claim.key for claim in claims}) < len(claims):
        raise UsageError(f"claims={[claim.key for claim in claims]} names a key twice; claim each once")
    return [_checked(claim) for claim in claims]


def _checked(claim: Claim) -> Claim:
    if not claim.lease >= 0:
        raise UsageError(f"lease={claim.lease!r} for {claim.key!r} must be 0 (give it back) or a positive number of seconds")
    checked_name("key", claim.key)
    checked_name("owner", claim.owner)
    if claim.instead_of is not None:
        checked_name("instead_of", claim.instead_of)
    return claim


def refused(held: Lease, claim: Claim, now: float) -> bool:
    """Whether somebody else holds the key, who is not known to be dead."""
    return now < held.until and held.owner not in (claim.owner, claim.instead_of)


def grant(held: Lease, claim: Claim, now: float) -> Lease:
    """The lease after the claim: the same object if it was refused.

    >>> grant(FREE, Claim("trial/7", "ann", 60.0), now=100.0)
    Lease(owner='ann', until=160.0)
    """
    if refused(held, claim, now):
        return held
    return Lease(claim.owner, now + claim.lease) if claim.lease else FREE
