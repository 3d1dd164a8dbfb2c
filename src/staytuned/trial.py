"""The records that travel: a trial is proposed by a sampler, filled by an evaluator, kept by the ledger, read by everyone."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

from staytuned.space.codec import config_from_json, config_to_json
from staytuned.space.space import Config, Space


class Status(StrEnum):
    """How a trial stands."""

    RUNNING = "running"  # proposed, no measurement yet
    DONE = "done"
    PRUNED = "pruned"  # stopped early because it could not win: raced out, or pruned by a scheduler
    FAILED = "failed"  # raised an exception
    INVALID = "invalid"  # returned NaN, infinity or something that is no score
    TIMEOUT = "timeout"  # ran past its time limit
    MEMORY = "memory"  # grew past its memory limit
    LOST = "lost"  # its process died

    @property
    def failed(self) -> bool:
        """Ended without a score one could trust."""
        return self not in (Status.RUNNING, Status.DONE, Status.PRUNED)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a measurement used up.

    Args:
        seconds: wall-clock time.
        cpu_seconds: processor time of the process that ran it, children excluded.
        peak_memory: largest resident size of that process in bytes; 0 where unknown.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """Scores taken at one place on the way.

    Args:
        place: "fold", "step" (epoch, round), or "window" (of a stream).
        index: which fold, step or window.
        scores: by metric, in the metric's own direction, on rows held out from the fit.
        train_scores: the same on the rows fitted on; empty where not measured.
        fit_seconds, score_seconds: wall-clock time, 0 where unknown.
    """

    place: str
    index: int
    scores: Mapping[str, float]
    train_scores: Mapping[str, float] = field(default_factory=dict)
    fit_seconds: float = 0.0
    score_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another config that the same fits measured: it differs in hyperparameters that come free with a fit.

    Args:
        values: of those hyperparameters.
        scores: by metric, of each fold seen, in their order.
    """

    values: Mapping[str, Any]
    scores: Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What came back from a trial.

    Args:
        scores: by metric, in the metric's own direction; may be empty for a failure.
        status: how it ended.
        cure: for anything but DONE, one sentence that says what happened and the way out.
        readings: scores on the way: per fold, per epoch.
        cost: what it used up.
        config: the config as it was in the end; only set where the objective chose its own values.
        column: where one fit measured many configs, all of them, the one that was chosen among them.
        rows: what each held-out row said of each config of the column, or of the one config: an .npy file (n_configs, n_rows), rows in the
            order of the folds seen. Only on the way from an evaluator to a ledger.
        rows_at: the digest under which a ledger keeps ``rows``; empty for none.
        log: the end of what it wrote to stdout and stderr and logged as a warning or worse, wherever it ran; of one that was killed only if it ran in a
            :class:`~staytuned.execute.processes.ProcessExecutor`, up to its end.
        traceback: the end of its exception's, as text; empty if none was raised.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    status: Status = Status.DONE
    cure: str = ""
    readings: Sequence[Reading] = ()
    cost: Cost = Cost()
    config: Mapping[str, Any] | None = None
    column: Sequence[Alternative] = ()
    rows: bytes = field(default=b"", repr=False)
    rows_at: str = ""
    log: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One config at one fidelity, with what came back.

    Args:
        number: 0, 1, 2, ... in the order of proposing.
        config: one value for every active dimension.
        origin: who proposed it: a sampler's name, "enqueued", "default", or "foreign"; a scheduler's name where an earlier trial goes on.
        seed: for the trial's own randomness.
        fidelity: rows, rounds, epochs or folds as a share of the full effort in (0, 1]; None means full.
        started: Unix time in seconds.
        measurement: None while the trial runs.
        continues: the number of the trial that goes on here with more effort; None for a new start.
    """

    number: int
    config: Config
    origin: str = ""
    seed: int = 0
    fidelity: float | None = None
    started: float = 0.0
    measurement: Measurement | None = None
    continues: int | None = None

    @property
    def share(self) -> float:
        """The fidelity as a number: 1 for full."""
        return 1.0 if self.fidelity is None else self.fidelity

    @property
    def status(self) -> Status:
        return Status.RUNNING if self.measurement is None else self.measurement.status

    @property
    def scores(self) -> Mapping[str, float]:
        return {} if self.measurement is None else self.measurement.scores

    @property
    def readings(self) -> Sequence[Reading]:
        return () if self.measurement is None else self.measurement.readings

    @property
    def cost(self) -> Cost:
        return Cost() if self.measurement is None else self.measurement.cost

    @property
    def cure(self) -> str:
        return "" if self.measurement is None else self.measurement.cure

    @property
    def log(self) -> str:
        """The end of what it printed and logged; see :class:`Measurement` for one that was killed."""
        return "" if self.measurement is None else self.measurement.log

    @property
    def traceback(self) -> str:
        """The end of its exception's traceback."""
        return "" if self.measurement is None else self.measurement.traceback

    def measured(self, measurement: Measurement) -> Trial:
        """This trial with its measurement, and with the config the objective ended up using."""
        config = self.config
        if measurement.config is not None:
            config, measurement = dict(measurement.config), replace(measurement, config=None)
        return Trial(
            self.number, config, self.origin, self.seed, self.fidelity, self.started, measurement, self.continues
        )  # replace() takes five times as long


