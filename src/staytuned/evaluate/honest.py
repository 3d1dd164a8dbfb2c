"""The winner's score, corrected for its having been chosen: choose on nine tenths of the rows, score on the tenth that was left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.evaluate._left_out import ByFold, Flags, Means, Measure, Metric, called, present, roc_area
from staytuned.goal import Direction
from staytuned.stats.compare import Interval

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.int16]

_CHOICE = 0.7  # of the optimism on half the rows: what choosing adds to the standard error; set by benchmarks/evaluate/bias.py
_TRIED = 3  # repeats with every config before those that can no longer be chosen are left out
_FAR = 8.0  # standard errors behind the winner


@dataclass(frozen=True, slots=True)
class Honest:
    """What the winner of a search is worth, in the metric's own direction.

    Args:
        naive: what the search shows, the winner's mean over folds.
        corrected: the same without the luck that made it the winner.
        low, high: hold the winner's true score (of models as they were fitted in the folds) with probability ``level``, approximately.
        level: of the intervals.
        error: standard error of the winner's score, from its rows alone.
        direction: of the metric.
        winner: column of the config that was chosen.
        chosen: share of the resamples that chose it too; low where several are as good.
        lead: corrected score of the winner less that of the first config, turned so that above 0 is better; None if the winner is the
            first config, or there is none.
        naive_lead: the same as the search shows it.
        configs: how many were chosen from.
        resamples: how often.
    """

    naive: float
    corrected: float
    low: float
    high: float
    level: float
    error: float
    direction: Direction
    winner: int
    chosen: float
    lead: Interval | None
    naive_lead: float
    configs: int
    resamples: int

    @property
    def optimism(self) -> float:
        """By how much the search's own score is too good; seldom below 0, and then by chance."""
        return self.naive - self.corrected if self.direction == "max" else self.corrected - self.naive

    @property
    def plausible(self) -> bool:
        """Whether the search's score is within what the rows' scatter alone explains around the corrected one."""
        return self.optimism <= float(stats.norm.ppf((1 + self.level) / 2)) * self.error

    @property
    def confirmed(self) -> bool:
        """Whether left-out rows confirm the winner's lead over the first config: its interval lies above 0. True if the winner is the first."""
        return self.lead is None or self.lead.low > 0

    @property
    def overtuned(self) -> bool:
        """The signal of overtuning: the search's score is not plausible, or the lead over the first config is not confirmed.

        It does not say that tuning did harm, but that these rows do not show it did good. Nagler, Schneider, Bischl & Feurer 2024 and Schneider,
        Bischl & Feurer 2025 call a search overtuned when a config it had before generalises better than the one it ended with; the first config
        stands for those here, and left-out rows for new ones.
        """
        return not (self.plausible and self.confirmed)

    @property
    def said(self) -> str:
        """The result in plain sentences."""
        words = [
            f"The search shows {self.naive:.4g}; corrected for the choice among {self.configs} configs it is {self.corrected:.4g} "
            f"({100 * self.level:g} % interval {self.low:.4g} to {self.high:.4g})."
        ]
        if not self.plausible:
            words.append(f"The score shown is too good by {self.optimism:.2g}, more than the scatter of the rows explains: expect the corrected one.")
        if self.lead is not None and not self.confirmed:
            words.append(
                f"The lead over the first config, shown as {self.naive_lead:.2g}, is not confirmed on left-out rows: {self.lead.point:.2g} "
                f"({self.lead.low:.2g} to {self.lead.high:.2g}); more rows or repeated folds would tell."
            )
        return " ".join(words)


