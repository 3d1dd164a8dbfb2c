"""What "better" means: a metric, a direction and a budget."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from staytuned.errors import UsageError
from staytuned.trial import History, Status, Trial

Direction: TypeAlias = Literal["min", "max"]

_WORDS: dict[str, Direction] = {"min": "min", "minimize": "min", "minimise": "min", "max": "max", "maximize": "max", "maximise": "max"}


@dataclass(frozen=True, slots=True)
class Goal:
    """One metric and its direction.

    >>> Goal.parse("max roc_auc")
    Goal(metric='roc_auc', direction='max')
    """

    metric: str = "loss"
    direction: Direction = "min"

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise UsageError(f"direction={self.direction!r} must be 'min' or 'max'")

    @classmethod
    def parse(cls, text: str | Goal) -> Goal:
        """A goal from ``"min loss"``, ``"max roc_auc"`` or just ``"min"``.

        Raises:
            UsageError: the text does not begin with min or max.
        """
        if isinstance(text, Goal):
            return text
        word, _, metric = str(text).strip().partition(" ")
        if word.lower() not in _WORDS or len(metric.split()) > 1:
            raise UsageError(f"goal={text!r} must read like 'min loss' or 'max roc_auc'")
        return cls(metric.strip() or "loss", _WORDS[word.lower()])

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"

    def loss(self, score: float) -> float:
        """The score turned so that lower is better."""
        return score if self.direction == "min" else -score

    def score(self, trial: Trial) -> float:
        """The trial's score by this goal's metric; NaN where there is none."""
        return trial.scores.get(self.metric, math.nan)

    def losses(self, history: History) -> npt.NDArray[np.float64]:
        """(n_trials,) lower is better; NaN for trials that run or failed, the estimate so far for pruned ones."""
        usable = (Status.DONE, Status.PRUNED)
        return np.array([self.loss(self.score(t)) if t.status in usable else np.nan for t in history], dtype=float)

    def best(self, history: Iterable[Trial]) -> Trial | None:
        """The best finished trial, the earliest among equals; None if nothing finished."""
        done = [t for t in history if t.status is Status.DONE and math.isfinite(self.score(t))]
        return min(done, key=lambda t: (self.loss(self.score(t)), t.number), default=None)

    def better(self, score: float, than: float) -> bool:
        return self.loss(score) < self.loss(than)


@dataclass(frozen=True, slots=True)
class Budget:
    """When to stop: after so many trials, so many seconds, or whichever comes first.

    Args:
        trials: new trials at most; None for no limit.
        seconds: wall-clock seconds at most; None for no limit.
    """

    trials: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is not None and not (_is_real(self.trials) and self.trials >= 1 and self.trials % 1 == 0):
            raise UsageError(f"trials={self.trials!r} must be a whole number of at least 1")
        if self.seconds is not None and not (_is_real(self.seconds) and self.seconds > 0):
            raise UsageError(f"a time budget of {self.seconds!r} seconds must be a positive number")


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
