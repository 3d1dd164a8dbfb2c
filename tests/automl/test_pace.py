"""A budget is kept, and a search that got nowhere in it still ends with a model."""

import math
import time

import numpy as np
import pandas as pd
import pytest

from staytuned._random import generator
from staytuned.automl import recipe
from staytuned.automl.columns import infer
from staytuned.automl.events import Said
from staytuned.automl.pace import Clock, Pace, TimeSpent, whole_fit
from staytuned.automl.recipe import make_plan, tune
from staytuned.automl.zoo import default_config
from staytuned.errors import NotFoundError
from staytuned.space.dims import Float
from staytuned.study import Study
from staytuned.trial import Measurement, Reading, Status, Trial

SPACE = {"linear": {"C": [0.1, 1.0, 10.0]}, "knn": {"n_neighbors": [3, 9]}} | dict.fromkeys(("decision_tree", "lightgbm", "hist_gradient_boosting"), False)


def trial(*fits: float, number: int = 0, share: float | None = None) -> Trial:
    readings = tuple(Reading("fold", k, {"auc": 0.8}, fit_seconds=seconds) for k, seconds in enumerate(fits))
    return Trial(number, {}, fidelity=share, measurement=Measurement({"auc": 0.8}, readings=readings))


@pytest.mark.parametrize(
    ("seen", "folds", "seconds"),
    [
        (trial(2.0, 4.0, 3.0), 3, 4.5),  # each fold trains on two thirds
        (trial(2.0), 1, 2.5),  # a single one on four fifths
        (trial(1.0, 1.0), 5, 1.25),  # stopped after two
        (trial(1.0, share=1 / 9), 3, 13.5),
        (trial(), 3, 0.0),
    ],
)
def test_a_fit_on_all_rows_takes_by_its_rows_what_folds_took(seen, folds, seconds):
    assert whole_fit(seen, folds) == pytest.approx(seconds)


def test_the_last_steps_take_the_best_trial_and_the_best_default_once_each():
    pace = Pace(Clock(0.0, None), 2, fixed=5.0)
    assert pace.needed(None, None) == 5.0
    assert pace.needed(trial(1.0), trial(1.0)) == pytest.approx(5.0 + 1.2 * 2.0)  # one and the same
    assert pace.needed(trial(1.0), trial(3.0, number=1)) == pytest.approx(5.0 + 1.2 * (2.0 + 6.0))


@pytest.mark.parametrize(("seconds", "reserve", "ends"), [(None, 0.0, False), (1000.0, 0.0, False), (10.0, 0.0, True), (10.0, 12.0, False)])
def test_a_search_ends_when_its_last_steps_would_come_too_late(seconds, reserve, ends):
    study = Study(space={"x": Float(0, 1)}, goal="max auc", seed=0)
    study.tell(study.ask(), trial(4.0, 4.0).measurement)
    pace = Pace(Clock(time.monotonic() - 1.0, seconds), 2, reserve=reserve)  # a last fit takes 1.2 times eight seconds
    if ends:
        with pytest.raises(TimeSpent):
            pace.heard(study, study.best)
    else:
        pace.heard(study, study.best)


def test_a_clock_without_a_limit_never_runs_out():
    assert Clock(0.0, None).left(math.inf) is None
    assert Clock(time.monotonic() - 10, 1.0).left() == 0.001


@pytest.fixture
def planned():
    rng = generator(0, "pace")
    x = rng.normal(size=(90, 2))
    X, y, table = infer(pd.DataFrame({"x": x[:, 0], "z": x[:, 1], "target": x[:, 0] + 0.5 * rng.normal(size=90) > 0}), "target")
    return X, y, table, make_plan(X, y, table, quality="fast", space=SPACE)


def starved(planned, monkeypatch, meanwhile, **options):
    """A tuning whose search has time for nothing; what happened instead, and what was said."""
    X, y, table, plan = planned
    said: list[Said] = []
    monkeypatch.setattr(Study, "optimize", lambda study, *_, **__: meanwhile(study))
    tuned = tune(X, y, table, **{"plan": plan, "seconds": 1e-3, "n_jobs": 1, "on_event": said.append} | options)
    return tuned, {event.step: event.text for event in said if isinstance(event, Said)}


def test_a_starved_search_ends_with_the_cheapest_default(planned, monkeypatch):
    tuned, said = starved(planned, monkeypatch, lambda _: None)
    assert tuned.config == default_config(tuned.plan.families[0])
    assert (tuned.study.best.status, len(tuned.study.best.readings)) == (Status.PRUNED, 1)
    assert np.isfinite(tuned.score)
    assert tuned.baseline is not None
    assert tuned.pipeline.predict(planned[0]).shape == (90,)
    assert said["Note"] == "no config had a score when the time was up; the cheapest default was measured after it, on 1 of 3 folds"
    assert len(tuned.study.queue) == 1  # the other default is still to be tried, if the study goes on


def test_with_time_left_all_folds_are_measured(planned, monkeypatch):
    tuned, _ = starved(planned, monkeypatch, lambda _: None, seconds=600)
    assert (tuned.study.best.status, len(tuned.study.best.readings)) == (Status.DONE, 3)


def told(study: Study, status: str, count: int) -> None:
    for _ in range(count):
        study.tell(study.ask(), status)


def test_a_default_that_ran_out_of_time_is_tried_again(planned, monkeypatch):
    tuned, _ = starved(planned, monkeypatch, lambda study: told(study, "timeout", 2))
    assert tuned.config == default_config(tuned.plan.families[0])
    assert [t.status for t in tuned.study.trials] == [Status.TIMEOUT, Status.TIMEOUT, Status.PRUNED]


def test_a_default_that_fails_is_not(planned, monkeypatch):
    tuned, _ = starved(planned, monkeypatch, lambda study: told(study, "failed", 1))
    assert tuned.config == default_config(tuned.plan.families[1])
    with pytest.raises(NotFoundError, match="told as failed"):
        starved(planned, monkeypatch, lambda study: told(study, "failed", 2))


def test_a_trial_that_was_cut_off_is_taken_up_and_others_are_left(planned, monkeypatch):
    def cut_off(study: Study) -> None:
        for asked in [study.ask(), study.ask()]:
            study.give_back(asked)

    tuned, _ = starved(planned, monkeypatch, cut_off, warm=[{"model": "knn", "knn.n_neighbors": 9, "knn.weights": "uniform", "knn.p": 2}])
    assert [t.status for t in tuned.study.trials] == [Status.RUNNING, Status.PRUNED]
    assert tuned.study.ask().number == 0  # whoever goes on


def test_a_search_with_a_score_is_left_alone(planned, monkeypatch):
    tuned, said = starved(planned, monkeypatch, lambda study: study.tell(study.ask(), 0.5))
    assert len(tuned.study.trials) == 1
    assert "Note" not in said


def test_a_limit_that_was_asked_for_holds(planned, monkeypatch):
    with pytest.raises(NotFoundError):
        starved(planned, monkeypatch, lambda _: None, trial_timeout=1e-3)


@pytest.mark.slow
def test_a_limit_that_no_config_can_keep_ends_with_a_model(planned, monkeypatch):
    monkeypatch.setattr(recipe, "_LEAST_LIMIT", 1e-3)
    monkeypatch.setattr(recipe, "_TRIAL_SHARE", 1e-6)
    X, y, table, plan = planned
    tuned = tune(X, y, table, plan=plan, seconds=60, trials=2, n_jobs=1)
    assert [t.status for t in tuned.study.trials] == [Status.TIMEOUT] * 2 + [Status.DONE]
    assert tuned.config == default_config(plan.families[0])
