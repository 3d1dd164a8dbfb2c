import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.protocols import Detector
from staytuned.stats.stream import DriftDetector, PairedBet, RiskDetector, p_to_e
from staytuned.testing.detector_laws import DETECTOR_LAWS, check_detector

losses = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0])), max_size=300)


def again(x):
    return type(x).from_json(json.loads(json.dumps(x.to_json(), allow_nan=False)))


# --- the risk detector


@pytest.mark.parametrize("law", DETECTOR_LAWS)
def test_the_risk_detector_keeps_the_laws(law):
    law(lambda: RiskDetector(risk=0.1))


def test_the_exam_can_be_failed():
    class Nervous:
        drifted = False

        def update(self, x):
            self.drifted = self.drifted or x > 0.5

    with pytest.raises(AssertionError, match="still streams"):
        check_detector(Nervous)


def test_it_is_a_detector():
    assert isinstance(RiskDetector(0.2), Detector)


@settings(max_examples=60, deadline=None)
@given(values=losses, risk=st.floats(0.001, 1), cuts=st.lists(st.integers(0, 300), max_size=3))
def test_blocks_of_any_size_do_what_the_loop_does(values, risk, cuts):
    one, many = RiskDetector(risk, per=50), RiskDetector(risk, per=50)
    for x in values:
        one.update(x)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(values)], strict=True):
        many.update_many(values[start:end])
    assert many.seen == one.seen == len(values)
    assert many.value == pytest.approx(one.value, rel=1e-7)
    assert many.alarm_at == one.alarm_at
    a, b = one.to_json(), many.to_json()
    assert b["rise"] == pytest.approx(a["rise"], rel=1e-7, abs=1e-7)


def test_the_value_is_the_recursion_by_hand():
    detector = RiskDetector(0.25)
    detector.update_many([1.0, 0.0])
    bets = np.array([0.15, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5])
    expected = np.mean((1 + bets * 0.75 + 1) * (1 - bets * 0.25))
    assert detector.bets.tolist() == bets.tolist()
    assert detector.value == pytest.approx(expected)


def test_its_value_less_the_time_is_a_fair_game():
    """The guarantee rests on E[M_t] = t while the mean is exactly the risk."""
    values = []
    for i in range(4000):
        detector = RiskDetector(0.3, per=1e9)
        detector.update_many(generator(10, "fair", i).random(12) < 0.3)
        values.append(detector.value)
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values) - 12) < 4 * error


def alarms_on_still_streams(streams, length, per, seed):
    count = 0
    for i in range(streams):
        detector = RiskDetector(0.1, per)
        detector.update_many(generator(seed, "still", i).random(length) < 0.1)
        count += detector.drifted
    return count


def test_false_alarms_on_still_streams_within_the_bound():
    """P(alarm within T) is at most T / per: here .1 for each of 200 streams."""
    assert alarms_on_still_streams(200, 1000, 10_000, seed=11) <= stats.binom.ppf(0.999, 200, 0.1)


@pytest.mark.slow
def test_false_alarms_in_four_million_labels():
    assert alarms_on_still_streams(60, 50_000, 100_000, seed=12) <= stats.binom.ppf(0.999, 60, 0.5)
    assert alarms_on_still_streams(200, 5_000, 100_000, seed=13) <= stats.binom.ppf(0.999, 200, 0.05)


def test_a_rise_from_10_to_15_percent_is_found_soon_and_dated_well():
    delays, errors = [], []
    for i in range(60):
        rng = generator(14, "step", i)
        detector = RiskDetector(0.1, per=100_000)
        detector.update_many(np.concatenate([rng.random(5000) < 0.1, rng.random(6000) < 0.15]))
        assert detector.drifted
        delays.append(detector.alarm_at - 5000)
        errors.append(detector.change_point - 5000)
    assert np.median(delays) < 700
    assert abs(np.median(errors)) < 200
    known = RiskDetector(0.112, per=100_000)  # the bound that 5,000 labels give
    known.update_many(np.concatenate([np.zeros(10), generator(14, "known").random(5000) < 0.15]))
    assert known.alarm_at < 1800


def test_rare_losses_are_not_overlooked():
    detector = RiskDetector(0.005)
    detector.update_many(generator(15, "rare").random(2000) < 0.03)
    assert detector.drifted


def test_the_promise_holds_under_autocorrelation():
    """Half of the steps repeat the past; the conditional mean never exceeds .5."""
    count = 0
    for i in range(100):
        rng = generator(16, "auto", i)
        level = np.repeat(rng.choice([0.1, 0.45], size=40), 25)
        detector = RiskDetector(0.45, per=10_000)
        detector.update_many(rng.random(1000) < level)
        count += detector.drifted
    assert count <= stats.binom.ppf(0.999, 100, 0.1)


def test_it_stays_finite_for_ever():
    detector = RiskDetector(0.001)
    detector.update_many(np.ones(20_000))
    assert math.isfinite(detector.value)
    assert detector.alarm_at < 10
    assert detector.change_point == 0
    assert math.isfinite(again(detector).value)


def test_nothing_is_taken_in_of_a_block_with_a_fault():
    detector = RiskDetector(0.2)
    with pytest.raises(UsageError, match=r"loss 1\.5 at position 2"):
        detector.update_many([0.0, 1.0, 1.5])
    with pytest.raises(UsageError, match="nan"):
        detector.update(math.nan)
    assert detector.seen == 0
    assert detector.change_point is None
    detector.update_many([])
    assert detector.seen == 0


