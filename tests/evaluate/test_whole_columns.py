"""One fit, a whole column: every number is the one a fit of its own would have given, and the folds' mean decides."""

import math
import time

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from staytuned.errors import SpaceError
from staytuned.evaluate.build import with_params
from staytuned.evaluate.columns import SPREAD, Columns, differing, free_levels, levels, one_fit, unfolded
from staytuned.evaluate.cv import CrossValidation
from staytuned.goal import Goal
from staytuned.open_trial import OpenTrial
from staytuned.schedulers.never import Never
from staytuned.searching import _Objective
from staytuned.space.dims import Choice, Float, Int, Law, Ordinal
from staytuned.space.space import Space
from staytuned.trial import Status, Trial

X, y = make_classification(n_samples=90, n_features=6, flip_y=0.2, random_state=0)
SPLITS = list(StratifiedKFold(3).split(X, y))
SPACE = Space({"n_neighbors": Int(1, 20), "weights": Choice(["uniform", "distance"]), "p": Choice([1, 2])})


class Build:
    """From a config to an unfitted estimator."""

    def __init__(self, estimator):
        self.estimator = estimator

    def __call__(self, config, seed):  # noqa: ARG002
        return with_params(self.estimator, config)


def cv(estimator, scoring="neg_log_loss", train_scores=True):
    return CrossValidation(Build(estimator), X, y, SPLITS, {"score": get_scorer(scoring)}, train_scores)


GOAL = Goal("score", "max")


class Counting(StandardScaler):
    """Counts its fits."""

    fits = 0

    def fit(self, X, y=None, sample_weight=None):
        Counting.fits += 1
        return super().fit(X, y, sample_weight)


def test_free_dimensions_are_found_with_their_values() -> None:
    found = free_levels(Build(KNeighborsClassifier()), SPACE)
    assert found == {"n_neighbors": list(range(1, 21)), "weights": ["uniform", "distance"]}
    assert free_levels(Build(SVC()), Space({"gamma": Float(1e-3, 1, log=True)})) == {}


def test_what_saves_little_is_free_on_a_grid_only() -> None:
    space = Space({"pca__n_components": Int(1, 5), "kneighborsclassifier__n_neighbors": Int(1, 9)})
    build = Build(make_pipeline(PCA(svd_solver="full"), KNeighborsClassifier()))
    assert list(free_levels(build, space)) == ["kneighborsclassifier__n_neighbors"]
    assert sorted(free_levels(build, space, listed=True)) == ["kneighborsclassifier__n_neighbors", "pca__n_components"]
    machine = Space({"C": Float(0.1, 10, log=True)})
    assert free_levels(Build(SVC()), machine, listed=True) == {}  # equal only within libsvm's tolerance
    assert list(free_levels(Build(SVC()), machine, listed=True, inexact=True)) == ["C"]
    assert free_levels(Build(SVC()), machine, inexact=True) == {}


def test_nothing_is_free_that_others_depend_on_or_a_constraint_speaks_of() -> None:
    child = Space({"n_neighbors": Int(1, 20), "weights": Choice(["uniform", "distance"], when={"n_neighbors": [3]})})
    assert list(free_levels(Build(KNeighborsClassifier()), child)) == ["weights"]
    assert free_levels(Build(KNeighborsClassifier()), Space({"n_neighbors": Int(1, 20), "p": Int(1, 2)}, ["p <= n_neighbors"])) == {}


def test_a_dimension_is_free_only_where_all_other_settings_allow_it() -> None:
    space = Space({"n_estimators": Int(5, 20), "warm_start": Choice([True, False])})
    assert free_levels(Build(RandomForestClassifier()), space) == {}
    assert list(free_levels(Build(RandomForestClassifier()), Space({"n_estimators": Int(5, 20), "max_depth": Int(1, 4)}))) == ["n_estimators"]


def test_preparation_is_done_once_for_all_configs_of_a_fold() -> None:
    plain = cv(make_pipeline(Counting(), KNeighborsClassifier()))
    scores = [plain({"kneighborsclassifier__n_neighbors": k}).scores["score"] for k in (1, 5, 9)]
    assert Counting.fits == len(SPLITS)  # and not three times that
    alone = [CrossValidation(plain.build, X, y, SPLITS, plain.scorers)({"kneighborsclassifier__n_neighbors": k}).scores["score"] for k in (1, 5, 9)]
    assert scores == alone


