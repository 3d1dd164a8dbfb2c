"""The steps of a tuning run: said as they come, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from staytuned.automl.events import OnEvent, Said

T = TypeVar("T")


class Timeline:
    """Says each step and notes how long it took.

    Args:
        on_event: the listener.
        seconds: for all of them, from now on; None for no limit.

    Attributes:
        rows: (step, seconds) in order.
    """

    def __init__(self, on_event: OnEvent, seconds: float | None) -> None:
        self.rows: list[tuple[str, float]] = []
        self._on_event = on_event
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def say(self, step: str, text: str) -> None:
        """Tell the listener."""
        self._on_event(Said(step, text))

    def timed(self, step: str, work: Callable[[], T]) -> T:
        """What the work gives; how long it took is noted even if it fails."""
        began = time.monotonic()
        try:
            return work()
        finally:
            self.rows.append((step, time.monotonic() - began))

    def left(self) -> float | None:
        """Seconds, negative once they are over; None without a limit."""
        return None if self._deadline is None else self._deadline - time.monotonic()
