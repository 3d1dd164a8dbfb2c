"""Preprocessing shared by candidates: paid for once, the same to the last digit, and never where that would be wrong."""

import pickle
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.random_projection import GaussianRandomProjection

from staytuned.evaluate.reuse.pipelines import free
from staytuned.evaluate.reuse.shared import Prefixes

X, y = make_classification(160, 8, n_informative=5, n_redundant=0, random_state=0)
TRAIN, TEST = np.arange(110), np.arange(110, 160)


class Costly(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Scales, and counts how often."""

    fits = transforms = 0

    def __init__(self, by: float = 2.0, harm: bool = False, seed: Any = 0) -> None:
        self.by, self.harm, self.seed = by, harm, seed

    def fit(self, X: Any, y: Any = None, note: Any = None) -> Any:  # noqa: ARG002
        type(self).fits += 1
        if self.harm:
            X[:] = 0
        return self

    def transform(self, X: Any) -> Any:
        type(self).transforms += 1
        return X * self.by


class Apart(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Gives its training rows other values than new ones, as target encoders do."""

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002
        self.done_ = True
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return self.fit(X, y).transform(X)[:, ::-1] * 3

    def transform(self, X: Any) -> Any:
        return X * 2.0


@pytest.fixture(autouse=True)
def _counts_from_zero() -> None:
    Costly.fits = Costly.transforms = 0


def score(prefixes: Prefixes, pipeline: Any, fold: int = 0, **fit_params: Any) -> Any:
    """One candidate on one fold, its tables cut anew as a cross-validation does, beside a plain fit."""
    X_train, X_test = X[TRAIN], X[TEST]
    fitted = prefixes.fitted(clone(pipeline), X_train, y[TRAIN], fit_params, fold, X_test)
    given = [fitted.predict(X_test), fitted.predict_proba(X_test), fitted.predict(X_train), get_scorer("roc_auc")(fitted, X_test, y[TEST])]
    before = Costly.fits, Costly.transforms
    alone = clone(pipeline).fit(X[TRAIN], y[TRAIN], **fit_params)
    for mine, theirs in zip(given, [alone.predict(X_test), alone.predict_proba(X_test), alone.predict(X_train)], strict=False):
        np.testing.assert_array_equal(mine, theirs)
    Costly.fits, Costly.transforms = before
    return fitted


def test_twenty_candidates_pay_once() -> None:
    prefixes = Prefixes()
    for k in range(1, 21):
        score(prefixes, make_pipeline(Costly(), StandardScaler(), KNeighborsClassifier(k)))
    assert Costly.fits == 1
    assert Costly.transforms == 3  # the training rows to fit, the test rows and the training rows to score
    score(prefixes, make_pipeline(Costly(), StandardScaler(), KNeighborsClassifier(3)), fold=1)
    assert Costly.fits == 2


def test_what_differs_is_fitted_again() -> None:
    prefixes = Prefixes()
    for by, with_mean, parts in [(2.0, True, 3), (2.0, False, 3), (2.0, False, 5), (3.0, False, 5), (2.0, True, 3)]:
        score(prefixes, make_pipeline(Costly(by), StandardScaler(with_mean=with_mean), PCA(parts), LogisticRegression()))
    assert Costly.fits == 2
    score(prefixes, make_pipeline(Costly(), LogisticRegression()), costly__note=np.arange(3))
    score(prefixes, make_pipeline(Costly(), LogisticRegression()), costly__note=np.arange(4))
    assert Costly.fits == 4
    score(prefixes, Pipeline([("first", "passthrough"), ("second", Costly()), ("model", LogisticRegression())]))
    assert Costly.fits == 5  # its name is part of the key, as messages and columns may show it


def test_a_transformer_without_a_seed_is_drawn_anew() -> None:
    prefixes = Prefixes()
    pipeline = make_pipeline(GaussianRandomProjection(3), Costly(), LogisticRegression())
    X_train, X_test = X[TRAIN], X[TEST]
    drawn = [prefixes.fitted(clone(pipeline), X_train, y[TRAIN], {}, 0, X_test)[0].components_ for _ in range(2)]
    assert not np.array_equal(*drawn)
    assert Costly.fits == 2  # nor is what follows it shared
    prefixes.fitted(make_pipeline(Costly(seed=None), LogisticRegression()), X_train, y[TRAIN], {}, 0)
    prefixes.fitted(make_pipeline(Costly(seed=None), LogisticRegression()), X_train, y[TRAIN], {}, 0)
    assert Costly.fits == 4  # not scikit-learn's: where it draws from cannot be seen
    seeded = make_pipeline(GaussianRandomProjection(3, random_state=0), Costly(), LogisticRegression())
    score(prefixes, seeded)
    score(prefixes, seeded)
    assert Costly.fits == 5


def test_what_cannot_be_hashed_is_not_shared() -> None:
    prefixes = Prefixes()
    for shift in (1.0, 2.0):
        score(prefixes, make_pipeline(Costly(), FunctionTransformer(lambda table, by=shift: table + by), Costly(3.0), LogisticRegression()))
    assert Costly.fits == 1 + 2  # the first is shared, what follows the function is not


def test_a_step_that_changes_its_table_harms_no_other() -> None:
    prefixes = Prefixes()
    for copy in (True, False, True):
        score(prefixes, make_pipeline(Costly(), StandardScaler(copy=copy), LogisticRegression()))
    X_train, X_test = X[TRAIN], X[TEST]
    prefixes.fitted(make_pipeline(Costly(), Costly(harm=True), LogisticRegression()), X_train, y[TRAIN], {}, 0, X_test)
    score(prefixes, make_pipeline(Costly(), LogisticRegression()))


def test_training_rows_are_scored_as_new_ones() -> None:
    prefixes = Prefixes()
    for C in (1.0, 2.0, 3.0):
        score(prefixes, make_pipeline(Apart(), StandardScaler(), LogisticRegression(C=C)))


def test_rows_that_go_missing_fail_as_in_scikit_learn() -> None:
    dropping = make_pipeline(FunctionTransformer(np.unique, kw_args={"axis": 0}), FunctionTransformer(_first_half), LogisticRegression())
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Prefixes().fitted(dropping, X[TRAIN], y[TRAIN], {}, 0)


def _first_half(table: Any) -> Any:
    return table[: len(table) // 2]


def test_memory_is_limited() -> None:
    table = X[TRAIN].nbytes + X[TEST].nbytes
    prefixes = Prefixes(limit=4 * table)
    for by in range(10):
        score(prefixes, make_pipeline(Costly(float(by + 1)), LogisticRegression()))
        assert prefixes._bytes <= prefixes.limit
        assert prefixes._bytes == sum(size for _, size in prefixes._held.values())
    score(prefixes, make_pipeline(Costly(10.0), LogisticRegression()))
    assert Costly.fits == 10  # the latest is still there
    score(prefixes, make_pipeline(Costly(1.0), LogisticRegression()))
    assert Costly.fits == 11  # the first went out
    tiny = Prefixes(limit=10)
    score(tiny, make_pipeline(Costly(), LogisticRegression()))
    assert not tiny._held


def test_other_estimators_are_fitted_as_they_are(tmp_path: Any) -> None:
    prefixes = Prefixes()
    for estimator in (
        RandomForestClassifier(3, random_state=0),
        Pipeline([("only", LogisticRegression())]),
        make_pipeline(Costly(), LogisticRegression(), memory=str(tmp_path)),
    ):
        assert type(score(prefixes, estimator)) is type(estimator)
    with pytest.raises(ValueError, match="sample_weight"):
        prefixes.fitted(make_pipeline(Costly(), LogisticRegression()), X[TRAIN], y[TRAIN], {"sample_weight": np.ones(110)}, 0)


def test_it_travels_empty_and_its_pipelines_whole() -> None:
    prefixes = Prefixes()
    fitted = score(prefixes, make_pipeline(Costly(), KNeighborsClassifier()))
    assert not pickle.loads(pickle.dumps(prefixes))._held
    assert pickle.loads(pickle.dumps(Prefixes(limit=7))).limit == deepcopy(Prefixes(limit=7)).limit == 7
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))


