"""A scikit-learn estimator on a table, as an objective that any strategy can be run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.base import is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import indexable

from staytuned.errors import UsageError
from staytuned.evaluate.build import check_names, with_params
from staytuned.evaluate.cv import CrossValidation
from staytuned.evaluate.scoring import Scoring
from staytuned.goal import Goal
from staytuned.identity import search_identity
from staytuned.space.branches import Branches
from staytuned.space.space import Config
from staytuned.trial import Measurement


@dataclass(frozen=True)
class CrossValidated:
    """The mean score of a config over folds that stay the same.

    Args:
        estimator: unfitted; it is cloned, never changed.
        branches: the space.
        scoring: what it is judged by.
        evaluator: with the table and the folds.
    """

    estimator: Any
    branches: Branches
    scoring: Scoring
    evaluator: CrossValidation

    @classmethod
    def of(cls, estimator: Any, space: Any, X: Any, y: Any, *, scoring: Any = None, cv: Any = 5) -> CrossValidated:
        """From what ``TuneSearchCV`` takes.

        Args:
            X: (n_rows, n_features). y: (n_rows,) or None.
            scoring: one metric: None for the estimator's own ``score``, a name, or a callable.
            cv: as in scikit-learn.

        Raises:
            UsageError: several metrics, or folds that cannot be made.
            SpaceError: a name that is no parameter of the estimator.
        """
        if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
            raise UsageError(f"scoring={scoring!r} must be one metric, as strategies are compared by one: a name such as 'roc_auc', or a callable")
        judged = Scoring.of(estimator, scoring, True)
        X, y = indexable(X, y)
        splits = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
        branches = Branches.of(space)
        check_names(branches, estimator)
        evaluator = CrossValidation(_WithParams(estimator), X, y, splits, {"score": judged.scorer}, train_scores=False)
        return cls(estimator, branches, judged, evaluator)

    @property
    def goal(self) -> Goal:
        """What is better."""
        return self.scoring.goal

    def __call__(self, config: Config) -> Measurement:
        """The mean over the folds, with a reading for each; the same whenever it is asked for, as far as the estimator's ``random_state`` is set."""
        return self.evaluator(config)

    def tested(self, X: Any, y: Any, config: Config) -> float:
        """The score on rows held back, after a fit on the whole table."""
        fitted = with_params(self.estimator, config)
        fitted.fit(self.evaluator.X) if self.evaluator.y is None else fitted.fit(self.evaluator.X, self.evaluator.y)
        found = self.scoring.scorer(fitted, X) if y is None else self.scoring.scorer(fitted, X, y)
        return float(found["score"] if isinstance(found, Mapping) else found)

    def identity(self) -> str:
        """A hash that is the same for the same estimator, space, scoring, folds and table, in any process."""
        return search_identity(self.estimator, self.branches.space, self.scoring.asked, self.evaluator)


@dataclass(frozen=True)
class _WithParams:
    """From a config to an unfitted estimator; the seed is not used, as randomness is the estimator's own ``random_state``."""

    estimator: Any

    def __call__(self, config: Config, seed: int) -> Any:  # noqa: ARG002
        return with_params(self.estimator, config)
