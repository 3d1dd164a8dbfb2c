"""TuneSearchCV gives the numbers of scikit-learn's searches, and takes the spaces they take, and more."""

from typing import Any

import numpy as np
import pytest
import sklearn
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, make_scorer
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, GroupKFold, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from searches import CV, GRID, X, by_row, columns_agree, search, y
from staytuned.errors import UsageError
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space

# --- the same numbers


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
