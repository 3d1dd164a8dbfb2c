"""The plateau rule: stop a trial that has ceased to improve."""

from __future__ import annotations

import math
from dataclasses import dataclass

from staytuned.goal import Goal
from staytuned.protocols import Verdict
from staytuned.schedulers.never import as_reported, needs_nothing, whole_effort
from staytuned.schedulers.rungs import checked
from staytuned.trial import History, Trial


@dataclass(frozen=True)
class PlateauRule:
    """Stops a trial whose own best score has not improved by more than ``min_delta`` during its last ``patience`` reports.

    It looks at no other trial: early stopping (Prechelt 1998) for objectives that have none of their own. With several objectives it stops nothing.

    Args:
        goal: whose metric the reports carry.
        patience: reports without an improvement after which a trial is stopped; a report of NaN is one.
        min_delta: what counts as an improvement, in the metric's unit; at least 0.
        warmup: reports that are not counted.

    Raises:
        UsageError: a patience below 1, or a negative min_delta or warmup.
    """

    goal: Goal
    patience: int = 10
    min_delta: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        checked("patience", self.patience, 1, whole=True, hint=" of reports")
        checked("min_delta", self.min_delta, 0), checked("warmup", self.warmup, 0)

    def judge(self, history: History, trial: Trial) -> Verdict:  # noqa: ARG002 - it looks at no other trial
        """STOP on a plateau, else GO_ON."""
        if self.goal.others:
            return Verdict.GO_ON
        best, idle = math.inf, 0
        for report, reading in enumerate(sorted(trial.readings, key=lambda r: r.index)):
            loss = self.goal.loss(reading.scores.get(self.goal.metric, math.nan))
            if loss < best - self.min_delta or (math.isinf(best) and math.isfinite(loss)):
                best, idle = loss, 0
            elif report >= self.warmup:
                idle += 1
        return Verdict.STOP if idle >= self.patience else Verdict.GO_ON

    brief, estimate, ration = needs_nothing, as_reported, whole_effort
