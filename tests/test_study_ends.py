"""How a study ends: trials, time, Ctrl-C, and what is under way then."""

from __future__ import annotations

import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

import staytuned as st
from staytuned.errors import SpaceExhausted, TrialPruned, UsageError
from staytuned.open_trial import OpenTrial
from staytuned.samplers.named import METHODS
from staytuned.study import Study
from staytuned.trial import Status, Trial
from studies import LINE, SMALL, square, statuses, story


def test_time_is_up_for_the_study_and_not_for_the_trial(tmp_path: Path) -> None:
    ledger = st.open_ledger(tmp_path / "study.db")
    study = Study("s", space=LINE, sampler="random", ledger=ledger, seed=6)
    study.optimize(lambda _: time.sleep(600) or 1.0, timeout=0.6, n_jobs=2)
    assert study.why_ended == "the time was up"
    assert statuses(study) == [Status.RUNNING] * 2
    other = Study("s", sampler="random", ledger=ledger)
    other.optimize(square, trials=3)
    whole = Study(space=LINE, sampler="random", seed=6)
    whole.optimize(square, trials=3)
    assert story(whole) == story(other)


def test_time_is_up_on_an_executor_that_cannot_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("staytuned.study._GRACE", 0.1)
    release = threading.Event()

    def objective(trial: OpenTrial) -> float:
        if trial.number:
            release.wait(60)
        return 1.0

    study = Study(space=LINE, sampler="random")
    with ThreadPoolExecutor(1) as executor:
        study.optimize(objective, timeout=0.3, executor=executor)
        release.set()
    assert study.why_ended == "the time was up"
    assert statuses(study) == [Status.DONE, Status.RUNNING]


def test_the_number_of_trials_is_new_trials() -> None:
    study = Study(space=LINE, sampler="random")
    study.optimize(square, trials=2)
    study.optimize(square, trials=3)
    assert len(study.trials) == 5
    assert study.why_ended == "all 3 trials asked for were run"


@pytest.mark.parametrize("method", [m for m in METHODS if m != "manual"])
def test_a_finite_space_ends(method: str) -> None:
    study = Study(space=SMALL, sampler=method, seed=1)
    study.optimize(lambda trial: trial.config["n"])
    assert len({tuple(t.config.items()) for t in study.trials}) == len(study.trials) == 6
    assert re.search("ha(s|ve) been tried", study.why_ended)
    with pytest.raises(SpaceExhausted):
        study.ask()


@pytest.mark.slow
def test_auto_walks_150_points_without_a_repeat_and_says_that_the_space_is_used_up() -> None:
    study = Study(space={"a": st.Int(1, 10), "b": st.Choice(list("vwxyz")), "c": st.Ordinal([1, 2, 4])}, seed=3)
    study.optimize(lambda trial: (trial.config["a"] - 7) ** 2 + trial.config["c"], trials=200)
    assert len({tuple(t.config.items()) for t in study.trials}) == len(study.trials) == 150
    assert re.search("ha(s|ve) been tried", study.why_ended)


@pytest.mark.parametrize("space", [LINE, None])
def test_what_would_never_end_is_refused(space: Any) -> None:
    with pytest.raises(UsageError, match="without trials=, total= or timeout= would never end"):
        Study(space=space).optimize(square)


def test_ctrl_c_leaves_a_study_that_can_be_continued(ledger: Any) -> None:
    def objective(trial: OpenTrial) -> float:
        if trial.number == 2 and stop:
            raise KeyboardInterrupt
        return square(trial)

    stop = True
    study = Study("s", space=LINE, sampler="random", ledger=ledger, seed=7)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, trials=5)
    assert statuses(study) == [Status.DONE, Status.DONE, Status.RUNNING]
    stop = False
    again = Study("s", sampler="random", ledger=ledger)
    again.optimize(objective, trials=3)
    whole = Study(space=LINE, sampler="random", seed=7)
    whole.optimize(objective, trials=5)
    assert story(again) == story(whole)


def test_ctrl_c_does_not_wait_for_the_workers(tmp_path: Path) -> None:
    def objective(trial: OpenTrial) -> float:
        (tmp_path / f"{trial.number} {os.getpid()}").touch()
        if trial.number:
            time.sleep(600)
        return 1.0

    def interrupt(_: Trial) -> None:
        raise KeyboardInterrupt

    study = Study(space=LINE, sampler="random")
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, trials=9, n_jobs=2, on_trial=interrupt)
    assert study.trials[0].status is Status.DONE
    pids = {int(file.name.split()[1]) for file in tmp_path.iterdir()}
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_trial_that_asks_stops_when_the_time_is_up_and_is_given_back() -> None:
    asked = []

    def slow(trial: OpenTrial) -> float:
        for step in range(1000):
            if trial.number:
                asked.append(step)
                time.sleep(0.01)
                trial.report(1.0, step)
                if trial.should_prune():
                    raise TrialPruned
        return 1.0

    study = Study(space=LINE, sampler="random", scheduler="none", seed=0)
    study.optimize(slow, timeout=0.3)
    assert study.why_ended == "the time was up"
    assert 1 <= len(asked) < 500
    assert [trial.status for trial in study.trials] == [Status.DONE, Status.RUNNING]
    study.optimize(square, trials=1)
    assert study.trials[1].status is Status.DONE
    assert len(study.trials) == 2


def test_the_only_trial_is_recorded_with_what_it_read_before_the_time_was_up() -> None:
    """So that there is something to show; and it goes on until it has read something, however long that takes."""

    def slow(trial: OpenTrial) -> float:
        for step in range(1000):
            time.sleep(0.05)
            if not step:
                assert not trial.should_prune(), "nothing was reported yet"
            trial.report(float(step == 0), step)
            if trial.should_prune():
                raise TrialPruned
        return 1.0

    study = Study(space=LINE, sampler="random", scheduler="none", seed=0)
    study.optimize(slow, timeout=0.01)
    assert [(trial.number, trial.status) for trial in study.trials] == [(0, Status.PRUNED)]
    assert study.best.scores == {"loss": 1.0}
    assert study.best.cure == "the time was up after 1 step, and no trial had finished"
    assert study.why_ended == "the time was up"
    study.optimize(square, trials=1)
    assert study.best.number == 1, "a finished one is better than any other"


def test_no_trial_begins_that_cannot_end_in_time() -> None:
    def slow(_: OpenTrial) -> float:
        time.sleep(0.3)
        return 1.0

    study = Study(space=LINE, sampler="random", seed=0)
    study.optimize(slow, timeout=0.5)
    assert statuses(study) == [Status.DONE]
    assert re.fullmatch(r"the time was up: 0\.[0-9]+ s were left, and a trial may take 0\.3[0-9]* s until it can be stopped", study.why_ended)


def test_the_first_trial_has_the_time_it_needs_so_that_there_is_something_to_show() -> None:
    def slow(trial: OpenTrial) -> float:
        time.sleep(0.05)
        assert not trial.should_prune()
        return 1.0

    study = Study(space=LINE, sampler="random", seed=0)
    study.optimize(slow, timeout=0.01)
    assert study.best.scores["loss"] == 1.0
