"""What comes free in a pipeline: views of the whole against refits of the whole."""

import pickle
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import check_scoring, get_scorer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from staytuned.evaluate.reuse.pipelines import Free, free
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

X, LABELS = make_classification(160, 8, n_informative=5, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=0)
X = X * np.arange(1, 9) + 3
y = np.array(["a", "b", "c"])[LABELS]
W = np.random.default_rng(0).uniform(0.5, 2, 160)
TRAIN, TEST = slice(0, 110), slice(110, 160)


class Counting(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Adds a constant, and counts how often."""

    fits = transforms = 0

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:  # noqa: ARG002
        type(self).fits += 1
        self.weighted_ = sample_weight is not None
        return self

    def transform(self, X: Any) -> Any:
        type(self).transforms += 1
        return X + self.shift


class Apart(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Gives its training rows other values than new ones, as target encoders do."""

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: ARG002
        self.done_ = True
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        return self.fit(X, y).transform(X)[:, ::-1] * [1, 5, 1, 2, 1, 1, 1, 1]

    def transform(self, X: Any) -> Any:
        return X * 2.0


@pytest.fixture(autouse=True)
def _counts_from_zero() -> None:
    Counting.fits = Counting.transforms = 0


def all_of(values: Mapping[str, Sequence[Any]]) -> list[Config]:
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def compare(pipeline: Any, values: Mapping[str, Sequence[Any]], X: Any, y: Any, fit_params: Mapping[str, Any] | None = None) -> Any:
    """Views of all combinations, each checked against its refit."""
    offered = free(pipeline, values)
    assert offered is not None
    assert offered.names == tuple(values)
    configs, fit_params = all_of(values), fit_params or {}
    train, test = (X.iloc[TRAIN], X.iloc[TEST]) if hasattr(X, "iloc") else (X[TRAIN], X[TEST])
    views = offered.views(clone(pipeline), configs, train, y[TRAIN], fit_params)
    for config, view in zip(configs, views, strict=True):
        alone = clone(pipeline).set_params(**config).fit(train, y[TRAIN], **fit_params)
        assert isinstance(view, Pipeline)
        assert (is_classifier(view), is_regressor(view)) == (is_classifier(alone), is_regressor(alone))
        assert {name: view.get_params()[name] for name in config} == config
        for method in ("predict", "predict_proba", "decision_function", "transform"):
            assert hasattr(view, method) == hasattr(alone, method)
            for table in (test, train):
                if hasattr(alone, method):
                    given, expected = getattr(view, method)(table), getattr(alone, method)(table)
                    if np.asarray(expected).dtype.kind in "fi":
                        np.testing.assert_allclose(given, expected, atol=1e-9)
                    else:
                        np.testing.assert_array_equal(given, expected)
        if is_classifier(alone):
            np.testing.assert_array_equal(view.classes_, alone.classes_)
            assert get_scorer("accuracy")(view, test, y[TEST]) == get_scorer("accuracy")(alone, test, y[TEST])
            assert view.score(test, y[TEST], sample_weight=W[TEST]) == pytest.approx(alone.score(test, y[TEST], sample_weight=W[TEST]))
    return views


def test_the_last_step() -> None:
    compare(make_pipeline(StandardScaler(), KNeighborsClassifier()), {"kneighborsclassifier__n_neighbors": [1, 5, 9, 30]}, X, y)
    compare(make_pipeline(StandardScaler(), RidgeClassifier()), {"ridgeclassifier__alpha": [0.01, 1.0, 100.0]}, X, y)
    compare(make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 10.0], "svc__gamma": [0.1, "scale"]}, X, y)


def test_an_inner_step() -> None:
    compare(make_pipeline(StandardScaler(), PCA(), LogisticRegression()), {"pca__n_components": [2, 5, 3]}, X, y)
    compare(Pipeline([("best", SelectKBest(f_classif)), ("scale", StandardScaler()), ("clf", LogisticRegression())]), {"best__k": [2, "all", 5]}, X, y)


