"""A study as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from staytuned.goal import COSTS, Goal, value_of
from staytuned.trial import Status, Trial


def frame(trials: Sequence[Trial], goal: Goal, rationed: bool = False) -> Any:
    """A pandas DataFrame with one row per trial; its columns are those of ``Study.to_frame``.

    Args:
        rationed: whether trials were given shares of the effort.
    """
    import pandas as pd

    front = {trial.number for trial in goal.front(trials)} if goal.others else None
    rows = [_row(trial, goal, front, rationed) for trial in trials]
    return pd.DataFrame(rows, columns=None if rows else list(_row(Trial(0, {}), goal, front, False)))


def _row(trial: Trial, goal: Goal, front: set[int] | None, rationed: bool) -> dict[str, Any]:
    """One row of the frame; ``front``: the numbers of the trials on it, None where one objective makes it pointless."""
    flags: dict[str, Any] = {"fidelity": trial.share, "continues": trial.continues} if rationed else {}
    if front is not None:
        flags["front"] = trial.number in front
    if goal.limits:
        flags["feasible"] = trial.status is Status.DONE and goal.violation(trial) == 0
    costs = {name: value_of(trial.measurement, name) for name in COSTS if name in goal.names or name in trial.scores}
    costs = {"seconds": trial.cost.seconds} | costs
    fixed = {"number": trial.number, "status": str(trial.status)}, {**flags, **costs, "origin": trial.origin}, {"cure": trial.cure}
    scores = dict.fromkeys(goal.metrics, math.nan) | {name: score for name, score in trial.scores.items() if name not in COSTS}
    columns = {f"score.{name}" if any(name in part for part in fixed) else name: score for name, score in scores.items()}
    return fixed[0] | columns | fixed[1] | {f"config.{name}": value for name, value in trial.config.items()} | fixed[2]
