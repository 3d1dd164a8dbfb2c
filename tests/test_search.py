"""TuneSearchCV stands where RandomizedSearchCV stands, with the same numbers, and says what it did besides."""

import pickle
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, make_scorer, mean_absolute_error
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, RandomizedSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from staytuned.errors import SpaceError, UsageError
from staytuned.search import TuneSearchCV
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space

X, y = make_classification(n_samples=120, n_features=6, n_informative=3, flip_y=0.1, random_state=0)
C = {"C": Float(1e-3, 1e3, log=True)}
GRID = {"C": [0.01, 0.1, 1, 10], "fit_intercept": [True, False]}
CV = StratifiedKFold(3, shuffle=True, random_state=0)


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


class Sleepy(Stubborn):
    """Takes its time to fit."""

    def __init__(self, seconds: float = 0.0, level: float = 0.5, limit: float = 0.5) -> None:
        super().__init__(level, limit)
        self.seconds = seconds

    def fit(self, X: Any, y: Any) -> Any:
        time.sleep(self.seconds)
        return super().fit(X, y)


# --- a scikit-learn estimator


@pytest.mark.slow
@parametrize_with_checks([search(trials=3, cv=2, error_score="raise")])
@pytest.mark.filterwarnings("ignore")
def test_passes_scikit_learns_exam(estimator: Any, check: Callable[[Any], None]) -> None:
    """All of it; RandomizedSearchCV takes it with error_score="raise" too, for a TypeError must come out as one."""
    check(estimator)


