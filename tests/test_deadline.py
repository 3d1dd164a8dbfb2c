"""The time that is left, and whether another trial fits into it."""

from __future__ import annotations

import math
import time

import pytest

from staytuned.deadline import Deadline
from staytuned.trial import Cost, Measurement, Reading


def measured(seconds: float, looks: int = 0) -> Measurement:
    return Measurement({"loss": 1.0}, readings=tuple(Reading("fold", index, {"loss": 1.0}) for index in range(looks)), cost=Cost(seconds))


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([], 0.0),
        ([(10.0, 5)], 2.0),  # it looks after every fold
        ([(3.0, 0)], 3.0),  # never before its end
        ([(3.0, 0), (1.0, 0), (2.0, 0)], 3.0),
        ([(100.0, 0), (1.0, 0), (2.0, 0), (3.0, 0)], 3.0),  # one very slow trial is an accident
        ([(100.0, 0), (1.0, 0), (100.0, 0), (3.0, 0)], 100.0),  # two are not
        ([(100.0, 0), (100.0, 0), *[(1.0, 0)] * 9], 1.0),  # long ago
    ],
)
def test_the_stretch_between_looks(trials: list[tuple[float, int]], expected: float) -> None:
    deadline = Deadline(60)
    for trial in trials:
        deadline.heard(measured(*trial))
    assert deadline.stretch == expected


def test_the_time_goes_by() -> None:
    deadline = Deadline(0.05)
    assert 0 < deadline.left <= 0.05
    assert deadline.ends == pytest.approx(time.time() + deadline.left, abs=0.05)
    assert not deadline.passed
    time.sleep(0.06)
    assert deadline.passed
    assert deadline.left < 0


def test_without_a_limit_it_never_ends() -> None:
    deadline = Deadline(None)
    assert (deadline.left, deadline.ends, deadline.passed) == (math.inf, math.inf, False)
