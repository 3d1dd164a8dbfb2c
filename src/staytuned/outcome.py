"""What comes back when an objective has run, or when somebody tells a result by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from staytuned.errors import UsageError
from staytuned.evaluate.guard import measured, told
from staytuned.goal import Goal
from staytuned.open_trial import OpenTrial
from staytuned.space.dims import Dimension
from staytuned.trial import Measurement, Status

Objective: TypeAlias = Callable[[OpenTrial], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial comes home with.

    Args:
        measurement: what was measured.
        suggested: the dimensions that a define-by-run objective asked for.
        cut_off: whether it stopped because the study's time was up.
    """

    measurement: Measurement
    suggested: Mapping[str, Dimension]
    cut_off: bool = False


@dataclass(frozen=True)
class Run:
    """What travels to a worker once; an open trial follows for every run."""

    objective: Objective
    goal: Goal

    def __call__(self, trial: OpenTrial) -> Outcome:
        measurement = measured(lambda: self.objective(trial), self.goal)
        return Outcome(trial.closed(measurement), trial.suggested, trial.cut_off and measurement.status is Status.PRUNED)


def as_measurement(result: Any, goal: Goal) -> Measurement:
    """What was told, as a measurement.

    Args:
        result: a score, a tuple of one for each objective, scores by metric, the status of a trial that gave none, or a Measurement.

    Raises:
        UsageError: no such status, or one that ends no trial.
    """
    if isinstance(result, Measurement) and result.status is Status.RUNNING:
        raise UsageError("a Measurement with status 'running' ends no trial; tell one that is over")
    if isinstance(result, str):
        endings = [status for status in Status if status not in (Status.RUNNING, Status.DONE)]
        if result not in endings:
            raise UsageError(f"{result!r} is neither a score nor the status of a trial that gave none; those are {', '.join(endings)}")
        return Measurement(status=Status(result), cure=f"told as {result}")
    return told(result, goal)
