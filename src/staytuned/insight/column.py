"""The validation curve of a hyperparameter that one fit per fold measured at many values, such as rounds or epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.trial import Trial

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnCurve:
    """The score of one trial at every value measured.

    Args:
        name: of the hyperparameter.
        metric, direction: of the scores.
        values: (k,) in the order measured.
        mean, sd: (k,) over the folds.
        chosen: place of the trial's own value among them.
    """

    name: str
    metric: str
    direction: str
    values: tuple[Any, ...]
    mean: Array
    sd: Array
    chosen: int


def column_curve(trial: Trial, goal: Goal, name: str | None = None) -> ColumnCurve:
    """How the score changed with one hyperparameter of a trial's column, all others as the trial has them.

    Args:
        trial: such as a study's best.
        name: default: the hyperparameter with the most values.

    Raises:
        UsageError: the trial measured one value only, or no column of that name.
    """
    column = trial.measurement.column if trial.measurement is not None else ()
    values = {free: {repr(alternative.values[free]) for alternative in column} for free in (column[0].values if column else ())}
    name = max(values, key=lambda free: len(values[free]), default=None) if name is None else name
    if name is None or len(values.get(name, ())) < 2:
        asked = "any hyperparameter" if name is None else repr(name)
        raise UsageError(
            f"trial {trial.number} did not measure {asked} at many values, but {', '.join(values) or 'none'}: pass one that came free with the fit"
        )
    rows = [alternative for alternative in column if all(value == trial.config.get(other) for other, value in alternative.values.items() if other != name)]
    scores = np.array([[scores.get(goal.metric, np.nan) for scores in alternative.scores] for alternative in rows])
    found = tuple(alternative.values[name] for alternative in rows)
    return ColumnCurve(name, goal.metric, goal.direction, found, scores.mean(axis=1), scores.std(axis=1), found.index(trial.config[name]))
