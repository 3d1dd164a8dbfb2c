"""The memory ledger takes the exam, and the exam finds ledgers that break a law."""

import copy
import math
import pickle

import pytest

from staytuned.errors import UsageError
from staytuned.protocols import Fact
from staytuned.store.memory import MemoryLedger
from staytuned.testing.ledger_laws import (
    LEDGER_LAWS,
    appends_are_all_or_none,
    blobs_come_back,
    bodies_are_json,
    check_ledger,
    claims_are_held_by_one,
    claims_pass_on,
    duplicates_are_refused,
    facts_come_back,
    facts_stand_or_fall_with_claims,
    ids_increase,
    reads_are_filtered,
)


@pytest.mark.parametrize("law", LEDGER_LAWS, ids=lambda law: law.__name__)
def test_law(law):
    law(MemoryLedger)


class Reversed(MemoryLedger):
    def read(self, *args, **kwargs):
        return super().read(*args, **kwargs)[::-1]


class Repeating(MemoryLedger):
    def _append(self, line, now):
        return super()._append(line._replace(key=None), now)


class Piecemeal(MemoryLedger):
    def append(self, facts, claims=()):
        return [super(Piecemeal, self).append([fact], claims)[0] for fact in facts]


class Careless(MemoryLedger):
    def append(self, facts, claims=()):
        for claim in claims:
            self.claim(claim.key, claim.owner, claim.lease, claim.instead_of)
        return super().append(facts)


class Loose(MemoryLedger):
    def read(self, stream="", after=0, kind=None, limit=None):
        return [fact for fact in super().read("", after, kind, limit) if fact.stream.lower().startswith(stream.lower())]


class Overfull(MemoryLedger):
    def read(self, stream="", after=0, kind=None, limit=None):
        return super().read(stream, after, kind, None if limit is None else limit + 1)


class Sharing(MemoryLedger):
    bodies: dict = {}  # noqa: RUF012

    def read(self, *args, **kwargs):
        return [Fact(f.stream, f.kind, self.bodies.setdefault(f.id, f.body), f.key, f.id, f.at) for f in super().read(*args, **kwargs)]


class Timeless(MemoryLedger):
    def __init__(self):
        super().__init__(clock=lambda: 1.0)


class Generous(MemoryLedger):
    def claim(self, key, owner, lease, instead_of=None):
        super().claim(key, owner, lease, instead_of)
        return owner


class Forgetful(MemoryLedger):
    def get(self, digest):
        return self._blobs.get(digest, b"")


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Reversed, ids_increase),
        (Repeating, duplicates_are_refused),
        (Piecemeal, appends_are_all_or_none),
        (Loose, reads_are_filtered),
        (Overfull, reads_are_filtered),
        (Sharing, bodies_are_json),
        (Timeless, facts_come_back),
        (Timeless, claims_pass_on),
        (Generous, claims_are_held_by_one),
        (Careless, facts_stand_or_fall_with_claims),
        (Forgetful, blobs_come_back),
    ],
)
def test_a_broken_ledger_fails(broken, law):
    with pytest.raises(AssertionError):
        law(broken)
    with pytest.raises(AssertionError):
        check_ledger(broken)


def test_copies_are_ledgers_of_their_own():
    ledger = MemoryLedger()
    ledger.append([Fact("a", "kind", {"n": 1}, key="k")])
    digest = ledger.put(b"blob")
    ledger.claim("c", "ann", math.inf)
    for twin in (pickle.loads(pickle.dumps(ledger)), copy.deepcopy(ledger)):
        assert twin.read() == ledger.read()
        assert twin.get(digest) == b"blob"
        assert twin.claim("c", "bob", 1) == "ann"
        assert twin.append([Fact("a", "kind", key="k"), Fact("a", "kind")]) == [0, 2]
    assert len(ledger.read()) == 1


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (Fact("study/a", "told", {"scores": [1.0, {"loss": math.nan}]}), ["'told'", "'study/a'", "scores[1].loss = nan"]),
        (Fact("study/a", "told", {"x": math.inf}), ["x = inf"]),
        (Fact("study/a", "told", {"x": {1, 2}}), ["x = {1, 2}"]),
        (Fact("study/a", "told", {"x": {(1, 2): 3}}), ["key (1, 2) at x"]),
        (Fact("study/a", "told", [1]), ["is a list", "mapping"]),
        (Fact("study/a/", "told"), ["'study/a/'", "try 'study/a'"]),
        (Fact("", "told"), ["stream=''"]),
        (Fact("a", "told", key=""), ["key=''"]),
        (Fact("a", 3), ["kind=3"]),
        (Fact("a\0b", "told"), ["NUL"]),
        (Fact("a\ud800", "told"), ["surrogate"]),
    ],
)
def test_what_cannot_be_written_is_quoted_in_one_line(fact, words):
    with pytest.raises(UsageError) as caught:
        MemoryLedger().append([fact])
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_a_body_that_contains_itself():
    body = {}
    body["me"] = [body]
    with pytest.raises(UsageError, match="contains itself"):
        MemoryLedger().append([Fact("a", "kind", body)])