@pytest.mark.parametrize(("risk", "per"), [(0, 100), (1.1, 100), (math.nan, 100), (0.1, 1), (0.1, math.nan)])
def test_impossible_promises_are_refused(risk, per):
    with pytest.raises(UsageError, match=r"risk=|per="):
        RiskDetector(risk, per)


@settings(max_examples=30, deadline=None)
@given(values=losses, more=losses)
def test_a_stored_detector_goes_on_as_if_nothing_had_been(values, more):
    kept = RiskDetector(0.3, per=20)
    kept.update_many(values)
    stored = again(kept)
    kept.update_many(more)
    stored.update_many(more)
    assert stored.to_json() == kept.to_json()
    assert len(json.dumps(kept.to_json())) < 2000


# --- champion and challenger


def test_equal_models_are_seldom_told_apart():
    wrong = 0
    for i in range(200):
        bet = PairedBet(alpha=0.05)
        bet.update_many(generator(17, "equal", i).choice([-1, 0, 1], p=[0.1, 0.8, 0.1], size=1000))
        wrong += bet.wins
    assert wrong <= stats.binom.ppf(0.999, 200, 0.05)


def test_the_better_wins_and_the_worse_loses():
    d = generator(18, "better").choice([-1, 0, 1], p=[0.03, 0.87, 0.10], size=600)
    bet = PairedBet()
    bet.update_many(d)
    assert (bet.wins, bet.loses) == (True, False)
    assert bet.e_better > 20 > bet.e_worse
    mirrored = PairedBet()
    mirrored.update_many(-d)
    assert (mirrored.wins, mirrored.loses) == (False, True)
    assert mirrored.e_worse == pytest.approx(bet.e_better)


def test_a_margin_must_be_won_too():
    d = generator(19, "margin").choice([-1, 0, 1], p=[0.03, 0.87, 0.10], size=600)
    bet = PairedBet(margin=0.2)
    bet.update_many(d)
    assert not bet.wins


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), max_size=200))
def test_differences_one_by_one_in_blocks_and_through_storage_are_the_same(d):
    one, many = PairedBet(0.01, 0.2), PairedBet(0.01, 0.2)
    for x in d:
        one.update(x)
        one = again(one)
    many.update_many(d)
    assert many.e_better == pytest.approx(one.e_better, rel=1e-9)
    assert many.e_worse == pytest.approx(one.e_worse, rel=1e-9)
    assert (many.wins, many.loses, many.seen) == (one.wins, one.loses, one.seen)


def test_a_bet_refuses_what_is_no_difference():
    with pytest.raises(UsageError, match="outside \\[-1, 1\\]"):
        PairedBet().update(math.nan)
    with pytest.raises(UsageError, match=r"margin=-0\.1"):
        PairedBet(margin=-0.1)
    assert math.isfinite(PairedBet().e_better)
    endless = PairedBet()
    endless.update_many(np.ones(5000))
    assert math.isfinite(endless.e_better)


# --- drift over batches


def test_the_calibrator_is_a_fair_bet():
    total, _ = integrate.quad(lambda u: float(p_to_e(math.exp(-u))) * math.exp(-u), 0, 60)
    rest = 1 / 60  # what lies below exp(-60), in closed form: 1 / log(1 / p)
    assert total + rest == pytest.approx(1, abs=1e-3)
    assert (np.diff(p_to_e(np.linspace(0.001, 1, 500))) <= 0).all()
    with pytest.raises(UsageError, match="p-values"):
        p_to_e([0.5, math.nan])


def test_still_columns_are_quiet_for_years():
    detector = DriftDetector([f"c{i}" for i in range(50)])
    rng, rang = generator(20, "quiet"), 0
    for _ in range(400):
        detector.update(dict(zip(detector.columns, rng.random(50), strict=True)))
        rang += detector.drifted
    assert rang == 0


def test_a_small_shift_of_one_column_in_fifty_is_found_within_days_and_named():
    detector = DriftDetector([f"c{i}" for i in range(50)])
    rng = generator(21, "small")
    for _ in range(15):
        shifted = stats.kstest(rng.normal(0.1, 1, 1000), "norm").pvalue
        detector.update({**dict(zip(detector.columns, rng.random(50), strict=True)), "c7": shifted})
    assert detector.culprits == ("c7",)


def test_it_recovers_once_the_column_is_back():
    detector = DriftDetector(["a", "b"])
    for _ in range(50):
        detector.update({"a": 1e-20, "b": 0.5})
    assert detector.drifted
    stored = again(detector)
    rng = generator(22, "back")
    for _ in range(60):
        stored.update({"a": rng.random(), "b": rng.random()})
    assert not stored.drifted
    assert stored.culprits == ()


def test_columns_not_tested_say_nothing_and_unknown_ones_are_refused():
    detector = DriftDetector(["a", "b"])
    detector.update({"a": math.nan})
    assert detector.value == 1
    assert detector.seen == 1
    with pytest.raises(UsageError, match="'c'"):
        detector.update({"c": 0.5})
    assert DriftDetector([]).drifted is False
    with pytest.raises(UsageError, match="per=1"):
        DriftDetector(["a"], per=1)