@parametrize_with_checks(
    [
        search({"alpha": Float(0.1, 10, log=True)}, Ridge(), trials=3, cv=2, method="sobol", error_score="raise"),
        search({"ridge__alpha": [0.1, 1.0]}, Pipeline([("scale", StandardScaler()), ("ridge", Ridge())]), cv=2, method="grid", error_score="raise"),
    ]
)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_passes_scikit_learns_exam_as_a_regressor(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_parameters_are_stored_as_given_and_reach_inside() -> None:
    tuned = search()
    assert clone(tuned).get_params()["space"] == C
    assert tuned.set_params(estimator__tol=0.1, trials=2).estimator.tol == 0.1
    assert not [name for name in vars(tuned) if name.endswith("_")]


def test_methods_are_those_of_the_estimator() -> None:
    assert not hasattr(search(estimator=SVC()), "predict_proba")
    assert hasattr(search(), "predict_proba")
    assert not hasattr(search(refit=False), "predict")
    with pytest.raises(NotFittedError):
        search().predict(X)
    with pytest.raises(AttributeError, match="before fit"):
        search().n_features_in_  # noqa: B018


def test_after_fit_it_is_its_best_estimator() -> None:
    frame = pd.DataFrame(X, columns=list("abcdef"))
    tuned = search().fit(frame, y)
    best = LogisticRegression(**tuned.best_params_).fit(frame, y)
    np.testing.assert_allclose(tuned.predict_proba(frame), best.predict_proba(frame))
    np.testing.assert_allclose(tuned.decision_function(frame), best.decision_function(frame))
    np.testing.assert_allclose(tuned.predict_log_proba(frame), best.predict_log_proba(frame))
    assert tuned.score(frame, y) == best.score(frame, y)
    assert list(tuned.classes_) == [0, 1]
    assert tuned.n_features_in_ == 6
    assert list(tuned.feature_names_in_) == list("abcdef")
    assert tuned.refit_time_ > 0


def test_transformers_are_tuned_too() -> None:
    tuned = search({"n_components": [1, 2, 3]}, PCA(), method="grid").fit(X)
    assert tuned.best_params_ == {"n_components": 3}
    np.testing.assert_allclose(tuned.inverse_transform(tuned.transform(X)), PCA(3).fit(X).inverse_transform(PCA(3).fit_transform(X)))
    assert len(tuned.score_samples(X)) == len(X)


def test_no_target_is_needed_where_the_estimator_needs_none() -> None:
    assert search({"n_clusters": [2, 3]}, KMeans(n_init=1, random_state=0), method="grid").fit(X).best_params_ == {"n_clusters": 3}
    with pytest.raises(UsageError, match="requires y"):
        search().fit(X)


def test_a_fitted_search_can_be_pickled() -> None:
    tuned = search().fit(X, y)
    copy = pickle.loads(pickle.dumps(tuned))
    np.testing.assert_array_equal(copy.predict(X), tuned.predict(X))
    assert copy.best_params_ == tuned.best_params_
    assert len(copy.trials_) == 6
    assert not hasattr(copy, "study_")


def test_nested_in_cross_validation() -> None:
    scores = cross_val_score(search(trials=3), X, y, cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.5


# --- the same numbers as scikit-learn


def columns_agree(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
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
    assert set(ours) - set(theirs) == {"status", "origin", "trial_seconds"}


def by_row(results: dict[str, Any], order: list[int]) -> dict[str, Any]:
    return {name: [column[i] for i in order] if isinstance(column, list) else column[order] for name, column in results.items()}


@pytest.mark.slow
@pytest.mark.parametrize("scoring", [None, "roc_auc", get_scorer("neg_log_loss")], ids=["own", "name", "callable"])
def test_a_grid_gives_grid_searchs_results(scoring: Any) -> None:
    ours = search(GRID, method="grid", trials=None, cv=CV, scoring=scoring, return_train_score=True).fit(X, y)
    theirs = GridSearchCV(LogisticRegression(), GRID, cv=CV, scoring=scoring, return_train_score=True).fit(X, y)
    assert len(ours.cv_results_["params"]) == 8
    order = [ours.cv_results_["params"].index(params) for params in theirs.cv_results_["params"]]
    columns_agree(by_row(ours.cv_results_, order), theirs.cv_results_)
    assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-12)
    assert ours.n_splits_ == theirs.n_splits_
    assert not ours.multimetric_
    assert "exhausted" in ours.study_.why_ended or "tried" in ours.study_.why_ended


def test_a_randomized_search_of_the_same_configs_gives_the_same_results() -> None:
    ours = search({"C": stats.loguniform(1e-2, 1e2), "class_weight": [None, "balanced"]}, race=False, cv=CV).fit(X, y)
    replay = [{name: [value] for name, value in params.items()} for params in ours.cv_results_["params"]]
    theirs = GridSearchCV(LogisticRegression(), replay, cv=CV).fit(X, y)
    columns_agree(ours.cv_results_, theirs.cv_results_)
    assert ours.best_index_ == theirs.best_index_
    assert ours.best_params_ == theirs.best_params_


def test_any_randomized_search_dict_will_do() -> None:
    space = {
        "max_depth": stats.randint(1, 9),
        "min_impurity_decrease": stats.uniform(0, 0.1),
        "ccp_alpha": stats.expon(scale=0.01),
        "criterion": ["gini", "entropy", "gini"],
        "max_features": np.array([0.5, 0.7, 1.0]),
        "class_weight": [None, {0: 1, 1: 2}],
    }
    RandomizedSearchCV(DecisionTreeClassifier(), space, n_iter=2, cv=3).fit(X, y)
    tuned = search(space, DecisionTreeClassifier(random_state=0)).fit(X, y)
    assert set(tuned.best_params_) == set(space)
    assert tuned.cv_results_["param_class_weight"].dtype == object


def test_an_empty_space_is_one_config() -> None:
    tuned = search({}).fit(X, y)
    assert tuned.best_params_ == {}
    assert len(tuned.trials_) == 1


@pytest.mark.slow
def test_multimetric_results_are_scikit_learns() -> None:
    scoring = {"auc": "roc_auc", "acc": make_scorer(lambda t, p: np.mean(t == p))}
    ours = search(GRID, method="grid", trials=None, cv=CV, scoring=scoring, refit="auc").fit(X, y)
    theirs = GridSearchCV(LogisticRegression(), GRID, cv=CV, scoring=scoring, refit="auc").fit(X, y)
    order = [ours.cv_results_["params"].index(params) for params in theirs.cv_results_["params"]]
    columns_agree(by_row(ours.cv_results_, order), theirs.cv_results_)
    assert ours.multimetric_
    assert set(ours.scorer_) == {"auc", "acc"}
    assert ours.score(X, y) == get_scorer("roc_auc")(ours, X, y)
    assert ours.best_score_ == ours.cv_results_["mean_test_auc"].max()


@pytest.mark.parametrize("refit", [True, "f1", "accuracy_score"])
def test_several_metrics_need_one_that_decides(refit: Any) -> None:
    with pytest.raises(ValueError, match="refit must be one of 'accuracy', 'roc_auc'"):
        search(scoring=["accuracy", "roc_auc"], refit=refit).fit(X, y)


def test_several_metrics_without_refit_choose_nothing() -> None:
    tuned = search(scoring=["accuracy", "roc_auc"], refit=False).fit(X, y)
    assert not hasattr(tuned, "best_index_")
    assert np.isfinite(tuned.cv_results_["mean_test_roc_auc"]).all()


@pytest.mark.slow
def test_refit_may_be_a_function_of_the_results() -> None:
    def smallest_c(results: dict[str, Any]) -> int:
        return int(np.argmin(results["param_C"]))

    tuned = search(refit=smallest_c).fit(X, y)
    assert tuned.best_params_["C"] == min(tuned.cv_results_["param_C"])
    assert not hasattr(tuned, "best_score_")
    assert "pruned" not in tuned.cv_results_["status"]  # no metric decides, so nothing is raced
    with pytest.raises(IndexError, match="99"):
        search(refit=lambda results: 99).fit(X, y)  # noqa: ARG005
    with pytest.raises(TypeError, match=r"0\.5"):
        search(refit=lambda results: 0.5).fit(X, y)  # noqa: ARG005


def both(estimator: Any, X: Any, y: Any) -> dict[str, float]:
    hits = float(np.mean(estimator.predict(X) == y))
    return {"hits": hits, "misses": hits - 1}


def test_a_scorer_may_return_a_dict() -> None:
    tuned = search(scoring=both, refit="misses", race=False).fit(X, y)
    assert tuned.multimetric_
    assert {"mean_test_hits", "rank_test_misses"} < set(tuned.cv_results_)
    assert "mean_test_score" not in tuned.cv_results_
    assert tuned.best_score_ == tuned.cv_results_["mean_test_misses"].max()
    assert tuned.score(X, y) == both(tuned, X, y)["misses"]
    with pytest.raises(ValueError, match="refit=True must be one of these"):
        search(scoring=both).fit(X, y)


def test_refit_false_still_chooses() -> None:
    tuned = search(refit=False).fit(X, y)
    assert tuned.best_score_ == tuned.cv_results_["mean_test_score"][tuned.best_index_]
    assert not hasattr(tuned, "best_estimator_")


@pytest.mark.slow
def test_groups_go_to_the_splitter() -> None:
    groups = np.arange(len(y)) % 5
    ours = search(GRID, method="grid", trials=None, cv=GroupKFold(5)).fit(X, y, groups=groups)
    theirs = GridSearchCV(LogisticRegression(), GRID, cv=GroupKFold(5)).fit(X, y, groups=groups)
    assert sorted(ours.cv_results_["mean_test_score"]) == pytest.approx(sorted(theirs.cv_results_["mean_test_score"]))


@pytest.mark.slow
def test_sample_weights_go_to_fit_and_score() -> None:
    weights = np.where(y == 1, 5.0, 0.2)
    ours = search(GRID, method="grid", trials=None, cv=CV).fit(X, y, sample_weight=weights)
    theirs = GridSearchCV(LogisticRegression(), GRID, cv=CV).fit(X, y, sample_weight=weights)
    assert ours.best_params_ == theirs.best_params_
    np.testing.assert_allclose(ours.best_estimator_.coef_, theirs.best_estimator_.coef_)
    plain = search(GRID, method="grid", trials=None, cv=CV).fit(X, y)
    assert not np.allclose(ours.best_estimator_.coef_, plain.best_estimator_.coef_)


def test_a_scorer_without_weights_is_said() -> None:
    def hits(estimator: Any, X: Any, y: Any) -> float:
        return float(np.mean(estimator.predict(X) == y))

    with pytest.warns(UserWarning, match="not to score"):
        search(scoring=hits).fit(X, y, sample_weight=np.ones(len(y)))


def test_metadata_routing() -> None:
    weights = np.where(y == 1, 5.0, 0.2)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = LogisticRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        tuned = search(GRID, estimator, method="grid", trials=None, cv=GroupKFold(3)).fit(X, y, sample_weight=weights, groups=np.arange(len(y)) % 3)
        assert np.isfinite(tuned.score(X, y, sample_weight=weights))
    with pytest.raises(UsageError, match="enable_metadata_routing"):
        tuned.score(X, y, sample_weight=weights)


def test_kernel_matrices() -> None:
    kernel = rbf_kernel(X, gamma=0.1)
    ours = search({"C": [0.1, 1, 10]}, SVC(kernel="precomputed"), method="grid", cv=CV).fit(kernel, y)
    theirs = GridSearchCV(SVC(kernel="precomputed"), {"C": [0.1, 1, 10]}, cv=CV).fit(kernel, y)
    assert sorted(ours.cv_results_["mean_test_score"]) == sorted(theirs.cv_results_["mean_test_score"])


# --- spaces


def test_estimators_as_choices() -> None:
    pipe = Pipeline([("scale", StandardScaler()), ("clf", SVC())])
    svc, forest = SVC(C=3.0), RandomForestClassifier(3, random_state=0)
    tuned = search({"clf": [svc, forest], "scale": [StandardScaler(), "passthrough"]}, pipe, trials=None).fit(X, y)
    assert len(tuned.trials_) == 4
    assert {type(params["clf"]) for params in tuned.cv_results_["params"]} == {SVC, RandomForestClassifier}
    assert not hasattr(svc, "support_")
    assert not hasattr(forest, "estimators_")
    assert tuned.best_estimator_["clf"] is not tuned.best_params_["clf"]
    assert tuned.cv_results_["param_clf"].dtype == object


def test_a_list_of_dicts_takes_one_of_them() -> None:
    space = [{"kernel": ["linear"], "C": [0.1, 1]}, {"kernel": ["rbf"], "C": [1, 10], "gamma": [0.1, 1.0]}]
    ours = search(space, SVC(), method="grid", trials=None, cv=CV).fit(X, y)
    theirs = GridSearchCV(SVC(), space, cv=CV).fit(X, y)
    order = [ours.cv_results_["params"].index(params) for params in theirs.cv_results_["params"]]
    columns_agree(by_row(ours.cv_results_, order), theirs.cv_results_)
    assert ours.cv_results_["param_gamma"].mask.sum() == 2
    assert set(ours.best_params_) <= {"kernel", "C", "gamma"}


def test_a_list_of_spaces_keeps_conditions_and_constraints() -> None:
    tree = Space({"max_depth": Int(1, 8), "min_samples_leaf": Int(1, 8)}, ["min_samples_leaf <= max_depth"])
    tuned = search([tree, {"max_leaf_nodes": Int(2, 9), "splitter": Choice(["best", "random"])}], DecisionTreeClassifier(random_state=0), trials=30).fit(X, y)
    configs = tuned.cv_results_["params"]
    assert {frozenset(c) for c in configs} == {frozenset({"max_depth", "min_samples_leaf"}), frozenset({"max_leaf_nodes", "splitter"})}
    assert all(c["min_samples_leaf"] <= c["max_depth"] for c in configs if "max_depth" in c)


def test_conditions_show_as_masked_values() -> None:
    space = {"kernel": Choice(["linear", "rbf"]), "gamma": Float(1e-2, 1, log=True, when={"kernel": ["rbf"]})}
    tuned = search(space, SVC(), trials=10).fit(X, y)
    for masked, params in zip(np.ma.getmaskarray(tuned.cv_results_["param_gamma"]), tuned.cv_results_["params"], strict=True):
        assert masked == (params["kernel"] == "linear")


# --- what is tried


def test_the_estimator_as_it_stands_comes_first() -> None:
    tuned = search(estimator=LogisticRegression(C=7.0)).fit(X, y)
    assert tuned.cv_results_["origin"][0] == "default"
    assert tuned.cv_results_["params"][0] == {"C": 7.0}
    assert set(tuned.cv_results_["origin"][1:]) == {"random"}


def test_the_default_of_a_branch() -> None:
    space = [{"kernel": ["linear"], "C": Float(0.1, 10)}, {"kernel": ["rbf"], "C": Float(0.1, 10), "gamma": ["scale", "auto"]}]
    tuned = search(space, SVC()).fit(X, y)
    assert tuned.cv_results_["origin"][0] == "default"
    assert tuned.cv_results_["params"][0] == {"kernel": "rbf", "C": 1.0, "gamma": "scale"}


def test_no_default_outside_the_space_nor_on_a_grid() -> None:
    assert search(estimator=LogisticRegression(C=1e9)).fit(X, y).cv_results_["origin"][0] == "random"
    assert set(search(GRID, method="grid").fit(X, y).cv_results_["origin"]) == {"grid"}


@pytest.mark.parametrize("method", ["sobol", "tpe", "bayes", "evolution", "auto"])
def test_every_method(method: str) -> None:
    tuned = search(method=method, trials=4).fit(X, y)
    assert len(tuned.trials_) == 4
    assert search(method=method, trials=4).fit(X, y).cv_results_["params"] == tuned.cv_results_["params"]


@pytest.mark.parametrize("state", [3, np.random.RandomState(3), np.random.default_rng(3), np.int64(3)], ids=["int", "RandomState", "Generator", "int64"])
def test_random_states_of_all_kinds(state: Any) -> None:
    assert len(search(random_state=state, trials=2).fit(X, y).trials_) == 2


def test_a_finite_space_ends_early_without_a_word() -> None:
    tuned = search({"C": [0.1, 1, 10]}, trials=50).fit(X, y)
    assert len(tuned.trials_) == 3
    assert tuned.study_.why_ended


def test_time_is_a_budget_of_its_own() -> None:
    tuned = search(trials=None, time=0.3).fit(X, y)
    assert len(tuned.trials_) >= 1
    assert "time" in tuned.study_.why_ended


def test_equal_scores_go_to_the_earlier() -> None:
    tuned = search({"limit": Float(1, 9)}, Stubborn(0.3, limit=2.0), race=False).fit(X, y)
    assert tuned.best_index_ == 0
    assert list(tuned.cv_results_["rank_test_score"]) == [1] * 6


# --- races


def raced() -> TuneSearchCV:
    space = {"max_depth": Int(1, 12), "min_samples_leaf": Int(1, 55)}
    return search(space, DecisionTreeClassifier(random_state=0), trials=30, cv=KFold(5)).fit(X, y)


def test_raced_out_configs_rank_behind_all_finished_ones() -> None:
    tuned = raced()
    results = tuned.cv_results_
    out = results["status"] == "pruned"
    assert 0 < out.sum() < 29
    splits = np.column_stack([results[f"split{i}_test_score"] for i in range(5)])
    assert np.isnan(splits[out][:, -1]).all()
    assert np.isfinite(splits[out][:, :2]).all()
    assert np.isfinite(splits[~out]).all()
    assert np.isfinite(results["mean_test_score"]).all()
    assert results["rank_test_score"][out].min() > results["rank_test_score"][~out].max()
    assert tuned.cv_results_["status"][tuned.best_index_] == "done"
    assert tuned.best_score_ == results["mean_test_score"][~out].max()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"race": False}, {"method": "grid"}, {"cv": 2}, {"scoring": ["accuracy", "roc_auc"], "refit": False}], ids=str)
