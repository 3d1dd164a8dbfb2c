"""No scheduler: every trial gets all it asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from staytuned.goal import Goal
from staytuned.protocols import Ration, Verdict
from staytuned.trial import History, Trial


@dataclass(frozen=True)
class Never:
    """Stops nothing.

    Args:
        goal: whose metric the reports carry.
    """

    goal: Goal

    def judge(self, history: History, trial: Trial) -> Verdict:  # noqa: ARG002 - the seam's arguments
        """GO_ON."""
        return Verdict.GO_ON

    def brief(self, history: History) -> History:  # noqa: ARG002 - the seam's arguments
        """Nothing is needed."""
        return ()

    def estimate(self, history: History, trial: Trial) -> float:  # noqa: ARG002 - the seam's arguments
        """The best score reported, of a trial that its objective stopped."""
        return best_reported(self.goal, trial)

    def ration(self, history: History, new: bool = True) -> Ration | None:  # noqa: ARG002 - the seam's arguments
        """Full effort for a new config."""
        return Ration() if new else None


def best_reported(goal: Goal, trial: Trial) -> float:
    """The best score a trial reported; NaN if it reported none."""
    scores = [r.scores[goal.metric] for r in trial.readings if math.isfinite(r.scores.get(goal.metric, math.nan))]
    return min(scores, key=goal.loss, default=math.nan)
