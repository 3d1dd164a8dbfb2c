"""Views of one fit against fits of their own, as the tests of reuse compare them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_classification, make_regression
from sklearn.metrics import get_scorer

from staytuned.evaluate.reuse.registry import Reuse, reuses

OUTPUTS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def table(classes: int | None, rows: int = 100, columns: int = 6) -> tuple[Any, Any, Any]:
    """X, y and weights; y is a number where there are no classes."""
    weights = np.random.default_rng(1).uniform(0.2, 2.0, rows)
    if classes is None:
        X, y = make_regression(rows, columns, n_informative=4, noise=20.0, random_state=3)
        return X, y / 50.0, weights
    X, y = make_classification(rows, columns, n_informative=4, n_redundant=0, n_classes=classes, flip_y=0.2, random_state=3)
    return X, y, weights


def framed(X: Any, y: Any) -> tuple[pd.DataFrame, Any]:
    """The same with names of columns, and of classes."""
    names = np.array(["ash", "birch", "cedar"])
    return pd.DataFrame(X, columns=[f"column {index}" for index in range(X.shape[1])]), names[y] if np.issubdtype(y.dtype, np.integer) else y


def known(estimator: Any, *params: str) -> Reuse | None:
    """What is registered for just these parameters of it."""
    return next((reuse for reuse in reuses(estimator) if reuse.params == params), None)


def scorers(estimator: Any, classes: int | None) -> list[str]:
    """Names of scorers that suit it: by classes, by probabilities and by decisions."""
    if not is_classifier(estimator):
        return ["r2", "neg_mean_absolute_error"]
    binary = ["roc_auc"] if classes == 2 else []
    return ["f1_macro", *binary, *(["neg_log_loss"] if hasattr(estimator, "predict_proba") else [])]


def assert_same_as_refits(estimator: Any, name: str, values: list[Any], X: Any, y: Any, fit_params: Any = None, classes: int | None = None) -> list[Any]:
    """Every view predicts, scores and presents itself bit by bit as a fit of its own does, on the training rows and on others."""
    fit_params = fit_params or {}
    reuse = known(estimator, name)
    assert reuse is not None
    assert reuse.tolerance == 0
    other = X[::-1][:30].copy() if isinstance(X, np.ndarray) else X.iloc[::-1][:30].copy()
    views = reuse.views(clone(estimator), [{name: value} for value in values], X, y, fit_params)
    assert len(views) == len(values)
    for value, view in zip(values, views, strict=True):
        alone = clone(estimator).set_params(**{name: value}).fit(X, y, **fit_params)
        assert type(view) is type(alone)
        assert view.get_params()[name] == value
        assert view.n_features_in_ == alone.n_features_in_
        assert is_classifier(view) == is_classifier(alone)
        if hasattr(alone, "classes_"):
            assert np.array_equal(view.classes_, alone.classes_)
        for rows in (X, other):
            for output in OUTPUTS:
                assert hasattr(view, output) == hasattr(alone, output)
                if hasattr(alone, output):
                    with np.errstate(divide="ignore"):
                        assert_equal(getattr(view, output)(rows), getattr(alone, output)(rows), f"{output} with {name}={value}")
        for scorer in scorers(alone, classes):
            assert get_scorer(scorer)(view, X, y) == get_scorer(scorer)(alone, X, y), scorer
        assert view.score(X, y) == alone.score(X, y)
        assert clone(view).get_params()[name] == value
    return list(views)


def assert_equal(found: Any, right: Any, what: str) -> None:
    """Bit by bit, in type and shape, also for lists of arrays."""
    if isinstance(right, list):
        assert isinstance(found, list)
        for one, other in zip(found, right, strict=True):
            assert_equal(one, other, what)
    else:
        assert found.dtype == right.dtype, what
        assert found.shape == right.shape, what
        assert np.array_equal(found, right, equal_nan=found.dtype.kind == "f"), what
