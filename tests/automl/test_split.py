import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.automl.split import fold_count, folds, hold_out
from staytuned.errors import TableError


@given(n=st.integers(20, 200), share=st.floats(0.1, 0.5), seed=st.integers(0, 99), classes=st.integers(0, 4))
def test_the_two_parts_are_the_table(n, share, seed, classes):
    rng = np.random.default_rng(seed)
    task = "binary" if classes else "regression"
    y = np.arange(n) % classes if classes else rng.normal(size=n)
    split = hold_out(y, task, share=share, seed=seed)
    assert sorted([*split.train, *split.test]) == list(range(n))
    assert abs(len(split.test) - share * n) <= 1 + classes


def test_the_same_seed_gives_the_same_parts():
    y = np.arange(60) % 3
    first, again, other = (hold_out(y, "multiclass", share=0.2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)


def test_classes_keep_their_shares():
    y = np.array([0] * 90 + [1] * 10)
    split = hold_out(y, "binary", share=0.2, seed=0)
    assert np.bincount(y[split.test]).tolist() == [18, 2]
    for train, validation in folds(y, "binary", 5)[0]:
        assert np.bincount(y[validation]).tolist() == [18, 2]
        assert not set(train) & set(validation)


def test_a_class_of_one_row_is_always_trained_on():
    y = np.array(["a"] * 30 + ["b"] * 30 + ["rare"])
    assert len(hold_out(y, "multiclass", share=0.2, seed=0).test) == 12
    for train, validation in folds(y, "multiclass", 5)[0]:
        assert 60 in train
        assert 60 not in validation


def test_folds_validate_on_every_row_once():
    for task, y in (("regression", np.linspace(0, 1, 53)), ("multiclass", np.arange(53) % 3)):
        parts, name = folds(y, task, 4, seed=0)
        assert sorted(np.concatenate([validation for _, validation in parts])) == list(range(53))
        assert name.endswith("4-fold cross-validation")


def test_groups_stay_together():
    rng = np.random.default_rng(0)
    groups, y = rng.integers(0, 12, 200).astype(str), rng.integers(0, 2, 200)
    split = hold_out(y, "binary", share=0.25, groups=groups, seed=0)
    assert not set(groups[split.train]) & set(groups[split.test])
    for task in ("binary", "regression"):
        for train, validation in folds(y, task, 3, groups=groups)[0]:
            assert not set(groups[train]) & set(groups[validation])


def test_time_never_runs_backwards():
    when = np.random.default_rng(0).permutation(100)
    split = hold_out(np.arange(100) % 2, "binary", share=0.2, time_order=when)
    assert when[split.train].max() < when[split.test].min()
    for train, validation in folds(np.arange(100), "regression", 4, time_order=when)[0]:
        assert when[train].max() < when[validation].min()


def test_one_fold_holds_a_fifth_out():
    [(train, validation)], name = folds(np.arange(100.0), "regression", 1)
    assert (len(train), len(validation)) == (80, 20)
    assert "a fifth" in name


@pytest.mark.parametrize(
    ("y", "task", "n", "kwargs", "said"),
    [
        (np.arange(10.0), "regression", 11, {}, "cv=11"),
        (np.arange(20) % 2, "binary", 11, {}, "10; ask"),
        (np.arange(10.0), "regression", 10, {"time_order": np.arange(10)}, "cv=10"),
        (np.arange(10.0), "regression", 3, {"groups": np.arange(10) % 2}, "groups"),
    ],
)
def test_more_folds_than_there_can_be(y, task, n, kwargs, said):
    with pytest.raises(TableError, match=said):
        folds(y, task, n, **kwargs)


def test_what_cannot_be_split():
    y = np.arange(10.0)
    with pytest.raises(TableError, match="not by both"):
        hold_out(y, "regression", share=0.2, groups=y, time_order=y)
    with pytest.raises(TableError, match="at least 3 groups, not 2"):
        hold_out(y, "regression", share=0.2, groups=y % 2)


def test_large_tables_get_fewer_folds():
    assert [fold_count(500, 10, quality) for quality in ("fast", "balanced", "best")] == [3, 5, 10]
    assert [fold_count(rows, 10, "best") for rows in (1_000, 50_000, 1_000_000)] == [10, 3, 1]
