"""What a share of the full effort means for an estimator on a table: fewer training rows, or a smaller value of one of its parameters."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _num_samples

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.evaluate.cv import CrossValidation, Split
from staytuned.space.space import Config

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """A share of the training rows of each fold, the first of them in one fixed order; scored on all rows held out.

    Smaller shares are part of larger ones. Rows of a classifier are spread by class, so that every share has the classes in about the proportions of
    the fold, and each at least once. Rows of one group come together or not at all, so that a share is met only about. Where every fold trains on what
    comes before its test rows, as with ``TimeSeriesSplit``, a share takes the last of the training rows.

    Args:
        splits: (training rows, held-out rows) of each fold.
        n_rows: of the table.
        labels: (n_rows,) whole numbers, of classes that are to be spread; None for none.
        groups: (n_rows,) whole numbers; None for none.
        seed: of the order.
    """

    splits: Sequence[Split]
    n_rows: int
    labels: Array | None = None
    groups: Array | None = None
    seed: int = 0

    @classmethod
    def of(cls, cv: CrossValidation, *, groups: Any = None, classify: bool = False) -> Rows:
        """For the table and the folds of this cross-validation.

        Args:
            groups: (n_rows,) rows of one group stay together; None for none.
            classify: whether the target holds classes.
        """
        labels = np.unique(np.asarray(cv.y), return_inverse=True)[1] if classify and type_of_target(cv.y) in ("binary", "multiclass") else None
        codes = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        return cls([(_numbers(train), _numbers(test)) for train, test in cv.splits], _num_samples(cv.X), labels, codes)

    def seeded(self, seed: int) -> Rows:
        """In the order of this seed."""
        return replace(self, seed=seed)

    def least(self, cv: CrossValidation) -> float:  # noqa: ARG002 - the same for every resource
        """The least share that makes sense, as for HalvingRandomSearchCV: two rows a fold, of every class."""
        return 2 * len(self.splits) * (1 if self.labels is None else int(self.labels.max()) + 1) / self.n_rows

    def check(self, cv: CrossValidation, share: float) -> None:  # noqa: ARG002 - likewise
        """Whether a share can be taken.

        Raises:
            UsageError: a fold would train on fewer rows than it needs to hold every class, or on none.
        """
        for fold, (order, ends) in enumerate(self._orders):
            if share * len(order) < 0.5 or (len(ends) == len(order) - ends[0] + 1 and round(share * len(order)) < ends[0]):
                raise UsageError(
                    f"fidelity={share:.4g} leaves {round(share * len(order))} of the {len(order)} training rows of fold {fold}, of {ends[0]} classes; "
                    f"give at least {math.ceil(1000 * ends[0] / len(order)) / 1000:g}, or leave scheduler and fidelity out"
                )

    def amount(self, cv: CrossValidation, config: Config, share: float) -> int:  # noqa: ARG002 - likewise
        """The rows of the table at this share, of which each fold trains on its part."""
        return round(share * self.n_rows)

    def at(self, cv: CrossValidation, share: float) -> CrossValidation:
        """The same cross-validation with the first rows of each fold alone, which stand in the fold's own order."""
        return replace(cv, splits=[(train[self._places(fold, share)], test) for fold, (train, test) in enumerate(self.splits)], keep_rows=False)

    def _places(self, fold: int, share: float) -> Array:
        order, ends = self._orders[fold]
        return np.sort(order[: ends[int(np.argmin(np.abs(ends - share * len(order))))]])

    @cached_property
    def _orders(self) -> list[tuple[Array, Array]]:
        """Of each fold the places of its training rows in the order in which they are taken, and after how many it may be cut, ascending."""
        if len(self.splits) > 1 and all(len(train) and len(test) and train.max() < test.min() for train, test in self.splits):
            return [(np.arange(len(train))[::-1], np.arange(1, len(train) + 1)) for train, _ in self.splits]
        return [
            _spread(
                None if self.labels is None else self.labels[train],
                None if self.groups is None else self.groups[train],
                len(train),
                generator(self.seed, "rows", fold),
            )
            for fold, (train, _) in enumerate(self.splits)
        ]


