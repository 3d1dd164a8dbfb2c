"""Any sequence of calls gives the memory ledger's answers, whatever database the ledger is in."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from staytuned.errors import BlobMissing, UsageError
from staytuned.protocols import Claim, Fact
from staytuned.store.memory import MemoryLedger
from staytuned.store.sql import SqlLedger


def check_same_answers(new: Callable[[], str | Path], examples: int) -> None:
    """Put ledgers through random calls, side by side with ledgers in memory."""
    case = type("Case", (SameAnswers,), {"new": staticmethod(new)}).TestCase()
    case.settings = settings(max_examples=examples, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    case.runTest()


NAMES = st.sampled_from(["study/a", "study/b", "study", "study0", "STUDY/a", "study/ä", "study/\U0001f600"])
KINDS = st.sampled_from(["asked", "told"])
KEYS = st.sampled_from([None, None, "1", "2", "ä"])
OWNERS = st.sampled_from(["ann", "bob", "eve"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(), max_size=5)
BODIES = st.dictionaries(
    st.text(max_size=3), st.recursive(LEAVES, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part, max_size=2)), max_size=3
)
BAD_BODIES = st.just({"x": math.nan})
FACTS = st.builds(Fact, stream=NAMES, kind=KINDS, body=BODIES | BODIES | BODIES | BAD_BODIES, key=KEYS)
LEASES = st.sampled_from([0, 0, 0.0, 1, 5.5, 5.5, math.inf]) | st.sampled_from([0, 60, -1, math.nan])
CLAIMS = st.builds(Claim, key=st.sampled_from(["x", "y", "X"]), owner=OWNERS, lease=LEASES, instead_of=OWNERS | st.none())


class SameAnswers(RuleBasedStateMachine):
    """Any sequence of calls gives the memory ledger's answers."""

    new: Callable[[], str | Path]  # where a new ledger may be

    @initialize()
    def begin(self):
        self.now = 1000.0
        self.where = type(self).new()
        self.memory = MemoryLedger(clock=lambda: self.now)
        self.sql = SqlLedger(self.where, clock=lambda: self.now)

    def both(self, method, *args, **kwargs):
        answers = []
        for ledger in (self.memory, self.sql):
            try:
                answers.append(getattr(ledger, method)(*args, **kwargs))
            except (UsageError, BlobMissing) as problem:
                answers.append((type(problem), str(problem) if isinstance(problem, UsageError) else ""))
        assert answers[0] == answers[1]

    @rule(facts=st.lists(FACTS, max_size=4))
    def append(self, facts):
        self.both("append", facts)
        self.both("read")

    @rule(facts=st.lists(FACTS, max_size=3), claims=st.lists(CLAIMS, max_size=2))
    def append_with_claims(self, facts, claims):
        self.both("append", facts, claims)
        self.both("read")

    @rule(
        stream=NAMES | st.sampled_from(["", "study/", "study/a/", "/", "none"]),
        after=st.integers(-1, 20),
        kind=KINDS | st.none(),
        limit=st.none() | st.integers(-1, 4),
    )
    def read(self, stream, after, kind, limit):
        self.both("read", stream, after=after, kind=kind, limit=limit)

    @rule(claim=CLAIMS)
    def claim(self, claim):
        self.both("claim", claim.key, claim.owner, claim.lease, instead_of=claim.instead_of)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.5, -1.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule(blob=st.binary(max_size=3))
    def put(self, blob):
        self.both("put", blob)

    @rule(digest=st.binary(max_size=1).map(lambda blob: MemoryLedger().put(blob)) | st.text(max_size=3))
    def get(self, digest):
        self.both("get", digest)

    @rule()
    def open_again(self):
        self.sql.close()
        self.sql = SqlLedger(self.where, clock=lambda: self.now)

    def teardown(self):
        if hasattr(self, "sql"):
            self.sql.close()
