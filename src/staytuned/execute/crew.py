"""An executor as a loop of trials sees it: how many it runs at once, and how the same work gets to its workers again and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Protocol, TypeVar

from staytuned.errors import UsageError
from staytuned.execute._remote import with_line
from staytuned.execute.dask import DaskCrew, is_dask

A = TypeVar("A")
T = TypeVar("T")


class Crew(Protocol):
    """Who runs the trials."""

    @property
    def under_way(self) -> int:
        """How many trials to have under way, at least 1: one for each worker, and some in line where there are many (see ``with_line``)."""
        ...

    @property
    def glance(self) -> float:
        """Seconds after which ``under_way`` may be another number; infinite where it stays."""
        ...

    @property
    def cuts_off(self) -> bool:
        """Whether a trial is stopped when its seconds are over, even where it does not look at the clock itself."""
        ...

    def submit(self, work: Callable[[A], T], argument: A, seconds: float) -> Future[T]:
        """The future of ``work(argument)``, which is to end within these seconds where the executor can see to it."""
        ...


def crew_of(executor: Executor, at_once: int | None = None) -> Crew:
    """The crew of any executor.

    Args:
        executor: a ``concurrent.futures.Executor``. Its attribute ``workers`` or ``_max_workers`` says how many tasks it runs at once; one that
            says nothing is given one at a time. Dask's is asked for its cluster's threads.
        at_once: how many trials to give it at once, whatever it says.

    Raises:
        UsageError: at_once is no positive whole number, or this is no executor.
    """
    if at_once is not None and (isinstance(at_once, bool) or at_once != int(at_once) or at_once < 1):
        raise UsageError(f"n_jobs={at_once!r} with an executor must be how many trials it is given at once, at least 1; None for as many as it has workers")
    if not callable(getattr(executor, "submit", None)):
        raise UsageError(f"executor={executor!r} has no submit(); pass a concurrent.futures.Executor, such as ThreadPoolExecutor(8) or client.get_executor()")
    return DaskCrew(executor, at_once) if is_dask(executor) else _Plain(executor, at_once)


class _Plain:
    """Any executor that says itself how many workers it has."""

    def __init__(self, executor: Executor, at_once: int | None) -> None:
        self._executor = executor
        self._at_once = at_once

    @property
    def under_way(self) -> int:
        if self._at_once is not None:
            return self._at_once
        said = next((n for name in ("workers", "num_workers", "_max_workers") if isinstance(n := getattr(self._executor, name, None), int)), 1)
        return with_line(max(1, said))

    @property
    def glance(self) -> float:
        return math.inf if self._at_once is not None else float(getattr(self._executor, "glance", math.inf))

    @property
    def cuts_off(self) -> bool:
        return hasattr(self._executor, "submit_within")

    def submit(self, work: Callable[[A], T], argument: A, seconds: float) -> Future[T]:
        within: Any = getattr(self._executor, "submit_within", None)
        if within is None or seconds == math.inf:
            return self._executor.submit(work, argument)
        limit = getattr(self._executor, "timeout", None) or math.inf
        future: Future[T] = within(min(limit, max(seconds, 0.001)), work, argument)
        return future
