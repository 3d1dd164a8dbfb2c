"""What a tuning run tells whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from staytuned.trial import Trial


@dataclass(frozen=True)
class Said:
    """A step of the workflow in words."""

    step: str
    text: str


@dataclass(frozen=True)
class Moved:
    """A trial ended.

    Args:
        trial: the one that ended.
        best: the best so far, if any finished.
        done, failed, pruned: trials so far by how they ended.
        planned: trials in all, where known.
        seconds_left: of the search, where it has a time budget.
    """

    trial: Trial
    best: Trial | None
    done: int
    failed: int
    pruned: int
    planned: int | None
    seconds_left: float | None


OnEvent: TypeAlias = Callable[[Said | Moved], None]


def silent(event: Said | Moved) -> None:
    """The listener of a run that nobody watches."""
