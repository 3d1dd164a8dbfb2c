"""What every executor must keep: the exam that ours take, and yours may too.

A law takes ``make``, which gives a fresh ``concurrent.futures.Executor`` at each call, and raises AssertionError where it is broken.
Tasks are functions of this module, so that an executor on other machines can import them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, as_completed
from typing import Any, TypeAlias

Make: TypeAlias = Callable[[], Executor]
Law: TypeAlias = Callable[[Make], None]


def check_executor(make: Make) -> None:
    """Try every law on the executors that ``make`` gives.

    Raises:
        AssertionError: a law is broken; the message says which and how.
    """
    for law in EXECUTOR_LAWS:
        law(make)


def results_are_those_of_a_plain_call(make: Make) -> None:
    """A future holds what calling the function here would have given, keyword arguments included."""
    with make() as executor:
        got = executor.submit(_describe, 3, "x", scale=2.5).result()
    _same(got, _describe(3, "x", scale=2.5), "submit with positional and keyword arguments")


def closures_travel(make: Make) -> None:
    """A function need not be importable: a lambda with a free variable runs too."""
    offset = 7
    with make() as executor:
        _same(executor.submit(lambda x: x + offset, 5).result(), 12, "a lambda with a free variable")


def exceptions_travel(make: Make) -> None:
    """What a task raises comes back as the same type with the same arguments."""
    with make() as executor:
        problem = executor.submit(_fail, "seven").exception()
    _true(type(problem) is LookupError and problem.args == ("no such thing", "seven"), f"LookupError('no such thing', 'seven') came back as {problem!r}")


def a_failure_harms_no_other(make: Make) -> None:
    """Tasks before, beside and after one that raises are untouched."""
    with make() as executor:
        futures = [executor.submit(_fail if i % 2 else _square, i) for i in range(8)]
        failed = [future.exception() is not None for future in futures]
        _same(failed, [bool(i % 2) for i in range(8)], "which of eight tasks failed")
        _same([futures[i].result() for i in range(0, 8, 2)], [0, 4, 16, 36], "results beside failures")


def order_does_not_matter(make: Make) -> None:
    """A task's result does not depend on what was submitted before it."""
    with make() as executor:
        onward = {i: executor.submit(_square, i) for i in range(10)}
        backward = {i: executor.submit(_square, i) for i in reversed(range(10))}
        _same({i: f.result() for i, f in onward.items()}, {i: f.result() for i, f in backward.items()}, "results by argument")


def many_tasks_all_come_back(make: Make) -> None:
    """Far more tasks than workers: each comes back once, and ``map`` keeps their order."""
    with make() as executor:
        futures: list[Future[Any]] = [executor.submit(_square, i) for i in range(200)]
        _same(sum(future.result() for future in as_completed(futures)), sum(i * i for i in range(200)), "the sum of 200 squares")
        _same(list(executor.map(_square, range(20))), [i * i for i in range(20)], "map, in order")


def large_arguments_and_results_are_whole(make: Make) -> None:
    """Megabytes pass both ways unharmed."""
    block = bytes(range(256)) * 20_000
    with make() as executor:
        _true(executor.submit(_reverse, block).result() == block[::-1], "five megabytes did not come back as they were sent")


def shutdown_waits(make: Make) -> None:
    """``shutdown(wait=True)`` comes back when every task is done, and drops none."""
    executor = make()
    futures = [executor.submit(_pause, 0.01) for _ in range(5)]
    executor.shutdown(wait=True)
    _true(all(future.done() for future in futures), "shutdown(wait=True) came back before its tasks were done")
    _same([future.result() for future in futures], [0.01] * 5, "results after shutdown")


def shutdown_refuses_and_repeats(make: Make) -> None:
    """After a shutdown ``submit`` raises RuntimeError; a second shutdown does nothing."""
    executor = make()
    executor.shutdown()
    executor.shutdown()
    try:
        executor.submit(_square, 1)
    except RuntimeError:
        return
    raise AssertionError("submit after shutdown must raise RuntimeError")


def cancelled_futures_are_done(make: Make) -> None:
    """``shutdown(cancel_futures=True)`` leaves every future done: with its result, or cancelled."""
    executor = make()
    futures = [executor.submit(_pause, 0.02) for _ in range(30)]
    executor.shutdown(wait=True, cancel_futures=True)
    _true(all(future.done() for future in futures), "shutdown(cancel_futures=True) left a future neither done nor cancelled")
    _same({future.result() for future in futures if not future.cancelled()}, {0.02}, "results of the tasks that had begun")


EXECUTOR_LAWS: tuple[Law, ...] = (
    results_are_those_of_a_plain_call,
    closures_travel,
    exceptions_travel,
    a_failure_harms_no_other,
    order_does_not_matter,
    many_tasks_all_come_back,
    large_arguments_and_results_are_whole,
    shutdown_waits,
    shutdown_refuses_and_repeats,
    cancelled_futures_are_done,
)


def _describe(count: int, name: str, *, scale: float) -> tuple[int, str, float]:
    return count + 1, name * count, scale * count


def _square(x: int) -> int:
    return x * x


def _fail(what: object) -> int:
    raise LookupError("no such thing", what)


def _reverse(block: bytes) -> bytes:
    return block[::-1]


def _pause(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def _same(got: object, expected: object, what: str) -> None:
    _true(got == expected, f"{what}: got {got!r}, expected {expected!r}")


def _true(held: bool, otherwise: str) -> None:
    if not held:
        raise AssertionError(otherwise)
