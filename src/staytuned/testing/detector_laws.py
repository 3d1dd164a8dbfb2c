"""The exam for detectors, ours and yours: ``check_detector(lambda: RiskDetector(risk=0.1))``.

The maker must give a detector that is content with independent 0/1 losses of mean .1 and not with a mean of .5.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned._random import generator
from staytuned.protocols import Detector

Make: TypeAlias = Callable[[], Detector]
Law: TypeAlias = Callable[[Make], None]

STILL, STEP = 0.1, 0.5


def check_detector(make: Make) -> None:
    """Put a detector through every law.

    Raises:
        AssertionError: it breaks one; the message says which and how.
    """
    for law in DETECTOR_LAWS:
        law(make)


def fits_the_protocol(make: Make) -> None:
    """A fresh detector has `update` and `drifted`, and is silent."""
    detector = make()
    assert isinstance(detector, Detector), f"{type(detector).__name__} lacks update or drifted"
    assert detector.drifted is False, "a fresh detector must not have drifted"


def quiet_on_a_still_stream(make: Make) -> None:
    """At one false alarm in 100,000 values, 20 streams of 1,000 hold 0.2 of them; 3 would come by chance once in 800 exams."""
    alarms = sum(_alarm(make(), _losses(STILL, 1000, "still", stream)) is not None for stream in range(20))
    assert alarms <= 2, f"{alarms} of 20 still streams of 1,000 values rang; at one false alarm in 100,000 at most 2 may"


def quiet_below_the_promise(make: Make) -> None:
    """Losses that are lower than promised are no reason to ring."""
    at = _alarm(make(), np.zeros(2000))
    assert at is None, f"it rang at value {at} of a stream of zeros"


def finds_a_step(make: Make) -> None:
    """A large step is found within 500 values, in every one of 10 streams, and the alarm stays."""
    for stream in range(10):
        detector = make()
        early = _alarm(detector, _losses(STILL, 500, "before", stream))
        late = _alarm(detector, _losses(STEP, 500, "after", stream))
        assert early is not None or late is not None, f"stream {stream}: a step of the mean from {STILL} to {STEP} was not found within 500 values"
        assert detector.drifted, f"stream {stream}: the alarm was withdrawn"


def repeats_itself(make: Make) -> None:
    """The same values give the same alarm."""
    values = np.concatenate([_losses(STILL, 300, "again"), _losses(STEP, 300, "again")])
    first, second = _alarm(make(), values), _alarm(make(), values)
    assert first == second, f"the same values rang at {first} and then at {second}"


def survives_storage(make: Make) -> None:
    """Pickled half-way, and by way of JSON where it offers that, it goes on as if nothing had been."""
    values = np.concatenate([_losses(STILL, 200, "store"), _losses(STEP, 300, "store")])
    whole = _alarm(make(), values)
    for way, copy in (("pickle", _through_pickle), ("JSON", _through_json)):
        detector = make()
        early = _alarm(detector, values[:210])
        late = _alarm(copy(detector), values[210:])
        at = early if early is not None else (None if late is None else late + 210)
        assert at == whole, f"the alarm came at {at} after a round trip by {way}, at {whole} without"


def refuses_what_is_no_number(make: Make) -> None:
    """NaN is a ValueError that names it, and leaves the detector as it was."""
    detector = make()
    complaint = _complaint(detector, math.nan)
    assert complaint is not None, "NaN was taken in; it must raise a ValueError, or one lost label silences the detector for ever"
    assert "nan" in complaint.lower(), f"the error must quote the value: {complaint}"
    assert _alarm(detector, _losses(STEP, 500, "nan")) is not None, "after a refused NaN the detector no longer finds a step"


DETECTOR_LAWS: tuple[Law, ...] = (
    fits_the_protocol,
    quiet_on_a_still_stream,
    quiet_below_the_promise,
    finds_a_step,
    repeats_itself,
    survives_storage,
    refuses_what_is_no_number,
)


def _losses(mean: float, n: int, *place: int | str) -> npt.NDArray[np.float64]:
    return (generator(0, "detector law", *place).random(n) < mean).astype(float)


def _alarm(detector: Detector, values: npt.NDArray[np.float64]) -> int | None:
    """The index at which it first says that it has drifted."""
    at = None
    for i, x in enumerate(values.tolist()):
        detector.update(x)
        if at is None and detector.drifted:
            at = i
    return at


def _complaint(detector: Detector, x: float) -> str | None:
    try:
        detector.update(x)
    except ValueError as problem:
        return str(problem)
    return None


def _through_pickle(detector: Detector) -> Detector:
    copy: Detector = pickle.loads(pickle.dumps(detector))
    return copy


def _through_json(detector: Any) -> Detector:
    if not (hasattr(detector, "to_json") and hasattr(detector, "from_json")):
        return _through_pickle(detector)
    copy: Detector = type(detector).from_json(json.loads(json.dumps(detector.to_json())))
    return copy
