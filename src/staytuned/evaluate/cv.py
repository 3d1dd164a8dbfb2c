"""Cross-validation: folds of a table in, one reading per fold out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import _check_method_params

from staytuned.evaluate.out_of_fold import RowValues, scored_by_row
from staytuned.evaluate.quick import scored
from staytuned.evaluate.reuse.pipelines import Free
from staytuned.evaluate.reuse.shared import Prefixes
from staytuned.space.space import Config
from staytuned.trial import Measurement, Reading, Status

Scorer: TypeAlias = Callable[..., float | Mapping[str, float]]
Split: TypeAlias = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


class Resource(Protocol):
    """What a share of the full effort means."""

    def at(self, cv: CrossValidation, share: float) -> CrossValidation:
        """The same cross-validation at a share in (0, 1) of its effort."""
        ...


@dataclass(frozen=True)
class CrossValidation:
    """An evaluator: builds the estimator of a config, fits it on each fold's training rows and scores it on the rest.

    Args:
        build: (config, seed) to an unfitted estimator.
        X, y: the table, anything scikit-learn can index by rows, or the square matrix of a kernel; y may be None.
        splits: (training rows, held-out rows) of each fold.
        scorers: by metric, called as ``scorer(estimator, X, y)``; higher is better for scikit-learn's own. One that returns a dict gives
            several metrics at once, under the dict's names.
        train_scores: also score on the training rows.
        fit_params: passed to ``fit``; entries as long as the table are cut to the fold's rows.
        score_params: passed to every scorer, cut likewise.
        keep_rows: keep in the measurement what each held-out row said, by the first scorer; or by the one given here, which is one of several
            that are called together.
        resource: what a trial at a share of the effort spends less of (see ``effort``); None for none, so that every trial is a full one.
        prefixes: first steps of pipelines that several configs have in common, kept in memory for each fold and number of training rows.
        settings: scikit-learn's own (``sklearn.get_config()``) under which everything is built, fitted and scored; those where it was made, which other
            threads and processes do not have.
    """

    build: Callable[[Config, int], Any]
    X: Any
    y: Any
    splits: Sequence[Split]
    scorers: Mapping[str, Scorer]
    train_scores: bool = True
    fit_params: Mapping[str, Any] = field(default_factory=dict)
    score_params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keep_rows: bool | Scorer = False
    resource: Resource | None = None
    prefixes: Prefixes = field(default_factory=Prefixes, compare=False, repr=False)
    settings: Mapping[str, Any] = field(default_factory=sklearn.get_config, compare=False, repr=False)

    def __call__(
        self,
        config: Config,
        fidelity: float | None = None,
        seed: int = 0,
        stop: Callable[[Sequence[Reading]], bool] | None = None,
    ) -> Measurement:
        """The mean over folds; PRUNED with the folds so far if ``stop(readings)`` says so after one of them.

        Args:
            fidelity: share of the full effort in (0, 1], as ``resource`` means it; None for all.
        """
        with sklearn.config_context(**self.settings):
            if self.resource is not None and fidelity is not None and fidelity < 1:
                return replace(self.resource.at(self, fidelity), resource=None)._measured(config, seed, stop)
            return self._measured(config, seed, stop)

    def _measured(self, config: Config, seed: int, stop: Callable[[Sequence[Reading]], bool] | None) -> Measurement:
        readings: list[Reading] = []
        kept = RowValues()
        status, cure = Status.DONE, ""
        for reading, rows in self._folds(config, seed):
            readings.append(reading)
            kept.add(0, rows)
            if stop is not None and len(readings) < len(self.splits) and stop(readings):
                status, cure = Status.PRUNED, f"stopped after {len(readings)} of {len(self.splits)} folds: it could hardly win"
                break
        return Measurement(mean_scores(readings), status, cure, tuple(readings), rows=kept.packed())

    def folds(self, config: Config, seed: int) -> Iterator[Reading]:
        """One reading per fold, in order."""
        return (reading for reading, _ in self._folds(config, seed))

    def _folds(self, config: Config, seed: int) -> Iterator[tuple[Reading, npt.NDArray[Any] | None]]:
        for index in range(len(self.splits)):
            estimator = self.build(config, seed)
            part = self.part(estimator, index)
            began = time.perf_counter()
            model = part.fitted(estimator)
            fitted = time.perf_counter()
            scores, rows = part.scored(model)
            scored = time.perf_counter()
            train_scores = part.train_scores(model) if self.train_scores else {}
            yield Reading("fold", index, scores, train_scores, fitted - began, scored - fitted), rows

    def part(self, estimator: Any, index: int) -> Part:
        """A fold, cut as this estimator needs it: both ways for one on a square matrix."""
        train, test = self.splits[index]
        X, y = _safe_split(estimator, self.X, self.y, train)
        X_test, y_test = _safe_split(estimator, self.X, self.y, test, train)
        return Part(self, index, X, y, X_test, y_test, _check_method_params(self.X, params=dict(self.fit_params), indices=train))

    def scores(self, estimator: Any, X: Any, y: Any, rows: npt.NDArray[np.intp]) -> dict[str, float]:
        """Every metric of a fitted estimator on these rows of the table, which X and y hold."""
        scores: dict[str, float] = {}
        for name, scorer in self.scorers.items():
            params = _check_method_params(self.X, params=dict(self.score_params.get(name, {})), indices=rows)
            if y is None:
                found = scorer(estimator, X, **params)
            else:
                found = scorer(estimator, X, y, **params) if params else scored(scorer, estimator, X, y)
            scores |= {n: float(s) for n, s in (found if isinstance(found, Mapping) else {name: found}).items()}
        return scores


@dataclass(frozen=True)
class Part:
    """One fold: what an estimator is fitted on, and what it is scored on."""

    cv: CrossValidation
    index: int
    X: Any
    y: Any
    X_test: Any
    y_test: Any
    fit_params: Mapping[str, Any]

    def fitted(self, estimator: Any) -> Any:
        """It or what passes for it, fitted on the training rows; first steps that an earlier one had too are not fitted again."""
        with _unconverged():
            return self.cv.prefixes.fitted(estimator, self.X, self.y, self.fit_params, self._rows, self.X_test)

    def views(self, estimator: Any, free: Free, configs: Sequence[Config]) -> Sequence[Any]:
        """One fit on the training rows, as it would be with each of these configs."""
        with _unconverged():
            return self.cv.prefixes.views(free, estimator, configs, self.X, self.y, self.fit_params, self._rows, self.X_test)

    def scores(self, estimator: Any) -> dict[str, float]:
        """Every metric on the rows held out."""
        return self.cv.scores(estimator, self.X_test, self.y_test, self.cv.splits[self.index][1])

    def scored(self, estimator: Any) -> tuple[dict[str, float], npt.NDArray[Any] | None]:
        """Every metric on the rows held out, and each row's part in the one that ``keep_rows`` asks for; None where it is not known."""
        kept = self.cv.keep_rows
        if kept is False:
            return self.scores(estimator), None
        return scored_by_row(self.scores, next(iter(self.cv.scorers.values())) if kept is True else kept, estimator, self.y_test)

    def train_scores(self, estimator: Any) -> dict[str, float]:
        """Every metric on the rows fitted on."""
        return self.cv.scores(estimator, self.X, self.y, self.cv.splits[self.index][0])

    @property
    def _rows(self) -> tuple[int, int]:
        """What tells the training rows from those of other folds, and from a share of them: shares begin alike."""
        return self.index, len(self.cv.splits[self.index][0])


@contextmanager
def _unconverged() -> Iterator[None]:
    """An unconverged config is judged by its score like any other, so that warning is not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def mean_scores(readings: Sequence[Reading]) -> dict[str, float]:
    """The mean over readings of every metric."""
    return {name: float(np.mean([r.scores[name] for r in readings])) for name in readings[0].scores} if readings else {}
