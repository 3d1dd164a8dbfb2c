"""Studies of Optuna, read out of its storage (an SQLite file or a journal file) without Optuna.

What comes along: directions, names of metrics, parameters with their distributions, values, intermediate values as readings, states, times. What does not:
user attributes, constraints, and what Optuna's samplers keep for themselves. The study can be gone on with by the same define-by-run objective.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from staytuned.adapters.optuna_journal import read_journal
from staytuned.adapters.optuna_records import OptunaStudy, OptunaTrial, value_of
from staytuned.adapters.optuna_sqlite import read_sqlite
from staytuned.errors import NotFoundError, SpaceError, UsageError
from staytuned.goal import Goal
from staytuned.protocols import Fact, Ledger
from staytuned.space.codec import config_to_json
from staytuned.space.dims import Choice, Dimension, Float, Int, is_plain
from staytuned.store.keeping import Row
from staytuned.store.lines import to_line
from staytuned.store.move import Moved, graft
from staytuned.trial import Cost, Measurement, Reading, Status, Trial, measurement_to_json, trial_to_json


@dataclass(frozen=True, slots=True)
class Brought:
    """A study that was brought in.

    Args:
        name: what it is called in the ledger.
        left_out: what was not brought along, one sentence each.
    """

    name: str
    goal: Goal
    trials: int
    left_out: tuple[str, ...]


def is_optuna(path: str | Path) -> bool:
    """Whether a file looks like a storage of Optuna."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(16)
            if head == _SQLITE:
                return True
            line = json.loads(head + file.readline(100_000))
            return isinstance(line, dict) and "op_code" in line
    except (OSError, ValueError):
        return False


