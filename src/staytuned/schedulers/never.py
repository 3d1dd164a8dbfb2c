"""No scheduler: every trial gets all it asks for. And the parts of the seam that most schedulers answer as this one does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from staytuned.goal import Goal
from staytuned.protocols import Ration, Verdict
from staytuned.trial import History, Trial


class _Judging(Protocol):
    @property
    def goal(self) -> Goal: ...


def never_stops(self: Any, history: History, trial: Trial) -> Verdict:  # noqa: ARG001 - the seam's arguments
    """GO_ON: a trial spends what it was given."""
    return Verdict.GO_ON


def needs_nothing(self: Any, history: History) -> History:  # noqa: ARG001 - the seam's arguments
    """Nothing has to travel."""
    return ()


def as_reported(self: _Judging, history: History, trial: Trial) -> float:  # noqa: ARG001 - the seam's arguments
    """The best score reported, of a trial that its objective stopped."""
    return best_reported(self.goal, trial)


def whole_effort(self: Any, history: History, new: bool = True) -> Ration | None:  # noqa: ARG001 - the seam's arguments
    """Full effort for a new config."""
    return Ration() if new else None


@dataclass(frozen=True)
class Never:
    """Stops nothing.

    Args:
        goal: whose metric the reports carry.
    """

    goal: Goal

    judge, brief, estimate, ration = never_stops, needs_nothing, as_reported, whole_effort


def best_reported(goal: Goal, trial: Trial) -> float:
    """The best score a trial reported; NaN if it reported none."""
    scores = [r.scores[goal.metric] for r in trial.readings if math.isfinite(r.scores.get(goal.metric, math.nan))]
    return min(scores, key=goal.loss, default=math.nan)
