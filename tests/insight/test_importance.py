import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staytuned.goal import Goal
from staytuned.insight.importance import importance
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.trial import Measurement, Status, Trial


def measured(space, function, n, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    configs = [space.sample(rng) for _ in range(n)]
    return [Trial(i, c, measurement=Measurement({"loss": function(c) + noise * rng.standard_normal()})) for i, c in enumerate(configs)]


def shares(found):
    return {row.name: row.share for row in found.rows}


CUBE = Space({name: Float(0, 1) for name in "abcd"})


def test_an_additive_function_gives_its_analytic_shares():
    # a sum of w_i u_i has variance sum of w_i^2 / 12, so the shares are w_i^2 over their sum
    found = importance(measured(CUBE, lambda c: 3 * c["a"] + 2 * c["b"] + c["c"], 300), Goal(), CUBE)
    got = shares(found)
    assert got["a"] == pytest.approx(9 / 14, abs=0.06)
    assert got["b"] == pytest.approx(4 / 14, abs=0.06)
    assert got["c"] == pytest.approx(1 / 14, abs=0.06)
    assert got["d"] < 0.01
    assert [row.name for row in found.rows[:3]] == ["a", "b", "c"]
    assert found.pairs[0].share < 0.03
    assert found.reliable
    assert found.note == ""
    assert found.explained > 0.9


@pytest.mark.slow
def test_a_product_of_centred_factors_is_all_interaction():
    found = importance(measured(CUBE, lambda c: (c["a"] - 0.5) * (c["b"] - 0.5), 300), Goal(), CUBE)
    assert max(shares(found).values()) < 0.1
    assert set(found.pairs[0].names) == {"a", "b"}
    assert found.pairs[0].share > 0.8


@pytest.mark.slow
def test_on_a_log_scale_it_is_the_logarithm_that_counts():
    space = Space({"lr": Float(1e-4, 1, log=True), "x": Float(0, 1)})
    found = importance(measured(space, lambda c: math.log10(c["lr"]) / 4 + c["x"], 300), Goal(), space)
    assert shares(found)["lr"] == pytest.approx(0.5, abs=0.06)


def test_a_conditional_dimension_counts_by_the_part_of_the_space_where_it_exists():
    # f is 0, 1 or 2 by branch (variance 2/3), and in one branch of three also 3 p - 1.5 (variance 9/12, a third of the time)
    space = Space(
        {"m": Choice(["x", "y", "z"]), "p": Float(0, 1, when={"m": ["x"]}), "q": Float(1e-3, 1, log=True, when={"m": ["y"]}), "r": Int(1, 9, when={"m": ["z"]})}
    )
    found = importance(measured(space, lambda c: "xyz".index(c["m"]) + 3 * c.get("p", 0.5) - 1.5, 300), Goal(), space)
    whole = 2 / 3 + 9 / 12 / 3
    assert shares(found)["m"] == pytest.approx(2 / 3 / whole, abs=0.06)
    assert shares(found)["p"] == pytest.approx(9 / 12 / 3 / whole, abs=0.06)
    assert shares(found)["q"] < 0.01
    assert not any({"p", "q"} == set(row.names) for row in found.pairs), "two that never exist together are no pair"
    assert {row.name: row.trials for row in found.rows}["m"] == 300
    assert 70 < {row.name: row.trials for row in found.rows}["p"] < 130


@pytest.mark.slow
def test_one_diverged_trial_does_not_drown_the_rest():
    history = measured(CUBE, lambda c: c["a"], 200)
    history.append(Trial(200, CUBE.sample(np.random.default_rng(9)), measurement=Measurement({"loss": 1e12})))
    assert shares(importance(history, Goal(), CUBE))["a"] > 0.85


def test_the_direction_of_the_goal_changes_nothing():
    low = measured(CUBE, lambda c: c["a"] + 0.3 * c["b"], 60)
    high = [Trial(t.number, t.config, measurement=Measurement({"loss": -t.scores["loss"]})) for t in low]
    assert importance(low, Goal("loss", "min"), CUBE) == importance(high, Goal("loss", "max"), CUBE)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table():
    history = measured(CUBE, lambda c: c["a"], 40)
    assert importance(history, Goal(), CUBE, seed=3) == importance(history, Goal(), CUBE, seed=3)
    assert importance(history, Goal(), CUBE, seed=3) != importance(history, Goal(), CUBE, seed=4)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_trials_give_no_rows_and_say_so(n):
    found = importance(measured(CUBE, lambda c: c["a"], n), Goal(), CUBE)
    assert found.rows == ()
    assert not found.reliable
    assert f"{n} finished trials" in found.note


def test_few_trials_are_called_a_hint():
    found = importance(measured(CUBE, lambda c: c["a"], 11), Goal(), CUBE)
    assert len(found.rows) == 4
    assert not found.reliable
    assert "about 12 trials" in found.note


def test_pure_noise_is_called_noise():
    found = importance(measured(CUBE, lambda _: 0.0, 60, noise=1.0), Goal(), CUBE)
    assert not found.reliable
    assert "noise" in found.note


def test_equal_scores_blame_nothing():
    found = importance(measured(CUBE, lambda _: 1.0, 30), Goal(), CUBE)
    assert set(shares(found).values()) == {0.0}
    assert "scored the same" in found.note


def test_trials_that_say_nothing_are_passed_over():
    good = measured(CUBE, lambda c: c["a"], 50)
    config = good[0].config
    odd = [
        Trial(90, config),
        Trial(91, config, measurement=Measurement({"loss": 9.0}, Status.FAILED)),
        Trial(92, config, measurement=Measurement({"loss": math.nan})),
        Trial(93, config, measurement=Measurement({"loss": math.inf})),
        Trial(94, config, fidelity=0.1, measurement=Measurement({"loss": 77.0})),
        Trial(95, {"a": "not a number"}, measurement=Measurement({"loss": 0.2})),
    ]
    assert importance(good + odd, Goal(), CUBE) == importance(good, Goal(), CUBE)


def test_impossible_conditions_are_survived():
    space = Space({"m": Choice([1, 2]), "x": Float(0, 1, when={"m": [1]}), "never": Float(0, 1, when={"m": [2], "x": [0.5]})})
    found = importance(measured(space, lambda c: c["m"], 40), Goal(), space)
    assert shares(found)["never"] == 0.0


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(4, 40), st.integers(0, 5), st.sampled_from(["a", "k", "lr"]))
def test_shares_lie_between_0_and_1_and_sum_to_at_most_1(n, seed, name):
    space = Space({"k": Choice(["r", "p", "l"]), "a": Float(0, 1, when={"k": ["r", "p"]}), "lr": Float(1e-3, 1, log=True), "n": Int(1, 100, log=True)})
    history = measured(space, lambda c: space[name].to_unit(c[name]) if name in c else 2.0, n, seed, noise=0.3)
    found = importance(history, Goal(), space)
    parts = [row.share for row in found.rows] + [row.share for row in found.pairs]
    assert all(0 <= share <= 1 for share in parts)
    assert sum(parts) <= 1 + 1e-9
    assert len(found.rows) == len(space)
    assert all(row.sd >= 0 for row in found.rows)