def test_several_at_once_are_the_product() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("pca", PCA(svd_solver="full")), ("best", SelectKBest(f_classif)), ("knn", KNeighborsClassifier())])
    values = {"pca__n_components": [4, 6], "best__k": [2, 3], "knn__n_neighbors": [1, 7, 12], "knn__weights": ["uniform", "distance"]}
    compare(pipeline, values, X, y)
    offered = free(pipeline, [*values, "scale__with_mean", "nothing"])
    assert offered is not None
    assert offered.names == tuple(values)
    configs = all_of({"best__k": [2, 3]})  # some of what is free may stand still
    views = offered.views(pipeline, configs, X, y, {})
    np.testing.assert_array_equal(views[1].predict(X), clone(pipeline).set_params(best__k=3).fit(X, y).predict(X))


def test_each_step_is_fitted_and_applied_once() -> None:
    pipeline = Pipeline([("first", Counting(1.0)), ("pca", PCA()), ("second", Counting()), ("knn", KNeighborsClassifier())])
    offered = free(pipeline, ["pca__n_components", "knn__n_neighbors"])
    assert offered is not None
    views = offered.views(pipeline, all_of({"pca__n_components": [2, 4], "knn__n_neighbors": list(range(1, 11))}), X[TRAIN], y[TRAIN], {})
    assert Counting.fits == 1 + 2
    Counting.transforms = 0
    test = X[TEST]
    for view in views:
        view.predict(test), view.predict_proba(test)
        check_scoring(view, ["accuracy", "neg_log_loss"])(view, test, y[TEST])
    assert Counting.transforms == 1 + 2


def test_passthrough_verbose_memory_and_a_nested_pipeline(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"knn__n_neighbors": [1, 6]}
    compare(Pipeline([("none", "passthrough"), ("scale", StandardScaler()), ("knn", KNeighborsClassifier())]), values, X, y)
    compare(Pipeline([("scale", StandardScaler()), ("knn", KNeighborsClassifier())], memory=str(tmp_path)), values, X, y)
    compare(Pipeline([("xxx", StandardScaler()), ("x", Counting()), ("knn", KNeighborsClassifier())], verbose=True), values, X, y)
    assert "Processing" in capsys.readouterr().out
    inner = Pipeline([("scale", StandardScaler()), ("knn", KNeighborsClassifier())])
    compare(Pipeline([("pca", PCA()), ("model", inner)]), {"pca__n_components": [3, 5], "model__knn__n_neighbors": [1, 6]}, X, y)
    compare(Pipeline([("best", SelectKBest(f_classif)), ("end", "passthrough")]), {"best__k": [3, 5]}, X, y)
    compare(Pipeline([("scale", StandardScaler()), ("pca", PCA())]), {"pca__n_components": [3, 5]}, X, y)
    assert free(Pipeline([("pre", Pipeline([("pca", PCA())])), ("knn", SVC())]), ["pre__pca__n_components"]) is None
    only = KNeighborsClassifier()
    compare(Pipeline([("knn", only)]), values, X, y)


def test_a_step_whose_training_rows_differ_from_new_ones() -> None:
    pipeline = make_pipeline(Apart(), PCA(), KNeighborsClassifier())
    compare(pipeline, {"pca__n_components": [1, 2], "kneighborsclassifier__n_neighbors": [1, 4]}, X, y)


def test_fit_parameters_go_to_their_steps() -> None:
    pipeline = Pipeline([("first", Counting()), ("best", SelectKBest(f_classif)), ("clf", RidgeClassifier())])
    fit_params = {"clf__sample_weight": W[TRAIN], "first__sample_weight": W[TRAIN]}
    views = compare(pipeline, {"best__k": [3, 6], "clf__alpha": [0.1, 10.0]}, X, y, fit_params)
    assert views[0].named_steps["first"].weighted_
    offered = free(pipeline, ["clf__alpha"])
    assert offered is not None
    with pytest.raises(ValueError, match="sample_weight"):
        offered.views(pipeline, [{"clf__alpha": 1.0}], X, y, {"sample_weight": W})


