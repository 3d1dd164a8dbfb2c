from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from staytuned._random import generator
from staytuned.automl.columns import infer
from staytuned.automl.events import Moved, Said
from staytuned.automl.recipe import best_configs, dummy, dummy_score, fit_config, make_plan, predict, tune
from staytuned.automl.zoo import default_config
from staytuned.errors import NotFoundError, SpaceError, UsageError
from staytuned.store.memory import MemoryLedger
from staytuned.study import Study
from staytuned.trial import Status

QUICK_SPACE = {"linear": {"C": [0.1, 1.0, 10.0]}, "knn": {"n_neighbors": [3, 9]}, "decision_tree": False, "lightgbm": False, "hist_gradient_boosting": False}


def parts(task="binary", n=90):
    rng = generator(0, "recipe")
    x = rng.normal(size=(n, 2))
    signal = x[:, 0] + 0.3 * rng.normal(size=n)
    target = {"binary": signal > 0, "multiclass": np.select([signal < -0.5, signal < 0.5], ["a", "b"], "c"), "regression": signal}[task]
    return infer(pd.DataFrame({"x": x[:, 0], "z": x[:, 1], "target": target}), "target")


@pytest.fixture
def planned():
    X, y, table = parts()
    return X, y, table, make_plan(X, y, table, quality="fast", space=QUICK_SPACE)


def run(planned, **options):
    X, y, table, plan = planned
    return tune(X, y, table, **{"plan": plan, "trials": 4, "seconds": None, "seed": 0, "n_jobs": 1} | options)


def test_a_plan_is_decided_by_the_table_and_the_wishes(planned):
    X, y, table, plan = planned
    assert [f.name for f in plan.families] == ["linear", "knn"]
    assert (plan.metric.name, str(plan.goal)) == ("roc_auc", "max roc_auc")
    assert len(plan.folds) == 3
    assert len(make_plan(X, y, table, quality="fast", cv=4).folds) == 4
    assert "svm" in make_plan(X, y, table, quality="fast").left_out
    with pytest.raises(UsageError, match="rmse"):
        make_plan(X, y, table, metric="rmse")
    with pytest.raises(SpaceError, match="lienar"):
        make_plan(X, y, table, space={"lienar": False})


def test_defaults_come_first_and_the_best_trial_is_refitted(planned):
    X, y, table, plan = planned
    tuned = run(planned, method="grid")
    trials = tuned.study.trials
    assert [t.config for t in trials[:2]] == [default_config(f) for f in plan.families]
    assert [t.origin for t in trials] == ["default", "default", "grid", "grid"]
    assert tuned.score == max(t.scores["roc_auc"] for t in trials if t.status is Status.DONE)
    assert tuned.config == tuned.study.best.config
    assert tuned.baseline is not None
    assert tuned.baseline.origin == "default"
    again = fit_config(tuned.config, X, y, table, seed=tuned.study.best.seed)
    np.testing.assert_array_equal(tuned.pipeline.predict_proba(X), again.predict_proba(X))


def test_warm_configs_come_before_the_defaults_and_those_outside_are_left_out(planned):
    warm = [{"model": "linear", "linear.C": 10.0, "linear.class_weight": "balanced"}, {"model": "svm"}]
    trials = run(planned, warm=warm).study.trials
    assert [t.origin for t in trials[:3]] == ["warm", "default", "default"]
    assert trials[0].config == warm[0]
    alone = run(planned, warm=warm, with_defaults=False, method="manual", trials=None)
    assert [t.origin for t in alone.study.trials] == ["warm"]
    assert alone.baseline is None


def test_a_study_is_continued_to_the_same_number_of_trials(planned):
    ledger, heard = MemoryLedger(), []
    first = run(planned, trials=2, ledger=ledger, name="s")
    second = run(planned, trials=4, ledger=ledger, name="s", on_event=heard.append)
    assert second.study.trials[:2] == first.study.trials
    assert len(second.study.trials) == 4
    assert any(isinstance(e, Said) and e.step == "Continue" and "2 trials" in e.text for e in heard)
    assert [e.planned for e in heard if isinstance(e, Moved)] == [4, 4]
    straight = run(planned, trials=4)
    assert [(t.config, dict(t.scores)) for t in second.study.trials] == [(t.config, dict(t.scores)) for t in straight.study.trials]


def test_only_rows_given_are_looked_at(planned):
    X, y, table, plan = planned
    changed = X.assign(x=X["x"].where(X.index < 60, np.nan))
    inside = replace(plan, folds=[(train[train < 60], validation[validation < 60]) for train, validation in plan.folds])
    scores = [[t.scores for t in run((data, y, table, inside), trials=2, race=False).study.trials] for data in (X, changed)]
    assert scores[0] == scores[1]


def test_what_a_model_that_looks_at_nothing_scores(planned):
    X, y, table, plan = planned
    assert dummy_score(X, y, table, plan) == 0.5
    X, y, table = parts("regression")
    assert dummy_score(X, y, table, make_plan(X, y, table)) == pytest.approx(np.std(y), rel=0.05)
    assert np.ptp(dummy("regression").fit(X, y).predict(X)) == 0


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_prediction_knows_every_class(task):
    X, y, table = parts(task)
    plan = make_plan(X, y, table, quality="fast", space=QUICK_SPACE)
    config = default_config(plan.families[0])
    some = np.flatnonzero(np.asarray(y) != "b") if task == "multiclass" else np.arange(len(y))
    said = predict(fit_config(config, X.iloc[some], y[some], table), X, table)
    if task == "regression":
        assert said.probabilities is None
    else:
        assert list(said.classes) == list(table.classes)
        np.testing.assert_allclose(np.asarray(said.probabilities).sum(axis=1), 1)
        assert set(said.labels) <= set(y[some])


def test_the_best_configs_come_best_first(planned):
    study = run(planned, race=False, method="random").study
    configs = best_configs(study, 3)
    scores = [max(t.scores["roc_auc"] for t in study.trials if t.config == c) for c in configs]
    assert scores == sorted(scores, reverse=True)
    assert configs[0] == study.best.config
    with pytest.raises(NotFoundError, match="'none'"):
        best_configs(Study("none"), 3)


def test_where_nothing_finishes_it_says_so(planned):
    with pytest.raises(NotFoundError, match="has finished with a score"):
        run(planned, warm=[], with_defaults=False, method="manual", trials=None)