def test_free_parameters_begin_where_the_shared_steps_end() -> None:
    prefixes = Prefixes()
    for weights in ("uniform", "distance"):
        pipeline = Pipeline([("costly", Costly()), ("pca", PCA()), ("knn", KNeighborsClassifier(weights=weights))])
        offered = free(pipeline, ["pca__n_components", "knn__n_neighbors"])
        assert offered is not None
        configs = [{"pca__n_components": p, "knn__n_neighbors": k} for p in (2, 5) for k in (1, 4, 9)]
        X_train, X_test = X[TRAIN], X[TEST]
        views = prefixes.views(offered, clone(pipeline), configs, X_train, y[TRAIN], {}, 0, X_test)
        for config, view in zip(configs, views, strict=True):
            before = Costly.fits, Costly.transforms
            alone = clone(pipeline).set_params(**config).fit(X_train, y[TRAIN])
            expected = alone.predict_proba(X_test)
            Costly.fits, Costly.transforms = before
            np.testing.assert_allclose(view.predict_proba(X_test), expected, atol=1e-10)
    assert (Costly.fits, Costly.transforms) == (1, 2)
    plain = free(KNeighborsClassifier(), ["n_neighbors"])
    assert plain is not None
    assert len(prefixes.views(plain, KNeighborsClassifier(), [{"n_neighbors": 2}], X, y, {}, 0)) == 1


class Dawdling(OrderedDict[Any, Any]):
    """Between a look at it and what follows, other threads have their turn."""

    def __contains__(self, key: object) -> bool:
        found = super().__contains__(key)
        time.sleep(1e-4)
        return found


def test_threads_may_share_it() -> None:
    X_train, X_test = X[TRAIN], X[TEST]
    pipelines = [make_pipeline(Costly(float(by + 1)), StandardScaler(), LogisticRegression()) for by in range(3)]
    expected = [clone(pipeline).fit(X_train, y[TRAIN]).predict_proba(X_test) for pipeline in pipelines]
    prefixes = Prefixes(limit=3 * X_train.nbytes)  # what one thread has just seen there another drives out
    prefixes._held = Dawdling()
    together = threading.Barrier(4)

    def work(thread: int) -> None:
        together.wait(60)
        for k in range(12):
            which = (k * (thread + 1)) % len(pipelines)
            fitted = prefixes.fitted(clone(pipelines[which]), X_train, y[TRAIN], {}, 0, X_test)
            np.testing.assert_array_equal(fitted.predict_proba(X_test), expected[which])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert prefixes._bytes == sum(size for _, size in prefixes._held.values()) <= prefixes.limit
