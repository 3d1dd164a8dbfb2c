"""What ``scoring`` and ``refit`` ask for, in scikit-learn's sense: one metric, several, or a function that tells only when called."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from sklearn.metrics import check_scoring

from staytuned.errors import UsageError
from staytuned.evaluate.cv import Scorer
from staytuned.goal import Goal
from staytuned.trial import Trial


@dataclass(frozen=True)
class Scoring:
    """How configs are scored, and by what.

    Args:
        asked: the scorer, or scorers by name, as scikit-learn's ``scorer_`` shows them.
        scorer: scores by all metrics at once; the result of a single one is called "score".
        goal: what a study pursues; higher is better, as with all of scikit-learn's scorers.
        several: the metrics' names; empty where there is one, or where only the scores themselves will tell.
        decided: whether the goal is the metric that decides, and not a function ``refit``.
    """

    asked: Any
    scorer: Scorer
    goal: Goal
    several: tuple[str, ...] = ()
    decided: bool = True

    @classmethod
    def of(cls, estimator: Any, scoring: Any, refit: Any) -> Scoring:
        """From scikit-learn's ``scoring`` (None, name, callable, list or dict) and ``refit`` (bool, metric's name, function).

        Raises:
            UsageError: no metric, or several and a refit that is none of them.
            ValueError: scikit-learn has no scorer of this name.
        """
        if callable(scoring):
            return cls(scoring, _Called(scoring, refit), Goal("score", "max"), decided=not callable(refit))
        if scoring is None or isinstance(scoring, str):
            scorer = check_scoring(estimator, scoring)
            return cls(scorer, scorer, Goal("score", "max"), decided=not callable(refit))
        given = dict(scoring) if isinstance(scoring, Mapping) else {name: name for name in scoring}
        if not given or not all(isinstance(name, str) for name in given):
            raise UsageError(f"scoring={scoring!r} must name at least one metric, each by a string")
        if refit is not False and not callable(refit) and refit not in given:
            raise UsageError(f"with several metrics refit must be one of {', '.join(map(repr, given))}, a function of cv_results_, or False, not {refit!r}")
        scorers = {name: check_scoring(estimator, scorer) for name, scorer in given.items()}
        joint = check_scoring(estimator, scorers)  # predicts once for all of them
        return cls(scorers, joint, Goal(refit if isinstance(refit, str) else next(iter(given)), "max"), tuple(given), decided=isinstance(refit, str))

    def names(self, trials: Iterable[Trial]) -> list[str]:
        """The metrics of these trials; "score" where there is one."""
        if self.several or not isinstance(self.scorer, _Called):
            return list(self.several) or ["score"]
        seen = dict.fromkeys(name for trial in trials for reading in trial.readings for name in reading.scores)
        own = [name for name in seen if name != "score" or self.scorer.refit == "score"]
        return own or ["score"]

    def weighted(self) -> bool:
        """Whether sample weights go to the scorer; warns where one takes none, as its scores then weigh rows otherwise than the fit."""
        scorers = self.asked if isinstance(self.asked, dict) else {"scoring": self.asked}
        without = [name for name, scorer in scorers.items() if not _takes_weight(scorer)]
        if without:
            said = f"sample_weight is used to fit but not to score, as {', '.join(without)} takes none; write a scorer that does"
            warnings.warn(said, UserWarning, stacklevel=4)
        if hasattr(self.scorer, "_accept_sample_weight"):
            return bool(self.scorer._accept_sample_weight())
        return not without


@dataclass(frozen=True)
class _Called:
    """A user's scorer, of which only a call tells whether it gives one score or several. The one that decides is also put under "score"."""

    scorer: Callable[..., Any]
    refit: Any

    def __call__(self, estimator: Any, X: Any, y: Any = None, **params: Any) -> Mapping[str, float]:
        found = self.scorer(estimator, X, y, **params)
        if not isinstance(found, Mapping):
            return {"score": float(found)}
        if self.refit is True or (isinstance(self.refit, str) and self.refit not in found):
            raise UsageError(f"scoring returned {', '.join(map(repr, found))}; refit={self.refit!r} must be one of these, a function, or False")
        if "score" in found and self.refit != "score":
            raise UsageError("scoring returned several metrics, one of them called 'score'; give that one another name")
        return {**found, "score": found[self.refit] if isinstance(self.refit, str) else next(iter(found.values()))}


def _takes_weight(scorer: Any) -> bool:
    accepts = getattr(scorer, "_accept_sample_weight", None)
    if accepts is not None:
        return bool(accepts())
    return "sample_weight" in signature(getattr(scorer, "_score_func", scorer)).parameters
