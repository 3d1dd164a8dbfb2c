import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.stats.compare import (
    Interval,
    benjamini_hochberg,
    betting_upper,
    bootstrap,
    chi_square_two_sample,
    clopper_pearson_upper,
    compared,
    empirical_bernstein_upper,
    ks_two_sample,
    population_stability,
    race_probability,
    rate_rise,
)


def accuracy(y, prediction):
    return float(np.mean(y == prediction))


# --- two samples


@pytest.mark.parametrize("sizes", [(30, 30), (40, 300), (200, 200), (1000, 57), (5000, 5000)])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_ks_is_close_to_scipys_exact_test_and_not_below(sizes, shift):
    rng = generator(1, "ks", *sizes)
    a, b = rng.normal(size=sizes[0]), rng.normal(shift, 1, size=sizes[1])
    exact = stats.ks_2samp(a, b, method="exact" if max(sizes) < 5000 else "asymp").pvalue
    assert 0.97 * exact <= ks_two_sample(a, b) <= 1.25 * exact + 1e-12


def test_ks_of_a_sample_with_itself_is_one_and_of_disjoint_samples_is_nothing():
    x = np.arange(100.0)
    assert ks_two_sample(x, x) == 1
    assert ks_two_sample(x, x + 1000) < 1e-20


@pytest.mark.parametrize("bad", [[], [1.0, math.nan]])
def test_ks_refuses_empty_and_nan(bad):
    with pytest.raises(UsageError, match="at least one, and no NaN"):
        ks_two_sample([1.0, 2.0], bad)


def test_chi_square_is_scipys_contingency_test():
    a, b = [120, 80, 45, 55], [30, 40, 10, 20]
    assert chi_square_two_sample(a, b) == pytest.approx(stats.chi2_contingency([a, b], correction=False).pvalue, rel=1e-12)


def test_chi_square_rings_as_often_as_it_says_where_the_reference_is_a_sample():
    """The one-sample form would ring in more than 70 % of these."""
    rng, shares = generator(2, "chi"), np.full(20, 0.05)
    rings = sum(chi_square_two_sample(rng.multinomial(1000, shares), rng.multinomial(1000, shares)) < 0.05 for _ in range(400))
    assert stats.binom.cdf(rings, 400, 0.05) < 0.999
    assert rings > 4


def test_chi_square_pools_levels_too_rare_to_test():
    common = [500, 500]
    assert chi_square_two_sample([*common, 1, 0, 2], [*common, 0, 1, 1]) > 0.5
    assert chi_square_two_sample([10], [5]) == 1
    assert chi_square_two_sample([0, 0], [5, 5]) == 1
    with pytest.raises(UsageError, match="at least 0"):
        chi_square_two_sample([1, -1], [1, 1])


def test_a_rise_is_fishers_one_sided_test():
    assert rate_rise(3, 100, 9, 60) == pytest.approx(stats.fisher_exact([[9, 51], [3, 97]], alternative="greater").pvalue, rel=1e-9)
    assert rate_rise(0, 100, 0, 60) == 1


def test_stability_has_the_mean_that_theory_gives_it_and_the_size_of_a_known_shift():
    rng, shares = generator(3, "psi"), np.full(10, 0.1)
    found = [population_stability(rng.multinomial(1000, shares), rng.multinomial(500, shares)) for _ in range(300)]
    assert found[0].expected == pytest.approx(9 * (1 / 1000 + 1 / 500))
    assert np.mean([s.value for s in found]) == pytest.approx(found[0].expected, rel=0.1)
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    moved = np.diff(stats.norm.cdf([-np.inf, *(edges - 0.5), np.inf])) * 1e6
    assert population_stability(shares * 1e6, moved).excess == pytest.approx(0.25, abs=0.03)
    assert population_stability([0, 0], [1, 1]).value == 0


