"""When a whole study may stop: once what is left to gain is below the noise of the best score, or below what the user cares for."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.left_open import without
from staytuned.samplers._cube import Cube
from staytuned.samplers._evidence import Reader
from staytuned.samplers._regret import regrets
from staytuned.samplers._surface import Surfaces
from staytuned.samplers._threads import one_thread
from staytuned.space.space import Space
from staytuned.trial import History, Status, Trial

NOISE = "noise"
_FIRST, _PER_DIMENSION, _AT_MOST = 20, 5, 60  # ended trials before the first look: 20, or five for each dimension if these are more, but 60 at most
_EVERY, _LOOKS = 5, 3  # ended trials between looks; how many of them in a row must agree
_LIMIT = 200  # trials the model looks at, at most
_LEVEL = 0.95  # of the draws of what is left to gain
_LEAST_SCORES = 3


@dataclass(frozen=True, slots=True)
class Left:
    """What a study may still gain, beside how well its best score is known.

    Args:
        gain: by how much the best trial's score may still be beaten, probably at most; in the metric's unit, at least 0.
        noise: standard error of the best trial's score; NaN where it has fewer than two folds.
        folds: from which the noise was taken.
        metric: whose unit it is.
        trials: how many ended trials it was read from.
    """

    gain: float
    noise: float
    folds: int
    metric: str
    trials: int

    def below(self, tolerance: float | str) -> bool:
        """Whether the gain is at most the tolerance, a number in the metric's unit or "noise"; never below a noise that is not known."""
        return self.gain <= (self.noise if isinstance(tolerance, str) else tolerance)

    def said(self, tolerance: float | str) -> str:
        """The two beside each other in words."""
        bound = f"the noise of the best score, {self.noise:.2g} (standard error over {self.folds} folds)" if isinstance(tolerance, str) else f"{tolerance:g}"
        relation = "is below" if self.below(tolerance) else "is not below"
        return f"what is left to gain, probably at most {self.gain:.2g} {self.metric}, {relation} {bound}"


class Enough:
    """Says when to stop: what is left to gain was below the tolerance at three looks in a row, five trials apart.

    The first look is after 20 trials, or five for each dimension if these are more, but 60 at most.

    The rule is that of Makarova et al. 2022, with another bound. Theirs is the distance of two confidence bounds, which ignores that
    what the model does not know of two configs is largely the same. Here surfaces are drawn from the model (as Wilson 2024 does), and the bound is the
    quantile, at 0.95, of what the best trial lies above the least of each. The model sees the trials whoever proposed them.

    Args:
        goal: one objective without limits.
        tolerance: in the metric's unit; or "noise" for the standard error of the best score over its folds, corrected for the training rows that they share.
        seed: of the draws; same seed and same trials, same answer.
        left_open: dimensions that no sampler proposes, see ``Study``; a trial stands for the best of what it measured there.

    Raises:
        UsageError: several objectives or limits, or a tolerance that is neither "noise" nor a positive number.
    """

    def __init__(self, goal: Goal, tolerance: float | str = NOISE, seed: int = 0, left_open: Collection[str] = ()) -> None:
        if goal.others or goal.limits:
            raise UsageError(f"enough={tolerance!r} is about one objective without limits, not {str(goal)!r}; leave enough= out and give trials= or timeout=")
        if not _makes_sense(tolerance):
            raise UsageError(f"enough={tolerance!r} must be 'noise', a positive number in the unit of {goal.metric} such as 0.001, or None to go on to the end")
        self._goal, self._seed, self._left_open = goal, seed, frozenset(left_open)
        self._tolerance: float | str = NOISE if tolerance == NOISE else float(tolerance)
        self._gauge: _Gauge | None = None

    def reason(self, trials: Sequence[Trial], space: Space) -> str:
        """Why to stop, in a sentence; empty while there is no reason to. Cheap between looks.

        Args:
            trials: of the study; those under way are overlooked, and where trials were given shares of the effort, all but the highest.
            space: the whole.

        Raises:
            UsageError: the tolerance is the noise, and a finished trial has no scores of folds to tell it by.
        """
        ended = _ended(trials)
        if self._tolerance == NOISE:
            self._check_folds(ended)
        if self._gauge is None or self._gauge.space is not space:
            self._gauge = _Gauge(space, self._goal, self._seed, self._left_open)
        count = len(ended) // _EVERY * _EVERY
        if count < self._gauge.first + (_LOOKS - 1) * _EVERY:
            return ""
        latest = self._gauge.left(ended[:count])
        if latest is None or not latest.below(self._tolerance):
            return ""
        before = [self._gauge.left(ended[: count - look * _EVERY]) for look in range(1, _LOOKS)]
        agreed = all(left is not None and left.below(self._tolerance) for left in before)
        return latest.said(self._tolerance) if agreed else ""

    def _check_folds(self, ended: Sequence[Trial]) -> None:
        silent = next((trial for trial in ended if trial.status is Status.DONE and standard_error(trial, self._goal.metric)[1] < 2), None)
        if silent is not None:
            raise UsageError(
                f"enough='noise' needs the scores of at least two folds, and trial {silent.number} came back without; return a Measurement with a "
                f"Reading('fold', ...) for each, or say what gain is too small to matter, as in enough=0.001, in the unit of {self._goal.metric}"
            )


