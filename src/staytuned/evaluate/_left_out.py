"""Scores of many configs with parts of the rows left out: means, areas under the ROC curve, and any metric at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from staytuned.errors import UsageError

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.int16]
Flags: TypeAlias = npt.NDArray[np.bool_]
Places: TypeAlias = npt.NDArray[np.intp]
Metric: TypeAlias = Callable[..., float]
# (parts (n_deals, n_rows), how many parts) -> config -> (2, n_deals, parts, n_folds) scores without each part, and on it; NaN where there is none
FoldScores: TypeAlias = Callable[[Labels, int], Callable[[int], Floats]]

_AT_ONCE = 2_000_000  # entries of an array of rows by deals


class Measure(Protocol):
    """A metric of every config, on all rows and without parts of them.

    A config that lacks rows is scored by its difference to the reference on the rows it has, added to the reference's score.
    """

    complete: Flags
    started: Flags

    def overall(self, reference: int) -> Floats:
        """(n_configs,) as the search shows it; NaN for one that has no rows."""
        ...

    def split(self, parts: Labels, count: int, reference: int, configs: Places) -> Floats:
        """(2, n_deals, count, len(configs)) without the rows of each part, and on these rows alone; NaN where it is not defined.

        Args:
            parts: (n_deals, n_rows) the part of each row in each deal, from 0 to ``count - 1``.
        """
        ...


class Means:
    """A mean over rows: matrix products of the rows' counts with the losses.

    Args:
        table: (n_rows, n_configs) losses, NaN where a config has none.
        fold: (n_rows,) from 0; every fold counts the same.
        weight: (n_rows,) within its fold.
    """

    def __init__(self, table: Floats, fold: Places, weight: Floats) -> None:
        totals = np.bincount(fold, weights=weight)
        if np.any(totals <= 0):
            raise UsageError(f"the rows of fold {int(np.argmin(totals))} have no weight; leave the fold out")
        self._table = table
        self._has: Flags = np.asarray(~np.isnan(table))
        self._weight: Floats = weight / totals[fold] / len(totals)
        self.complete = np.asarray(self._has.all(axis=0), dtype=bool)
        self.started = np.asarray(self._has.any(axis=0), dtype=bool)

    def overall(self, reference: int) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(self._weight @ self._table[:, reference] + self._weight @ self._ahead(reference) / (self._weight @ self._has), dtype=float)

    def split(self, parts: Labels, count: int, reference: int, configs: Places) -> Floats:
        deals, n = parts.shape
        cell = parts + count * np.arange(deals)[:, None]
        counts = sparse.csr_array((np.tile(self._weight, deals), (cell.ravel(), np.tile(np.arange(n), deals))), shape=(deals * count, n))
        ahead, base, has = self._ahead(reference)[:, configs], self._table[:, reference], self._has[:, configs].astype(float)
        size, left, out = np.asarray(counts.sum(axis=1), dtype=float), counts @ base, counts @ ahead
        shared = np.broadcast_to(size[:, None], out.shape) if self.complete[configs].all() else counts @ has
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = ((self._weight @ base - left) / (1 - size))[:, None] + _ratio(self._weight @ ahead - out, self._weight @ has - shared)
            gone = (left / size)[:, None] + _ratio(out, shared)
        return np.stack([kept, gone]).reshape(2, deals, count, len(configs))

    def _ahead(self, reference: int) -> Floats:
        return np.nan_to_num(self._table - self._table[:, [reference]])


class ByFold:
    """A metric computed in each fold and averaged over folds.

    Args:
        scores: of one config, in each fold.
        has: (n_rows, n_configs) whether a config has a prediction; only folds it has whole count.
        fold: (n_rows,) from 0.
    """

    def __init__(self, scores: FoldScores, has: Flags, fold: Places) -> None:
        self._scores, self._rows = scores, len(fold)
        lacking = np.zeros((int(fold.max()) + 1, has.shape[1]), dtype=bool)
        np.logical_or.at(lacking, fold, ~has)
        self._lacking: Flags = lacking
        self.complete = np.asarray(~lacking.any(axis=0), dtype=bool)
        self.started = np.asarray(~lacking.all(axis=0), dtype=bool)

    def overall(self, reference: int) -> Floats:
        nobody = np.full((1, self._rows), 1, dtype=np.int16)  # part 0 is empty
        found = self._in_folds(nobody, 2, np.arange(len(self.started)))[0, 0, 0]
        base = found[:, reference]
        if np.isnan(base).any():
            raise UsageError(f"the metric is not defined on fold {int(np.argmax(np.isnan(base)))}; use folds that hold every class")
        return np.asarray(base.mean() + _mean_seen((found - base[:, None]).T), dtype=float)

    def split(self, parts: Labels, count: int, reference: int, configs: Places) -> Floats:
        found = self._in_folds(parts, count, np.concatenate([[reference], configs]))
        return _mean_seen(found[..., 0])[..., None] + _mean_seen(np.moveaxis(found[..., 1:] - found[..., :1], -2, -1))

    def _in_folds(self, parts: Labels, count: int, configs: Places) -> Floats:
        """(2, n_deals, count, n_folds, len(configs))"""
        scores = self._scores(parts, count)
        found = np.full((2, len(parts), count, len(self._lacking), len(configs)), np.nan)
        for place, config in enumerate(configs):
            if self.started[config]:
                found[..., place] = np.where(self._lacking[:, config], np.nan, scores(int(config)))
        return found


def called(metric: Metric, y: Any, predictions: Any, fold: Places, weight: Floats | None) -> FoldScores:
    """A metric that is called for every deal, part and fold.

    The score on a part is read off what leaving it out changes, ``(all - share * kept) / (1 - share)``: for a mean the part's own, and defined where
    the metric says nothing on a handful of rows.
    """
    members = [np.flatnonzero(fold == k) for k in range(int(fold.max()) + 1)]

    def score(rows: Places, config: int) -> float:
        if not len(rows):
            return np.nan
        extra = {} if weight is None else {"sample_weight": weight[rows]}
        try:
            return float(metric(y[rows], predictions[rows, config], **extra))
        except ValueError:  # one class, say, or a fold the config lacks
            return np.nan

    def scores(parts: Labels, count: int) -> Callable[[int], Floats]:
        rows_kept = [[[rows[deal[rows] != part] for rows in members] for part in range(count)] for deal in parts]
        size = np.ones(len(fold)) if weight is None else weight
        share = np.array([[[size[rows].sum() for rows in part] for part in deal] for deal in rows_kept]) / [size[rows].sum() for rows in members]

        def of(config: int) -> Floats:
            kept = np.array([[[score(rows, config) for rows in part] for part in deal] for deal in rows_kept])
            whole = np.array([score(rows, config) for rows in members])
            with np.errstate(invalid="ignore", divide="ignore"):
                return np.stack([kept, np.where(share < 1, (whole - share * kept) / (1 - share), np.nan)])

        return of

    return scores


def roc_area(y: Any, predictions: Any, fold: Places, weight: Floats) -> FoldScores:
    """The area under the ROC curve: the share of pairs of a positive and a negative row that are in order, a tie counting half.

    Without a part it is all pairs, less those of the part's positives and of its negatives, plus those of the two (which went twice): only the last needs
    a sort in each deal.

    Raises:
        UsageError: ``y`` has not two values.
    """
    classes = np.unique(y)
    if len(classes) != 2:
        raise UsageError(f"'roc_auc' needs y with two classes, not {len(classes)}; pass a function for more")
    positive, n_folds = np.asarray(y == classes[1]), int(fold.max()) + 1
    up, down = np.where(positive, weight, 0.0), np.where(positive, 0.0, weight)
    up_in, down_in = (np.bincount(fold, weights=x, minlength=n_folds) for x in (up, down))

    def scores(parts: Labels, count: int) -> Callable[[int], Floats]:
        step = max(1, _AT_ONCE // len(fold))
        found = [some(parts[at : at + step], count) for at in range(0, len(parts), step)]
        return lambda config: np.concatenate([of(config) for of in found], axis=1)

    def some(parts: Labels, count: int) -> Callable[[int], Floats]:
        deals, cells = len(parts), count * n_folds
        cell = parts.astype(np.int64) * n_folds + fold
        counts = _indicator(cell, cells)
        shape = (deals, count, n_folds)
        ups, downs = (counts @ up).reshape(shape), (counts @ down).reshape(shape)

        def of(config: int) -> Floats:
            order = np.argsort(predictions[:, config], kind="stable")
            ranked = predictions[order, config]
            tie = np.concatenate([[False], ranked[1:] == ranked[:-1]])
            lower, higher = np.empty(len(fold)), np.empty(len(fold))
            lower[order], higher[order] = _beside(up[order], down[order], fold[order], np.cumsum(~tie))
            mine = up * lower + down * higher  # the pairs of each row
            whole = np.bincount(fold, weights=up * lower, minlength=n_folds)
            both = _in_order(up[order], down[order], cell[:, order], tie, cells).reshape(shape)
            kept = whole - (counts @ mine).reshape(shape) + both
            return np.stack([_ratio(kept, (up_in - ups) * (down_in - downs)), _ratio(both, ups * downs)])

        return of

    return scores


def _indicator(cell: Places, cells: int) -> sparse.csr_array:
    """(n_deals * cells, n_rows) 1 where a row is in a cell."""
    deals, n = cell.shape
    places = (cell + cells * np.arange(deals)[:, None]).ravel()
    return sparse.csr_array((np.ones(deals * n), (places, np.tile(np.arange(n), deals))), shape=(deals * cells, n))


def _beside(ups: Floats, downs: Floats, fold: Places, level: Places) -> tuple[Floats, Floats]:
    """The weight of down rows below each row and of up rows above it in its fold, equal ones half; rows by ascending prediction, of which ``level`` is the
    rank."""
    lower, higher = np.empty(len(fold)), np.empty(len(fold))
    for k in range(int(fold.max()) + 1):
        rows = np.flatnonzero(fold == k)
        _, run = np.unique(level[rows], return_inverse=True)
        up, down = np.bincount(run, weights=ups[rows]), np.bincount(run, weights=downs[rows])
        lower[rows] = (np.cumsum(down) - down / 2)[run]
        higher[rows] = (up.sum() - np.cumsum(up) + up / 2)[run]
    return lower, higher


def _in_order(ups: Floats, downs: Floats, cell: Places, tie: Flags, cells: int) -> Floats:
    """(n_deals, cells) the weight of pairs of an up and a down row of one cell in which the up row stands higher, equal ones half.

    Args:
        ups, downs: (n_rows,) by ascending prediction.
        cell: (n_deals, n_rows) likewise.
        tie: (n_rows,) whether a row's prediction equals the one before.
    """
    deals, n = cell.shape
    by_cell = np.argsort(cell.astype(np.int16) if cells < 2**15 else cell, axis=1, kind="stable")  # a radix sort for 16 bits
    sizes = np.array([np.bincount(c, minlength=cells) for c in cell]).ravel()
    filled = np.flatnonzero(sizes)
    starts = np.cumsum(sizes)[filled] - sizes[filled]
    up, down = ups[by_cell].ravel(), downs[by_cell].ravel()
    below = np.cumsum(down)
    below -= np.repeat(below[starts] - down[starts], sizes[filled])
    if tie.any():
        level = np.cumsum(~tie)[by_cell].ravel()
        new = np.concatenate([[True], level[1:] != level[:-1]])
        new[starts] = True
        runs = np.flatnonzero(new)
        down = np.add.reduceat(down, runs)
        up = np.add.reduceat(up, runs)
        below = below[np.append(runs[1:], deals * n) - 1]
        starts = np.searchsorted(runs, starts)
    found = np.zeros(deals * cells)
    found[filled] = np.add.reduceat(up * (below - down / 2), starts)
    return found.reshape(deals, cells)


def present(predictions: Any) -> Flags:
    """(n_rows, n_configs) False where a prediction is NaN or None."""
    has = ~np.isnan(predictions) if np.issubdtype(predictions.dtype, np.floating) else np.ones(predictions.shape, dtype=bool)
    if predictions.dtype == object:
        has = np.array([p is not None and p == p for p in predictions.ravel()], dtype=bool).reshape(predictions.shape)
    return np.asarray(has if has.ndim == 2 else has.all(axis=2), dtype=bool)


def _ratio(sums: Floats, weights: Floats) -> Floats:
    """NaN where there is no weight."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(weights > 1e-12, sums / weights, np.nan), dtype=float)


def _mean_seen(values: Floats) -> Floats:
    """The mean over the last axis of what is not NaN; NaN where nothing is."""
    seen = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(seen, values, 0.0).sum(axis=-1) / seen.sum(axis=-1), dtype=float)