def read_optuna(path: str | Path) -> list[OptunaStudy]:
    """The studies of a storage: of an SQLite file of Optuna 3 to 5, or a journal file of Optuna 3.1 to 5.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is no such storage, or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no such file: {str(path)!r}")
    with path.open("rb") as file:
        studies = read_sqlite(path) if file.read(16) == _SQLITE else read_journal(path)
    for study in studies:
        if [trial.number for trial in study.trials] != list(range(len(study.trials))):
            raise UsageError(f"the trials of study {study.name!r} in {str(path)!r} are not numbered 0, 1, 2, ...; check the storage with Optuna")
    return studies


def import_optuna(
    path: str | Path, ledger: Ledger, studies: Sequence[str] | None = None, rename: Mapping[str, str] | None = None, metrics: Sequence[str] | None = None
) -> tuple[Moved, list[Brought]]:
    """Bring studies of Optuna's storage into a ledger, all or none. Doing it twice changes nothing, as long as the storage does not change.

    A trial keeps its number. One that waits in Optuna's queue is the first to be run; one that was running has ended as lost, since its
    result will be told to Optuna only.

    Args:
        studies: their names; None for all.
        rename: their names in the ledger, by their names in the storage.
        metrics: what the objectives are called; by default as Optuna was told, or "value", or "value_0", "value_1" and so on.

    Raises:
        NotFoundError: there is no such file or study.
        UsageError: it is no such storage, or the ledger has a study of that name with another history.
    """
    found = {study.name: study for study in read_optuna(path)}
    for name in (*(studies or ()), *(rename or {})):
        if name not in found:
            raise NotFoundError(f"there is no study {name!r} in {str(path)!r}; it has {', '.join(map(repr, found)) or 'none'}")
    chosen = [study for name, study in found.items() if studies is None or name in studies]
    called = [(rename or {}).get(study.name, study.name) for study in chosen]
    if len(set(called)) < len(called):
        raise UsageError(f"rename={dict(rename or {})!r} would give two studies one name; rename each to a name of its own")
    facts, brought = list[Fact](), list[Brought]()
    for name, study in zip(called, chosen, strict=True):
        goal, left_out = _goal(study, metrics), _left_out(study)
        facts += _facts(f"study/{name}", study, goal, left_out)
        brought.append(Brought(name, goal, len(study.trials), tuple(left_out)))
    new, known, streams = graft(ledger, [Row(id, to_line(fact), fact.at) for id, fact in enumerate(facts, 1)])
    return Moved(new, known, streams, 0, ()), brought


_SQLITE = b"SQLite format 3\0"
_LOST = "it was running in Optuna when it was read, and its result is not known here; enqueue its config to run it again"


def _goal(study: OptunaStudy, metrics: Sequence[str] | None) -> Goal:
    n = len(study.directions)
    names = metrics or study.attributes.get("study:metric_names") or (["value"] if n == 1 else [f"value_{i}" for i in range(n)])
    if len(names) != n or n == 0:
        raise UsageError(f"study {study.name!r} has {n} objectives, but metrics={list(names)!r}; name each")
    plain = [re.sub(r"[\s<>,]+", "_", str(name)) for name in names]  # a goal's text holds no other names
    return Goal.parse([f"{'max' if direction == 'MAXIMIZE' else 'min'} {name}" for direction, name in zip(study.directions, plain, strict=True)])


def _facts(stream: str, study: OptunaStudy, goal: Goal, left_out: list[str]) -> list[Fact]:
    """The study as if it had been run here: trials begin in the order of their numbers, and end when they ended."""
    dimensions = _dimensions(study, left_out)
    begins, now = list[float](), 0.0
    for trial in study.trials:
        begins.append(now := max(now, trial.started or now))
    events: list[tuple[float, int, int, Fact]] = []
    seed = int.from_bytes(hashlib.blake2b(study.name.encode(), digest_size=4).digest())  # the same one whenever it is read
    for trial, at in zip(study.trials, begins, strict=True):
        record = _trial(trial, goal, seed)
        asked = trial_to_json(replace(record, measurement=None)) | {"queued": 0, "by": ""}
        events.append((at, 0, trial.number, Fact(stream, "asked", asked, f"asked/{trial.number}", at=at)))
        if record.measurement is not None:
            body = {"number": trial.number, "measurement": measurement_to_json(record.measurement)}
            ended = max(at, trial.ended or at)
            events.append((ended, 1, trial.number, Fact(stream, "told", body, f"told/{trial.number}", at=ended)))
    events.sort(key=lambda event: event[:3])
    facts = [Fact(stream, "founded", {"goal": str(goal), "space": None, "seed": seed, "from": "optuna"}, "founded", at=begins[0] if begins else 0.0)]
    said: set[str] = set()
    for *_, fact in events:
        if fact.kind == "told":
            new = [name for name in study.trials[fact.body["number"]].distributions if name in dimensions and name not in said]
            said |= set(new)
            fact = replace(fact, body={**fact.body, "suggested": {name: dimensions[name].to_json() for name in new}}) if new else fact
        facts.append(fact)
    return facts


def _trial(trial: OptunaTrial, goal: Goal, seed: int) -> Trial:
    config = {name: _held(value_of(param, trial.distributions[name])) for name, param in trial.params.items()}
    fixed = trial.attributes.get("fixed_params")
    if trial.state == "WAITING" and isinstance(fixed, dict):
        config = {name: _held(value) for name, value in fixed.items()}
    origin = "enqueued" if isinstance(fixed, dict) else "foreign"
    config_to_json(config)
    number_seed = int.from_bytes(hashlib.blake2b(f"{seed}/{trial.number}".encode(), digest_size=4).digest())
    return Trial(trial.number, config, origin, number_seed, None, trial.started or 0.0, None if trial.state == "WAITING" else _measurement(trial, goal))


def _measurement(trial: OptunaTrial, goal: Goal) -> Measurement:
    readings = tuple(Reading("step", step, {goal.metric: value}) for step, value in sorted(trial.readings.items()))
    spent = Cost(seconds=max(trial.ended - trial.started, 0.0)) if trial.ended is not None and trial.started is not None else Cost()
    scores = dict(zip(goal.names, trial.values, strict=False))
    finite = bool(scores) and all(map(math.isfinite, scores.values()))
    if trial.state == "COMPLETE" and finite:
        return Measurement(scores, readings=readings, cost=spent)
    if trial.state == "COMPLETE":
        return Measurement(
            scores, Status.INVALID, f"Optuna kept the value {', '.join(map(str, trial.values)) or 'nothing'}, which is no score", readings, spent
        )
    if trial.state == "PRUNED":
        last = [value for _, value in sorted(trial.readings.items()) if math.isfinite(value)]
        so_far = scores if finite else {goal.metric: last[-1]} if last else {}
        return Measurement(so_far, Status.PRUNED, "pruned in Optuna", readings, spent)
    if trial.state == "FAIL":
        return Measurement({}, Status.FAILED, "it failed in Optuna, which does not keep why", readings, spent)
    return Measurement({}, Status.LOST, _LOST, readings, spent)


# dimensions


def _dimensions(study: OptunaStudy, left_out: list[str]) -> dict[str, Dimension]:
    """One dimension for each name: Optuna lets ranges differ between trials, so it is the narrowest that holds them all."""
    found: dict[str, Dimension] = {}
    widened: set[str] = set()
    for trial in study.trials:
        for name, distribution in trial.distributions.items():
            dimension = _dimension(name, distribution)
            if name in found and found[name] != dimension:
                found[name] = _joined(name, found[name], dimension)
                widened.add(name)
            else:
                found[name] = dimension
    if widened:
        left_out.append(f"the ranges of {', '.join(sorted(widened))} differ between trials; they were joined")
    return found


def _dimension(name: str, distribution: Mapping[str, Any]) -> Dimension:
    kind, options = distribution["name"], distribution["attributes"]
    try:
        if kind == "CategoricalDistribution":
            return Choice([_held(choice) for choice in options["choices"]])
        low, high = options["low"], options["high"]
        log = bool(options.get("log")) or kind in ("LogUniformDistribution", "IntLogUniformDistribution")
        if kind in ("IntDistribution", "IntUniformDistribution", "IntLogUniformDistribution"):
            return Int(low, high, log=log, step=1 if log else options.get("step") or 1)
        if kind in ("FloatDistribution", "UniformDistribution", "LogUniformDistribution", "DiscreteUniformDistribution"):
            return Float(low, high, log=log, step=options.get("step") or options.get("q"))
    except (KeyError, SpaceError) as problem:
        raise UsageError(f"the distribution {dict(distribution)!r} of {name!r} makes no sense here: {problem}") from problem
    raise UsageError(f"{name!r} has a distribution of an unknown kind, {kind!r}; known are Optuna's float, int and categorical ones")


def _joined(name: str, one: Dimension, other: Dimension) -> Dimension:
    if isinstance(one, Int) and isinstance(other, Int):
        low, same = min(one.low, other.low), one.step == other.step and (one.low - other.low) % one.step == 0
        return Int(low, max(one.high, other.high), log=one.log and other.log, step=one.step if same else 1)
    if isinstance(one, Float) and isinstance(other, Float):
        same = one.step == other.step and one.low == other.low
        return Float(min(one.low, other.low), max(one.high, other.high), log=one.log and other.log, step=one.step if same else None)
    if isinstance(one, Choice) and isinstance(other, Choice):
        return Choice([*one.choices, *(choice for choice in other.choices if not one.contains(choice))])
    raise UsageError(f"{name!r} is of different kinds in different trials, {one!r} and {other!r}; import the study's trials in parts")


def _held(value: Any) -> Any:
    """The value, or its text where JSON cannot hold it as a choice."""
    return value if is_plain(value) else repr(value)


def _left_out(study: OptunaStudy) -> list[str]:
    found = []
    if notes := study.notes + sum(trial.notes for trial in study.trials):
        found.append(f"{notes} user attributes were left out")
    if bounded := sum("constraints" in trial.attributes for trial in study.trials):
        found.append(f"the constraints of {bounded} trials were left out; say them as limits of a goal")
    if running := sum(trial.state == "RUNNING" for trial in study.trials):
        found.append(f"{running} running in Optuna came as lost")
    if "NOT_SET" in study.directions:
        found.append("a direction that was not set was taken for minimize")
    return found
