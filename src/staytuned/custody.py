"""Who is at work on which trial of a study: one worker at a time, and what a dead one left is taken over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from numbers import Integral, Real
from typing import Any

from staytuned.errors import UsageError
from staytuned.protocols import Claim, Fact, Ledger
from staytuned.store.hold import Hold
from staytuned.store.watch import Watch
from staytuned.story import Story
from staytuned.trial import Measurement, Status, Trial, measurement_to_json

LEASE = 60.0  # seconds; a worker says three times in it that it lives
RETRY = 2


class Custody:
    """The trials that one worker holds, by leases in the ledger.

    Args:
        ledger: where the study is.
        stream: the study's facts.
        story: what they say so far.
        refresh: takes in what others have written since.
        lease: seconds after which a trial is taken over whose worker, on another machine, says nothing.
        retry: how often a trial whose worker died is run again.
    """

    def __init__(self, ledger: Ledger, stream: str, story: Story, refresh: Callable[[], None], lease: float = LEASE, retry: int = RETRY) -> None:
        self._ledger, self._stream, self._story, self._refresh = ledger, stream, story, refresh
        self._hold = Hold(ledger, lease)
        self._watch = Watch(lease)
        self._retry = retry

    @property
    def worker(self) -> str:
        """The name under which this worker begins trials."""
        return self._hold.owner

    def holds(self, number: int) -> bool:
        """Whether this worker has the trial, as far as it knows."""
        return self._hold.holds(self._key(number))

    def held(self) -> set[int]:
        """The trials under way that this worker has."""
        return {number for number in self._story.running if self.holds(number)}

    def began(self, number: int, fact: Fact, dead: str | None = None) -> bool:
        """Whether the fact was written by which this worker begins the trial, or takes it over, and with it the lease.

        Args:
            dead: the worker it is taken from, where that one is known to be gone.
        """
        key = self._key(number)
        try:
            if not self._ledger.append([fact], [self._hold.wish(key, instead_of=dead)])[0]:
                return False
        except BaseException:
            with suppress(Exception):
                self.leave(number)  # it may have been written
            raise
        self._hold.took(key)
        self._refresh()
        if number in self._story.running:
            return True
        self._hold.let_go(key)  # it was told since we last looked
        self._ledger.claim(key, self._hold.owner, 0)
        return False

    def leave(self, number: int) -> None:
        """Whoever asks next gets the trial, if this worker had it."""
        key = self._key(number)
        self._hold.let_go(key)
        self._ledger.append([Fact(self._stream, "left", {"number": number})], [self._hold.end(key)])

    def end(self, number: int) -> Claim:
        """The claim that ends the lease together with what is told."""
        return self._hold.end(self._key(number))

    def over(self, number: int) -> None:
        """The trial was told, by whomever."""
        self._hold.let_go(self._key(number))

    def left_over(self) -> Trial | None:
        """The first trial under way that nobody is at work on any more, now this worker's; one whose workers died too often is told as lost."""
        for number in sorted(self._story.running - self.held()):
            worker = self._story.workers[number]
            dead = worker if self._watch.is_dead(worker) else None
            if dead or worker in ("", self.worker) or self._watch.is_silent(self._key(number), self._story.trials[number].started):
                deaths = self._story.deaths[number] + (worker not in ("", self.worker))
                if deaths > self._retry:
                    self._ledger.append([self._lost(number, worker, deaths)], [self._hold.end(self._key(number), instead_of=dead)])
                    self._refresh()
                    continue
                turn = self._story.taken[number] + 1
                fact = Fact(self._stream, "taken", {"number": number, "by": self.worker}, key=f"taken/{number}/{turn}")
                if self.began(number, fact, dead):
                    return self._story.trials[number]
        return None

    def _lost(self, number: int, worker: str, deaths: int) -> Fact:
        cure = f"its worker died, {deaths} times in a row, the last one {worker}; look for what ended it (memory?), or allow more with retry={deaths}"
        measurement = measurement_to_json(Measurement(status=Status.LOST, cure=cure))
        return Fact(self._stream, "told", {"number": number, "measurement": measurement}, key=f"told/{number}")

    def _key(self, number: int) -> str:
        return f"{self._stream}/{number}"


def checked_lease(lease: Any) -> float:
    """Seconds, if they are.

    Raises:
        UsageError: they are not, or not positive.
    """
    if isinstance(lease, bool) or not isinstance(lease, Real) or not float(lease) > 0:
        raise UsageError(f"lease={lease!r} must be a positive number of seconds, such as 60")
    return float(lease)


def checked_retry(retry: Any) -> int:
    """A count, if it is one.

    Raises:
        UsageError: it is not, or negative.
    """
    if isinstance(retry, bool) or not isinstance(retry, Integral) or int(retry) < 0:
        raise UsageError(f"retry={retry!r} must be a whole number of at least 0: how often a trial whose worker died is run again")
    return int(retry)
