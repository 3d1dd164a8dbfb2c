"""One fit per fold, a whole column of configs: those that differ only in hyperparameters which come free with a fit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import sklearn

from staytuned._random import generator
from staytuned.evaluate.cv import CrossValidation, Part, mean_scores
from staytuned.evaluate.out_of_fold import RowValues
from staytuned.evaluate.reuse.pipelines import Free, free
from staytuned.goal import Goal
from staytuned.space.dims import Choice, Dimension, Int, Law, Ordinal, Value
from staytuned.space.space import Config, Space
from staytuned.trial import Alternative, Measurement, Reading, Status, Trial

MOST = 64  # values of a range that are all measured
SPREAD = 32  # values measured of a range that holds more, or endlessly many
_LISTED = 1024  # a list of values is taken whole up to so many
_PROBES = 12  # configs in all of which a dimension has to come free
_EXACT = 1e-8
_DOUBLINGS = 3
_LAST = 2 / 3


@dataclass(frozen=True)
class Columns:
    """An evaluator: what a config leaves open of the free dimensions, each fold's one fit measures at every level, and the mean over folds decides.

    Equal means go to the level that comes first. A config that leaves nothing open is measured as it is. Where a config's other settings forbid
    reuse after all, a level is drawn.

    Args:
        cv: measures one config.
        goal: what decides.
        space: of whole configs.
        levels: by free dimension, as :func:`free_levels` finds them.
        inexact: also take up what equals a refit only within a solver's tolerance, or is only as good.
        grow: where a fit costs in proportion to the largest value, begin with few and go on while that pays; else measure all values.
        patience: seconds that a config may take; a column that would take longer does not grow.
    """

    cv: CrossValidation
    goal: Goal
    space: Space
    levels: Mapping[str, Sequence[Value]]
    inexact: bool = False
    grow: bool = True
    patience: float = math.inf

    def __call__(self, config: Config, fidelity: float | None = None, seed: int = 0, stop: Callable[[Sequence[Reading]], bool] | None = None) -> Measurement:
        """The measurement of the best config of the column, with all others as its ``column``."""
        with sklearn.config_context(**self.cv.settings):
            return self._best(config, fidelity, seed, stop)

    def _best(self, config: Config, fidelity: float | None, seed: int, stop: Callable[[Sequence[Reading]], bool] | None) -> Measurement:
        column = self.column(config)
        if column == [config]:
            return self.cv(config, fidelity, seed, stop)
        estimators = [self.cv.build(whole, seed) for whole in column]
        shared = one_fit(estimators, self.inexact)
        if shared is None:
            drawn = column[int(generator(seed, "level").integers(len(column)))]
            alone = self.cv(drawn, fidelity, seed, stop)
            return replace(alone, config=drawn, column=(_alternative(drawn, config, [reading.scores for reading in alone.readings]),))
        return self._measured(
            column, config, _Column(self.cv, self.goal, partial(self.cv.build, column[0], seed), estimators, shared, self.grow, self.patience), stop
        )

    def column(self, config: Config) -> list[Config]:
        """The whole configs that this one leaves open, in the order of the levels."""
        missing = [name for name in self.space.active(config) if name in self.levels and name not in config]
        return [config | dict(zip(missing, values, strict=True)) for values in product(*(self.levels[name] for name in missing))]

    def _measured(self, column: Sequence[Config], config: Config, fits: _Column, stop: Callable[[Sequence[Reading]], bool] | None) -> Measurement:
        status, cure = Status.DONE, ""
        for seen in fits.folds():
            if stop is not None and seen < len(self.cv.splits) and stop(fits.readings(fits.best())):
                status, cure = Status.PRUNED, f"stopped after {seen} of {len(self.cv.splits)} folds: it could hardly win"
                break
        best = fits.best()
        readings = fits.readings(best, trained=True)
        alternatives = [_alternative(whole, config, scores) for whole, scores in zip(column, fits.scores, strict=True) if scores]
        return Measurement(mean_scores(readings), status, cure, readings, config=column[best], column=tuple(alternatives), rows=fits.rows.packed())


def _alternative(whole: Config, config: Config, scores: Sequence[Mapping[str, float]]) -> Alternative:
    return Alternative({name: value for name, value in whole.items() if name not in config}, tuple(scores))


@dataclass
class _Column:
    """The fits of one column as they come, fold by fold.

    Where a fit costs in proportion to the largest value asked for, such as rounds, the column begins with the first eighth of the values' range, and is
    made twice as long for as long as its best lies in its last third and is better than the best before by more than a standard error over the
    folds seen. What was left out was not measured.
    """

    cv: CrossValidation
    goal: Goal
    fresh: Callable[[], Any]
    estimators: Sequence[Any]
    shared: Free
    grow: bool = True
    patience: float = math.inf
    scores: list[list[Mapping[str, float]]] = field(init=False)
    rows: RowValues = field(default_factory=RowValues)
    _parts: list[tuple[Part, dict[int, Any], float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scores = [[] for _ in self.estimators]
        self._spent = 0.0
        self._last = 0.0
        params = [estimator.get_params() for estimator in self.estimators]
        self._configs = [{name: own[name] for name in self.shared.names} for own in params]
        sizes = [math.prod(float(own[name]) for name in self.shared.grows) for own in params]
        self._sizes = np.array(sizes)
        self._limit = max(sizes) / 2**_DOUBLINGS if self.grow and self.shared.grows else max(sizes)
        self._limit = max(self._limit, min(sizes))

    def folds(self) -> Iterator[int]:
        """Fits and scores a fold at a time; how many there are by then."""
        for index in range(len(self.cv.splits)):
            self._parts.append((self.cv.part(self.estimators[0], index), {}, 0.0, 0.0))
            self._measure(index)
            while self._grows():
                self._limit = min(2 * self._limit, self._sizes.max())
                for earlier in range(index + 1):
                    self._measure(earlier)
            yield index + 1

    def best(self) -> int:
        """The place of the config with the best mean over the folds seen."""
        return int(np.argmin([self._loss(scores) for scores in self.scores]))

    def readings(self, place: int, trained: bool = False) -> tuple[Reading, ...]:
        """Of one config, as if it had been measured alone; the seconds are those of the whole column."""
        return tuple(
            Reading("fold", index, scores, part.train_scores(views[place]) if trained and self.cv.train_scores else {}, fit_seconds, score_seconds)
            for index, (scores, (part, views, fit_seconds, score_seconds)) in enumerate(zip(self.scores[place], self._parts, strict=True))
        )

    def _measure(self, index: int) -> None:
        """Fit a fold up to the limit, and score what is new."""
        part, _, fit_seconds, score_seconds = self._parts[index]
        places = [int(place) for place in np.flatnonzero(self._sizes <= self._limit)]
        began = time.perf_counter()
        views = dict(zip(places, part.views(self.fresh(), self.shared, [self._configs[place] for place in places]), strict=True))
        fitted = time.perf_counter()
        for place in places:
            if len(self.scores[place]) == index:
                scores, rows = part.scored(views[place])
                self.scores[place].append(scores)
                self.rows.add(place, rows)
        scored = time.perf_counter()
        self._last = scored - began
        self._spent += self._last
        kept = views if self.cv.train_scores else {}
        self._parts[index] = part, kept, fit_seconds + fitted - began, score_seconds + scored - fitted

    def _grows(self) -> bool:
        """Whether a longer column promises more."""
        if self._limit >= self._sizes.max() or self._spent + 2 * self._last * len(self.cv.splits) > self.patience:
            return False
        losses = np.array([[self._one_loss(by_metric) for by_metric in scores] for scores in self.scores if scores])
        sizes = self._sizes[self._sizes <= self._limit]
        late = sizes > _LAST * self._limit
        if late.all() or not late.any():
            return True
        means = losses.mean(axis=1)
        gain = losses[~late][np.argmin(means[~late])] - losses[late][np.argmin(means[late])]
        doubt = gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else 0.0
        return not gain.mean() <= doubt

    def _loss(self, scores: Sequence[Mapping[str, float]]) -> float:
        return float(np.mean([self._one_loss(by_metric) for by_metric in scores])) if scores else math.inf

    def _one_loss(self, by_metric: Mapping[str, float]) -> float:
        loss = self.goal.loss(by_metric.get(self.goal.metric, math.nan))
        return loss if math.isfinite(loss) else math.inf


def unfolded(trial: Trial) -> list[Trial]:
    """A trial for each config that it measured, as if each had been measured alone; the seconds are shared out."""
    if trial.measurement is None or len(trial.measurement.column) < 2:
        return [trial]
    column = trial.measurement.column
    share = 1 / len(column)
    cost = replace(trial.cost, seconds=trial.cost.seconds * share, cpu_seconds=trial.cost.cpu_seconds * share)
    found = []
    for alternative in column:
        readings = tuple(
            replace(r, scores=scores, train_scores={}, fit_seconds=r.fit_seconds * share, score_seconds=r.score_seconds * share)
            for r, scores in zip(trial.readings, alternative.scores, strict=True)
        )
        measurement = replace(trial.measurement, scores=mean_scores(readings), readings=readings, cost=cost, column=(), rows_at="")
        found.append(replace(trial, config=dict(trial.config) | dict(alternative.values), measurement=measurement))
    return found


def one_fit(estimators: Sequence[Any], inexact: bool = False) -> Free | None:
    """How one fit serves all of these unfitted estimators; None if it does not.

    Args:
        inexact: as in :class:`Columns`.
    """
    varying = differing([estimator.get_params() for estimator in estimators])
    found = free(estimators[0], varying, equivalent=inexact) if varying else None
    if found is None or not set(varying) <= set(found.names):
        return None
    return found if inexact or (found.tolerance is not None and found.tolerance <= _EXACT) else None


def differing(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the parameters that are not the same in all; an estimator among them is the same if it is of the same class."""
    first = params[0]
    names = list(first)
    return [name for name in names if any(name not in other or not _same(first[name], other[name]) for other in params[1:])]


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if hasattr(one, "get_params"):
        return True  # its own parameters stand beside it under their long names
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    try:
        return bool(one == other) or (one != one and other != other)
    except ValueError:  # arrays
        return bool(np.array_equal(one, other))