History: TypeAlias = Sequence[Trial]


def trial_to_json(trial: Trial, space: Space | None = None) -> dict[str, Any]:
    """A trial as JSON, its measurement with it."""
    body: dict[str, Any] = {"number": trial.number, "config": config_to_json(trial.config, space), "origin": trial.origin, "seed": trial.seed}
    body |= {"fidelity": trial.fidelity, "started": trial.started}
    if trial.continues is not None:
        body["continues"] = trial.continues
    if trial.measurement is not None:
        body["measurement"] = measurement_to_json(trial.measurement, space)
    return body


def trial_from_json(body: Mapping[str, Any], space: Space | None = None) -> Trial:
    """The trial that was written by :func:`trial_to_json`."""
    measurement = body.get("measurement")
    return Trial(
        number=body["number"],
        config=config_from_json(body["config"], space),
        origin=sys.intern(body["origin"]),
        seed=body["seed"],
        fidelity=body["fidelity"],
        started=body["started"],
        measurement=None if measurement is None else measurement_from_json(measurement, space),
        continues=body.get("continues"),
    )


def measurement_to_json(measurement: Measurement, space: Space | None = None) -> dict[str, Any]:
    """A measurement as JSON, without ``rows``; NaN and infinities as strings, which JSON cannot hold otherwise."""
    cost = measurement.cost
    body: dict[str, Any] = {"scores": _scores_to_json(measurement.scores), "status": str(measurement.status)}
    body["cost"] = [cost.seconds, cost.cpu_seconds, cost.peak_memory]
    if measurement.cure:
        body["cure"] = measurement.cure
    if measurement.readings:
        body["readings"] = [_reading_to_json(r) for r in measurement.readings]
    if measurement.config is not None:
        body["config"] = config_to_json(measurement.config, space)
    if measurement.column:
        body["column"] = [[config_to_json(a.values, space), [_scores_to_json(scores) for scores in a.scores]] for a in measurement.column]
    if measurement.rows_at:
        body["rows_at"] = measurement.rows_at
    if measurement.log:
        body["log"] = measurement.log
    if measurement.traceback:
        body["traceback"] = measurement.traceback
    return body


def measurement_from_json(body: Mapping[str, Any], space: Space | None = None) -> Measurement:
    """The measurement that was written by :func:`measurement_to_json`."""
    return Measurement(
        scores=_scores_from_json(body["scores"]),
        status=Status(body["status"]),
        cure=body.get("cure", ""),
        readings=tuple(_reading_from_json(r) for r in body.get("readings", ())),
        cost=Cost(*body["cost"]),
        config=config_from_json(body["config"], space) if "config" in body else None,
        column=tuple(Alternative(config_from_json(v, space), tuple(map(_scores_from_json, scores))) for v, scores in body.get("column", ())),
        rows_at=body.get("rows_at", ""),
        log=body.get("log", ""),
        traceback=body.get("traceback", ""),
    )


def _reading_to_json(reading: Reading) -> list[Any]:
    times = [reading.fit_seconds, reading.score_seconds]
    return [reading.place, reading.index, _scores_to_json(reading.scores), _scores_to_json(reading.train_scores), *times]


def _reading_from_json(body: Sequence[Any]) -> Reading:
    place, index, scores, train_scores, fit_seconds, score_seconds = body
    return Reading(place, index, _scores_from_json(scores), _scores_from_json(train_scores), fit_seconds, score_seconds)


def _scores_to_json(scores: Mapping[str, float]) -> dict[str, Any]:
    return {name: float(s) if abs(s) < float("inf") else str(float(s)) for name, s in scores.items()}


def _scores_from_json(body: Mapping[str, Any]) -> dict[str, float]:
    return {sys.intern(name): float(s) for name, s in body.items()}  # or each of 100,000 trials keeps names of its own
