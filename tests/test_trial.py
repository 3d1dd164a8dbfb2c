"""Records survive JSON, whatever was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.errors import SpaceError
from staytuned.space.dims import Choice, Float
from staytuned.space.space import Space
from staytuned.trial import Cost, Measurement, Reading, Status, Trial, measurement_from_json, measurement_to_json, trial_from_json, trial_to_json

names = st.text(min_size=1, max_size=6)
seconds = st.floats(0, 1e6)
scores = st.dictionaries(names, st.floats(), max_size=3)
configs = st.dictionaries(names, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5), max_size=4)
readings = st.builds(Reading, st.sampled_from(["fold", "step", "window"]), st.integers(0, 99), scores, scores, seconds, seconds)
costs = st.builds(Cost, seconds, seconds, st.integers(0, 10**12))
measurements = st.builds(
    Measurement, scores, st.sampled_from(Status), st.text(max_size=20), st.lists(readings, max_size=3).map(tuple), costs, st.none() | configs
)
fidelities = st.none() | st.floats(0.01, 1)
numbers = st.integers(0, 10**6)
trials = st.builds(
    Trial, numbers, configs, st.text(max_size=8), st.integers(0, 2**31), fidelities, st.floats(0, 2e9), st.none() | measurements, st.none() | numbers
)


def _plain(record: Any) -> Any:
    """The record with every NaN replaced by a word, since NaN does not equal itself."""
    if isinstance(record, float):
        return "nan" if math.isnan(record) else record
    if isinstance(record, Mapping):
        return {key: _plain(value) for key, value in record.items()}
    if isinstance(record, tuple | list):
        return [_plain(part) for part in record]
    if hasattr(record, "__dataclass_fields__"):
        return [type(record), *(_plain(getattr(record, name)) for name in record.__dataclass_fields__)]
    return record


@given(trials)
def test_a_trial_survives_json(trial: Trial) -> None:
    again = trial_from_json(json.loads(json.dumps(trial_to_json(trial), allow_nan=False)))
    assert _plain(again) == _plain(trial)


@given(measurements)
def test_a_measurement_survives_json(measurement: Measurement) -> None:
    again = measurement_from_json(json.loads(json.dumps(measurement_to_json(measurement), allow_nan=False)))
    assert _plain(again) == _plain(measurement)


@given(trials, measurements)
def test_a_measured_trial_stands_as_it_was_measured(trial: Trial, measurement: Measurement) -> None:
    measured = trial.measured(measurement)
    assert (measured.status, measured.cure, measured.cost) == (measurement.status, measurement.cure, measurement.cost)
    assert measured.scores is measurement.scores
    assert measured.readings is measurement.readings
    assert _plain(measured.measurement) == _plain(replace(measurement, config=None))
    assert measured.config == (trial.config if measurement.config is None else measurement.config)
    assert (measured.number, measured.seed, measured.origin) == (trial.number, trial.seed, trial.origin)
    assert _plain(replace(measured, measurement=None, config=trial.config)) == _plain(replace(trial, measurement=None))


def test_numpy_scores_are_written_as_numbers() -> None:
    body = measurement_to_json(Measurement({"loss": np.float32(0.5), "nan": np.float64("nan"), "inf": -np.inf, "n": 3}))
    assert json.loads(json.dumps(body, allow_nan=False))["scores"] == {"loss": 0.5, "nan": "nan", "inf": "-inf", "n": 3.0}


def test_objects_need_the_space() -> None:
    space = Space({"layers": Choice([(64,), (64, 64)]), "lr": Float(0, 1)})
    trial = Trial(0, {"layers": (64, 64), "lr": 0.5}, measurement=Measurement({"loss": 1.0}, config={"layers": (64,)}))
    assert trial_from_json(json.loads(json.dumps(trial_to_json(trial, space))), space) == trial
    with pytest.raises(SpaceError, match=r"layers=\(64, 64\)"):
        trial_to_json(trial)


def test_a_trial_without_a_measurement_runs() -> None:
    trial = Trial(3, {})
    assert trial.status is Status.RUNNING
    assert (trial.scores, trial.readings, trial.cost, trial.cure) == ({}, (), Cost(), "")


def test_what_counts_as_a_failure() -> None:
    assert {status for status in Status if status.failed} == {Status.FAILED, Status.INVALID, Status.TIMEOUT, Status.MEMORY, Status.LOST}