def test_races_can_be_off(options: dict[str, Any]) -> None:
    space = {"max_depth": Int(1, 12), "min_samples_leaf": Int(1, 55)}
    tuned = search(space, DecisionTreeClassifier(random_state=0), **{"trials": 20, "cv": 4} | options).fit(X, y)
    assert set(tuned.cv_results_["status"]) == {"done"}


# --- failures


def test_a_failing_config_costs_only_itself() -> None:
    with pytest.warns(FitFailedWarning, match=r"of 12 trials failed.*level .* is too high"):
        tuned = search({"level": Float(0, 1)}, Stubborn(), trials=12).fit(X, y)
    failed = tuned.cv_results_["status"] == "failed"
    assert 0 < failed.sum() < 12
    assert np.isnan(tuned.cv_results_["mean_test_score"][failed]).all()
    assert np.isnan(tuned.cv_results_["split0_test_score"][failed]).all()
    assert tuned.cv_results_["rank_test_score"][failed].min() > tuned.cv_results_["rank_test_score"][~failed].max()
    assert tuned.best_params_["level"] <= 0.5
    assert tuned.trials_[tuned.best_index_].config == tuned.best_params_


def test_failures_may_be_given_a_score() -> None:
    with pytest.warns(FitFailedWarning):
        tuned = search({"level": Float(0, 1)}, Stubborn(), trials=12, error_score=-1).fit(X, y)
    failed = tuned.cv_results_["status"] == "failed"
    assert set(tuned.cv_results_["mean_test_score"][failed]) == {-1.0}


