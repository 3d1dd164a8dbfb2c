"""A quick search, what it runs on, and how it is compared with scikit-learn's: shared by the tests of TuneSearchCV."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from staytuned.search import TuneSearchCV
from staytuned.space.dims import Float

X, y = make_classification(n_samples=120, n_features=6, n_informative=3, flip_y=0.1, random_state=0)
C = {"C": Float(1e-3, 1e3, log=True)}
GRID = {"C": [0.01, 0.1, 1, 10], "fit_intercept": [True, False]}
CV = StratifiedKFold(3, shuffle=True, random_state=0)
OURS = ("status", "origin", "trial_seconds")  # the columns that scikit-learn's searches do not have


def search(space: Any = None, estimator: Any = None, **options: Any) -> TuneSearchCV:
    """A quick search, random by default."""
    return TuneSearchCV(
        estimator or LogisticRegression(), C if space is None else space, **{"method": "random", "trials": 6, "cv": 3, "random_state": 0} | options
    )


class Stubborn(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Refuses to fit above a level; scores as its level says."""

    def __init__(self, level: float = 1.0, limit: float = 0.5) -> None:
        self.level = level
        self.limit = limit

    def fit(self, X: Any, y: Any) -> Any:  # noqa: ARG002
        if self.level > self.limit:
            raise RuntimeError(f"level {self.level} is too high")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), dtype=int)

    def score(self, X: Any, y: Any) -> float:  # noqa: ARG002
        return self.level


class Noted(Stubborn):
    """Leaves a note in a folder wherever it is unpacked."""

    def __init__(self, folder: str = "", level: float = 0.0, limit: float = 1.0) -> None:
        super().__init__(level, limit)
        self.folder = folder

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        (Path(self.folder) / uuid4().hex).touch()


def columns_agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The same but for how long it took, and for our own columns."""
    for name, column in theirs.items():
        if name.endswith("_time"):
            assert np.all(ours[name] >= 0)
        elif name == "params":
            assert ours[name] == column
        elif name.startswith("param_"):
            assert list(ours[name].filled(-1)) == list(column.filled(-1))
            assert ours[name].dtype == column.dtype
        else:
            np.testing.assert_allclose(ours[name], column, rtol=0, atol=1e-12, err_msg=name)
    assert set(ours) - set(theirs) == set(OURS)


def by_row(results: dict[str, Any], order: list[int]) -> dict[str, Any]:
    """``cv_results_`` with its rows in another order."""
    return {name: [column[i] for i in order] if isinstance(column, list) else column[order] for name, column in results.items()}
