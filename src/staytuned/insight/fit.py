"""Did the model learn the rows or the rule? One plain sentence from the training score beside the validation score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from staytuned.goal import Goal

Tested: TypeAlias = tuple[float, float, float]
Fit: TypeAlias = Literal["overfitting", "underfitting", "fine", "unknown"]

_LOST = 0.2  # overfitting from a fifth of what was learnt (beyond the dummy) lost on new rows
_LOST_WITHOUT_DUMMY = 0.1  # or, with no dummy to measure learning by, from a tenth of the training score
_LEARNT = 0.1  # underfitting below a tenth of the way from the dummy to a perfect score, on the very rows fitted on


@dataclass(frozen=True, slots=True)
class FitVerdict:
    """What the scores say about the fit.

    Args:
        kind: "overfitting", "underfitting", "fine", or "unknown" where a score is missing.
        gap: by how much the validation score is worse than the training score; negative if better, NaN if unknown.
        sentence: the verdict in words, with the numbers.
    """

    kind: Fit
    gap: float
    sentence: str


def fit_gap(train: float, validation: float, goal: Goal, spread: float | None = None, test: Tested | None = None, dummy: float | None = None) -> FitVerdict:
    """Whether a model overfits, underfits, or neither.

    It overfits where the validation score is worse than the training score by more than the scatter over the folds and by
    more than a fifth of what it learnt: of the training score's advance over the dummy's, or, without a dummy, by
    more than a tenth of the training score. It underfits where even on the rows it was fitted on it comes less than a
    tenth of the way from the dummy's score to a perfect one (1 where higher is better, 0 for errors and for metrics
    whose name begins with "neg_"); where no perfect score is known, where it does not beat the dummy there.

    Args:
        train: score on the rows fitted on.
        validation: score on rows held out, such as the mean over the folds.
        goal: the metric and its direction.
        spread: standard deviation of the validation score over the folds; None where there was one held-out part only.
        test: score on the untouched part with its interval, (low, score, high), mentioned in the sentence.
        dummy: validation score of a model that ignores the inputs.

    >>> fit_gap(1.0, 0.81, Goal("accuracy", "max"), spread=0.02, dummy=0.62).sentence
    'Overfitting: accuracy is 1 on the rows it was fitted on but 0.81 on held-out rows, a gap of 0.19 where the folds differ by 0.02.'
    """
    if not (math.isfinite(train) and math.isfinite(validation)):
        missing = "validation" if math.isfinite(train) else "training"
        return FitVerdict("unknown", math.nan, f"Whether it overfits is unknown: no {missing} score was recorded." + _on_test(validation, goal, test))
    spread, dummy = _known(spread), _known(dummy)
    gap = goal.loss(validation) - goal.loss(train)
    kind = _kind(train, gap, goal, spread, dummy)
    return FitVerdict(kind, gap, _said(kind, train, validation, gap, goal, spread, dummy) + _on_test(validation, goal, test))


def _known(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _kind(train: float, gap: float, goal: Goal, spread: float | None, dummy: float | None) -> Fit:
    learnt = None if dummy is None else goal.loss(dummy) - goal.loss(train)
    if learnt is not None and dummy is not None and learnt <= _LEARNT * _reach(train, dummy, goal):
        return "underfitting"
    limit = _LOST_WITHOUT_DUMMY * abs(train) if learnt is None else _LOST * learnt
    return "overfitting" if gap > max(limit, spread or 0.0) else "fine"


def _reach(train: float, dummy: float, goal: Goal) -> float:
    """How far the dummy is from a perfect score; 0 where perfection is not known."""
    perfect = 0.0 if goal.direction == "min" or goal.metric.startswith("neg_") else 1.0
    within = all(goal.loss(score) >= goal.loss(perfect) for score in (train, dummy))
    return goal.loss(dummy) - goal.loss(perfect) if within else 0.0


def _said(kind: Fit, train: float, validation: float, gap: float, goal: Goal, spread: float | None, dummy: float | None) -> str:
    scores = f"{goal.metric} is {_number(train)} on the rows it was fitted on"
    scatter = "" if spread is None else f" where the folds differ by {_number(spread)}"
    if kind == "underfitting":
        bar = _number(math.nan if dummy is None else dummy)
        return f"Underfitting: {scores} and {_number(validation)} on held-out rows, hardly better than {bar} from a model that ignores the inputs."
    if kind == "overfitting":
        return f"Overfitting: {scores} but {_number(validation)} on held-out rows, a gap of {_number(gap)}{scatter}."
    size = f"a gap of {_number(gap)}" if gap > 0 else "no worse"
    return f"The fit looks sound: {scores} and {_number(validation)} on held-out rows, {size}{scatter}."


def _on_test(validation: float, goal: Goal, test: Tested | None) -> str:
    if test is None or not math.isfinite(test[1]):
        return ""
    low, score, high = test
    said = f" On the untouched test part it is {_number(score)}"
    if not all(map(math.isfinite, (low, high, validation))):
        return said + "."
    if low <= validation <= high:
        return said + ", in line with validation."
    worse = goal.loss(score) > goal.loss(validation)
    return said + (", worse than validation promised: picking the best of many trials flatters it." if worse else ", better than validation promised.")


def _number(score: float) -> str:
    return f"{score:.4g}"