def test_failures_may_be_raised() -> None:
    with pytest.raises(RuntimeError, match=r"level 1\.0 is too high"):
        search({"level": Float(0, 1)}, Stubborn(), error_score="raise").fit(X, y)


def test_when_all_fail_the_error_says_why() -> None:
    with pytest.raises(ValueError, match=r"all the 6 trials failed.*is too high"):
        search({"level": Float(0.6, 1)}, Stubborn()).fit(X, y)


def test_nothing_but_nan() -> None:
    with pytest.raises(ValueError, match=r"all the 3 trials failed.*score=nan"):
        search(scoring=lambda estimator, X, y: float("nan"), trials=3).fit(X, y)  # noqa: ARG005


def test_some_nan() -> None:
    def scoring(estimator: Any, X: Any, y: Any) -> float:
        return float("nan") if estimator.C < 1 else float(estimator.score(X, y))

    with pytest.warns(FitFailedWarning):
        tuned = search(scoring=scoring, trials=12).fit(X, y)
    assert tuned.best_params_["C"] >= 1
    assert "invalid" in tuned.cv_results_["status"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"space": {"c": Float(0, 1)}}, "'c' is not a parameter of LogisticRegression; did you mean 'C'"),
        ({"space": {"C": 3}}, "C=3 is not a dimension"),
        ({"space": []}, "no branch"),
        ({"space": "C"}, "a space is a dict"),
        ({"method": "tpee"}, "did you mean 'tpe'"),
        ({"trials": 0}, "trials=0"),
        ({"trials": 2.5}, r"trials=2\.5"),
        ({"trials": None}, "trials=None without time="),
        ({"time": -1}, "-1"),
        ({"race": "often"}, "race='often'"),
        ({"error_score": "ignore"}, "error_score='ignore'"),
        ({"random_state": -1}, "random_state=-1"),
        ({"random_state": "x"}, "random_state='x'"),
        ({"n_jobs": 0}, "n_jobs=0"),
        ({"cv": []}, "cv="),
        ({"scoring": []}, "at least one metric"),
        ({"scoring": "acuracy"}, "acuracy"),
        ({"estimator": 3}, "estimator=3"),
    ],
    ids=str,
)
def test_bad_arguments_are_quoted(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        search(**options).fit(X, y)


def test_bad_spaces_are_space_errors() -> None:
    with pytest.raises(SpaceError):
        search({"C": {"type": "floot"}}).fit(X, y)


# --- the search as it runs


def test_verbose_prints_a_line_per_trial(capsys: pytest.CaptureFixture[str]) -> None:
    search(verbose=1, trials=3).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["trial", "0", "default"], ["trial", "1", "random"], ["trial", "2", "random"]]
    assert all("C=" in line and "score 0." in line for line in lines)
    search(trials=2).fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_trial_past_its_time_is_cut_off() -> None:
    with pytest.warns(FitFailedWarning, match="1 of 2 trials failed"):
        tuned = search({"seconds": [0.0, 60.0]}, Sleepy(), trial_timeout=2.0, trials=None).fit(X, y)
    assert sorted(tuned.cv_results_["status"]) == ["done", "timeout"]
    assert tuned.best_params_ == {"seconds": 0.0}


