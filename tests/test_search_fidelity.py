"""TuneSearchCV with a scheduler: little effort for many configs, much for few; over training rows or a parameter of the estimator."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GroupKFold, HalvingRandomSearchCV, KFold, StratifiedKFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from staytuned.errors import UsageError
from staytuned.evaluate.cv import CrossValidation
from staytuned.evaluate.effort import Parameter, Rows
from staytuned.goal import Goal
from staytuned.schedulers.asha import ASHA, AshaRule
from staytuned.schedulers.hyperband import Hyperband
from staytuned.search import TuneSearchCV
from staytuned.space.dims import Float, Int
from staytuned.store.memory import MemoryLedger

rng = np.random.default_rng(0)
X = rng.normal(size=(180, 5))
y = np.where(X[:, 0] + 0.8 * rng.normal(size=180) > 0.4, "yes", np.where(X[:, 1] > 0.9, "rare", "no"))
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)
C = {"C": Float(1e-3, 1e3, log=True)}


def search(estimator: Any = None, space: Any = None, **options: Any) -> TuneSearchCV:
    """A quick search by halving, random by default."""
    defaults = {"method": "random", "trials": 13, "cv": FOLDS, "random_state": 0, "scheduler": "halving", "fidelity": 1 / 9, "honest": False}
    return TuneSearchCV(LogisticRegression() if estimator is None else estimator, C if space is None else space, **defaults | options)


def rows_of(found: TuneSearchCV, X: Any, y: Any, share: float, groups: Any = None, classify: bool = True) -> list[np.ndarray]:
    """The training rows of each fold at a share, as the search took them."""
    splits = list(found.cv.split(X, y, groups))
    plain = CrossValidation(lambda c, s: None, X, y, splits, {})  # noqa: ARG005
    return [train for train, _ in Rows.of(plain, groups=groups, classify=classify).seeded(found.study_.seed).at(plain, share).splits]


# the numbers of brackets


def test_a_bracket_is_that_of_halving_random_search() -> None:
    found = search(return_train_score=True).fit(X, y)
    table = {"C": np.logspace(-3, 3, 50)}
    theirs = HalvingRandomSearchCV(LogisticRegression(), table, n_candidates=9, min_resources=20, factor=3, cv=FOLDS, random_state=0).fit(X, y)
    assert found.n_resources_ == theirs.n_resources_ == [20, 60, 180]
    assert found.n_candidates_ == theirs.n_candidates_ == [9, 3, 1]
    for column in ("iter", "n_resources"):
        assert found.cv_results_[column].tolist() == theirs.cv_results_[column].tolist()
    assert set(theirs.cv_results_) - set(found.cv_results_) == set()


@pytest.mark.parametrize(("scheduler", "rungs"), [("hyperband", {20: 9, 60: 3 + 5, 180: 1 + 1 + 3}), ("halving", {20: 15, 60: 5, 180: 2}), ("asha", None)])
def test_the_brackets_of_the_paper(scheduler: str, rungs: dict[int, int] | None) -> None:
    found = search(DummyClassifier(), {"constant": Int(0, 10**6)}, scheduler=scheduler, trials=22).fit(X, y)
    seen = Counter(found.cv_results_["n_resources"].tolist())
    if rungs is None:
        rungs = {20: 22 - seen[60] - seen[180], 60: seen[20] // 3, 180: seen[60] // 3}
        assert seen[180] == 1 or seen[180] == 2
    elif scheduler == "halving":
        rungs = {20: 9 + 9, 60: 3, 180: 1}
    assert seen == rungs


def test_a_config_goes_on_if_it_is_in_the_best_third() -> None:
    results = search().fit(X, y).cv_results_
    for rung, kept in ((0, 3), (1, 1)):
        here, above = results["iter"] == rung, results["iter"] == rung + 1
        scores, values = results["mean_test_score"][here], np.array(results["param_C"])[here]
        best = values[np.argsort(-scores, kind="stable")[:kept]]
        assert sorted(np.array(results["param_C"])[above]) == sorted(best)


# what a share is


def test_scores_at_a_share_are_those_of_a_fit_on_these_rows_by_hand() -> None:
    found = search(return_train_score=True).fit(X, y)
    for trial in found.trials_:
        rows = rows_of(found, X, y, trial.share)
        for (train, test), part, reading in zip(FOLDS.split(X, y), rows, trial.readings, strict=True):
            assert set(part) <= set(train)
            assert len(part) == round(trial.share * 120)
            model = LogisticRegression(C=trial.config["C"]).fit(X[part], y[part])
            assert reading.scores["score"] == model.score(X[test], y[test])
            assert reading.train_scores["score"] == model.score(X[part], y[part])


def test_larger_shares_hold_smaller_ones_and_classes_stay_in_proportion() -> None:
    found = search(fidelity=1 / 27, trials=40).fit(X, y)
    per_class = Counter(y)
    smaller = rows_of(found, X, y, 1 / 27)
    for share in (1 / 9, 1 / 3, 1.0):
        larger = rows_of(found, X, y, share)
        for few, many in zip(smaller, larger, strict=True):
            assert set(few) < set(many)
            assert (np.diff(many) > 0).all()
            for label, count in per_class.items():
                assert abs((y[many] == label).sum() - share * count * 2 / 3) < 1.7
                assert label in y[few]
        smaller = larger
    orders = [tuple(part) for part in rows_of(search(random_state=1).fit(X, y), X, y, 1 / 3)]
    assert orders != [tuple(part) for part in rows_of(found, X, y, 1 / 3)]


def test_sample_weights_follow_the_rows() -> None:
    weight = rng.uniform(0.1, 3, size=180)
    found = search(scoring="accuracy").fit(X, y, sample_weight=weight)
    trial = found.trials_[0]
    part, (_, test) = rows_of(found, X, y, trial.share)[0], next(FOLDS.split(X, y))
    model = LogisticRegression(C=trial.config["C"]).fit(X[part], y[part], sample_weight=weight[part])
    expected = np.average(model.predict(X[test]) == y[test], weights=weight[test])
    assert trial.readings[0].scores["score"] == pytest.approx(expected)


def test_groups_stay_whole() -> None:
    groups = np.repeat(np.arange(30), 6)
    found = search(cv=GroupKFold(3)).fit(X, y, groups=groups)
    before: list[set[int]] = [set(), set(), set()]
    for share, sizes in ((1 / 9, {12, 18}), (1 / 3, {42, 36})):
        parts = rows_of(found, X, y, share, groups)
        for fold, part in enumerate(parts):
            taken = set(groups[part])
            assert len(part) in sizes
            assert len(part) == 6 * len(taken)
            assert before[fold] < taken
            assert set(y[part]) == set(y)
            before[fold] = taken


def test_of_rows_in_order_of_time_the_latest_are_taken() -> None:
    found = search(Ridge(), {"alpha": Float(1e-3, 1e3, log=True)}, cv=TimeSeriesSplit(3)).fit(X, X[:, 0])
    for (train, _), part in zip(TimeSeriesSplit(3).split(X), rows_of(found, X, X[:, 0], 1 / 9, classify=False), strict=True):
        assert part.tolist() == train[-round(len(train) / 9) :].tolist()


def test_masks_and_targets_of_several_outputs_serve_too() -> None:
    several = np.column_stack([X[:, 0], X[:, 1]])
    train = np.arange(180) < 135
    found = search(Ridge(), {"alpha": Float(1e-3, 1e3, log=True)}, cv=[(train, ~train)]).fit(X, several)
    plain = CrossValidation(lambda c, s: None, X, several, [(train, ~train)], {})  # noqa: ARG005
    ((part, _),) = Rows.of(plain, classify=True).seeded(found.study_.seed).at(plain, 1 / 9).splits
    model = Ridge(alpha=found.trials_[0].config["alpha"]).fit(X[part], several[part])
    assert len(part) == 15
    assert found.trials_[0].scores["score"] == pytest.approx(model.score(X[~train], several[~train]))


def test_a_kernel_matrix_is_cut_both_ways() -> None:
    plain = search(SVC(gamma=0.1)).fit(X, y)
    found = search(SVC(kernel="precomputed")).fit(rbf_kernel(X, gamma=0.1), y)
    assert found.cv_results_["mean_test_score"] == pytest.approx(plain.cv_results_["mean_test_score"])


def test_first_steps_of_a_pipeline_are_those_of_the_share() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())])
    found = search(pipeline, {"clf__C": C["C"]}).fit(X, y)
    assert {round(trial.share, 3) for trial in found.trials_} == {0.111, 0.333, 1.0}
    for trial in found.trials_:
        for fold, part in enumerate(rows_of(found, X, y, trial.share)):
            model = clone(pipeline).set_params(**trial.config).fit(X[part], y[part])
            test = list(FOLDS.split(X, y))[fold][1]
            assert trial.readings[fold].scores["score"] == model.score(X[test], y[test])


def test_a_parameter_is_the_resource() -> None:
    forest = RandomForestClassifier(27, random_state=0)
    found = search(forest, {"max_features": [1, 2, 3, 4, 5], "min_samples_leaf": Int(1, 20)}, resource="n_estimators", cv=3).fit(X, y)
    assert found.n_resources_ == [3, 9, 27]
    assert found.best_estimator_.n_estimators == 27
    assert "n_estimators" not in found.best_params_
    for index in (0, 9, 12):
        rounds, params = found.cv_results_["n_resources"][index], found.cv_results_["params"][index]
        expected = cross_val_score(clone(forest).set_params(n_estimators=rounds, **params), X, y, cv=3).mean()
        assert found.cv_results_["mean_test_score"][index] == pytest.approx(expected)


def test_of_a_parameter_that_is_searched_each_config_has_its_share() -> None:
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(random_state=0, max_depth=2))
    name = "randomforestclassifier__n_estimators"
    found = search(pipeline, {name: Int(2, 20)}, resource=name, scheduler="asha", trials=10).fit(X, y)
    full = np.array(found.cv_results_[f"param_{name}"]).astype(int)
    share = np.array([trial.share for trial in found.trials_])
    assert found.cv_results_["n_resources"].tolist() == np.maximum(1, np.round(full * share)).tolist()
    assert found.best_estimator_[-1].n_estimators == found.best_params_[name]


def test_estimators_among_the_values_have_the_resource_each() -> None:
    pipeline = Pipeline([("clf", "passthrough")])
    spaces = [{"clf": [RandomForestClassifier(9, max_depth=1)]}, {"clf": [RandomForestClassifier(18, max_depth=2)]}, {"clf": [LogisticRegression()]}]
    with pytest.warns(FitFailedWarning, match="resource='clf__n_estimators' is not a parameter of Pipeline"):
        found = search(pipeline, spaces, method="grid", trials=None, resource="clf__n_estimators", scheduler="asha", scoring="accuracy").fit(X, y)
    assert sorted(found.cv_results_["n_resources"].tolist())[:3] == [0, 1, 2]


# what is chosen


@pytest.mark.parametrize("scheduler", ["asha", "halving", "hyperband"])
def test_only_the_highest_rung_counts_for_the_best(scheduler: str) -> None:
    found = search(scheduler=scheduler, trials=22, scoring="neg_log_loss").fit(X, y)
    results, full = found.cv_results_, np.array([trial.share == 1 for trial in found.trials_])
    assert full.any()
    assert full[found.best_index_]
    assert found.best_score_ == results["mean_test_score"][full].max()
    assert found.trials_[found.best_index_].number == found.study_.best.number
    ranks = results["rank_test_score"]
    for rung in range(results["iter"].max()):
        assert ranks[results["iter"] == rung + 1].max() < ranks[results["iter"] == rung].min()
    assert found.best_score_ == pytest.approx(cross_val_score(LogisticRegression(**found.best_params_), X, y, cv=FOLDS, scoring="neg_log_loss").mean())
    assert found.predict(X).shape == (180,)


def test_where_nothing_was_measured_in_full_the_highest_rung_reached_counts() -> None:
    found = search(trials=11, honest="auto").fit(X, y)
    assert found.n_resources_ == [20, 60]
    assert found.cv_results_["iter"][found.best_index_] == 1
    assert found.trials_[found.best_index_].number == found.study_.best.number
    assert found.honest_ is None
    assert len(found.best_estimator_.classes_) == 3


def test_a_failure_in_full_ranks_behind_a_score_at_a_share() -> None:
    class Small(DecisionTreeClassifier):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> Any:
            if len(X) > 100:
                raise MemoryError("too many rows")
            return super().fit(X, y)

    with pytest.warns(FitFailedWarning, match="trials failed and rank last"):
        found = search(Small(), {"max_depth": Int(1, 30)}, error_score=1.0, refit=False).fit(X, y)
    assert found.cv_results_["iter"][found.best_index_] == 1


def test_the_corrected_score_is_of_trials_in_full() -> None:
    found = search(trials=26, honest="auto").fit(X, y)
    assert found.honest_ is not None
    assert found.honest_.naive == pytest.approx(np.mean(_by_row(found)))
    assert found.honest_.configs == found.n_candidates_[-1] == 2
    assert [bool(t.measurement.rows_at) for t in found.study_.trials] == [t.share == 1 for t in found.study_.trials]


def _by_row(found: TuneSearchCV) -> list[bool]:
    right = []
    for train, test in FOLDS.split(X, y):
        right += (LogisticRegression(**found.best_params_).fit(X[train], y[train]).predict(X[test]) == y[test]).tolist()
    return right


def test_the_estimator_as_it_was_passed_begins_like_all() -> None:
    found = search(LogisticRegression(C=0.5)).fit(X, y)
    assert (found.cv_results_["origin"][0], found.cv_results_["iter"][0], found.cv_results_["params"][0]) == ("default", 0, {"C": 0.5})


def test_halving_of_a_grid_begins_with_all_of_it() -> None:
    grid = {"C": np.logspace(-3, 3, 10).tolist(), "fit_intercept": [True, False]}
    found = search(space=grid, method="grid", trials=None).fit(X, y)
    assert found.n_candidates_ == [20, 6, 2]
    assert len({str(params) for params in found.cv_results_["params"]}) == 20
    few = search(space={"C": [0.1, 1.0, 10.0, 100.0]}, method="grid", trials=None, fidelity=None).fit(X, y)
    assert (few.n_resources_, few.n_candidates_) == ([60, 180], [4, 1])


@pytest.mark.parametrize("method", ["auto", pytest.param("bayes", marks=pytest.mark.slow), "tpe", pytest.param("sobol", marks=pytest.mark.slow)])
def test_any_method_goes_with_it(method: str) -> None:
    found = search(method=method, scheduler="hyperband", trials=22).fit(X, y)
    assert found.n_candidates_ == [9, 8, 5]
    assert set(found.cv_results_["status"]) == {"done"}


# again and elsewhere


def _story(found: TuneSearchCV) -> Any:
    return [(t.number, t.config, t.fidelity, t.continues, dict(t.scores)) for t in found.trials_]


def test_same_seed_same_search_and_a_killed_one_goes_on() -> None:
    whole = search(scheduler="asha", trials=15, random_state=3).fit(X, y)
    assert _story(clone(whole).fit(X, y)) == _story(whole)
    options = {"ledger": MemoryLedger(), "scheduler": "asha", "random_state": 3}
    search(trials=7, **options).fit(X, y)
    assert _story(search(trials=15, **(options | {"random_state": None})).fit(X, y)) == _story(whole)
    other = search(RandomForestClassifier(9), {"max_depth": Int(1, 5)}, name="one", trials=2, **options).fit(X, y)
    with pytest.raises(UsageError, match="give this search another name"):
        clone(other).set_params(resource="n_estimators").fit(X, y)


@pytest.mark.slow
def test_workers_measure_the_same() -> None:
    alone, together = search().fit(X, y), search(n_jobs=2, trials=14).fit(X, y)
    rung = [{(t.config["C"], t.scores["score"]) for t in found.trials_ if t.share < 0.2} for found in (alone, together)]
    assert len(rung[0] & rung[1]) >= 9


def test_a_scheduler_of_ones_own_pursues_the_goal_of_the_search() -> None:
    found = search(scheduler=ASHA(Goal(), lowest=1 / 16, eta=4), fidelity=None, trials=25).fit(X, y)
    assert found.n_resources_ == [11, 45, 180]
    assert found.study_.scheduler.goal == found.study_.goal
    folds = search(scheduler=AshaRule(Goal()), fidelity=None, trials=6).fit(X, y)
    assert folds.n_resources_ == [180]
    assert "pruned" in folds.cv_results_["status"]  # it judges folds, as what is reported


def test_without_a_name_it_is_asha_and_without_a_share_as_few_rows_as_make_sense() -> None:
    assert search(scheduler=None).fit(X, y).study_.scheduler == ASHA(Goal("score", "max"), 1 / 9)
    dummy = DummyClassifier(), {"constant": Int(0, 10**6)}
    told = search(*dummy, scheduler="Hyperband", fidelity=None, trials=22).fit(X, y)  # two rows of three classes in three folds are a tenth
    assert told.study_.scheduler == Hyperband(Goal("score", "max"), 1 / 9)
    assert search(fidelity=None, trials=8).fit(X, y).n_resources_ == [60, 180]
    halves = search(DummyRegressor(), {"quantile": Float(0, 1)}, fidelity=None, trials=40, cv=3).fit(X, X[:, 0])
    assert halves.n_resources_ == [7, 20, 60, 180]
    trees = search(RandomForestClassifier(10, random_state=0), {"max_depth": Int(1, 99)}, fidelity=None, trials=13, resource="n_estimators").fit(X, y)
    assert trees.n_resources_ == [1, 3, 10]


# what it is told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheduler": "halvin"}, r"scheduler='halvin' is not known; did you mean 'halving'"),
        ({"scheduler": "median"}, r"scheduler='median' does not go with a search.*take asha, halving, hyperband"),
        ({"scheduler": "population"}, r"scheduler='population' does not go with a search"),
        ({"scheduler": ASHA}, r"must be asha, halving, hyperband, or a Scheduler such as ASHA\(Goal\(\), lowest=1/9\)"),
        ({"scheduler": 3}, r"scheduler=3 must be asha"),
        ({"scheduler": ASHA(Goal())}, r"fidelity=0.111.* goes with the name of a scheduler; tell ASHA itself"),
        ({"fidelity": 2}, r"fidelity=2 must be above 0 and below 1"),
        ({"fidelity": 0.5}, r"fidelity=0.5 is above 1/3"),
        ({"fidelity": 1 / 81}, r"fidelity=0.01235 leaves 1 of the 120 training rows of fold 0, of 3 classes; give at least 0.025"),
        ({"scheduler": ASHA(Goal(), lowest=1 / 81), "fidelity": None}, r"fidelity=0.01235 leaves 1 of the 120"),
        ({"resource": "max_itr"}, r"resource='max_itr' is not a parameter of LogisticRegression; did you mean 'max_iter'"),
        ({"resource": "tol"}, r"resource='tol' is 0.0001 in LogisticRegression, no positive whole number"),
        ({"resource": 7}, r"resource=7 must be 'n_samples' or the name"),
        ({"resource": "max_iter", "scheduler": None, "fidelity": None}, r"resource='max_iter' goes with a scheduler"),
        ({"race": True}, r"race=True does not go with a scheduler: .*leave race at 'auto'"),
        ({"reuse": True}, r"reuse=True does not go with a scheduler: .*leave reuse at 'auto'"),
        ({"fidelity": None, "cv": 15}, r"resource='n_samples' is too small for a rung below full effort: its least share would be 0.5,"),
    ],
)
def test_what_does_not_fit_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        search(**options).fit(X, y)


def test_reuse_is_off() -> None:
    found = search(RandomForestClassifier(random_state=0, max_depth=2), {"n_estimators": Int(1, 5)}, method="grid", trials=4).fit(X, y)
    assert found.reused_ == {}
    assert all(not trial.measurement.column for trial in found.study_.trials)


def test_what_a_parameter_must_be() -> None:
    with pytest.raises(UsageError, match="is True in DecisionTreeClassifier"):
        Parameter("max_depth").full(DecisionTreeClassifier(max_depth=True))
    with pytest.raises(UsageError, match="is None in DecisionTreeClassifier"):
        search(DecisionTreeClassifier(), {"min_samples_leaf": [1, 2, 3]}, resource="max_depth").fit(X, y)
    with pytest.raises(UsageError, match=r"all the 1 trials failed.*is None in DecisionTreeClassifier"):
        search(DecisionTreeClassifier(), {"max_depth": [None]}, resource="max_depth", trials=3, method="grid").fit(X, y)


# beside scikit-learn's own


@pytest.mark.slow
@pytest.mark.parametrize("table", [load_breast_cancer, load_diabetes])
def test_no_worse_than_halving_random_search_at_as_many_rows(table: Any) -> None:
    A, b = table(return_X_y=True)
    model: Any = make_pipeline(StandardScaler(), SVC()) if table is load_breast_cancer else Ridge()
    theirs_space = (
        {"svc__C": np.logspace(-3, 3, 1000), "svc__gamma": np.logspace(-5, 1, 1000)} if isinstance(model, Pipeline) else {"alpha": np.logspace(-5, 5, 1000)}
    )
    space = (
        {"svc__C": Float(1e-3, 1e3, log=True), "svc__gamma": Float(1e-5, 10, log=True)}
        if isinstance(model, Pipeline)
        else {"alpha": Float(1e-5, 1e5, log=True)}
    )
    folds, ours, other = KFold(3, shuffle=True, random_state=0), [], []
    for seed in range(3):
        theirs = HalvingRandomSearchCV(model, theirs_space, n_candidates=27, min_resources=len(b) // 27, factor=3, cv=folds, random_state=seed, refit=False)
        theirs.fit(A, b)
        found = search(model, space, method="auto", trials=40, fidelity=1 / 27, cv=folds, random_state=seed, refit=False).fit(A, b)
        assert found.cv_results_["n_resources"].sum() <= 1.05 * theirs.cv_results_["n_resources"].sum()
        for scores, params in ((ours, found.best_params_), (other, theirs.best_params_)):
            scores.append(cross_val_score(clone(model).set_params(**params), A, b, cv=folds).mean())
    assert np.mean(ours) >= np.mean(other) - 0.003
