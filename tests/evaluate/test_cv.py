"""Cross-validation: readings fold by fold, cut as scikit-learn cuts."""

import pickle
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring, get_scorer
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import KFold, StratifiedKFold, cross_validate
from sklearn.svm import SVC

from staytuned.evaluate.columns import Columns
from staytuned.evaluate.cv import CrossValidation, mean_scores
from staytuned.goal import Goal
from staytuned.open_trial import Evaluated
from staytuned.space.dims import Float
from staytuned.space.space import Space
from staytuned.study import Study
from staytuned.trial import Reading, Status

X, y = make_classification(n_samples=90, n_features=6, random_state=0)
SPLITS = list(StratifiedKFold(3).split(X, y))
SCORERS = {"accuracy": get_scorer("accuracy"), "neg_log_loss": get_scorer("neg_log_loss")}


def build(config: dict[str, Any], seed: int) -> Any:  # noqa: ARG001
    return LogisticRegression(**config)


def test_readings_are_those_of_cross_validate() -> None:
    measured = CrossValidation(build, X, y, SPLITS, SCORERS)({"C": 0.1})
    expected = cross_validate(LogisticRegression(C=0.1), X, y, cv=SPLITS, scoring=list(SCORERS), return_train_score=True)
    assert [(r.place, r.index) for r in measured.readings] == [("fold", 0), ("fold", 1), ("fold", 2)]
    for name in SCORERS:
        np.testing.assert_allclose([r.scores[name] for r in measured.readings], expected[f"test_{name}"], rtol=1e-12)
        np.testing.assert_allclose([r.train_scores[name] for r in measured.readings], expected[f"train_{name}"], rtol=1e-12)
        assert measured.scores[name] == pytest.approx(expected[f"test_{name}"].mean())
    assert all(r.fit_seconds > 0 and r.score_seconds > 0 for r in measured.readings)
    assert measured.status is Status.DONE


def test_stops_between_folds_and_keeps_what_it_has() -> None:
    seen: list[int] = []

    def stop(readings: Sequence[Reading]) -> bool:
        seen.append(len(readings))
        return len(readings) == 2

    measured = CrossValidation(build, X, y, SPLITS, SCORERS)({}, stop=stop)
    assert measured.status is Status.PRUNED
    assert len(measured.readings) == 2
    assert "2 of 3 folds" in measured.cure
    assert measured.scores == mean_scores(measured.readings)
    assert seen == [1, 2]


def test_after_the_last_fold_there_is_nothing_to_stop() -> None:
    measured = CrossValidation(build, X, y, SPLITS, SCORERS)({}, stop=lambda readings: len(readings) == 3)
    assert measured.status is Status.DONE


def test_train_scores_are_left_out_on_request() -> None:
    measured = CrossValidation(build, X, y, SPLITS, SCORERS, train_scores=False)({})
    assert all(r.train_scores == {} for r in measured.readings)


def test_a_scorer_may_give_several_metrics_at_once() -> None:
    joint = check_scoring(LogisticRegression(), list(SCORERS))
    one, other = CrossValidation(build, X, y, SPLITS, {"score": joint})({}), CrossValidation(build, X, y, SPLITS, SCORERS)({})
    assert one.scores == pytest.approx(other.scores)