@dataclass(frozen=True)
class Parameter:
    """A share of the value of a whole-numbered parameter, such as the trees of a forest; of the config's own value where that is searched.

    Args:
        name: as ``set_params`` takes it, such as ``"n_estimators"`` or ``"lgbm__n_estimators"``.
        searched: whether configs say its value, or of what estimator it is.
    """

    name: str
    searched: bool = False

    def seeded(self, seed: int) -> Parameter:  # noqa: ARG002 - nothing is drawn
        """Itself."""
        return self

    def least(self, cv: CrossValidation) -> float:
        """The share at which the value of the unchanged estimator is one; 0 where the value is searched."""
        return 0.0 if self.searched else 1 / self.full(cv.build({}, 0))

    def check(self, cv: CrossValidation, share: float) -> None:  # noqa: ARG002 - the same for every resource
        """Whether a share can be taken.

        Raises:
            UsageError: as :meth:`full` does, where the value is the same for every config.
        """
        self.least(cv)

    def amount(self, cv: CrossValidation, config: Config, share: float) -> int:
        """The parameter's value at this share; 0 where the config cannot be built."""
        try:
            return self.portion(cv.build(config, 0), share)
        except Exception:  # it said so when it was measured
            return 0

    def at(self, cv: CrossValidation, share: float) -> CrossValidation:
        """The same cross-validation with the parameter at this share of its value."""
        return replace(cv, build=_Limited(cv.build, self, share), keep_rows=False)

    def full(self, estimator: Any) -> int:
        """The whole value.

        Raises:
            UsageError: the estimator has no such parameter, or it is not a positive whole number.
        """
        params = estimator.get_params(deep=True)
        if self.name not in params:
            near = get_close_matches(self.name, params, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"resource={self.name!r} is not a parameter of {type(estimator).__name__}; {hint}Take 'n_samples' or one that is a whole number")
        value = params[self.name]
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral) or int(value) < 1:
            raise UsageError(
                f"resource={self.name!r} is {value!r} in {type(estimator).__name__}, no positive whole number; set it to what a full fit shall have"
            )
        return int(value)

    def portion(self, estimator: Any, share: float) -> int:
        """The value at this share, at least 1."""
        return max(1, round(share * self.full(estimator)))


@dataclass(frozen=True)
class _Limited:
    """Builds with a parameter at a share of its value."""

    build: Callable[[Config, int], Any]
    resource: Parameter
    share: float

    def __call__(self, config: Config, seed: int) -> Any:
        estimator = self.build(config, seed)
        return estimator.set_params(**{self.resource.name: self.resource.portion(estimator, self.share)})


def _numbers(rows: Any) -> Array:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def _spread(labels: Array | None, groups: Array | None, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The places 0 .. n - 1 in a random order that spreads the classes evenly, one of each first, and after how many it may be cut.

    A group counts as one of the rarest class in it.
    """
    codes = np.zeros(n, dtype=int) if labels is None else np.unique(labels, return_inverse=True)[1]
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    rarity = np.argsort(np.argsort(np.bincount(codes, minlength=1), kind="stable"), kind="stable")
    kinds = np.full(units.max(initial=-1) + 1, n)
    np.minimum.at(kinds, units, rarity[codes])
    turn = rng.permutation(len(kinds))
    key = np.empty(len(kinds))
    kinds_found = np.unique(kinds)
    for kind in kinds_found:
        own = np.flatnonzero(kinds[turn] == kind)
        key[own] = (np.arange(len(own)) + 0.5) / len(own)
        key[own[0]] = -1.0
    ranked = turn[np.argsort(key, kind="stable")]
    place = np.empty(len(kinds), dtype=int)
    place[ranked] = np.arange(len(kinds))
    order = np.argsort(place[units], kind="stable")
    sizes = np.bincount(units, minlength=len(kinds))[ranked]
    return order, np.cumsum(sizes)[max(len(kinds_found), 1) - 1 :]
