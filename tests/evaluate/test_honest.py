"""The corrected score: equal to the slow way number by number, indifferent to what should not matter, and right on average."""

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from staytuned.errors import UsageError
from staytuned.evaluate import _left_out
from staytuned.evaluate._left_out import ByFold, Means, called, roc_area
from staytuned.evaluate.honest import Honest, corrected, corrected_for, time_blocks

Floats = npt.NDArray[np.float64]


def losses(seed: int = 0, rows: int = 120, configs: int = 8, spread: float = 0.1) -> Floats:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(0, spread, configs) + rng.normal(size=(rows, 1)) + 0.5 * rng.normal(size=(rows, configs)), dtype=float)


def deals(rows: int, parts: int, count: int = 3) -> npt.NDArray[np.int16]:
    rng = np.random.default_rng(9)
    return np.stack([rng.permutation(np.arange(rows) % parts) for _ in range(count)]).astype(np.int16)


def same(a: Honest, b: Honest) -> None:
    assert [a.naive, a.corrected, a.low, a.high, a.error] == pytest.approx([b.naive, b.corrected, b.low, b.high, b.error], rel=1e-9)


# the slow way


def test_means_without_a_part_as_by_hand() -> None:
    table, rng = losses(), np.random.default_rng(1)
    fold, weight = np.arange(120) % 5, rng.uniform(0.5, 2.0, 120)
    table[fold > 1, 3] = np.nan  # raced out after two folds
    parts = deals(120, 7)
    found, left = Means(table, fold, weight).split(parts, 7, 0, np.arange(8))
    share = weight / np.bincount(fold, weights=weight)[fold]
    for deal, *both in zip(parts, found, left, strict=True):
        for part, config in product(range(7), range(8)):
            for scores, rows in zip(both, (deal != part, deal == part), strict=True):
                seen = rows & ~np.isnan(table[:, config])
                base = np.average(table[rows, 0], weights=share[rows])
                assert scores[part, config] == pytest.approx(base + np.average((table[:, config] - table[:, 0])[seen], weights=share[seen]))


