"""Reads Optuna's journal storage in a file: one operation a line, done again one after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from staytuned.adapters.optuna_records import DIRECTIONS, STATES, OptunaStudy, OptunaTrial, distribution_in, seconds_in
from staytuned.errors import UsageError

_FINISHED = ("COMPLETE", "PRUNED", "FAIL")


def read_journal(path: Path) -> list[OptunaStudy]:
    """The studies of a journal; a last line that a process is just writing, or never finished, does not count.

    Raises:
        UsageError: another line is broken, or makes no sense; the message names it.
    """
    replay = _Replay()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                replay.take_in(json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError) as problem:
                said = f"it has no {problem}" if isinstance(problem, KeyError) else str(problem)
                raise UsageError(f"{str(path)!r}, line {number}: it is no operation of Optuna 3.1 to 5 ({said}); nothing was imported") from problem
    return [study for study in replay.studies if study is not None]


class _Replay:
    """Where the operations lead. Numbers of studies and trials are their places, those that were deleted included."""

    def __init__(self) -> None:
        self.studies: list[OptunaStudy | None] = []
        self._trials: list[OptunaTrial] = []

    def take_in(self, operation: Mapping[str, Any]) -> None:
        code = operation["op_code"]
        if code == 0:
            self._create_study(operation)
        elif code == 1:
            self.studies[operation["study_id"]] = None
        elif code in (2, 3):
            if (study := self.studies[operation["study_id"]]) is not None:
                if code == 2:
                    study.notes += 1
                else:
                    study.attributes.update(operation["system_attr"])
        elif code == 4:
            self._create_trial(operation)
        elif code in (5, 6, 7, 8, 9):
            if operation["trial_id"] < len(self._trials) and (trial := self._trials[operation["trial_id"]]).state not in _FINISHED:
                self._change(trial, code, operation)
        elif code != 10:
            raise ValueError(f"op_code {code!r} is unknown")

    def _create_study(self, operation: Mapping[str, Any]) -> None:
        name = operation["study_name"]
        if all(study is None or study.name != name for study in self.studies):  # of two that asked for a name, the first has it
            self.studies.append(OptunaStudy(name, [DIRECTIONS[direction] for direction in operation["directions"]]))

    def _create_trial(self, operation: Mapping[str, Any]) -> None:
        study = self.studies[operation["study_id"]] if operation["study_id"] < len(self.studies) else None
        if study is None:
            return
        trial = OptunaTrial(len(study.trials), STATES[operation.get("state", 0)])
        trial.distributions = {name: distribution_in(text) for name, text in operation.get("distributions", {}).items()}
        trial.params = dict(operation.get("params", {}))
        values = operation.get("values") or ([] if operation.get("value") is None else [operation["value"]])
        trial.values = tuple(map(float, values))
        trial.readings = {int(step): float(value) for step, value in operation.get("intermediate_values", {}).items()}
        trial.started = seconds_in(operation.get("datetime_start"), False)
        trial.ended = seconds_in(operation.get("datetime_complete"), False)
        trial.attributes = dict(operation.get("system_attrs", {}))
        trial.notes = len(operation.get("user_attrs", {}))
        study.trials.append(trial)
        self._trials.append(trial)

    def _change(self, trial: OptunaTrial, code: int, operation: Mapping[str, Any]) -> None:
        if code == 5:
            trial.params[operation["param_name"]] = operation["param_value_internal"]
            trial.distributions[operation["param_name"]] = distribution_in(operation["distribution"])
        elif code == 6:
            self._change_state(trial, operation)
        elif code == 7:
            trial.readings[int(operation["step"])] = float(operation["intermediate_value"])
        elif code == 8:
            trial.notes += 1
        else:
            trial.attributes.update(operation["system_attr"])

    def _change_state(self, trial: OptunaTrial, operation: Mapping[str, Any]) -> None:
        state = STATES[operation["state"]]
        if state == trial.state == "RUNNING":
            return
        if state == "RUNNING":
            trial.started = seconds_in(operation["datetime_start"], False)
        elif state in _FINISHED:
            trial.ended = seconds_in(operation["datetime_complete"], False)
        trial.state = state
        if operation["values"] is not None:
            trial.values = tuple(map(float, operation["values"]))
