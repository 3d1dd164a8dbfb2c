"""A run of trials from the shell: its budget, and how it is stopped."""

from __future__ import annotations

import signal
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from staytuned.automl.events import Moved, OnEvent, Said
from staytuned.console import Listener

_AFTERWARDS = 1.0  # seconds to register a model and to write its report


def left_of(seconds: float | None) -> float | None:
    """What is left of a budget that began with this process, and must also pay for keeping the model and writing the report."""
    if seconds is None or not seconds > 0:
        return seconds
    spent = clock.time() - psutil.Process().create_time()
    return max(seconds - spent - _AFTERWARDS - 0.02 * seconds, 0.5 * seconds)


@contextmanager
def stoppable(listener: Listener) -> Iterator[OnEvent]:
    """The listener, which stops the run after a Ctrl-C even if that fell into compiled code, where Python drops the exception."""
    stopped = False

    def on_signal(*_: object) -> None:
        nonlocal stopped
        stopped = True
        raise KeyboardInterrupt

    def on_event(event: Said | Moved) -> None:
        if stopped:
            raise KeyboardInterrupt
        listener(event)

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield on_event
    finally:
        signal.signal(signal.SIGINT, before)