@pytest.mark.slow
def test_two_processes_find_what_one_does() -> None:
    """A method that looks at no scores, on folds that are all measured."""
    one, two = (search(n_jobs=n, race=False, trials=4).fit(X, y) for n in (1, 2))
    columns_agree(two.cv_results_, {name: column for name, column in one.cv_results_.items() if name not in ("status", "origin", "trial_seconds")})
    assert list(two.cv_results_["origin"]) == list(one.cv_results_["origin"])


@pytest.mark.slow
def test_a_search_continues_in_its_ledger(tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path / 'tuned.db'}"
    whole = search(trials=6).fit(X, y)
    part = search(trials=2, ledger=ledger).fit(X, y)
    rest = search(trials=6, ledger=ledger).fit(X, y)
    assert len(part.trials_) == 2
    assert rest.cv_results_["params"] == whole.cv_results_["params"]
    assert list(rest.cv_results_["origin"]) == list(whole.cv_results_["origin"])
    assert rest.best_score_ == whole.best_score_
    again = search(trials=6, ledger=ledger).fit(X, y)
    assert len(again.trials_) == 6
    assert again.study_.name == rest.study_.name
    assert "before" in again.study_.why_ended


@pytest.mark.slow
def test_another_table_is_another_search(tmp_path: Path) -> None:
    ledger = str(tmp_path / "tuned.db")
    first = search(trials=2, ledger=ledger).fit(X, y)
    other = search(trials=2, ledger=ledger).fit(X[::-1], y)
    assert other.study_.name != first.study_.name
    search(trials=2, ledger=ledger, name="mine").fit(X, y)
    with pytest.raises(UsageError, match="another name"):
        search(trials=2, ledger=ledger, name="mine").fit(X[::-1], y)


def test_a_ledger_holds_estimators_as_choices(tmp_path: Path) -> None:
    pipe = Pipeline([("clf", SVC())])
    space = {"clf": [SVC(), DecisionTreeClassifier(random_state=0)]}
    for trials in (1, 2):
        tuned = search(space, pipe, trials=trials, ledger=str(tmp_path / "tuned.db")).fit(X, y)
    assert {type(trial.config["clf"]) for trial in tuned.trials_} == {SVC, DecisionTreeClassifier}


def test_unconverged_configs_are_quiet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(estimator=LogisticRegression(max_iter=1), refit=False).fit(X * 100, y)


def test_a_regressor_by_its_error() -> None:
    target = X[:, 0] * 3 + X[:, 1]
    tuned = search({"alpha": Float(1e-3, 1e3, log=True)}, Ridge(), scoring="neg_mean_absolute_error").fit(X, target)
    assert -tuned.score(X, target) == pytest.approx(mean_absolute_error(target, tuned.predict(X)))
    assert tuned.best_score_ < 0
