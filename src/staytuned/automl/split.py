"""Training, validation and test: who may see which rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit, train_test_split

from staytuned.errors import TableError

Rows: TypeAlias = npt.NDArray[np.intp]
Fold: TypeAlias = tuple[Rows, Rows]


@dataclass(frozen=True)
class Split:
    """A table cut in two.

    Args:
        train, test: row positions; the test part is looked at once, at the very end.
        sentence: how it was cut.
    """

    train: Rows
    test: Rows
    sentence: str


def hold_out(y: Any, task: str, *, share: float, groups: Any = None, time_order: Any = None, seed: int = 0) -> Split:
    """Set a test part aside: the latest rows by time, whole groups, else at random and stratified by class.

    Args:
        y: (n_rows,) target.
        task: "binary", "multiclass" or "regression".
        share: of all rows, between 0 and 1.
        groups: (n_rows,) rows of one group stay together.
        time_order: (n_rows,) anything sortable; the last rows are the test part.

    Raises:
        TableError: both groups and time_order, or too few groups.
    """
    n = len(y)
    rows = np.arange(n)
    if groups is not None and time_order is not None:
        raise TableError("rows can be split by groups or by time, not by both; leave one out")
    if time_order is not None:
        order = np.argsort(np.asarray(time_order), kind="stable")
        cut = n - max(1, round(share * n))
        return Split(order[:cut], order[cut:], f"by time: trained on the earliest {cut:,} rows, tested on the latest {n - cut:,}")
    if groups is not None:
        if len(np.unique(np.asarray(groups))) < 3:
            raise TableError(f"splitting by group needs at least 3 groups, not {len(np.unique(np.asarray(groups)))}")
        train, test = next(GroupShuffleSplit(1, test_size=share, random_state=seed).split(rows, groups=groups))
        return Split(train, test, f"by group: {len(train):,} rows to train and validate, {len(test):,} for the test, no group in both")
    strata = None if task == "regression" else _strata(y)
    test_rows = max(round(share * n), 1 if strata is None else len(np.unique(strata)))
    train, test = train_test_split(rows, test_size=test_rows, stratify=strata, random_state=seed)
    how = "at random" if strata is None else "at random, stratified by class"
    return Split(np.sort(train), np.sort(test), f"{how}: {len(train):,} rows to train and validate, {len(test):,} kept for the test")


def folds(y: Any, task: str, n: int, *, groups: Any = None, time_order: Any = None, seed: int = 0) -> tuple[list[Fold], str]:
    """Validation folds inside the training part, cut the same way; a class's only row is always trained on.

    With n = 1, a single fold that holds a fifth of the rows out.

    Returns:
        The folds, and a phrase that names them.

    Raises:
        TableError: more folds than the rows, classes or groups allow.
    """
    rows = np.arange(len(y))
    _check_count(y, task, n, groups, time_order)
    if n == 1:
        single = hold_out(y, task, share=0.2, groups=groups, time_order=time_order, seed=seed)
        return [(single.train, single.test)], "one validation part of a fifth of the rows"
    if time_order is not None:
        order = np.argsort(np.asarray(time_order), kind="stable")
        return [(order[a], order[b]) for a, b in TimeSeriesSplit(n).split(order)], f"{n} folds that always validate on later rows"
    stratified = task != "regression"
    if groups is not None:
        cutter = StratifiedGroupKFold(n, shuffle=True, random_state=seed) if stratified else GroupKFold(n)
        name = f"{n}-fold cross-validation by group"
    else:
        cutter = (StratifiedKFold if stratified else KFold)(n, shuffle=True, random_state=seed)
        name = f"{'stratified ' if stratified else ''}{n}-fold cross-validation"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)  # said by the table's own warnings
        parts = list(cutter.split(rows, y, groups))
    return (_lonely_always_trained(parts, y) if stratified else parts), name


def fold_count(n_rows: int, n_columns: int, quality: str) -> int:
    """How many folds: fewer where the table is large, since each costs a fit and each says more."""
    cells = n_rows * n_columns
    wanted = {"fast": 3, "balanced": 5, "best": 10}[quality]
    if cells > 5_000_000:
        return 1
    if cells > 300_000:
        return min(wanted, 3)
    return wanted


def _check_count(y: Any, task: str, n: int, groups: Any, time_order: Any) -> None:
    if n == 1:
        return
    most, what = len(y) - 1 if time_order is not None else len(y), "training rows"
    if groups is not None:
        most, what = len(np.unique(np.asarray(groups))), "groups in the training part"
    elif task != "regression" and time_order is None:
        most, what = int(np.unique(np.asarray(y).astype(str), return_counts=True)[1].max()), "training rows of the largest class"
    if n > most:
        raise TableError(f"cv={n} folds need as many {what}, and there are {most:,}; ask for fewer folds (--cv)")


def _strata(y: Any) -> npt.NDArray[np.intp] | None:
    """Class codes, classes of a single row thrown together so that the rest can be stratified; None where that is impossible."""
    codes = np.unique(np.asarray(y).astype(str), return_inverse=True)[1]
    counts = np.bincount(codes)
    return np.where(counts[codes] < 2, counts.argmax(), codes)


def _lonely_always_trained(parts: Sequence[Fold], y: Any) -> list[Fold]:
    codes = np.unique(np.asarray(y).astype(str), return_inverse=True)[1]
    lonely = np.flatnonzero(np.bincount(codes)[codes] == 1)
    if not len(lonely):
        return list(parts)
    return [(np.union1d(train, lonely), np.setdiff1d(test, lonely)) for train, test in parts]
