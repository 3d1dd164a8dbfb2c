"""A run of trials from the shell: its budget, and how it is stopped."""

from __future__ import annotations

import importlib
import signal
import threading
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from staytuned.automl.events import Moved, OnEvent, Said
from staytuned.console import Listener

_AFTERWARDS, _AFTERWARDS_SHARE = 0.6, 0.02  # seconds to register a model and to write its report, and what of the time they may take besides
_BY_START = 0.2  # the same as a share of the time that the process took to get here: both are much the same work, and as slow as the machine is
_LEAST_SHARE = 0.2  # of the time, for the search even where everything else takes long
_EXIT = 0.2  # seconds for the process to end


def age() -> float:
    """Seconds since this process began."""
    return max(clock.time() - psutil.Process().create_time(), 0.0)


def left_of(seconds: float | None) -> float | None:
    """What is left for a search of a budget that began with this process, and must also pay for keeping the model and writing the report."""
    if seconds is None or not seconds > 0:
        return seconds
    spent = age()
    return max(seconds - spent - max(_AFTERWARDS, _BY_START * spent) - _AFTERWARDS_SHARE * seconds, _LEAST_SHARE * seconds)


def left_to_write(seconds: float | None) -> float | None:
    """What is left of it now for the last thing that is written; None for no limit."""
    return None if seconds is None else max(seconds - age() - _EXIT, 0.0)


def ahead(on_event: OnEvent, *modules: str) -> OnEvent:
    """The listener, at whose first event modules begin to be loaded that will be needed in the end: beside the search, in a thread of their own."""

    def load() -> None:
        for module in modules:
            with suppress(Exception):  # whoever needs it will be told
                importlib.import_module(module)

    thread = threading.Thread(target=load, name="staytuned-ahead", daemon=True)

    def heard(event: Said | Moved) -> None:
        if thread.ident is None:
            thread.start()
        on_event(event)

    return heard


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
