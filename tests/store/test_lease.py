"""The rule of leases: a truth table, at the very moment a lease ends."""

import math

import pytest

from staytuned.errors import UsageError
from staytuned.protocols import Claim
from staytuned.store.lease import FREE, Lease, checked_claims, grant, refused

ANN = Lease("ann", 10.0)


@pytest.mark.parametrize(
    ("held", "owner", "seconds", "instead_of", "now", "after"),
    [
        (FREE, "bob", 5, None, 0.0, Lease("bob", 5.0)),
        (FREE, "bob", 0, None, 0.0, FREE),
        (ANN, "bob", 5, None, 9.9, ANN),
        (ANN, "bob", 5, None, 10.0, Lease("bob", 15.0)),
        (ANN, "bob", 0, None, 9.9, ANN),
        (ANN, "bob", 0, None, 10.0, FREE),
        (ANN, "ann", 5, None, 9.0, Lease("ann", 14.0)),
        (ANN, "ann", 0.5, None, 9.0, Lease("ann", 9.5)),
        (ANN, "ann", math.inf, None, 99.0, Lease("ann", math.inf)),
        (ANN, "ann", 0, None, 9.0, FREE),
        (ANN, "bob", 5, "ann", 9.0, Lease("bob", 14.0)),
        (ANN, "bob", 0, "ann", 9.0, FREE),
        (ANN, "bob", 5, "eve", 9.0, ANN),
        (Lease("ann", math.inf), "bob", 5, None, 1e300, Lease("ann", math.inf)),
    ],
)
def test_who_holds_it_afterwards(held, owner, seconds, instead_of, now, after):
    claim = Claim("k", owner, seconds, instead_of)
    assert grant(held, claim, now) == after
    assert refused(held, claim, now) == (after.owner not in ("", owner))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("k", "bob", -1, None), "lease=-1"), (("", "bob", 1, None), "key=''"), (("k", None, 1, None), "owner=None"), (("k", "b", 1, ""), "instead_of=''")],
)
def test_what_cannot_be_asked_for(arguments, words):
    with pytest.raises(UsageError, match=words):
        checked_claims([Claim(*arguments)])


def test_a_key_is_claimed_once_at_a_time():
    with pytest.raises(UsageError, match=r"\['k', 'k'\] names a key twice"):
        checked_claims([Claim("k", "ann", 1), Claim("k", "bob", 1)])
