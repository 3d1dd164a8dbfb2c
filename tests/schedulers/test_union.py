"""What a sampler is told of trials at different efforts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.goal import Goal
from staytuned.schedulers.asha import ASHA
from staytuned.schedulers.union import pooled
from staytuned.trial import Measurement, Status, Trial

LOSS = Goal()


def at(number: int, x: float, share: float | None, loss: float | None, continues: int | None = None, status: Status = Status.DONE) -> Trial:
    measurement = None if loss is None else Measurement({"loss": loss}, status)
    return Trial(number, {"x": x}, fidelity=share, measurement=measurement, continues=continues)


def climb(n: int, slope: float, shift: float) -> list[Trial]:
    """Losses 0, 1, 2, ... at a third of the effort; the first third in full, where a loss is ``slope * loss + shift``."""
    low = [at(i, i, 1 / 3, float(i)) for i in range(n)]
    return low + [at(n + i, i, 1.0, slope * i + shift, continues=i) for i in range(n // 3)]


def test_without_fidelities_the_history_is_left_as_it_is() -> None:
    history = [at(0, 0.0, None, 1.0), at(1, 1.0, None, None), at(2, 2.0, None, 3.0, status=Status.PRUNED), at(3, 0.0, None, 1.0, status=Status.FAILED)]
    told = pooled(history, LOSS, 2)
    assert all(a is b for a, b in zip(told, history, strict=True))


def test_one_trial_a_config_on_the_highest_rung_that_has_enough() -> None:
    told = pooled(climb(9, 0.5, 10.0), LOSS, 3)
    assert [t.number for t in told] == list(range(9))
    assert [t.config["x"] for t in told] == list(range(9))
    assert [t.status for t in told] == [Status.DONE] * 3 + [Status.PRUNED] * 6
    assert [t.scores["loss"] for t in told[:3]] == [10.0, 10.5, 11.0]
    assert [t.share for t in told[:3]] == [1.0] * 3


def test_lower_rungs_lie_on_the_line_through_those_measured_at_both() -> None:
    for slope, shift in ((1.0, -5.0), (1.0, 3.0)):
        told = pooled(climb(9, slope, shift), LOSS, 3)
        assert [t.scores["loss"] for t in told[3:]] == pytest.approx([slope * i + shift for i in range(3, 9)])
    halved = pooled(climb(300, 0.5, 10.0), LOSS, 3)  # with many pairs the line is theirs
    assert [t.scores["loss"] for t in halved[100:]] == pytest.approx([0.5 * i + 10.0 for i in range(100, 300)], rel=0.1)


def test_with_too_few_above_the_rung_below_is_the_scale() -> None:
    told = pooled(climb(9, 0.5, 10.0), LOSS, 4)
    assert [t.scores["loss"] for t in told] == [float(i) for i in range(9)]
    assert {t.status for t in told} == {Status.DONE}
    above = pooled([*climb(9, 1.0, 10.0), at(12, 20.0, None, 15.0)], LOSS, 5)  # a foreign trial in full, with no score below
    assert above[-1].scores["loss"] == pytest.approx(5.0)
    assert above[-1].status is Status.DONE


def test_the_last_word_on_a_config_counts() -> None:
    history = [at(0, 0.0, 1 / 3, 1.0), at(1, 1.0, 1 / 3, 2.0), at(2, 2.0, 1 / 3, None), at(3, 0.0, 1.0, None, continues=0)]
    assert [t.status for t in pooled(history, LOSS, 1)] == [Status.DONE, Status.DONE, Status.RUNNING]  # what goes on is known already
    history[3] = Trial(3, {"x": 0.0}, fidelity=1.0, measurement=Measurement(status=Status.MEMORY), continues=0)
    told = pooled(history, LOSS, 1)
    assert [(t.number, t.status) for t in told] == [(0, Status.MEMORY), (1, Status.DONE), (2, Status.RUNNING)]


def test_a_copy_with_another_config_is_a_trial_of_its_own() -> None:
    history = [at(0, 0.0, 0.5, 1.0), at(1, 1.0, 0.5, 2.0), at(2, 0.0, 1.0, 0.5, continues=0), at(3, 0.25, 1.0, 0.4, continues=0)]
    assert [(t.number, t.config["x"], t.status) for t in pooled(history, LOSS, 2)] == [
        (0, 0.0, Status.DONE),
        (1, 1.0, Status.PRUNED),
        (3, 0.25, Status.DONE),
    ]


def test_a_reversed_order_between_rungs_is_not_believed() -> None:
    told = pooled(climb(30, -3.0, 0.0), LOSS, 3)
    below = [t.scores["loss"] for t in told if t.status is Status.PRUNED]
    assert below == sorted(below)


@given(st.integers(0, 60), st.integers(0, 99), st.integers(1, 5), st.booleans())
def test_whatever_the_story_every_config_comes_once_in_order_and_finite(trials: int, seed: int, enough: int, many: bool) -> None:
    rng, history, scheduler = np.random.default_rng(seed), [], ASHA(LOSS)
    for number in range(trials):
        ration = scheduler.ration(history)
        assert ration is not None
        x = history[ration.continues].config["x"] if ration.continues is not None else float(number)
        loss = [None, math.nan, float(rng.normal())][int(rng.choice(3, p=[0.1, 0.1, 0.8]))]
        status = Status.INVALID if loss is not None and math.isnan(loss) else Status.DONE
        history.append(at(number, x, ration.fidelity, loss, ration.continues, status))
    told: Sequence[Trial] = pooled(history, LOSS, enough)
    assert [t.number for t in told] == [t.number for t in history if t.continues is None]
    assert all(t.config == history[t.number].config for t in told)
    assert all(math.isfinite(t.scores["loss"]) for t in told if t.status in (Status.DONE, Status.PRUNED))
    assert pooled(history, LOSS, enough) == told
    if many and told:
        flipped = [Trial(t.number, t.config, fidelity=t.fidelity, continues=t.continues, measurement=_negated(t)) for t in history]
        for one, other in zip(told, pooled(flipped, Goal("loss", "max"), enough), strict=True):
            assert one.status is other.status
            if one.status in (Status.DONE, Status.PRUNED):
                assert other.scores["loss"] == pytest.approx(-one.scores["loss"], abs=1e-9)


def _negated(trial: Trial) -> Measurement | None:
    measurement = trial.measurement
    return None if measurement is None else Measurement({name: -score for name, score in measurement.scores.items()}, measurement.status)