@pytest.mark.parametrize("scoring", [pytest.param("neg_log_loss", marks=pytest.mark.slow), "accuracy", pytest.param("roc_auc", marks=pytest.mark.slow)])
def test_the_column_is_what_separate_fits_give_and_the_best_mean_is_taken(scoring: str) -> None:
    plain = cv(KNeighborsClassifier(), scoring)
    columns = Columns(plain, GOAL, SPACE, free_levels(Build(KNeighborsClassifier()), SPACE))
    found = columns({"p": 1})
    slow = {(k, w): plain({"p": 1, "n_neighbors": k, "weights": w}) for k in range(1, 21) for w in ("uniform", "distance")}
    assert len(found.column) == 40
    for alternative in found.column:
        expected = slow[alternative.values["n_neighbors"], alternative.values["weights"]]
        assert [s["score"] for s in alternative.scores] == pytest.approx([r.scores["score"] for r in expected.readings], abs=1e-10)
    best = max(slow, key=lambda pair: round(slow[pair].scores["score"], 9))
    assert found.config == {"p": 1, "n_neighbors": best[0], "weights": best[1]}
    assert found.scores["score"] == pytest.approx(slow[best].scores["score"], abs=1e-10)
    assert [r.train_scores["score"] for r in found.readings] == pytest.approx([r.train_scores["score"] for r in slow[best].readings], abs=1e-9)
    assert found.status is Status.DONE


def test_the_folds_mean_decides_and_not_each_fold() -> None:
    columns = Columns(cv(KNeighborsClassifier(), "accuracy"), GOAL, SPACE, {"n_neighbors": list(range(1, 21))})
    found = columns({"p": 2, "weights": "uniform"})
    table = np.array([[s["score"] for s in a.scores] for a in found.column])
    assert found.scores["score"] == pytest.approx(table.mean(axis=1).max())
    assert table.mean(axis=1).max() < table.max(axis=0).mean()  # what choosing per fold would have promised


def test_a_whole_config_is_measured_as_it_is() -> None:
    plain = cv(KNeighborsClassifier())
    whole = {"p": 1, "n_neighbors": 7, "weights": "uniform"}
    found = Columns(plain, GOAL, SPACE, free_levels(Build(KNeighborsClassifier()), SPACE))(whole)
    assert found.config is None
    assert not found.column
    assert found.scores == plain(whole).scores


def test_it_is_stopped_by_what_its_best_has_shown() -> None:
    columns = Columns(cv(KNeighborsClassifier()), GOAL, SPACE, free_levels(Build(KNeighborsClassifier()), SPACE))
    seen = []

    def stop(readings):
        seen.append([r.scores["score"] for r in readings])
        return len(readings) == 2

    found = columns({"p": 1}, stop=stop)
    assert found.status is Status.PRUNED
    assert "2 of 3 folds" in found.cure
    assert [len(s) for s in seen] == [1, 2]
    assert sum(seen[1]) == pytest.approx(max(sum(s["score"] for s in a.scores) for a in found.column))
    assert all(len(a.scores) == 2 for a in found.column)


def test_settings_that_forbid_reuse_after_all_get_one_value_drawn() -> None:
    space = Space({"n_estimators": Int(2, 8), "warm_start": Choice([True, False])})
    columns = Columns(cv(RandomForestClassifier(random_state=0), train_scores=False), GOAL, space, {"n_estimators": [2, 4, 8]})
    found, again = (columns({"warm_start": True}, seed=3) for _ in range(2))
    assert (again.config, again.scores, again.column) == (found.config, found.scores, found.column)
    assert found.config["n_estimators"] in (2, 4, 8)
    assert [alternative.values for alternative in found.column] == [{"n_estimators": found.config["n_estimators"]}]
    assert found.scores == columns.cv(found.config, seed=3).scores
    assert len({columns({"warm_start": True}, seed=s).config["n_estimators"] for s in range(8)}) > 1


def test_a_column_that_costs_by_its_length_begins_short_and_says_the_same() -> None:
    space = Space({"max_iter": Int(1, 64), "learning_rate": Float(0.01, 1)})
    boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=0)
    found = free_levels(Build(boosting), space)
    assert found == {"max_iter": list(range(1, 65))}
    fast, slow = (
        Columns(cv(boosting), GOAL, space, found)({"learning_rate": 1.0}),
        Columns(cv(boosting), GOAL, space, found, grow=False)({"learning_rate": 1.0}),
    )
    assert len(fast.column) < len(slow.column) == 64
    assert [a.scores for a in fast.column] == [a.scores for a in slow.column[: len(fast.column)]]
    assert fast.config == slow.config
    patient = Columns(cv(boosting), GOAL, space, found)({"learning_rate": 0.01})
    assert len(patient.column) == 64  # each round still helps
    assert all(len(a.scores) == 3 for a in patient.column)


def test_without_patience_a_column_does_not_grow() -> None:
    space = Space({"max_iter": Int(1, 64), "learning_rate": Float(0.01, 1)})
    boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=0)
    found = Columns(cv(boosting), GOAL, space, {"max_iter": list(range(1, 65))}, patience=0.0)({"learning_rate": 0.01})
    assert [a.values["max_iter"] for a in found.column] == list(range(1, 9))