def free_levels(build: Callable[[Config, int], Any], space: Space, *, seed: int = 0, inexact: bool = False, listed: bool = False) -> dict[str, list[Value]]:
    """The dimensions that come free with a fit in every one of some configs drawn from the space, and the values to measure of each.

    A dimension that another depends on, or that a constraint speaks of, is never free. Of several that come free only one at a time, the one with
    the most values is.

    Args:
        build: (config, seed) to an unfitted estimator.
        inexact: as in :class:`Columns`.
        listed: every value has to be measured anyhow, as on a grid, so that what saves little is welcome too.
    """
    if space.constraints:
        return {}
    parents = {parent for dimension in space.dimensions.values() for parent in (dimension.when or {})}
    rng = generator(seed, "free")
    drawn = [space.sample(rng) for _ in range(_PROBES * (1 + len(parents) * 2))]
    found: dict[str, list[Value]] = {}
    for name in sorted(set(space.names) - parents, key=lambda n: (-len(levels(space[n])), n)):
        candidates = found | {name: levels(space[name])}
        own = [config for config in drawn if name in config][:_PROBES]
        if len(candidates[name]) > 1 and own and all(_together(build, config, candidates, inexact, listed) for config in own):
            found = candidates
    return found


def _together(build: Callable[[Config, int], Any], config: Config, candidates: Mapping[str, Sequence[Value]], inexact: bool, listed: bool) -> bool:
    """Whether one fit serves all levels of those candidates that exist in this config."""
    ends = [[config | {name: values[0]}, config | {name: values[-1]}] for name, values in candidates.items() if name in config]
    try:
        found = one_fit([build(end, 0) for pair in ends for end in pair], inexact)
    except Exception:  # a config that cannot be built says so when it is measured
        return False
    return found is not None and (found.cheap or listed)


def levels(dimension: Dimension) -> list[Value]:
    """All values of a dimension that has few enough, else evenly spaced ones on its scale, both ends included."""
    if isinstance(dimension, Choice | Ordinal) and dimension.size <= _LISTED:
        return list(dimension.choices)
    if isinstance(dimension, Int) and dimension.size <= MOST:
        return list(range(dimension.low, dimension.high + 1, dimension.step))
    if dimension.size is not None and dimension.size <= MOST:
        units = (np.arange(dimension.size) + 0.5) / dimension.size
    elif isinstance(dimension, Law):
        units = (np.arange(SPREAD) + 0.5) / SPREAD  # its ends may be infinite
    else:
        units = np.linspace(0.0, 1.0, SPREAD)
    values = [dimension.from_unit(float(unit)) for unit in units]
    return values if isinstance(dimension, Choice | Ordinal) else list(dict.fromkeys(values))  # neighbours may be rounded to one whole number
