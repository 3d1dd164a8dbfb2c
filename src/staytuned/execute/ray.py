"""Ray as a ``concurrent.futures.Executor``: a task of Ray's for every task, with resources of its own."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from threading import RLock
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

import cloudpickle

from staytuned.errors import TrialOutOfMemory, UsageError, WorkerDied
from staytuned.execute._link import KEPT, opened_problem
from staytuned.execute._remote import Following
from staytuned.execute._worker import packed_problem

P = ParamSpec("P")
T = TypeVar("T")

_GLANCE = 1.0  # seconds between two questions to Ray what the cluster has


class RayExecutor(Executor):
    """Runs tasks on a Ray cluster: the one that ``ray.init`` was called for, else one on this machine.

    Functions, lambdas and closures travel by cloudpickle. A callable is packed when it is first submitted, and unpacked once by each worker process,
    told apart by identity: one evaluator holding a large table is submitted a thousand times at little cost, and what is changed inside it after its
    first submit is not seen. What a task raises comes back as it was, with the worker's traceback as a note.

    A task whose worker dies runs again ``retries`` times, then its future gets WorkerDied; one that Ray ends as the machine runs out of memory gets
    TrialOutOfMemory at once. ``cancel`` works on running tasks too: Ray ends their process.

    Args:
        num_cpus, num_gpus: processors that a task takes, fractions allowed; Ray lets a task see its GPUs only.
        memory: bytes that a task sets aside when Ray places it. No limit: Ray ends tasks only if a machine runs out.
        resources: further resources by the names the cluster gives them, such as ``{"accelerator": 1}``.
        retries: how often a task is run again whose worker died.
        options: passed on to Ray as they are, such as ``{"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "4"}}}``.

    Raises:
        UsageError: Ray is not installed, or a number is negative.
    """

    def __init__(
        self,
        num_cpus: float = 1,
        num_gpus: float = 0,
        memory: int | None = None,
        *,
        resources: Mapping[str, float] | None = None,
        retries: int = 2,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        named = {"num_cpus": num_cpus, "num_gpus": num_gpus, "memory": memory or 0, "retries": retries, **(resources or {})}
        wrong = [f"{name}={number!r}" for name, number in named.items() if not number >= 0]
        if wrong:
            raise UsageError(f"{', '.join(wrong)} must be 0 or more")
        self._needs = {"CPU": num_cpus, "GPU": num_gpus, "memory": memory or 0, **(resources or {})}
        self._ray = _installed()
        if not self._ray.is_initialized():
            self._ray.init()
        wishes: dict[str, Any] = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_retries": 0, **(options or {})}
        wishes |= {"memory": memory} if memory else {}
        wishes |= {"resources": dict(resources)} if resources else {}
        self._call = self._ray.remote(_call).options(**wishes)
        self._retries = retries
        self._counted, self._workers = -math.inf, 1
        self._open = True
        self._pending: dict[Future[Any], None] = {}  # in the order of submitting
        self._shelf: dict[int, tuple[str, Callable[..., Any], Any]] = {}
        self._lock = RLock()  # packing runs the user's code, which may submit

    @property
    def workers(self) -> int:
        """How many tasks the cluster, as large as it is at the moment, has room for; at least 1."""
        if time.monotonic() - self._counted > _GLANCE:
            self._workers, self._counted = max(1, room(self._ray.cluster_resources(), self._needs)), time.monotonic()
        return self._workers

    @property
    def glance(self) -> float:
        """Seconds after which the cluster may be larger or smaller."""
        return _GLANCE

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future of ``fn(*args, **kwargs)``; a task that cannot be packed is told by the future too.

        Raises:
            RuntimeError: after ``shutdown``.
        """
        future = Following()
        with self._lock:
            if not self._open:
                raise RuntimeError("this executor has been shut down and takes no more tasks; make a new one")
            self._pending[future] = None
        future.add_done_callback(self._done)
        try:
            token, _, body = self._packed(fn)
            arguments = cloudpickle.dumps((args, kwargs))
        except Exception as problem:
            future.settle(None, _unsendable(fn, problem))
        else:
            _Task(self._ray, lambda: self._call.remote(token, [body], arguments)).begin(future, self._retries)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further tasks, finish those submitted (or cancel those that wait in line). Ray itself stays: ``ray.shutdown()`` ends it.

        Args:
            wait: return only when all have ended.
            cancel_futures: cancel the tasks that have not begun.
        """
        with self._lock:
            self._open = False
            pending = list(self._pending)
        if cancel_futures:
            for future in pending[self.workers :]:  # Ray begins them in their order, and does not say which it has begun
                future.cancel()
        if wait:
            _wait(pending)
        with self._lock:
            self._shelf.clear()

    def _done(self, future: Future[Any]) -> None:
        with self._lock:
            self._pending.pop(future, None)

    def _packed(self, fn: Callable[..., Any]) -> tuple[str, Callable[..., Any], Any]:
        """(token, the callable, where its bytes lie in the cluster); holding the callable keeps its id from being given to another."""
        with self._lock:
            packed = self._shelf.pop(id(fn), None) or (uuid4().hex, fn, self._ray.put(cloudpickle.dumps(fn)))
            while len(self._shelf) >= KEPT:
                del self._shelf[next(iter(self._shelf))]
            self._shelf[id(fn)] = packed  # last in line to be forgotten
            return packed


def room(cluster: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many tasks with these needs a cluster with these resources runs at once; as many as it has processors if they need nothing."""
    places = [cluster.get(name, 0) / need for name, need in needs.items() if need > 0]
    return int(min(places, default=cluster.get("CPU", 1)) + 1e-9)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What Ray does for one future, once or, if workers die, again."""

    ray: Any
    start: Callable[[], Any]

    def begin(self, future: Following, retries: int) -> None:
        try:
            reference = self.start()
            inner = reference.future()
        except Exception as problem:
            future.settle(None, problem)
            return
        # By force: a mere interruption is not heard by native code, nor by a task that sleeps.
        future.stands_for(lambda: self.ray.cancel(reference, force=True))
        inner.add_done_callback(lambda done: self._land(done, future, retries))

    def _land(self, inner: Future[Any], future: Following, retries: int) -> None:
        try:
            result, problem = _opened(inner, self.ray.exceptions)
        except BaseException as unknown:
            result, problem = None, unknown
        if isinstance(problem, WorkerDied) and retries and not future.cancelled():
            self.begin(future, retries - 1)
            return
        try:
            future.settle(result, problem)
        finally:
            del problem  # its traceback holds this frame


def _call(token: str, body: list[Any], arguments: bytes) -> tuple[Any, bytes]:
    """In a worker process: (result, empty), or (None, the packed exception). The callable is unpacked when it is seen there for the first time."""
    try:
        if token not in _learnt:
            while len(_learnt) >= KEPT:
                del _learnt[next(iter(_learnt))]
            _learnt[token] = cloudpickle.loads(_installed().get(body[0]))
        args, kwargs = cloudpickle.loads(arguments)
        return _learnt[token](*args, **kwargs), b""
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as problem:
        return None, packed_problem(problem)


_learnt: dict[str, Callable[..., Any]] = {}
_wait = wait


def _opened(inner: Future[Any], problems: Any) -> tuple[Any, BaseException | None]:
    try:
        result, body = inner.result()
        return result, opened_problem(body) if body else None
    except problems.OutOfMemoryError as problem:
        return None, _because(
            TrialOutOfMemory(f"its machine ran out of memory; let a task take more with memory=, or narrow the space ({_first(problem)})"), problem
        )
    except problems.TaskCancelledError as problem:
        return None, _because(WorkerDied("Ray cancelled it; nothing of staytuned's did"), problem)
    except problems.RayTaskError as problem:
        said = f"the task's result cannot be sent back from Ray's worker ({_last(problem)}); return plain numbers, arrays or records"
        return None, _because(UsageError(said), problem)
    except problems.RayError as problem:
        said = f"its worker died each time; look into Ray's logs for what ended it, or allow more with retries= ({type(problem).__name__}: {_first(problem)})"
        return None, _because(WorkerDied(said), problem)


def _because(end: BaseException, problem: BaseException) -> BaseException:
    end.__cause__ = problem
    return end


def _first(problem: BaseException) -> str:
    return str(problem).strip().partition("\n")[0][:300]


def _last(problem: BaseException) -> str:
    return str(problem).strip().rpartition("\n")[2][:300]


def _unsendable(fn: Callable[..., Any], problem: Exception) -> UsageError:
    said = f"{fn!r} or its arguments cannot be sent to Ray ({type(problem).__name__}: {problem}); open files, connections and locks inside the task"
    error = UsageError(said)
    error.__cause__ = problem
    return error


def _installed() -> Any:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as problem:
        raise UsageError("RayExecutor needs Ray; pip install 'staytuned[ray]'") from problem
