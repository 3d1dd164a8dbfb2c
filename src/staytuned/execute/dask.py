"""What a loop of trials must know of ``Client.get_executor()``, Dask's own executor."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, TypeVar
from uuid import uuid4

import cloudpickle

from staytuned.errors import UsageError, WorkerDied
from staytuned.execute._remote import Following, with_line

A = TypeVar("A")
T = TypeVar("T")

_GLANCE = 1.0  # seconds between two questions to the scheduler how many workers there are
_RETRIES = 2  # for a trial that was lost with a table that lay on the workers; where only its own worker died, Dask itself runs it again
_LARGE = 100_000  # bytes; work that is larger is laid down on the workers, smaller goes along with every trial


class DaskCrew:
    """The workers of a Dask cluster, as many as there are at the moment.

    ``ClientExecutor`` does not say how many tasks run at once, and sends all of the work again with every task.

    Args:
        executor: of ``Client.get_executor(...)``; its ``resources`` and ``workers`` say which of the cluster's threads count.
        at_once: how many trials to give it at once, whatever there is.
    """

    def __init__(self, executor: Executor, at_once: int | None = None) -> None:
        self._executor: Any = executor
        self._client: Any = executor._client  # type: ignore[attr-defined]
        self._wishes: Mapping[str, Any] = executor._kwargs  # type: ignore[attr-defined]
        self._at_once = at_once
        self._counted, self._workers = -math.inf, 1
        self._work: Callable[[Any], Any] | None = None
        self._large = False
        self._laid_down: Any = None
        self._lock = threading.Lock()

    @property
    def under_way(self) -> int:
        """How many trials to have under way: one for each thread of the cluster that may run one, as far as the resources reach, and some in line."""
        if self._at_once is not None:
            return self._at_once
        if time.monotonic() - self._counted > _GLANCE:
            self._workers, self._counted = max(1, self._places()), time.monotonic()
        return with_line(self._workers)

    def _places(self) -> int:
        if not self._wishes.get("resources") and self._wishes.get("workers") is None:
            return sum(self._client.nthreads().values())  # a much shorter answer than that of who has what
        cluster = self._client.sync(self._client.scheduler.identity)["workers"]
        return sum(room(worker, address, self._wishes) for address, worker in cluster.items())

    @property
    def glance(self) -> float:
        """Seconds after which there may be more or fewer workers."""
        return _GLANCE if self._at_once is None else math.inf

    @property
    def cuts_off(self) -> bool:
        """A running task of Dask's cannot be ended."""
        return False

    def submit(self, work: Callable[[A], T], argument: A, seconds: float) -> Future[T]:  # noqa: ARG002 - see cuts_off
        """The future of ``work(argument)``. A worker's death that Dask gives up on is WorkerDied.

        Raises:
            UsageError: the work cannot be sent.
        """
        future = Following()
        self._begin(future, work, argument, _RETRIES)
        return future

    def _begin(self, future: Following, work: Callable[[Any], Any], argument: Any, retries: int) -> None:
        # Not by the executor's own submit: its futures are never done if a result is lost between its task's end and its being fetched.
        if getattr(self._executor, "_shutdown", False):
            raise RuntimeError("this executor has been shut down and takes no more trials; make a new one")
        wishes = {**self._wishes, "pure": False, "key": f"trial-{uuid4().hex}"}
        inner = self._client.submit(_apply, self._there(work), argument, **wishes)
        future.stands_for(inner.cancel)
        self._client.loop.add_callback(self._follow, inner, future, work, argument, retries)

    async def _follow(self, inner: Any, future: Following, work: Callable[[Any], Any], argument: Any, retries: int) -> None:
        result: Any = None
        problem: BaseException | None = None
        try:
            result = await inner
        except (CancelledError, asyncio.CancelledError) as lost:
            if retries and not future.done():
                # In a thread of its own: this one is the client's, which has to answer.
                threading.Thread(target=self._again, args=(future, work, argument, retries - 1), daemon=True).start()
                return
            problem = _gone("Dask let go of it, as its scheduler or all workers that held its table went away, and not for the first time", lost)
        except BaseException as end:
            problem = _killed(end)
        future.settle(result, problem)

    def _again(self, future: Following, work: Callable[[Any], Any], argument: Any, retries: int) -> None:
        try:
            self._begin(future, work, argument, retries)
        except BaseException as problem:
            future.settle(None, _gone("Dask let go of it, and its client takes nothing more", problem))

    def _there(self, work: Callable[[Any], Any]) -> Any:
        """The work itself, or what stands for it where it lies on the workers already."""
        if work is not self._work:
            self._work, self._laid_down = work, None
            try:
                self._large = len(cloudpickle.dumps(work)) > _LARGE
            except Exception as problem:
                raise UsageError(f"{work!r} cannot be sent to Dask's workers ({type(problem).__name__}: {problem}); open files and locks inside") from problem
        if not self._large:
            return work
        with self._lock:
            if self._laid_down is None or self._laid_down.status in ("cancelled", "lost", "error"):
                self._laid_down = self._scattered(work)
            return work if self._laid_down is None else self._laid_down

    def _scattered(self, work: Callable[[Any], Any]) -> Any:
        """None while there is no worker to lay it down on, which an adaptive cluster begins with."""
        try:
            return self._client.scatter(work, broadcast=True, hash=False)
        except TimeoutError:
            return None


def is_dask(executor: object) -> bool:
    """Whether it is Dask's executor, without importing Dask."""
    return any(kind.__module__.partition(".")[0] == "distributed" and kind.__name__ == "ClientExecutor" for kind in type(executor).__mro__)


def room(worker: Mapping[str, Any], address: str, wishes: Mapping[str, Any]) -> int:
    """How many tasks with these wishes a worker runs at once.

    Args:
        worker: what the scheduler says of it: nthreads, and its resources.
        address: of the worker.
        wishes: what tasks ask for: ``resources``, by name, and ``workers``, addresses or names, one or several.
    """
    only = wishes.get("workers")
    if only is not None and not wishes.get("allow_other_workers"):
        named = {only} if isinstance(only, str | int) else set(only)
        if not named & {address, worker.get("name"), worker.get("host")}:
            return 0
    has = worker.get("resources") or {}
    places = [has.get(name, 0) / need for name, need in (wishes.get("resources") or {}).items() if need > 0]
    return int(min([worker["nthreads"], *places]))


def _apply(work: Callable[[A], T], argument: A) -> T:
    return work(argument)


def _killed(problem: BaseException) -> BaseException:
    """What the trial's own code raised, as it is; WorkerDied if its workers died and Dask gave it up."""
    if type(problem).__name__ != "KilledWorker":
        return problem
    allowed = getattr(problem, "allowed_failures", "?")
    said = f"each worker that ran it died, {allowed} times and once more; look into the workers' logs for what ended them (memory?), or allow more with"
    return _gone(f"{said} the Dask setting distributed.scheduler.allowed-failures", problem)


def _gone(said: str, problem: BaseException) -> WorkerDied:
    end = WorkerDied(said)
    end.__cause__ = problem
    return end
