"""Deciding a mean of n numbers early: exact over all orders for the capital, by simulation for normal numbers."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import t

from staytuned.errors import UsageError
from staytuned.stats.betting import capital_against, early_t, level_per_look

POPULATIONS = [
    [0.1, 0.1, 0.1, 0.1, 0.1, -0.5],  # one that makes up for all the others
    [0.3, 0.3, 0.3, -0.3, -0.3, -0.3],
    [0.02, -0.01, 0.03, -0.04, 0.0, 0.0],
    [2.0, -0.4, -0.4, -0.4, -0.4, -0.4],  # unbounded above
]


@pytest.mark.parametrize("numbers", POPULATIONS)
def test_the_capital_is_a_fair_game_over_all_orders(numbers: list[float]) -> None:
    """Where the mean is zero the mean capital is 1 at every look: the law the error bound rests on."""
    orders = [list(order) for order in set(permutations(numbers))]
    for k in range(1, 5):
        assert np.mean([capital_against(order[:k], 6, -0.5) for order in orders]) == pytest.approx(1.0)


@pytest.mark.parametrize("numbers", POPULATIONS)
@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_it_reaches_one_over_the_level_in_no_more_than_this_share_of_orders(numbers: list[float], level: float) -> None:
    orders = list(permutations(numbers))[::7]
    crossed = [any(capital_against(order[:k], 6, -0.5) >= 1 / level for k in range(1, 6)) for order in orders]
    assert np.mean(crossed) <= level + 0.02  # every seventh order


def test_what_cannot_be_made_up_for_is_certain() -> None:
    assert capital_against([0.5, 0.4], 3, -0.1) == np.inf
    assert capital_against([0.5, 0.4], 20, -0.1) < np.inf
    assert capital_against([], 5, -0.1) == 1.0


def test_more_evidence_more_capital() -> None:
    assert capital_against([0.3, 0.3, 0.3], 10, -0.2) > capital_against([0.2, 0.2, 0.2], 10, -0.2) > 1 > capital_against([-0.1, -0.1, -0.1], 10, -0.2)


def test_at_one_look_the_p_value_is_uniform() -> None:
    """The first four of ten normal numbers whose mean is exactly zero."""
    d = np.random.default_rng(0).normal(size=(4000, 10))
    d -= d.mean(axis=1, keepdims=True)
    p = np.sort([early_t(row[:4], 10) for row in d])
    assert np.max(np.abs(p - (np.arange(4000) + 0.5) / 4000)) < 1.63 / np.sqrt(4000)  # Kolmogorov, 1 %


@pytest.mark.parametrize(("n", "level"), [(5, 0.05), (10, 0.05), (10, 0.01)])
def test_all_looks_together_err_as_often_as_stated(n: int, level: float) -> None:
    d = np.random.default_rng(1).normal(size=(40_000, n))
    d -= d.mean(axis=1, keepdims=True)
    bound, crossed = level_per_look(n, level), np.zeros(len(d), dtype=bool)
    for k in range(3, n):
        seen = d[:, :k]
        crossed |= t.sf(seen.mean(axis=1) / (seen.std(axis=1, ddof=1) * np.sqrt(1 / k - 1 / n)), k - 1) <= bound
    spread = 3 * np.sqrt(level / len(d))
    assert 0.8 * level - spread < crossed.mean() < level + spread
    assert level / (n - 3) < bound < level


def test_numbers_without_scatter_tell_nothing() -> None:
    assert early_t([0.1, 0.1, 0.1], 10) == 1.0
    assert early_t([0.1], 10) == 1.0
    assert early_t([0.10, 0.11, 0.12], 10) < 0.01 < 0.99 < early_t([-0.10, -0.11, -0.12], 10)


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="at most n=2"):
        early_t([0.1, 0.2, 0.3], 2)
    with pytest.raises(UsageError, match="finite"):
        capital_against([np.nan], 5, -1)
    with pytest.raises(UsageError, match=r"below lowest=-0\.1"):
        capital_against([-0.2], 5, -0.1)
