"""Here and now: a task runs in the thread that submits it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(Executor):
    """Runs each task at ``submit``; the future that comes back is already done.

    An exception goes into the future, except KeyboardInterrupt and SystemExit, which mean the caller's own thread.

    >>> with InlineExecutor() as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def __init__(self) -> None:
        self._open = True

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """The finished future of ``fn(*args, **kwargs)``.

        Raises:
            RuntimeError: after ``shutdown``.
        """
        if not self._open:
            raise RuntimeError("this executor has been shut down and takes no more tasks; make a new one")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as problem:
            future.set_exception(problem)
        try:
            return future
        finally:
            del future  # the exception's traceback holds this frame: without this the future would hold itself

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Refuse further tasks; nothing is ever left to wait for or to cancel."""
        self._open = False