def test_a_column_does_not_grow_past_the_end_of_the_study() -> None:
    """As the objective of a search has it, which knows when the study's time is up."""
    space = Space({"max_iter": Int(1, 64), "learning_rate": Float(0.01, 1)})
    boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=0)
    objective = _Objective(Columns(cv(boosting), GOAL, space, {"max_iter": list(range(1, 65))}), raced=False)
    for ends, longest in ((math.inf, 64), (time.time() + 3600, 64), (time.time(), 8)):
        trial = OpenTrial(0, {"learning_rate": 0.01}, 0, GOAL, Never(GOAL), ends=ends, alone=True)
        column = objective(trial).column
        assert column[-1].values["max_iter"] == longest
        assert all(len(alternative.scores) == (3 if longest == 64 else 1) for alternative in column), "and it stops once it has something to show"


def test_scores_that_are_no_numbers_lose() -> None:
    def scorer(estimator, X, y):  # noqa: ARG001
        return math.nan if estimator.get_params()["n_neighbors"] != 4 else 0.5

    plain = CrossValidation(Build(KNeighborsClassifier()), X, y, SPLITS, {"score": scorer})
    found = Columns(plain, GOAL, Space({"n_neighbors": Int(1, 9)}), {"n_neighbors": list(range(1, 10))})({})
    assert found.config == {"n_neighbors": 4}
    assert found.scores == {"score": 0.5}


def test_what_differs_between_estimators() -> None:
    scaled = [make_pipeline(StandardScaler(), SVC(C=c)) for c in (1, 2)]
    assert differing([e.get_params() for e in scaled]) == ["svc__C"]
    assert differing([{"a": np.nan, "b": np.ones(2)}, {"a": np.nan, "b": np.zeros(2)}]) == ["b"]
    assert differing([{"a": 1}, {"a": True}]) == ["a"]
    assert differing([{"a": 1}, {}]) == ["a"]
    assert differing([SVC().get_params(), KNeighborsClassifier().get_params()])
    assert one_fit([KNeighborsClassifier(3), KNeighborsClassifier(3)]) is None  # nothing to share
    assert one_fit([KNeighborsClassifier(3), KNeighborsClassifier(4, p=1)]) is None
    assert one_fit([KNeighborsClassifier(3), KNeighborsClassifier(4, weights="distance")]).names == ("n_neighbors", "weights")


def test_levels_of_every_kind_of_dimension() -> None:
    assert levels(Int(1, 5)) == [1, 2, 3, 4, 5]
    assert levels(Int(1, 50, log=True)) == list(range(1, 51))  # a range of few values whole, on any scale
    assert levels(Int(2, 9, step=3)) == [2, 5, 8]
    assert levels(Float(0, 1, step=0.25)) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert levels(Float(3, 3)) == [3.0]
    assert levels(Ordinal([1, 10, 100])) == [1, 10, 100]
    many = list(range(100))
    assert levels(Choice(many)) == levels(Ordinal(many)) == many  # a list is taken whole
    assert levels(Choice([[1], [2]])) == [[1], [2]]
    assert len(levels(Ordinal(list(range(3000))))) == SPREAD
    wide = levels(Int(1, 1000, log=True))
    assert wide[0] == 1
    assert wide[-1] == 1000
    assert len(wide) <= SPREAD
    assert wide == sorted(set(wide))
    alphas = levels(Float(1e-3, 1e3, log=True))
    assert len(alphas) == SPREAD
    assert alphas[0] == pytest.approx(1e-3)
    assert alphas[-1] == pytest.approx(1e3)
    scipy_stats = pytest.importorskip("scipy.stats")
    assert all(math.isfinite(value) for value in levels(Law(scipy_stats.norm(0, 1))))


def test_a_trial_unfolds_into_one_for_each_config() -> None:
    columns = Columns(cv(KNeighborsClassifier()), GOAL, SPACE, {"n_neighbors": [1, 5, 9]})
    trial = Trial(4, {"p": 1, "weights": "uniform"}).measured(columns({"p": 1, "weights": "uniform"}))
    rows = unfolded(trial)
    assert [row.config["n_neighbors"] for row in rows] == [1, 5, 9]
    assert all(SPACE.contains(row.config) and len(row.readings) == 3 and not row.measurement.column for row in rows)
    assert max(row.scores["score"] for row in rows) == trial.scores["score"]
    assert unfolded(rows[0]) == [rows[0]]


def test_an_error_of_the_fit_is_the_trials_error() -> None:
    columns = Columns(cv(KNeighborsClassifier()), GOAL, Space({"n_neighbors": Int(1, 500)}), {"n_neighbors": [1, 500]})
    with pytest.raises(ValueError, match="n_neighbors"):
        columns({})


def test_levels_in_constraints_are_not_measured() -> None:
    with pytest.raises(SpaceError):
        Space({"n_neighbors": Int(1, 5)}, ["k < 3"])