def corrected(
    losses: npt.ArrayLike,
    folds: npt.ArrayLike | None = None,
    *,
    groups: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    direction: Direction = "min",
    first: int | None = 0,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
    left_out: float = 0.1,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Honest:
    """The winner's score corrected for its having been chosen, for a metric that is a mean over rows.

    Rows are dealt at random into ``1 / left_out`` parts, alike over folds. For each part in turn the config that is best on the other rows is
    chosen and scored on the part; the mean over parts, and over many deals, is the corrected score. Bootstrap bias-corrected
    cross-validation (Tsamardinos, Greasidou & Borboudakis 2018, algorithm 5) does the same with resamples that hold 63 % of the rows, some of
    them several times: it chooses with twice the noise of the search, so it is pessimistic where configs differ by about the noise. A tenth left out makes it
    1.11 times (``1 / (1 - left_out)``). What that costs is variance: a smaller ``left_out`` has less bias and more of it.

    What is estimated is the score of the chosen config's models as they were fitted in the folds; the config fitted on all rows is usually
    a little better. The configs count as given: how a sampler came to propose them is not replayed.

    Args:
        losses: (n_rows, n_configs) what each row adds to the metric under each config, out of fold. NaN where a config has no prediction,
            as in the folds a race spared it. Such a config takes part by its mean difference to the winner on the rows it has, added to the
            winner's mean; it cannot be the winner. Rows that no config has are left out.
        folds: (n_rows,) the fold that held each row out; every fold counts the same, as in the search's mean. None: all rows count the same.
        groups: (n_rows,) rows of one group are left out together: the groups of a grouped split, the blocks of `time_blocks`, or the
            row's number where repeated cross-validation has each row several times.
        weights: (n_rows,) sample weights of the score, at least 0.
        direction: "max" if ``losses`` hold what is better when higher, such as 1 for a right label.
        first: column of the config that the winner's lead is measured from; None for none.
        seed: of the deals.
        resamples: how many choices, rounded up to whole deals.
        level: of the intervals, in (0, 1).
        left_out: share of the rows, in (0, 0.5].
        bounds: of the metric; the interval is cut to them.

    Raises:
        UsageError: shapes that do not fit, infinite losses, no config with all rows, or fewer than two groups.

    >>> rng = np.random.default_rng(0)
    >>> errors = rng.random((200, 50)) < 0.3  # fifty configs, all wrong on 30 % of all rows there are
    >>> found = corrected(errors)
    >>> round(found.naive, 2), round(found.corrected, 2)
    (0.23, 0.32)
    """
    table = _array(losses)
    rows = ~np.asarray(np.isnan(table).all(axis=1), dtype=bool)
    table = table[rows]
    fold, weight, unit = _columns(rows, folds, weights, groups)
    plan = _Plan(direction, first, seed, resamples, level, left_out, bounds)
    return _honest(Means(table, fold, weight), plan, fold, unit)


def corrected_for(
    metric: Metric | Literal["roc_auc"],
    y: npt.ArrayLike,
    predictions: npt.ArrayLike,
    folds: npt.ArrayLike | None = None,
    *,
    groups: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    direction: Direction = "max",
    first: int | None = 0,
    seed: int = 0,
    resamples: int | None = None,
    level: float = 0.95,
    left_out: float = 0.1,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Honest:
    """The winner's score corrected for its having been chosen, for any metric: area under the ROC curve, F1, R squared.

    As `corrected`, but the metric is computed in each fold, and the folds' mean decides. For "roc_auc" the score on the rows left out counts the pairs
    of which both rows were left out. For a function it is read off what leaving the rows out changed, ``(all - share * kept) / (1 - share)``,
    since many metrics say nothing on a handful of rows (R squared, F1, anything where a class is missing). For a mean that is the left-out
    rows' own mean; for others it is right to first order in one over the rows of a fold, and pessimistic in the second. A config's scores on parts
    are centred at its score on all rows.

    No row ever stands in a resample twice, so no metric sees ties that are not in the data. The bootstrap's would not bias the ROC area,
    whose pairs are of rows of two classes, but they raise average precision and everything else that compares a row with its own copy.

    Args:
        metric: ``metric(y, prediction) -> float``, also called with ``sample_weight`` where there are weights; or "roc_auc", for two classes,
            which is counted for all resamples at once.
        y: (n_rows,) or (n_rows, n_outputs) true values; with "roc_auc" two values, of which the greater is the positive class.
        predictions: (n_rows, n_configs) or (n_rows, n_configs, n_classes). NaN (or None, among labels) where a config has none.
        resamples: default 1,000 for "roc_auc", 200 for a metric that must be called for each resample, fold and config. Configs far behind
            are left out after the first few.
        direction: of the metric.
        folds, groups, weights, first, seed, level, left_out, bounds: as for `corrected`.

    Raises:
        UsageError: as for `corrected`; or a fold on which the metric is not defined, such as one with a single class.
    """
    target, found = np.asarray(y), np.asarray(predictions)
    if found.ndim not in (2, 3) or len(found) != len(target):
        raise UsageError(f"predictions of shape {found.shape} must be (n_rows, n_configs) or (n_rows, n_configs, n_classes) with {len(target)} rows, as y has")
    has = present(found)
    rows = np.asarray(has.any(axis=1), dtype=bool)
    target, found, has = target[rows], found[rows], has[rows]
    fold, weight, unit = _columns(rows, folds, weights, groups)
    if not callable(metric):
        if str(metric) != "roc_auc" or found.ndim != 2:
            raise UsageError(f"metric={metric!r} with predictions of shape {found.shape}: 'roc_auc' takes one score per row and config; else pass a function")
        scores, strata = roc_area(target, found, fold, weight), fold * 2 + (target == np.max(target))
    else:
        scores, strata = called(metric, target, found, fold, None if weights is None else weight), fold
    count = resamples if resamples is not None else 200 if callable(metric) else 1000
    plan = _Plan(direction, first, seed, count, level, left_out, bounds if callable(metric) else (0.0, 1.0))
    return _honest(ByFold(scores, has, fold), plan, strata, unit)


def time_blocks(n_rows: int, length: int | None = None) -> npt.NDArray[np.intp]:
    """(n_rows,) the block of each row, for ``groups``, where rows are in order of time and neighbours resemble each other.

    Args:
        length: rows per block; default twice the square root of ``n_rows``. It should be several times as long as losses stay correlated: at the
            edges of a block rows that resemble each other are parted, and what luck they share is not corrected.
    """
    size = max(1, round(2 * math.sqrt(n_rows))) if length is None else int(length)
    if size < 1:
        raise UsageError(f"length={length!r} must be at least 1 row")
    return np.arange(n_rows) // size


# --- what is chosen, and what it is worth on the rows left out


@dataclass(frozen=True)
class _Plan:
    direction: Direction
    first: int | None
    seed: int
    resamples: int
    level: float
    left_out: float
    bounds: tuple[float, float]

    def __post_init__(self) -> None:
        if self.resamples < 1 or not 0 < self.level < 1 or not 0 < self.left_out <= 0.5:
            raise UsageError(f"resamples={self.resamples} must be at least 1, level={self.level} lie between 0 and 1, and left_out={self.left_out} in (0, 0.5]")
        if self.direction not in ("min", "max"):
            raise UsageError(f"direction={self.direction!r} must be 'min' or 'max'")


def _honest(measure: Measure, plan: _Plan, strata: npt.NDArray[np.intp], unit: npt.NDArray[np.intp]) -> Honest:
    sign = 1.0 if plan.direction == "min" else -1.0
    n_configs = len(measure.complete)
    if plan.first is not None and not -n_configs <= plan.first < n_configs:
        raise UsageError(f"first={plan.first} is no column of a table of {n_configs} configs")
    if not measure.complete.any():
        raise UsageError("no config has a prediction for every row that any config has, so none can be the winner; finish at least one")
    whole = np.flatnonzero(measure.complete)
    winner = int(whole[np.argmin(sign * measure.overall(int(whole[0]))[whole])])
    score = sign * measure.overall(winner)
    units = int(unit.max()) + 1
    parts = min(round(1 / plan.left_out), units)
    if parts < 2:
        raise UsageError("all rows belong to one group, so none can be left out; pass smaller groups, or none")
    at = generator(plan.seed, "honest")
    first = None if plan.first is None or not measure.started[plan.first] else plan.first % n_configs
    keep = [winner] if first is None else [winner, first]
    split = _split(measure, sign, score, keep, _dealt(strata, unit, parts, -(-plan.resamples // parts), at), parts, winner)
    value, choices = _left_out_score(score, split)
    half, _ = _left_out_score(score, _split(measure, sign, score, keep, _dealt(strata, unit, 2, max(10, plan.resamples // 40), at), 2, winner))
    kept = split.kept
    error, choosing = _jackknife(kept[:, :, winner]), _CHOICE * max(half - score[winner], 0.0)
    reach = float(stats.t.ppf((1 + plan.level) / 2, units - 1))
    width = reach * math.hypot(error, choosing)
    low, high = sorted((sign * (value - width), sign * (value + width)))
    lead = None
    if first is not None and first != winner:
        ahead = float(score[first] - value)
        spread = reach * math.hypot(_jackknife(kept[:, :, winner] - kept[:, :, first]), choosing)
        lead = Interval(ahead - spread, ahead, ahead + spread, plan.level)
    return Honest(
        naive=sign * float(score[winner]),
        corrected=sign * value,
        low=max(low, plan.bounds[0]),
        high=min(high, plan.bounds[1]),
        level=plan.level,
        error=error,
        direction=plan.direction,
        winner=winner,
        chosen=float(np.mean(choices == winner)),
        lead=lead,
        naive_lead=0.0 if first is None else float(score[first] - score[winner]),
        configs=int(measure.started.sum()),
        resamples=choices.size,
    )


def _dealt(strata: npt.NDArray[np.intp], unit: npt.NDArray[np.intp], parts: int, deals: int, rng: np.random.Generator) -> Labels:
    """(n_deals, n_rows) the part of each row: units are sorted by stratum, shuffled within, and dealt out like cards."""
    _, firsts = np.unique(unit, return_index=True)
    stratum = strata[firsts]
    hands = np.empty((deals, len(firsts)), dtype=np.int16)
    cards = np.arange(len(firsts)) % parts
    for deal in hands:
        deal[np.lexsort((rng.random(len(firsts)), stratum))] = rng.permutation(parts)[cards]
    return hands[:, unit]


@dataclass(frozen=True)
class _Split:
    """Losses of the configs without each part, and on it.

    Args:
        kept: (n_deals, parts, n_configs) infinite for a config that cannot be chosen.
        left: likewise, NaN where it is not defined.
        shares: (n_deals, parts) of the rows left out.
    """

    kept: Floats
    left: Floats
    shares: Floats


def _split(measure: Measure, sign: float, score: Floats, keep: Sequence[int], deals: Labels, parts: int, winner: int) -> _Split:
    shares = np.stack([np.bincount(deal, minlength=parts) for deal in deals]) / deals.shape[1]
    started = np.flatnonzero(measure.started)
    both = np.full((2, len(deals), parts, len(score)), math.inf)
    both[:, :_TRIED, :, started] = sign * measure.split(deals[:_TRIED], parts, winner, started)
    error = np.array([_jackknife(both[0, :_TRIED, :, c] - both[0, :_TRIED, :, winner]) for c in started])
    near = started[(score[started] - score[winner] <= _FAR * error) | np.isin(started, keep)]
    both[:, :_TRIED, :, np.setdiff1d(np.arange(len(score)), near)] = math.inf
    if len(deals) > _TRIED:
        both[:, _TRIED:, :, near] = sign * measure.split(deals[_TRIED:], parts, winner, near)
    kept = np.where(np.isnan(both[0]), score, both[0])
    return _Split(kept, np.where(np.isinf(kept), math.nan, both[1]), shares)


def _left_out_score(score: Floats, split: _Split) -> tuple[float, npt.NDArray[np.intp]]:
    """The mean loss, on the rows left out, of the config that is best on the others; (n_deals, parts) which that was.

    What a config scores on a part is taken relative to its mean over all parts, at which its score on all rows is put: the same for a mean, and for
    other metrics free of what few rows do to them.
    """
    choices = split.kept.argmin(axis=2)
    weight = np.where(np.isnan(split.left), 0.0, split.shares[:, :, None])
    left = np.nan_to_num(split.left)
    with np.errstate(invalid="ignore"):
        rise = left - (weight * left).sum(axis=(0, 1)) / weight.sum(axis=(0, 1))
    own, own_weight = (np.take_along_axis(x, choices[:, :, None], axis=2)[:, :, 0] for x in (rise, weight))
    if own_weight.sum() == 0:
        raise UsageError("the metric is defined on no part of the rows; pass more rows of each class, or a larger left_out")
    return float(np.sum(own_weight * (score[choices] + np.nan_to_num(own))) / own_weight.sum()), choices


def _jackknife(kept: Floats) -> float:
    """The standard error of a score from its values without each part: the delete-a-group jackknife, its variance averaged over deals."""
    parts = kept.shape[1]
    return math.sqrt(float(np.mean(np.var(kept, axis=1))) * (parts - 1)) if np.isfinite(kept).all() else math.nan


# --- what was passed, as arrays


def _array(losses: npt.ArrayLike) -> Floats:
    table = np.asarray(losses, dtype=float)
    if table.ndim != 2 or not table.size:
        raise UsageError(f"losses of shape {table.shape} must be (n_rows, n_configs), with at least one of each")
    if np.isinf(table).any():
        row, column = np.argwhere(np.isinf(table))[0]
        raise UsageError(f"the loss of row {row} under config {column} is {table[row, column]}; losses must be finite, or NaN where there is none")
    return table


def _columns(
    rows: Flags, folds: npt.ArrayLike | None, weights: npt.ArrayLike | None, groups: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.intp], Floats, npt.NDArray[np.intp]]:
    """(fold, weight, unit) of each row that some config has, folds and units numbered from 0."""
    n = len(rows)
    given = {"folds": folds, "weights": weights, "groups": groups}
    for name, values in given.items():
        if values is not None and np.shape(values) != (n,):
            raise UsageError(f"{name} of shape {np.shape(values)} must be ({n},), one for each row")
    if not rows.any():
        raise UsageError(f"no config has a prediction for any of the {n} rows")
    count = int(rows.sum())
    fold = np.zeros(count, dtype=np.intp) if folds is None else np.unique(np.asarray(folds)[rows], return_inverse=True)[1]
    unit = np.arange(count) if groups is None else np.unique(np.asarray(groups)[rows], return_inverse=True)[1]
    weight = np.ones(count) if weights is None else np.asarray(weights, dtype=float)[rows]
    if not np.all((weight >= 0) & np.isfinite(weight)):
        raise UsageError(f"weights must be finite and at least 0, got {weight[~((weight >= 0) & np.isfinite(weight))][0]}")
    return fold, weight, unit
