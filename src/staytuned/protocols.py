"""Read first. The five seams of staytuned; whoever fits one can take the place of ours.

The exams that ours take, and that yours may take too, are in ``staytuned.testing``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from staytuned.space.space import Config
from staytuned.trial import History, Measurement, Trial


@runtime_checkable
class Sampler(Protocol):
    """Proposes configs. A function of the history: same seed and same history, same answer, in any process.

    It may cache what it derived from the history, never what it alone remembers. Trials still running are in the
    history with ``Status.RUNNING``: they must not be proposed again.
    """

    name: str

    def ask(self, history: History, n: int = 1) -> list[Config]:
        """Up to ``n`` new configs, best first.

        Raises:
            SpaceExhausted: nothing untried is left in a finite space.
        """
        ...


class Verdict(StrEnum):
    """What becomes of a trial that has reported."""

    GO_ON = "go on"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Ration:
    """What to begin next: a new config, or one that was tried before and goes on with more effort.

    Args:
        fidelity: share of the full effort in (0, 1]; None for all of it.
        continues: the number of the trial that goes on; None for a new config.
        config: what it goes on with, if not with its own config.
        origin: who says so; of a trial that goes on.
    """

    fidelity: float | None = None
    continues: int | None = None
    config: Config | None = None
    origin: str = ""


@runtime_checkable
class Scheduler(Protocol):
    """Rations effort: how much a trial is given when it begins, and after every reading whether it may go on."""

    def judge(self, history: History, trial: Trial) -> Verdict:
        """The verdict on a trial whose measurement so far holds its readings."""
        ...

    def brief(self, history: History) -> History:
        """The trials ``judge`` needs: what travels to a worker. ``judge(brief(h), t) == judge(h, t)``.

        A study calls it with the trials that ended and reported on the way, in the order of their ends.
        """
        ...

    def estimate(self, history: History, trial: Trial) -> float:
        """The score a trial stopped here would most likely have reached: what the sampler learns from it."""
        ...

    def ration(self, history: History, new: bool = True) -> Ration | None:
        """What to begin next, given all trials; None if nothing can be begun, at least not before a trial under way has ended.

        A function of the history, which names in ``Trial.continues`` whatever was begun: so no trial goes on twice.

        Args:
            new: whether there are untried configs; if not, only a trial that goes on is an answer.
        """
        ...


class Evaluator(Protocol):
    """Measures a config. Same arguments, same result; a failure comes back as a status with a cure."""

    def __call__(self, config: Config, fidelity: float | None, seed: int) -> Measurement: ...


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the ledger: something that happened and will never un-happen.

    Args:
        stream: whose story it belongs to, such as "study/churn" or "model/churn".
        kind: what happened, such as "asked", "told", "promoted".
        body: JSON.
        key: where given, no second fact with this key is ever accepted into the stream.
        id: the ledger's running number; 0 until it is appended.
        at: Unix time in seconds at which it was appended.
    """

    stream: str
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    id: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody wants to hold a key of the ledger for a while, or gives it back.

    Args:
        key: what is held, such as "study/churn/17".
        owner: who wants it.
        lease: seconds from now for which it is held; 0 gives it back.
        instead_of: a holder known to be dead, whose lease does not count.
    """

    key: str
    owner: str
    lease: float
    instead_of: str | None = None


class Ledger(Protocol):
    """Remembers. Any sequence of calls gives the memory ledger's answers; what was acknowledged survives ``kill -9``."""

    def append(self, facts: Sequence[Fact], claims: Sequence[Claim] = ()) -> list[int]:
        """Write facts, all or none; the id each was given, 0 for one whose key its stream already had (it is left out).

        With claims, facts and claims stand or fall together: where somebody else holds a key that is claimed, or a stream already has a fact's key,
        nothing happens and every id is 0.
        """
        ...

    def read(self, stream: str = "", after: int = 0, kind: str | None = None, limit: int | None = None) -> list[Fact]:
        """The facts with an id above ``after``, in order of id, the first ``limit`` of them; an empty stream means all, a trailing slash all that
        begin so."""
        ...

    def claim(self, key: str, owner: str, lease: float, instead_of: str | None = None) -> str:
        """Who holds ``key`` after this call. It is ``owner`` if the key was free, its lease (seconds) had run out, it was already
        the owner's (the lease is renewed), or it was held by ``instead_of`` (known to be dead). A lease of 0 gives it back."""
        ...

    def put(self, blob: bytes) -> str:
        """Keep a blob; its SHA-256 in hex. Putting it again changes nothing."""
        ...

    def get(self, digest: str) -> bytes:
        """The blob with this SHA-256.

        Raises:
            BlobMissing: it is not there, or no longer matches its hash.
        """
        ...


@runtime_checkable
class Detector(Protocol):
    """Watches one number at a time. A still stream alarms at most as often as promised, for ever."""

    @property
    def drifted(self) -> bool:
        """Whether the alarm has been raised."""
        ...

    def update(self, x: float) -> None:
        """Take in the next value."""
        ...