@pytest.mark.parametrize("digits", [0, 1, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_roc_areas_without_a_part_as_scikit_learn_computes_them(digits: int, weighted: bool) -> None:
    rng = np.random.default_rng(2)
    y = np.array(["no", "yes"])[(rng.random(150) < 0.3).astype(int)]
    scores = np.round((y == "yes")[:, None] + rng.normal(size=(150, 2)), digits)
    fold, weight = rng.integers(0, 2, 150), rng.uniform(0.2, 2.0, 150) if weighted else np.ones(150)
    parts, whole = deals(150, 4, count=2), np.ones((150, 2), dtype=bool)
    fast = ByFold(roc_area(y, scores, fold, weight), whole, fold)
    slow = ByFold(called(roc_auc_score, y, scores, fold, weight), whole, fold)
    assert fast.overall(1) == pytest.approx(slow.overall(1))
    found = fast.split(parts, 4, 1, np.arange(2))
    assert found[0] == pytest.approx(slow.split(parts, 4, 1, np.arange(2))[0])
    for deal, part, config in product(range(2), range(4), range(2)):
        rows = [(parts[deal] == part) & (fold == k) for k in range(2)]
        by_hand = [roc_auc_score(y[r], scores[r, config], sample_weight=weight[r]) for r in rows]
        assert found[1, deal, part, config] == pytest.approx(np.mean(by_hand))


def test_a_roc_area_where_a_fold_loses_its_last_positive_is_left_to_the_other_folds() -> None:
    y = np.array([1, 0, 0, 0, 1, 1, 0, 0])
    fold, parts = np.repeat([0, 1], 4), np.array([[0, 1, 2, 3, 3, 0, 1, 2]], dtype=np.int16)
    scores = np.array([[0.9, 0.8, 0.1, 0.2, 0.3, 0.7, 0.4, 0.6]]).T
    kept = ByFold(roc_area(y, scores, fold, np.ones(8)), np.ones((8, 1), dtype=bool), fold).split(parts, 4, 0, np.array([0]))
    assert kept[0, 0, 0, 0] == pytest.approx(roc_auc_score(y[[4, 6, 7]], scores[[4, 6, 7], 0]))


def test_the_corrected_score_is_the_mean_loss_of_the_choice_on_the_rows_left_out() -> None:
    table = losses(rows=100)
    found = corrected(table, resamples=40, seed=5)
    # the same deals, replayed through the public pieces
    from staytuned._random import generator
    from staytuned.evaluate.honest import _dealt

    parts = _dealt(np.zeros(100, dtype=np.intp), np.arange(100), 10, 4, generator(5, "honest"))
    scores = [table[deal == part, table[deal != part].mean(axis=0).argmin()].mean() for deal in parts for part in range(10)]
    assert found.corrected == pytest.approx(np.mean(scores))
    assert found.naive == pytest.approx(table.mean(axis=0).min())


def test_a_mean_is_corrected_alike_as_a_metric_of_any_kind() -> None:
    """The left-out rows' score, read off what leaving them out changed, is for a mean their own mean."""
    table, folds = losses(), np.arange(120) % 4
    target = np.random.default_rng(3).normal(size=120)
    by_metric = corrected_for(lambda y, p: float(np.mean(p - y)), target, table + target[:, None], folds, direction="min", resamples=60)
    same(corrected(table, folds, resamples=60), by_metric)


def test_r_squared_and_probabilities_of_classes() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(size=90)
    found = corrected_for(r2_score, y, y[:, None] + rng.normal(size=(90, 6)), np.arange(90) % 3, resamples=40)
    assert found.corrected < found.naive < 1
    labels = rng.integers(0, 3, 90)
    chances = rng.dirichlet(np.ones(3), size=(90, 5))
    loss = corrected_for(lambda t, p: float(-np.mean(np.log(p[np.arange(len(t)), t]))), labels, chances, direction="min", resamples=40)
    assert loss.corrected > loss.naive


# what should not matter


def test_one_config_was_not_chosen() -> None:
    found = corrected(losses(configs=1))
    assert found.corrected == pytest.approx(found.naive)
    assert found.chosen == 1
    assert found.lead is None
    assert not found.overtuned


def test_higher_is_better_is_the_mirror_image() -> None:
    table = losses()
    low, high = corrected(table, seed=3, resamples=100), corrected(-table, seed=3, resamples=100, direction="max")
    assert (high.naive, high.corrected, high.low, high.high) == pytest.approx((-low.naive, -low.corrected, -low.high, -low.low))
    assert (high.optimism, high.overtuned, high.lead) == (low.optimism, low.overtuned, low.lead)


def test_the_order_of_configs_does_not_matter() -> None:
    table, order = losses(), np.array([3, 1, 7, 0, 2, 6, 5, 4])
    same(corrected(table, first=3, resamples=100), corrected(table[:, order], first=0, resamples=100))


def test_same_seed_same_answer() -> None:
    assert corrected(losses(), seed=1, resamples=50) == corrected(losses(), seed=1, resamples=50)
    assert corrected(losses(), seed=1, resamples=50).corrected != corrected(losses(), seed=2, resamples=50).corrected


def test_rows_that_stand_several_times_count_once_where_they_are_a_group() -> None:
    """Repeated cross-validation: without the groups a row's copies would be on both sides."""
    table = losses(rows=60)
    groups = np.repeat(np.arange(60), 4)
    same(corrected(table, resamples=100), corrected(table[groups], groups=groups, resamples=100))
    assert corrected(table[groups], resamples=100).optimism < corrected(table, resamples=100).optimism


def test_rows_without_any_prediction_are_left_out() -> None:
    table = losses(rows=100)
    early = np.vstack([np.full((20, 8), np.nan), table])
    folds = np.arange(120) // 20
    same(corrected(table, folds[20:], resamples=50), corrected(early, folds, resamples=50))


def test_a_raced_out_config_takes_part_but_cannot_win() -> None:
    table, folds = losses(spread=0.0), np.arange(120) % 5
    table[:, 2] -= 0.05
    table[folds > 1, 2] = np.nan
    found = corrected(table, folds, resamples=200)
    assert found.winner != 2
    assert found.configs == 8
    assert found.chosen < corrected(np.delete(table, 2, axis=1), folds, resamples=200).chosen


def test_the_interval_is_cut_to_the_bounds_of_the_metric() -> None:
    right = np.ones((30, 3))
    right[0] = 0
    assert corrected(right, direction="max").high > 1
    assert corrected(right, direction="max", bounds=(0, 1)).high == 1


def test_time_is_left_out_in_blocks() -> None:
    assert time_blocks(10, 4).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert np.bincount(time_blocks(900)).max() == 60
    with pytest.raises(UsageError, match="length=0"):
        time_blocks(10, 0)


# the signal


def test_a_lead_by_luck_is_flagged_and_a_real_one_is_not() -> None:
    luck = corrected(losses(spread=0.0, configs=40))
    assert luck.overtuned
    assert not luck.confirmed
    assert "not confirmed" in luck.said
    table = losses(spread=0.0)
    table[:, 5] -= 1.0
    real = corrected(table)
    assert (real.winner, real.overtuned, real.chosen) == (5, False, 1.0)
    assert real.lead is not None
    assert real.lead.low > 0.8
    assert "not confirmed" not in real.said


def test_a_score_beyond_what_scatter_explains_is_not_plausible() -> None:
    rng = np.random.default_rng(0)
    found = corrected(rng.normal(size=(300, 60)), first=None)  # independent errors: the least of sixty is 2.3 standard errors too good
    assert not found.plausible
    assert found.confirmed
    assert found.overtuned
    assert "too good by" in found.said


def test_ties_of_the_bootstrap_would_raise_average_precision_but_not_the_roc_area() -> None:
    """Why rows are left out rather than drawn again: what a copy does to metrics that rank rows."""
    rng = np.random.default_rng(5)
    y = (rng.random(60) < 0.3).astype(int)
    score = 0.5 * y + rng.normal(size=60)
    for metric, biased in ((_area, False), (_precision, True)):
        values = np.array([metric(y[rows], score[rows]) for rows in rng.integers(0, 60, (3000, 60))])
        excess = (values.mean() - metric(y, score)) / (values.std() / np.sqrt(len(values)))
        assert (excess > 6) if biased else (abs(excess) < 3)


def _area(y: npt.NDArray[np.int64], score: Floats) -> float:
    return float(np.mean((score[y == 1][:, None] > score[y == 0]) + 0.5 * (score[y == 1][:, None] == score[y == 0])))


def _precision(y: npt.NDArray[np.int64], score: Floats) -> float:
    order = np.argsort(-score)
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    found = np.cumsum(y[order])[ends]
    return float(np.sum(np.diff(found, prepend=0) * found / (ends + 1)) / y.sum())


# bad input


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        (np.zeros(5), {}, r"shape \(5,\)"),
        (np.zeros((0, 3)), {}, "at least one"),
        ([[0.0, np.inf]], {}, "row 0 under config 1"),
        (np.full((4, 2), np.nan), {}, "no config has a prediction"),
        ([[np.nan, 1.0], [1.0, np.nan]], {}, "none can be the winner"),
        (np.zeros((4, 2)), {"folds": [0, 1]}, r"folds of shape \(2,\)"),
        (np.zeros((4, 2)), {"groups": [1, 1, 1, 1]}, "one group"),
        (np.zeros((4, 2)), {"weights": [1, 1, -1, 1]}, "at least 0, got -1"),
        (np.zeros((4, 2)), {"folds": [0, 0, 1, 1], "weights": [0, 0, 1, 1]}, "fold 0 have no weight"),
        (np.zeros((4, 2)), {"first": 2}, "first=2"),
        (np.zeros((4, 2)), {"resamples": 0}, "resamples=0"),
        (np.zeros((4, 2)), {"left_out": 0.9}, r"left_out=0\.9"),
        (np.zeros((4, 2)), {"direction": "up"}, "direction='up'"),
    ],
)
def test_bad_tables(table: npt.ArrayLike, options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        corrected(table, **options)  # type: ignore[arg-type]


def test_bad_predictions() -> None:
    y = np.array([0, 1, 0, 1])
    with pytest.raises(UsageError, match="two classes, not 3"):
        corrected_for("roc_auc", [0, 1, 2, 1], np.zeros((4, 2)))
    with pytest.raises(UsageError, match="not defined on fold 1"):
        corrected_for("roc_auc", y, np.zeros((4, 2)), [0, 0, 0, 1])
    with pytest.raises(UsageError, match="one score per row and config"):
        corrected_for("roc_auc", y, np.zeros((4, 2, 3)))
    with pytest.raises(UsageError, match="with 4 rows"):
        corrected_for(roc_auc_score, y, np.zeros((3, 2)))


# right on average


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "kind"), [(0.0, "mean"), (0.5, "mean"), (0.5, "area")])
def test_the_bias_is_gone(spread: float, kind: str) -> None:
    """Hundreds of replications with a known truth: at most some tenth of the bias of the search's own score, and within three standard errors of zero."""
    from scipy.stats import norm

    errors = []
    count = 600 if kind == "mean" else 200
    for replication in range(count):
        rng = np.random.default_rng([11, replication])
        noise = np.sqrt(0.8) * rng.normal(size=(200, 1)) + np.sqrt(0.2) * rng.normal(size=(200, 30))
        risk = rng.normal(0, spread * np.sqrt(0.4 / 200), 30)
        if kind == "mean":
            found = corrected(risk + noise, np.arange(200) % 5, resamples=200, seed=replication)
            truth = risk
        else:
            y = rng.random(200) < 0.4
            found = corrected_for("roc_auc", y, y[:, None] * (1 - risk) + noise, np.arange(200) % 5, resamples=60, seed=replication)
            truth = norm.cdf((1 - risk) / np.sqrt(2))
        sign = 1 if kind == "mean" else -1
        errors.append([sign * (truth[found.winner] - score) for score in (found.naive, found.corrected)] + [found.low <= truth[found.winner] <= found.high])
    naive, unbiased, inside = np.mean(errors, axis=0)
    spread_of = np.std(errors, axis=0) / np.sqrt(count)
    assert naive > 5 * spread_of[0]
    assert abs(unbiased) < min(3 * spread_of[1], 0.1 * naive + spread_of[1])
    assert inside > 0.92


@pytest.mark.parametrize("at_once", [1, 250, 1000])
def test_a_long_table_is_resampled_in_parts_and_says_the_same(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    y = rng.integers(2, size=120)
    scores = y[:, None] + rng.normal(size=(120, 5))
    whole = corrected_for("roc_auc", y, scores, np.arange(120) % 3, resamples=100)
    monkeypatch.setattr(_left_out, "_AT_ONCE", at_once)
    same(corrected_for("roc_auc", y, scores, np.arange(120) % 3, resamples=100), whole)