class Spy(LogisticRegression):  # type: ignore[misc]
    """Remembers what it was fitted with."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, note: Any = None) -> Any:
        self.weights_, self.note_ = np.asarray(sample_weight), note
        return super().fit(X, y, sample_weight)


def test_row_wise_parameters_are_cut_to_the_fold() -> None:
    weights = np.arange(1.0, 91.0)
    fitted: list[Any] = []

    def scorer(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        fitted.append((estimator.weights_, estimator.note_, sample_weight))
        return float(estimator.score(X, y))

    params = {"sample_weight": weights, "note": "as it is"}
    evaluator = CrossValidation(lambda c, s: Spy(), X, y, SPLITS, {"score": scorer}, False, params, {"score": {"sample_weight": weights}})  # noqa: ARG005
    evaluator({})
    for (train, test), (used, note, scored) in zip(SPLITS, fitted, strict=True):
        np.testing.assert_array_equal(used, weights[train])
        np.testing.assert_array_equal(scored, weights[test])
        assert note == "as it is"


@pytest.mark.parametrize("kind", [pd.DataFrame, sparse.csr_matrix, np.asfortranarray], ids=["frame", "sparse", "fortran"])
def test_tables_of_any_kind(kind: Any) -> None:
    measured = CrossValidation(build, kind(X), pd.Series(y), SPLITS, SCORERS)({})
    assert measured.scores == pytest.approx(CrossValidation(build, X, y, SPLITS, SCORERS)({}).scores, abs=1e-6)


def test_a_kernel_matrix_is_cut_on_both_sides() -> None:
    scorer = {"score": get_scorer("accuracy")}
    precomputed = CrossValidation(lambda c, s: SVC(kernel="precomputed"), rbf_kernel(X, gamma=0.1), y, SPLITS, scorer)({})  # noqa: ARG005
    plain = CrossValidation(lambda c, s: SVC(gamma=0.1), X, y, SPLITS, scorer)({})  # noqa: ARG005
    assert precomputed.scores == plain.scores


def test_no_target() -> None:
    estimator = KMeans(2, n_init=1, random_state=0)
    splits = list(KFold(3).split(X))
    measured = CrossValidation(lambda c, s: clone(estimator), X, None, splits, {"score": check_scoring(estimator)})({})  # noqa: ARG005
    expected = cross_validate(estimator, X, cv=splits)["test_score"]
    np.testing.assert_allclose([r.scores["score"] for r in measured.readings], expected)


def test_an_unconverged_fit_is_no_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        assert CrossValidation(build, X * 1e3, y, SPLITS, SCORERS)({"max_iter": 1}).status is Status.DONE


def test_the_seed_reaches_the_builder() -> None:
    seeds: list[int] = []

    def built(config: dict[str, Any], seed: int) -> Any:
        seeds.append(seed)
        return build(config, seed)

    CrossValidation(built, X, y, SPLITS, SCORERS)({}, seed=17)
    assert seeds == [17, 17, 17]


def test_an_error_is_for_the_guard_to_catch() -> None:
    with pytest.raises(TypeError, match="no_such"):
        CrossValidation(build, X, y, SPLITS, SCORERS)({"no_such": 1})


def test_the_mean_of_nothing_is_nothing() -> None:
    assert mean_scores([]) == {}


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_it_takes_scikit_learns_settings_along(columns: bool, processes: bool) -> None:
    with sklearn.config_context(assume_finite=True):
        cv = CrossValidation(build, X, y, SPLITS, {"loss": assumed})
    measures = Columns(cv, Goal("min loss"), Space({"C": Float(0, 1)}), {}) if columns else cv
    assert not sklearn.get_config()["assume_finite"]
    assert measures({}).scores == {"loss": 1.0}
    assert replace(cv, train_scores=False)({}).scores == {"loss": 1.0}
    study = Study(space={"C": Float(0.1, 1)}, seed=0, scheduler="none")
    if processes:
        study.optimize(Evaluated(measures), trials=2, n_jobs=2)
    else:
        with ThreadPoolExecutor(2) as threads:
            study.optimize(Evaluated(pickle.loads(pickle.dumps(measures))), trials=2, executor=threads)
    assert [trial.scores for trial in study.trials] == [{"loss": 1.0}] * 2
    assert CrossValidation(build, X, y, SPLITS, {"loss": assumed})({}).scores == {"loss": 0.0}


def assumed(estimator: Any, X: Any, y: Any) -> float:  # noqa: ARG001
    return float(sklearn.get_config()["assume_finite"])
