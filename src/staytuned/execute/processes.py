"""Worker processes that can be killed one by one, without losing the pool."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

import cloudpickle

from staytuned.errors import TrialKilled, UsageError, WorkerDied
from staytuned.execute._link import KEPT, Link, Packed

P = ParamSpec("P")
T = TypeVar("T")


class ProcessExecutor(Executor):
    """Runs tasks in worker processes, each watched by a thread that ends it at its limits.

    A task past a limit, or whose process dies, costs that process and nothing else: its future gets TrialTimeout,
    TrialOutOfMemory or WorkerDied, and the next task a fresh process. Workers are new interpreters, not forks (OpenMP does not
    survive a fork), do not run the caller's ``__main__`` again, and die with the parent however it dies. They start at the first task that
    needs them. Their output goes where the parent's goes; what a trial that was ended had said comes home too, as the exception's ``log``.

    Functions, lambdas and closures travel by cloudpickle. A callable is packed when it is first submitted and sent to each
    worker once, told apart by identity: one evaluator holding a large table is submitted a thousand times at little cost, and
    what is changed inside it after its first submit is not seen.

    Args:
        workers: processes at most.
        timeout: seconds a task may run; starting a process and importing what the callable needs are not counted. None: no limit.
        memory: bytes that a worker and its children may hold in memory together, imports and tables included; looked at every
            50 ms, so that a short peak may pass unseen. None: no limit.
        threads_per_worker: threads of BLAS and OpenMP in each worker; 1, as the processes share the cores already.

    Raises:
        UsageError: an argument that is not positive, or a system without inherited sockets (Windows).
    """

    def __init__(self, workers: int, *, timeout: float | None = None, memory: int | None = None, threads_per_worker: int = 1) -> None:
        if os.name != "posix":
            raise UsageError("ProcessExecutor needs a POSIX system; on Windows pass a concurrent.futures.ProcessPoolExecutor, without limits")
        if workers < 1 or threads_per_worker < 1:
            raise UsageError(f"workers={workers!r} and threads_per_worker={threads_per_worker!r} must both be at least 1")
        _check_limit("timeout", timeout, "seconds")
        _check_limit("memory", memory, "bytes")
        self.timeout = timeout
        self.workers = workers
        self._pool = _Pool(threads_per_worker, memory)
        self._tokens = count()
        self._shelf: dict[int, Packed] = {}
        self._shelf_lock = threading.RLock()  # packing runs the user's code, which may submit
        # An executor that nobody holds any more finishes what it was given, then lets its workers go.
        weakref.finalize(self, self._pool.tasks.put, None).atexit = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """A future of ``fn(*args, **kwargs)``; a task that cannot be packed is told by the future too.

        Raises:
            RuntimeError: after ``shutdown`` or ``kill``.
        """
        return self._enqueue(self.timeout, fn, args, kwargs)

    def submit_within(self, seconds: float | None, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``submit``, with this time limit in place of the executor's own; None for no limit.

        Raises:
            UsageError: seconds is not positive.
        """
        _check_limit("a time limit", seconds, "seconds")
        return self._enqueue(seconds, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further tasks, finish those submitted (or cancel those that wait in line), and let the workers go.

        Args:
            wait: return only when all that has ended.
            cancel_futures: cancel the tasks that have not begun.
        """
        self._pool.shut(cancel=cancel_futures)
        if wait:
            self._pool.join()

    def kill(self) -> None:
        """End everything now: tasks in line are cancelled, the futures of running ones get TrialKilled."""
        self._pool.kill()
        self._pool.join()

    def _enqueue(self, seconds: float | None, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[T]:
        self._pool.check_open()
        future: Future[T] = Future()
        try:
            task = _Task(future, self._packed(fn), cloudpickle.dumps((args, kwargs)), seconds)
        except Exception as problem:
            future.set_running_or_notify_cancel()
            future.set_exception(_unsendable(fn, problem))
        else:
            self._pool.add(task, self.workers)
        return future

    def _packed(self, fn: Callable[..., Any]) -> Packed:
        with self._shelf_lock:
            packed = self._shelf.pop(id(fn), None) or Packed(next(self._tokens), fn, cloudpickle.dumps(fn))
            while len(self._shelf) >= KEPT:
                del self._shelf[next(iter(self._shelf))]
            self._shelf[id(fn)] = packed  # last in line to be forgotten
            return packed


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    future: Future[Any]
    packed: Packed
    arguments: bytes
    seconds: float | None


@dataclass(slots=True, eq=False)
class _Pool:
    """What an executor shares with its threads. It does not know the executor, so that one nobody holds can be let go."""

    threads_per_worker: int
    memory: int | None
    tasks: SimpleQueue[_Task | None] = field(default_factory=SimpleQueue)  # None: no more will come
    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: list[threading.Thread] = field(default_factory=list)
    links: set[Link] = field(default_factory=set)
    pending: int = 0
    shutting: bool = False
    killed: bool = False

    def check_open(self) -> None:
        if self.shutting:
            raise RuntimeError("this executor has been shut down and takes no more tasks; make a new one")

    def add(self, task: _Task, workers: int) -> None:
        """Put a task in line; a further thread starts if all there are have something to do."""
        with self.lock:
            self.check_open()
            self.pending += 1
            self.tasks.put(task)
            if len(self.threads) < min(self.pending, workers):
                # Daemons: a parent that leaves without a shutdown is not held up, and its workers die with it.
                thread = threading.Thread(target=_supervise, args=(self,), name=f"staytuned-worker-{len(self.threads)}", daemon=True)
                self.threads.append(thread)
                thread.start()

    def done_with_one(self) -> None:
        with self.lock:
            self.pending -= 1

    def hire(self) -> Link:
        with self.lock:
            if self.killed:
                raise TrialKilled
            try:
                link = Link(self.threads_per_worker, self.memory)
            except OSError as problem:
                raise WorkerDied(f"no worker process could be started ({problem}); run fewer at once") from problem
            self.links.add(link)
            return link

    def dismiss(self, link: Link, *, at_once: bool) -> None:
        if at_once:
            link.kill()
        link.close()
        with self.lock:
            self.links.discard(link)

    def shut(self, *, cancel: bool) -> None:
        with self.lock:
            self.shutting = True
            waiting = self._all_waiting() if cancel else []
            self.pending -= len(waiting)
            self.tasks.put(None)
        for task in waiting:
            task.future.cancel()
            task.future.set_running_or_notify_cancel()  # wakes those who wait for it

    def kill(self) -> None:
        self.shut(cancel=True)
        with self.lock:
            self.killed = True
            links = list(self.links)
        for link in links:
            link.kill()

    def join(self) -> None:
        for thread in self.threads:
            if thread is not threading.current_thread():  # a future's callback may be the one that shuts down
                thread.join()

    def _all_waiting(self) -> list[_Task]:
        waiting = []
        with suppress(Empty):
            while True:
                waiting.append(self.tasks.get_nowait())
        return [task for task in waiting if task is not None]


def _supervise(pool: _Pool) -> None:
    """The life of a supervising thread: one worker process at a time, one task after the other."""
    link: Link | None = None
    while True:
        task = pool.tasks.get()
        if task is None:
            pool.tasks.put(None)  # for the next thread
            break
        link = _carry_out(task, link, pool)
        del task  # while it waits for the next, it holds no table of the last
    if link is not None:
        pool.dismiss(link, at_once=False)


def _carry_out(task: _Task, link: Link | None, pool: _Pool) -> Link | None:
    """Settles the task's future; the worker for the next task, if this one survived."""
    if not task.future.set_running_or_notify_cancel():
        pool.done_with_one()
        return link
    if link is not None and not link.alive:  # it died while idle: nobody's fault but its own
        pool.dismiss(link, at_once=True)
        link = None
    try:
        link = link or pool.hire()
        result, problem = link.call(task.packed, task.arguments, task.seconds)
    except BaseException as end:
        result, problem = None, TrialKilled("ended from outside while it ran, with its executor") if pool.killed else end
        if link is not None:
            pool.dismiss(link, at_once=True)
            if isinstance(problem, TrialKilled):
                problem.log = link.log
            link = None
    pool.done_with_one()
    try:
        if problem is None:
            task.future.set_result(result)
        else:
            task.future.set_exception(problem)
    finally:
        del task, problem  # the exception's traceback holds this frame: without this they would hold each other
    return link


def _check_limit(name: str, limit: float | None, unit: str) -> None:
    if limit is not None and not limit > 0:
        raise UsageError(f"{name}={limit!r} must be a positive number of {unit}, or None for no limit")


def _unsendable(fn: Callable[..., Any], problem: Exception) -> UsageError:
    error = UsageError(
        f"{fn!r} or its arguments cannot be sent to a worker process ({type(problem).__name__}: {problem}); "
        "open files, connections and locks inside the task, or run it inline"
    )
    error.__cause__ = problem
    return error
