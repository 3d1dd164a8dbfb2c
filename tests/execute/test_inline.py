"""The inline executor: the laws, and what only it promises."""

import gc
import threading
import weakref

import pytest

from staytuned.execute.inline import InlineExecutor
from staytuned.testing.executor_laws import EXECUTOR_LAWS, Law, check_executor


@pytest.mark.parametrize("law", EXECUTOR_LAWS, ids=lambda law: law.__name__)
def test_law(law: Law) -> None:
    law(InlineExecutor)


def test_a_task_runs_at_submit_in_this_thread() -> None:
    future = InlineExecutor().submit(threading.get_ident)
    assert future.done()
    assert future.result() == threading.get_ident()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_the_callers_own_interruptions_are_not_swallowed(kind: type[BaseException]) -> None:
    def interrupted() -> None:
        raise kind

    with pytest.raises(kind):
        InlineExecutor().submit(interrupted)


def test_a_failed_future_does_not_keep_itself_alive() -> None:
    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)
    gc.disable()
    try:
        future = InlineExecutor().submit(_divide_by_zero, large)
        assert isinstance(future.exception(), ZeroDivisionError)
        del future, large
        assert gone() is None
    finally:
        gc.enable()


class _Forgetful(InlineExecutor):
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


def _divide_by_zero(_: object) -> float:
    return 1 / 0


def test_the_exam_can_be_failed() -> None:
    with pytest.raises(AssertionError, match="after shutdown"):
        check_executor(_Forgetful)
