"""What a model takes each trial's score for: how sure it is of it."""

from __future__ import annotations

import numpy as np
import pytest

from staytuned.goal import Goal
from staytuned.samplers._cube import Cube
from staytuned.samplers._evidence import Reader
from staytuned.samplers._surface import Loss
from staytuned.space.dims import Float
from staytuned.space.space import Space
from staytuned.trial import Measurement, Reading, Status, Trial

SPACE = Space({"x": Float(0, 1)})


def trial(number: int, folds: int, status: Status = Status.DONE, place: str = "fold") -> Trial:
    readings = tuple(Reading(place, index, {"loss": number + index % 2}) for index in range(folds))
    return Trial(number, {"x": (number + 0.5) / 20}, measurement=Measurement({} if status.failed else {"loss": float(number)}, status, readings=readings))


def noise(*trials: Trial) -> np.ndarray:
    return Loss(0).values(Reader(Cube(SPACE), Goal.parse("min loss")).read(trials))[1]


def test_a_trial_stopped_early_is_as_uncertain_as_the_folds_it_did_not_see() -> None:
    """Of K folds k leave the variance of a fold times 1 / k - 1 / K."""
    seen = noise(trial(0, 10), *(trial(k, k, Status.PRUNED) for k in range(1, 10)))
    assert seen[:, 0] == pytest.approx(np.ones(10))
    assert seen[0, 1] == 0
    assert seen[1:, 1] * (1 / 2 - 1 / 10) == pytest.approx([1 / k - 1 / 10 for k in range(1, 10)])


def test_without_folds_all_stopped_early_are_alike() -> None:
    seen = noise(trial(0, 4, place="step"), trial(1, 1, Status.PRUNED, place="step"), trial(2, 3, Status.PRUNED, place="step"))
    assert seen.tolist() == [[1, 0], [1, 1], [1, 1]]


def test_of_a_failure_nobody_is_sure() -> None:
    seen = noise(trial(0, 3), trial(1, 3), trial(2, 2, Status.FAILED))
    assert seen[2, 0] > seen[0, 0]
    assert seen[:, 1].tolist() == [0, 0, 0]
