"""What a storage of Optuna holds, as it holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from staytuned.errors import UsageError

STATES = ("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
DIRECTIONS = ("NOT_SET", "MINIMIZE", "MAXIMIZE")


@dataclass(slots=True)
class OptunaTrial:
    """A trial.

    Args:
        number: 0, 1, 2, ... within its study.
        state: one of STATES.
        params: values by name, a choice as its place among the choices.
        distributions: by name, as JSON objects with ``name`` and ``attributes``.
        values: one for each objective; empty where there is none.
        readings: intermediate values by step.
        started, ended: Unix time in seconds; None where unknown.
        attributes: system attributes, such as ``fixed_params`` of a trial that was enqueued.
        notes: how many user attributes it has.
    """

    number: int
    state: str = "RUNNING"
    params: dict[str, float] = field(default_factory=dict)
    distributions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    readings: dict[int, float] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    notes: int = 0


@dataclass(slots=True)
class OptunaStudy:
    """A study.

    Args:
        directions: one of DIRECTIONS for each objective.
        attributes: system attributes, such as ``study:metric_names``.
        notes: how many user attributes it has itself.
    """

    name: str
    directions: Sequence[str]
    trials: list[OptunaTrial] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    notes: int = 0


def value_of(param: float, distribution: Mapping[str, Any]) -> Any:
    """A parameter's value as the objective saw it."""
    name, attributes = distribution["name"], distribution["attributes"]
    if name == "CategoricalDistribution":
        return attributes["choices"][int(param)]
    return int(param) if name.startswith("Int") else float(param)


def distribution_in(text: str) -> Mapping[str, Any]:
    """A distribution as JSON says it."""
    found = json.loads(text)
    if not isinstance(found, dict) or not isinstance(found.get("name"), str) or not isinstance(found.get("attributes"), dict):
        raise UsageError(f"the distribution {text!r} does not read like those of Optuna 1.3 to 5; upgrade the storage with Optuna first")
    return found


def seconds_in(text: str | None, zone_is_utc: bool) -> float | None:
    """A date and time as Unix seconds; without a zone it is in UTC or, as Optuna before 5 wrote it, in this machine's."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None and zone_is_utc else moment).timestamp()
