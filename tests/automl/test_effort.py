"""Rationing rows and ending early, as AutoML and the shell have them."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from staytuned.automl.automl import AutoML
from staytuned.automl.effort import Effort, share_words
from staytuned.automl.events import Said
from staytuned.automl.recipe import Build
from staytuned.automl.report import render
from staytuned.enough import Enough
from staytuned.errors import UsageError
from staytuned.evaluate.cv import CrossValidation
from staytuned.goal import Goal
from staytuned.schedulers.asha import ASHA
from staytuned.schedulers.halving import Halving
from staytuned.trial import Status

SPACE = {"linear": {"C": [0.01, 0.1, 1.0, 10.0, 100.0]}, "knn": {"n_neighbors": [1, 3, 9, 20]}} | dict.fromkeys(
    ("decision_tree", "lightgbm", "hist_gradient_boosting", "random_forest", "extra_trees", "mlp", "svm"), False
)
QUICK = {"time": None, "trials": 13, "method": "random", "quality": "fast", "n_jobs": 1, "random_state": 0, "space": SPACE}


def table(rows: int = 180) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2))
    target = np.where(x[:, 0] + rng.normal(size=rows) > 0, "yes", "no")
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "when": rng.permutation(rows), "target": target})


@pytest.fixture(scope="module")
def halved():
    events: list[object] = []
    model = AutoML(**QUICK, scheduler="halving", fidelity=1 / 9, on_event=events.append).fit(table(), target="target")
    return model, events


def test_configs_begin_with_few_rows_and_the_best_goes_on_to_all(halved):
    model, _ = halved
    trials = model.result_.tuned.study.trials
    assert [round(1 / trial.share) for trial in trials] == [9] * 9 + [3] * 3 + [1]
    assert {trial.status for trial in trials} == {Status.DONE}  # folds are not raced
    assert not any(trial.measurement.column for trial in trials)  # and no fit is reused
    assert model.best_.share == 1
    assert model.result_.tuned.score == model.best_.scores["roc_auc"]
    assert [row.trial for row in model.leaderboard().rows[:1]] == [model.best_.number]


def test_a_share_of_the_rows_is_of_each_folds_training_part(halved):
    model, _ = halved
    result, training = model.result_, model.training_
    X, y = training.drop(columns="target"), training["target"].to_numpy()
    whole = CrossValidation(Build(result.table), X, y, result.plan.folds, {"roc_auc": result.metric.scorer})
    for trial in result.tuned.study.trials[::4]:
        part = Effort("halving", 1 / 9).over(whole, groups=None, classify=True).seeded(result.tuned.study.seed).at(whole, trial.share)
        assert [len(train) for train, _ in part.splits] == [pytest.approx(trial.share * len(train), abs=1) for train, _ in whole.splits]
        assert part(trial.config, None, trial.seed).scores == trial.scores


def test_what_was_decided_is_said_and_in_the_report(halved):
    model, events = halved
    said = [event.text for event in events if isinstance(event, Said) and event.step == "Effort"]
    assert said == ["halving: configs begin with 1/9 of the 144 training rows, and the good ones go on with more; folds are not raced, and no fit is reused"]
    page = render(model.result_)
    assert said[0] in page
    assert "on 1/9 of the rows" in page
    assert re.search(r'<th class="n">of the rows</th>', page)
    baseline = next(event.text for event in events if isinstance(event, Said) and event.text.startswith("the best default is"))
    assert baseline.endswith(("of the rows", "in validation"))


def test_the_corrected_score_is_of_trials_with_all_rows(halved):
    model, _ = halved
    honest = model.result_.tuned.honest
    assert honest is None or honest.configs == 1


def test_the_baseline_is_the_default_that_came_furthest():
    model = AutoML(**QUICK | {"trials": 4}, scheduler=Halving(Goal(), lowest=1 / 3, configs=3)).fit(table(), target="target")
    tuned = model.result_.tuned
    assert tuned.baseline is not None
    assert tuned.baseline.share == max(t.share for t in tuned.study.trials if t.config in [t.config for t in tuned.study.trials if t.origin == "default"])


def test_a_scheduler_pursues_the_goal_of_the_run():
    model = AutoML(**QUICK | {"trials": 5}, scheduler=ASHA(Goal("nothing"), lowest=1 / 4, eta=4)).fit(table(), target="target")
    study = model.result_.tuned.study
    assert study.scheduler == ASHA(study.goal, lowest=1 / 4, eta=4)
    assert {trial.share for trial in study.trials} <= {1 / 4, 1.0}
    assert "begin with 1/4 of" in model.result_.tuned.effort


def test_where_no_config_got_all_rows_it_says_so():
    events = []
    model = AutoML(**QUICK | {"trials": 2}, fidelity=1 / 9, on_event=events.append).fit(table(), target="target")
    assert model.best_.share == pytest.approx(1 / 9)
    choice = next(event.text for event in events if isinstance(event, Said) and event.step == "Choose")
    assert "on 1/9 of the training rows, as no config got all of them" in choice
    assert model.result_.tuned.honest is None
    assert len(model.result_.y_test) == 36


def test_of_rows_in_time_a_share_is_the_latest():
    model = AutoML(**QUICK | {"trials": 3}, fidelity=1 / 3).fit(table(), target="target", time_order="when")
    result, training = model.result_, model.training_
    assert training["when"].is_monotonic_increasing
    late = [(train[-round(len(train) / 3) :], test) for train, test in result.plan.folds]
    X, y = training.drop(columns="target"), training["target"].to_numpy()
    trial = result.tuned.study.trials[0]
    expected = CrossValidation(Build(result.table), X, y, late, {"roc_auc": result.metric.scorer})(trial.config, None, trial.seed)
    assert trial.scores == expected.scores


def test_without_a_wish_nothing_is_said_of_it():
    events = []
    model = AutoML(**QUICK | {"trials": 2}, on_event=events.append).fit(table(), target="target")
    assert model.result_.tuned.effort == ""
    assert not any(isinstance(event, Said) and event.step == "Effort" for event in events)
    assert ">Effort<" not in render(model.result_)


def test_a_run_with_enough_ends_and_says_why(monkeypatch):
    seen = []

    def reason(self: Enough, trials, space) -> str:  # noqa: ARG001
        seen.append(self)
        return "what is left to gain is below it" if sum(trial.status is not Status.RUNNING for trial in trials) >= 3 else ""

    monkeypatch.setattr(Enough, "reason", reason)
    events = []
    model = AutoML(**QUICK, enough=0.01, on_event=events.append).fit(table(), target="target")
    assert seen
    said = {event.step: event.text for event in events if isinstance(event, Said)}
    assert said["Effort"] == "ends early once what is left to gain is probably below 0.01"
    assert said["Tune"] == "3 trials in all; ended because what is left to gain is below it"
    assert said["Tune"].partition("; ")[2] in render(model.result_)


@pytest.mark.slow
def test_noise_is_enough_for_a_flat_space():
    model = AutoML(**QUICK | {"trials": 60, "method": "auto", "space": SPACE | {"linear": {"C": {"type": "float", "low": 1, "high": 1.1}}, "knn": False}})
    model.set_params(enough="noise").fit(table(), target="target")
    study = model.result_.tuned.study
    assert len(study.trials) == 30
    assert "is below the noise of the best score" in study.why_ended


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheduler": "ahsa"}, "did you mean 'asha'"),
        ({"scheduler": "median"}, "take asha, halving, hyperband"),
        ({"scheduler": ASHA}, "or a Scheduler such as ASHA"),
        ({"scheduler": ASHA(Goal(), lowest=1 / 9), "fidelity": 1 / 9}, "tell ASHA itself"),
        ({"fidelity": 0.5}, "fidelity=0.5 is above 1/3"),
        ({"fidelity": 0}, "fidelity=0 must be above 0"),
        ({"fidelity": 1e-4}, "leaves 0 of the"),
        ({"enough": "noisy"}, "enough='noisy' must be 'noise', a positive number"),
        ({"enough": -1}, "enough=-1 must be 'noise'"),
        ({"enough": "noise", "cv": 1}, "enough='noise' is read off the folds"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        AutoML(**QUICK | options).fit(table(), target="target")


def test_another_ration_is_another_study(tmp_path):
    ledger = f"sqlite:///{tmp_path / 'l.db'}"
    names = set()
    for options in ({}, {"fidelity": 1 / 3}, {"scheduler": "halving", "fidelity": 1 / 3}):
        model = AutoML(**QUICK | {"trials": 1}, ledger=ledger, name="m", **options)
        model.fit(table(), target="target")
        names.add(model.result_.tuned.study.name)
    assert names == {"m", "m-2", "m-3"}


@pytest.mark.parametrize(("share", "words"), [(1 / 9, "1/9"), (1 / 27, "1/27"), (0.5, "1/2"), (0.4, "0.4"), (2 / 3, "0.667")])
def test_shares_read_as_people_write_them(share, words):
    assert share_words(share) == words


def test_the_shell_has_the_same_options(tmp_path, monkeypatch, capsys):
    from staytuned.cli import main

    monkeypatch.chdir(tmp_path)
    table().to_csv("t.csv", index=False)
    (tmp_path / "space.yaml").write_text(json.dumps(SPACE))
    wishes = "--scheduler asha --fidelity 0.3333 --enough 0.01"
    with pytest.raises(SystemExit) as end:
        main(f"tune t.csv --target target --trials 4 --method random --quality fast --jobs 1 --seed 0 --space space.yaml {wishes}".split())
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert "asha: configs begin with 1/3 of the 144 training rows" in out
    assert "ends early once what is left to gain is probably below 0.01" in out
    for words, said in (("--scheduler ahsa", "did you mean 'asha'"), ("--fidelity 2", "fidelity=2.0"), ("--enough many", "enough='many'")):
        with pytest.raises(SystemExit):
            main(f"tune t.csv --target target --trials 1 {words}".split())
        assert said in capsys.readouterr().err