def test_frames_columns_and_steps_that_give_frames() -> None:
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(8)])
    frame["kind"] = np.where(X[:, 0] > 3, "left", "right")
    columns = ColumnTransformer([("one", OneHotEncoder(), ["kind"])], remainder=StandardScaler())
    views = compare(make_pipeline(columns, KNeighborsClassifier()), {"kneighborsclassifier__n_neighbors": [1, 6, 20]}, frame, y)
    assert list(views[0].feature_names_in_) == list(frame)
    pipeline = make_pipeline(StandardScaler(), SelectKBest(f_classif), KNeighborsClassifier()).set_output(transform="pandas")
    compare(pipeline, {"selectkbest__k": [2, 5], "kneighborsclassifier__n_neighbors": [1, 6]}, frame.drop(columns="kind"), y)


def test_metadata_routing_is_fitted_one_by_one() -> None:
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), RidgeClassifier().set_fit_request(sample_weight=True))
        offered = free(pipeline, ["ridgeclassifier__alpha"])
        assert offered is not None
        views = offered.views(pipeline, [{"ridgeclassifier__alpha": a} for a in (0.1, 10.0)], X, y, {"sample_weight": W})
        alone = clone(pipeline).set_params(ridgeclassifier__alpha=10.0).fit(X, y, sample_weight=W)
        np.testing.assert_allclose(views[1].decision_function(X), alone.decision_function(X), atol=1e-10)


def test_a_view_travels_and_can_be_cloned_and_fitted_anew() -> None:
    offered = free(pipeline := make_pipeline(StandardScaler(), KNeighborsClassifier()), ["kneighborsclassifier__n_neighbors"])
    assert offered is not None
    view = offered.views(pipeline, [{"kneighborsclassifier__n_neighbors": 2}, {"kneighborsclassifier__n_neighbors": 9}], X, y, {})[1]
    expected = view.predict(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(view)).predict(X), expected)
    np.testing.assert_array_equal(clone(view).fit(X, y).predict(X), expected)
    shifted = X + 5 * np.random.default_rng(0).normal(size=X.shape)
    again = make_pipeline(StandardScaler(), KNeighborsClassifier(9)).fit(shifted, y).predict(X)
    np.testing.assert_array_equal(view.fit(shifted, y).predict(X), again)


def test_what_a_plain_estimator_offers() -> None:
    offered = free(KNeighborsClassifier(), ["weights", "p", "n_neighbors"])
    assert isinstance(offered, Free)
    assert offered.names == ("weights", "n_neighbors")
    assert offered.tolerance == 1e-10
    assert free(KNeighborsClassifier(), ["p"]) is None
    assert free(ColumnTransformer([]), ["sparse_threshold"]) is None
    assert free(make_pipeline(StandardScaler(), PLSRegression(), Ridge()), ["plsregression__n_components"]) is None


def test_equivalent_views_are_for_those_who_ask() -> None:
    assert free(LogisticRegression(), ["C"]) is None
    offered = free(make_pipeline(PCA(), LogisticRegression()), ["logisticregression__C", "pca__n_components"], equivalent=True)
    assert offered is not None
    assert offered.tolerance is None
    assert offered.says
    assert offered.names == ("logisticregression__C", "pca__n_components")


class Two(KNeighborsClassifier):  # type: ignore[misc]
    """Of which two things are known."""


def test_the_entry_that_frees_most_is_taken() -> None:
    register(Two, Reuse(("n_neighbors", "weights"), lambda *_: [], tolerance=0.1))
    register(Two, Reuse(("n_neighbors",), lambda *_: [], tolerance=0.0))
    one, both = free(Two(), ["n_neighbors"]), free(Two(), ["n_neighbors", "weights"])
    assert one is not None
    assert both is not None
    assert (one.tolerance, both.tolerance) == (0.0, 0.1)
