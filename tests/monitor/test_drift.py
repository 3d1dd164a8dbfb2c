import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from staytuned._random import generator
from staytuned.monitor.drift import drift, drift_findings, watch_drift
from staytuned.monitor.profile import profile
from staytuned.stats.stream import DriftDetector

LEVELS = {f"c{k}": [f"l{j}" for j in range(k)] for k in (2, 3, 5, 8, 12, 20, 30, 40, 48, 300)}


def fifty_columns(n, rng):
    numeric = {f"x{i}": rng.normal(size=n) for i in range(30)} | {f"count{i}": rng.poisson(1 + i, size=n) for i in range(10)}
    categorical = {name: rng.choice(levels, n, p=zipf(len(levels))) for name, levels in LEVELS.items()}
    return pd.DataFrame(numeric | categorical)


def zipf(k):
    weights = 1 / np.arange(1, k + 1)
    return weights / weights.sum()


def moved(drifts):
    return {d.name for d in drifts if d.verdict == "moved"}


@pytest.mark.parametrize(("batches", "most"), [(20, 3), pytest.param(60, 5, marks=pytest.mark.slow)])
def test_batches_in_which_nothing_moved_seldom_ring(batches, most):
    """50 columns, 1,000 rows: uncorrected tests ring in 92 % of such batches, and one-sample chi-square in all."""
    rng = generator(40, "still")
    reference = profile(fifty_columns(5000, rng))
    rings = sum(bool(moved(drift(reference, fifty_columns(1000, rng), false_rate=0.05))) for _ in range(batches))
    assert rings <= most


def test_a_small_reference_is_not_mistaken_for_drift_over_time():
    rng = generator(41, "small reference")
    reference = profile(fifty_columns(1000, rng).iloc[:, :12])
    state = DriftDetector(reference.names)
    rang = 0
    for _ in range(40):
        state = watch_drift(state, [(reference, fifty_columns(1000, rng).iloc[:, :12])])
        rang += state.drifted
    assert rang == 0


@pytest.mark.parametrize("name", ["x3", "count2", "c5", "c300"])
def test_a_moved_column_is_found_and_no_other(name):
    rng = generator(42, "moved")
    reference = profile(fifty_columns(5000, rng))
    batch = fifty_columns(1000, rng)
    if name.startswith("x"):
        batch[name] += 0.4
    elif name.startswith("count"):
        batch[name] += rng.integers(0, 2, 1000)
    else:
        batch[name] = rng.choice(LEVELS[name], 1000)
    drifts = drift(reference, batch)
    assert moved(drifts) == {name}
    worst = drift_findings(drifts)[0]
    assert (worst.subject, worst.level, worst.kind) == (name, "attention", "moved")
    assert worst.numbers["effect"] > 0.01


def test_the_effect_has_the_size_of_the_shift():
    rng = generator(43, "size")
    reference = profile(pd.DataFrame({"x": rng.normal(size=20_000)}))
    found = drift(reference, pd.DataFrame({"x": rng.normal(0.5, 1, size=20_000)}))[0]
    assert found.effect == pytest.approx(0.25, abs=0.04)


def test_in_a_large_batch_a_trifle_is_called_so():
    rng = generator(44, "large")
    reference = profile(pd.DataFrame({"x": rng.normal(size=50_000)}))
    drifts = drift(reference, pd.DataFrame({"x": rng.normal(0.04, 1, size=50_000)}))
    assert drifts[0].verdict == "moved a little"
    assert drift_findings(drifts)[0].level == "note"


def test_a_test_against_a_profile_rings_no_oftener_than_against_the_rows():
    rng = generator(45, "profile")
    for kind in (lambda n: rng.normal(size=n), lambda n: rng.poisson(20, size=n).astype(float), lambda n: rng.normal(size=n).round(1)):
        before, now = kind(4000), kind(700)
        p = drift(profile(pd.DataFrame({"x": before})), pd.DataFrame({"x": now}))[0].p
        exact = stats.ks_2samp(before, now, method="asymp").pvalue
        assert exact * 0.95 <= p <= exact + 0.25


def test_a_small_shift_is_found_over_batches_and_named():
    rng = generator(46, "slow")
    reference = profile(pd.DataFrame({f"x{i}": rng.normal(size=10_000) for i in range(10)}))
    state = DriftDetector(reference.names)
    for _ in range(15):
        batch = pd.DataFrame({f"x{i}": rng.normal(0.12 * (i == 4), 1, size=1000) for i in range(10)})
        before = state.to_json()
        state, old = watch_drift(state, [(reference, batch)]), state
        assert old.to_json() == before
    assert state.culprits == ("x4",)


def test_few_rows_missing_columns_and_nothing_to_compare_are_said_and_not_judged():
    rng = generator(47, "few")
    reference = profile(pd.DataFrame({"x": rng.normal(size=500), "s": ["a", "b"] * 250, "t": pd.date_range("2024", periods=500)}))
    few = drift(reference, pd.DataFrame({"x": rng.normal(size=29), "s": ["a"] * 29}))
    assert [d.verdict for d in few] == ["too few rows to judge"] * 2
    assert math.isnan(few[0].p)
    assert math.isnan(few[0].q)
    assert "not judged" in drift_findings(few)[0].message
    assert drift(reference, pd.DataFrame({"other": [1.0]})) == ()
    nothing = drift(reference, pd.DataFrame({"x": np.full(100, math.nan), "s": [None] * 100}))
    assert {d.verdict for d in nothing} == {"too few rows to judge"}


def test_a_constant_column_that_varies_now_has_moved():
    reference = profile(pd.DataFrame({"x": np.ones(500)}))
    assert moved(drift(reference, pd.DataFrame({"x": np.arange(200.0)}))) == {"x"}
    assert moved(drift(reference, pd.DataFrame({"x": np.ones(200)}))) == set()
