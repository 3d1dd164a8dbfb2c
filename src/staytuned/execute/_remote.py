"""What executors on other machines have in common: a future that stands for a cluster's, and trials in line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Following(Future[Any]):
    """Settled by ``settle``; cancelled at any time before, even while its task runs, and then the task is withdrawn."""

    def __init__(self) -> None:
        super().__init__()
        self._withdraw: Callable[[], object] = _nothing
        self._settling = threading.Lock()
        self._settled = False

    def stands_for(self, withdraw: Callable[[], object]) -> None:
        """A task is under way, the first or a repetition; ``withdraw`` takes it back."""
        with self._settling:
            late = self._settled
            if not late:
                self._withdraw = withdraw
        if late:
            withdraw()  # cancelled before the task was there

    def cancel(self) -> bool:
        """Whether it is cancelled: unless it is done."""
        if not self._claim():
            return self.cancelled()
        super().cancel()
        self.set_running_or_notify_cancel()  # wakes those who wait for it
        self._let_go()()
        return True

    def settle(self, result: Any, problem: BaseException | None) -> None:
        """Give it what its task returned or raised; nothing happens if it was cancelled before."""
        if not self._claim():
            return
        self._let_go()  # else this future would keep its task, and the cluster what came of it
        self.set_running_or_notify_cancel()
        try:
            if problem is None:
                self.set_result(result)
            else:
                self.set_exception(problem)
        finally:
            del problem, self  # the exception's traceback holds this frame: without this the future would hold itself

    def _let_go(self) -> Callable[[], object]:
        with self._settling:
            withdraw, self._withdraw = self._withdraw, _nothing
            return withdraw

    def _claim(self) -> bool:
        with self._settling:
            first, self._settled = not self._settled, True
            return first


def with_line(workers: int) -> int:
    """So many workers, and for every eight of them one trial in line: it begins as another ends, while the next is still being thought of.

    A trial in line knows less than one proposed later; with one for eight workers, which know nothing of each other either, that hardly counts.
    """
    return workers + workers // 8


def _nothing() -> None:
    """There is nothing to withdraw any more."""