def left_to_gain(trials: History, goal: Goal, space: Space, seed: int = 0, left_open: Collection[str] = ()) -> Left | None:
    """What these trials may still be beaten by; None where fewer than three have a score, or none has finished.

    Args:
        trials, goal, space: of a study.
        seed, left_open: as for `Enough`.

    >>> from staytuned.space.dims import Float
    >>> from staytuned.study import Study
    >>> study = Study(space={"x": Float(-1, 1)}, seed=0)
    >>> study.optimize(lambda trial: trial.config["x"] ** 2, trials=20)
    >>> left_to_gain(study.trials, study.goal, study.space).gain < 0.01
    True
    """
    Enough(goal)  # refuses what it cannot judge
    return _Gauge(space, goal, seed, frozenset(left_open)).left(_ended(trials))


def standard_error(trial: Trial, metric: str) -> tuple[float, int]:
    """Standard error of a mean over folds, and how many there are; NaN under two.

    ``sqrt((1/K + 1/(K-1)) s^2)`` with s the folds' standard deviation: the correction for overlapping training rows of Nadeau and Bengio 2003, where
    each of K folds holds out a K-th of the rows. It is too small where folds overlap in what they hold out, as in repeated cross-validation.
    """
    scores = [reading.scores.get(metric, math.nan) for reading in trial.readings if reading.place == "fold"]
    scores = [score for score in scores if math.isfinite(score)]
    folds = len(scores)
    return (math.sqrt((1 / folds + 1 / (folds - 1)) * float(np.var(scores, ddof=1))), folds) if folds > 1 else (math.nan, folds)


class _Gauge:
    """Reads what is left off histories of one space; remembers what it has fitted, which changes no answer."""

    def __init__(self, space: Space, goal: Goal, seed: int, left_open: frozenset[str]) -> None:
        self.space = space
        self._goal, self._seed, self._left_open = goal, seed, left_open
        self._cube = Cube(without(space, left_open) if left_open else space)
        self._surfaces = Surfaces(self._cube, _LIMIT, seed)
        self._found: dict[tuple[int, ...], Left | None] = {}

    @property
    def first(self) -> int:
        """How many ended trials the first look takes."""
        return max(_FIRST, min(_PER_DIMENSION * self._cube.dimension, _AT_MOST))

    def left(self, ended: Sequence[Trial]) -> Left | None:
        """What these trials may still be beaten by."""
        key = tuple(trial.number for trial in ended)
        if key not in self._found:
            self._found = {known: found for known, found in self._found.items() if len(known) > len(key) - _LOOKS * _EVERY} | {key: self._read(ended)}
        return self._found[key]

    def _read(self, ended: Sequence[Trial]) -> Left | None:
        best = self._goal.best(ended)
        row = None if best is None else self._cube.place(self._stripped(best).config)
        evidence = Reader(self._cube, self._goal).read([self._stripped(trial) for trial in ended])
        if best is None or row is None or evidence.scored < _LEAST_SCORES or not self._surfaces.plan.groups:
            return None
        with one_thread():
            drawn = regrets(self._surfaces, evidence, row, generator(self._seed, "enough", len(ended)))
        noise, folds = standard_error(best, self._goal.metric)
        return Left(float(np.quantile(drawn, _LEVEL)), noise, folds, self._goal.metric, len(ended))

    def _stripped(self, trial: Trial) -> Trial:
        """Without what is left open; a trial that had a value of its own there says at least what its config can do."""
        if not self._left_open:
            return trial
        shown = replace(trial, config={name: value for name, value in trial.config.items() if name not in self._left_open})
        measurement = trial.measurement
        if measurement is None or measurement.column or measurement.status is not Status.DONE:
            return shown
        return replace(shown, measurement=replace(measurement, status=Status.PRUNED))


def _makes_sense(tolerance: object) -> bool:
    if isinstance(tolerance, str):
        return tolerance == NOISE
    return not isinstance(tolerance, bool) and isinstance(tolerance, Real) and 0 < float(tolerance) < math.inf


def _ended(trials: Sequence[Trial]) -> list[Trial]:
    """Those that are over, at the highest share of the effort that any of them was given."""
    ended = [trial for trial in trials if trial.status is not Status.RUNNING]
    highest = max((trial.share for trial in ended), default=1.0)
    return [trial for trial in ended if trial.share == highest]
