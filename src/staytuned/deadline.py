"""The time that a study has, and whether what is about to begin would fit into it."""

from __future__ import annotations

import math
import time as clock
from collections import deque

from staytuned.trial import Measurement

_REMEMBERED = 9
_SOME = 4  # from so many on, the longest is taken for an accident


class Deadline:
    """When a study's time is up.

    A trial can stop only where it looks: after a fold, or at a report. The second longest of the last nine stretches between looks says whether another fits:
    more than most, but one very slow trial does not end a study of quick ones before its time.

    Args:
        seconds: from now; None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._at = math.inf if seconds is None else clock.monotonic() + seconds
        self._stretches: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def left(self) -> float:
        """Seconds; negative after it, infinite without a limit."""
        return self._at - clock.monotonic()

    @property
    def passed(self) -> bool:
        return self.left <= 0

    @property
    def ends(self) -> float:
        """The Unix time of it; infinite without a limit."""
        return clock.time() + self.left

    @property
    def stretch(self) -> float:
        """Seconds until a trial that begins now will probably look; 0 as long as nothing is known."""
        longest = sorted(self._stretches, reverse=True)
        return longest[1 if len(longest) >= _SOME else 0] if longest else 0.0

    def heard(self, measurement: Measurement) -> None:
        """Learn from a trial that has come in."""
        self._stretches.append(measurement.cost.seconds / max(len(measurement.readings), 1))
