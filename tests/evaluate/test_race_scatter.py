"""The scatter of races: the line is found, its doubt is honest, and what tells nothing is left out."""

import numpy as np
import pytest
from scipy.special import polygamma
from scipy.stats import t

from staytuned.evaluate.scatter import _inverse_trigamma, fitted


@pytest.mark.parametrize("value", [1e-3, 0.05, 1.0, np.pi**2 / 6, 30.0, 1e3])
def test_the_inverse_of_trigamma(value: float) -> None:
    assert polygamma(1, _inverse_trigamma(value)) == pytest.approx(value, rel=1e-9)


def test_trigamma_of_one_and_of_a_half() -> None:
    assert _inverse_trigamma(np.pi**2 / 6) == pytest.approx(1.0)
    assert _inverse_trigamma(np.pi**2 / 2) == pytest.approx(0.5)


def test_finds_how_variances_grow_with_the_distance() -> None:
    rng = np.random.default_rng(0)
    means = 10 ** rng.uniform(-2, 1, 400)
    true = 0.01 * means  # squared distance to the power of a half
    scatter = fitted(means, true * rng.chisquare(9, 400) / 9, np.full(400, 10))
    assert scatter is not None
    assert scatter.line[1] == pytest.approx(0.5, abs=0.03)
    for distance in (0.05, 1.0, 5.0):
        variance, freedom = scatter.at(distance, 1)
        assert variance == pytest.approx(0.01 * distance, rel=0.2)
        assert freedom > 30


def test_freedom_grows_with_races_and_shrinks_with_their_disagreement_and_far_from_them() -> None:
    rng = np.random.default_rng(1)
    means, unit, folds = rng.uniform(0.5, 2, 60), rng.chisquare(9, 60) / 9, np.full(60, 10)
    wild = unit * rng.permutation(np.geomspace(0.05, 20, 60))
    few, many, torn = (fitted(means[:n], v[:n], folds[:n]) for n, v in ((2, unit), (60, unit), (60, wild)))
    assert few is not None
    assert many is not None
    assert torn is not None
    assert few.at(1, 1)[1] < many.at(1, 1)[1]
    assert torn.at(1, 1)[1] < many.at(1, 1)[1] / 3
    assert many.at(1e4, 1)[1] < many.at(1, 1)[1] / 2


def test_scaled_as_the_losses_are() -> None:
    rng = np.random.default_rng(2)
    means, variances, folds = rng.normal(0, 1, 20), rng.chisquare(3, 20), rng.integers(2, 11, 20)
    one, thousand = fitted(means, variances, folds), fitted(1000 * means, 1e6 * variances, folds)
    assert one is not None
    assert thousand is not None
    variance, freedom = one.at(0.7, 2)
    assert thousand.at(700, 2) == (pytest.approx(1e6 * variance), pytest.approx(freedom))


def test_twins_of_the_incumbent_tell_nothing() -> None:
    none = np.zeros(3)
    assert fitted(none, none, np.full(3, 5)) is None
    mean, variance, folds = np.array([0.3, 0.0]), np.array([0.1, 0.0]), np.array([5, 5])
    alone, beside = fitted(mean[:1], variance[:1], folds[:1]), fitted(mean, variance, folds)
    assert alone is not None
    assert beside is not None
    assert alone.at(0.2, 1) == beside.at(0.2, 1)


def test_a_constant_shortfall_and_a_distance_of_zero_are_finite() -> None:
    scatter = fitted(np.array([0.1, 0.1]), np.zeros(2), np.array([5, 5]))
    assert scatter is not None
    for distance in (0.0, 1e-12, 0.1, 1e6):
        assert all(np.isfinite(number) and number > 0 for number in scatter.at(distance, 1))


@pytest.mark.parametrize("races", [1, 3, 30])
def test_the_predicted_t_covers_as_it_says_if_variances_scatter_as_assumed(races: int) -> None:
    """Scaled inverse chi-square variances with 8 degrees of freedom, one new difference: below its 10 % quantile in 10 % of draws, up to chance."""
    rng, draws, below = np.random.default_rng(races), 1500, 0
    for _ in range(draws):
        true = 8 / rng.chisquare(8, races + 1)
        scatter = fitted(rng.uniform(1, 3, races), true[1:] * rng.chisquare(9, races) / 9, np.full(races, 10))
        assert scatter is not None
        variance, freedom = scatter.at(2.0, 1)
        below += rng.normal(0, np.sqrt(true[0])) < t.ppf(0.1, freedom) * np.sqrt(variance)
    assert below / draws == pytest.approx(0.1, abs=0.03)