def test_benjamini_and_hochbergs_own_example():
    """Benjamini & Hochberg 1995, section 4.1: fifteen p-values, four are declared at .05."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    q = benjamini_hochberg(p)
    assert (q <= 0.05).sum() == 4
    assert q[3] == pytest.approx(0.0095 * 15 / 4)
    np.testing.assert_allclose(q, stats.false_discovery_control(p))


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=30))
def test_q_values_keep_the_order_are_no_smaller_and_leave_nan_alone(p):
    p = np.array(p, dtype=float)
    q = benjamini_hochberg(p)
    known = ~np.isnan(p)
    assert (np.isnan(q) == ~known).all()
    assert (q[known] >= p[known] * (1 - 1e-12)).all()
    assert (q[known] <= 1).all()
    assert (np.diff(q[known][np.argsort(p[known])]) >= 0).all()


# --- two models


def test_the_interval_of_a_share_covers_it_about_as_often_as_it_says():
    hits = 0
    for i in range(100):
        rng = generator(4, "cover", i)
        y = (rng.random(200) < 0.7).astype(int)
        found = bootstrap(accuracy, y, np.ones(200, dtype=int), rng=rng, rounds=200, level=0.9)
        hits += found.low <= 0.7 <= found.high
    assert 80 <= hits <= 97


def test_a_paired_interval_is_narrower_than_the_models_own_and_finds_the_better_one():
    rng = generator(5, "pair")
    y = rng.integers(0, 2, 500)
    b = np.where(rng.random(500) < 0.25, 1 - y, y)
    a = b.copy()
    mended = np.flatnonzero(b != y)[:30]
    a[mended] = y[mended]
    difference = compared(accuracy, y, a, b, rng=generator(5, "rounds"), rounds=400).difference
    alone = bootstrap(accuracy, y, b, rng=generator(5, "alone"), rounds=400)
    assert difference.point == pytest.approx(0.06)
    assert difference.low > 0
    assert difference.excludes_zero
    assert difference.high - difference.low < (alone.high - alone.low) / 1.5
    again = compared(accuracy, y, a, b, rng=generator(5, "rounds"), rounds=400).difference
    assert again == difference


def test_resamples_without_a_score_are_left_out_until_there_are_too_many():
    def needs_both(y, prediction):
        if len(set(y.tolist())) < 2:
            raise ValueError("one class")
        return accuracy(y, prediction)

    y = np.array([0, 1, 1, 1, 1])
    assert isinstance(bootstrap(needs_both, y, y, rng=generator(6), rounds=100), Interval)
    with pytest.raises(UsageError, match="resamples of 20 rows"):
        bootstrap(lambda *_: math.nan, np.zeros(20), np.zeros(20), rng=generator(6), rounds=10)
    with pytest.raises(UsageError, match="0 rows"):
        bootstrap(accuracy, np.array([]), np.array([]), rng=generator(6))


def test_the_race_is_won_lost_or_open():
    assert race_probability([], 10, 1.0) == 0.5
    assert race_probability([0.1, 0.2], 2, 1.0) == 0
    assert race_probability([-0.1], 1, 1.0) == 1
    assert race_probability([0.0, 0.0], 5, 0.0) == 0.5
    assert race_probability([1.0, 1.1, 0.9], 10, 0.01) < 1e-3
    assert race_probability([0.01], 10, 1.0) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(UsageError, match="at most 2"):
        race_probability([0.1, 0.1, 0.1], 2, 1.0)


def test_the_race_predicts_as_often_as_it_says():
    """Where the variance of past races is the true one, the probability must be calibrated."""
    rng = generator(7, "race")
    said, was = [], []
    for _ in range(1500):
        d = rng.normal(rng.normal(0, 2), 1, size=10)
        said.append(race_probability(d[:4], 10, 1.0))
        was.append(d.mean() < 0)
    said, was = np.array(said), np.array(was)
    for low, high in ((0.1, 0.4), (0.6, 0.9)):
        inside = (said > low) & (said < high)
        assert was[inside].mean() == pytest.approx(said[inside].mean(), abs=0.12)


# --- one sample


def test_clopper_pearson_of_the_tables():
    """The two-sided 95 % limits of 2 and of 5 in 10 are (.025, .556) and (.187, .813) in every table; none in n gives the closed form."""
    assert clopper_pearson_upper(2, 10) == pytest.approx(0.5561, abs=5e-5)
    assert clopper_pearson_upper(5, 10) == pytest.approx(0.8129, abs=5e-5)
    assert clopper_pearson_upper(0, 20, 0.05) == pytest.approx(1 - 0.05 ** (1 / 20))
    assert clopper_pearson_upper(7, 7) == 1
    with pytest.raises(UsageError, match="errors=3"):
        clopper_pearson_upper(3, 2)


def test_empirical_bernstein_is_its_formula():
    x = np.array([0.0, 0.5, 1.0, 0.5] * 50)
    expected = 0.5 + math.sqrt(2 * np.var(x, ddof=1) * math.log(80) / 200) + 7 * math.log(80) / (3 * 199)
    assert empirical_bernstein_upper(x) == pytest.approx(expected)
    assert empirical_bernstein_upper([0.3]) == 1


@pytest.mark.parametrize("bound", [empirical_bernstein_upper, betting_upper])
@pytest.mark.parametrize("shape", [(1, 9), (0.2, 0.8), (4, 4)])
def test_upper_bounds_fail_no_oftener_than_promised(bound, shape):
    rng, mean = generator(8, "bound", *map(str, shape)), shape[0] / sum(shape)
    failures = sum(bound(rng.beta(*shape, size=80), 0.1) < mean for _ in range(200))
    assert stats.binom.sf(failures - 1, 200, 0.1) > 1e-3


def test_betting_is_tighter_than_bernstein_and_near_the_exact_bound():
    rng = generator(9, "tight")
    x = rng.beta(2, 6, size=200)
    assert x.mean() < betting_upper(x) < empirical_bernstein_upper(x) - 0.02
    errors = (rng.random(300) < 0.2).astype(float)
    assert clopper_pearson_upper(int(errors.sum()), 300) <= betting_upper(errors) < empirical_bernstein_upper(errors) - 0.02
    assert betting_upper([]) == 1
    assert betting_upper([1.0] * 50) == 1
    assert betting_upper([0.0] * 200) < 0.05


@pytest.mark.parametrize("bound", [empirical_bernstein_upper, betting_upper])
@pytest.mark.parametrize("bad", [[0.1, 1.2], [0.1, math.nan], [-0.1]])
def test_bounds_refuse_what_is_no_unit_loss(bound, bad):
    with pytest.raises(UsageError, match="outside \\[0, 1\\]"):
        bound(bad)
