"""A study that rations effort: shares of it, promotions, and rules that stop."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import staytuned as st
from staytuned._random import generator
from staytuned.errors import SpaceExhausted, UsageError
from staytuned.goal import Goal
from staytuned.open_trial import OpenTrial
from staytuned.protocols import Claim, Fact, Ration
from staytuned.schedulers.asha import ASHA, AshaRule
from staytuned.schedulers.halving import Halving
from staytuned.schedulers.hyperband import HyperbandRule
from staytuned.schedulers.median import MedianRule
from staytuned.schedulers.population import Population
from staytuned.store.memory import MemoryLedger
from staytuned.study import Study
from staytuned.trial import Measurement, Status, Trial

LINE = {"x": st.Float(-1, 1)}
BY_FIDELITY = ("asha", "halving", "hyperband", "population")


def square(trial: OpenTrial) -> float:
    """Little effort flatters nobody: the score of a share is worse by the same for all."""
    assert trial.fidelity is not None
    return float(trial.config["x"] ** 2 + 1 - trial.fidelity)


def noisy(trial: OpenTrial) -> float:
    assert trial.fidelity is not None
    if trial.config["x"] < -0.9:
        raise ValueError("too far left")
    return float(trial.config["x"] ** 2 + 0.3 * (1 - trial.fidelity) * generator(trial.seed, "noise").normal())


def _story(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.config, dict(t.scores), t.seed, t.origin, t.status, t.fidelity, t.continues) for t in study.trials]


def _study(scheduler: str, **options: Any) -> Study:
    return Study("s", space=LINE, scheduler=scheduler, fidelity=1 / 9, **({"sampler": "random", "seed": 5} | options))


# objectives that read a share of the effort


def test_hyperband_in_a_study_follows_the_table() -> None:
    study = _study("hyperband")
    study.optimize(square, trials=22)
    shares = [round(9 * t.share) for t in study.trials]
    assert shares == [1] * 9 + [3] * 3 + [9] + [3] * 5 + [9] + [9] * 3
    assert [t.origin for t in study.trials] == ["random"] * 9 + ["hyperband"] * 4 + ["random"] * 5 + ["hyperband"] + ["random"] * 3


@pytest.mark.parametrize("scheduler", BY_FIDELITY)
def test_what_goes_on_says_from_where_and_keeps_config_and_seed(scheduler: str) -> None:
    seen: dict[int, tuple[Any, ...]] = {}

    def objective(trial: OpenTrial) -> float:
        seen[trial.number] = (trial.fidelity, trial.continues, dict(trial.config), trial.seed)
        return square(trial)

    study = _study(scheduler)
    study.optimize(objective, trials=40)
    assert seen == {t.number: (t.fidelity, t.continues, t.config, t.seed) for t in study.trials}
    going_on = [t for t in study.trials if t.continues is not None]
    assert going_on
    for trial in going_on:
        assert trial.continues is not None
        before = study.trials[trial.continues]
        assert before.share < trial.share
        assert trial.origin == scheduler
        assert (trial.config == before.config) == (trial.seed == before.seed)
        assert trial.config == before.config or scheduler == "population"
    gone = Counter(t.continues for t in going_on)
    assert scheduler == "population" or set(gone.values()) == {1}


def test_only_full_effort_counts_for_the_best() -> None:
    study = Study(space=LINE, scheduler=ASHA(Goal(), lowest=1 / 3), sampler="random", seed=1)
    study.optimize(lambda trial: trial.config["x"] ** 2 + 10 * trial.fidelity, trials=2)
    assert study.best.share == pytest.approx(1 / 3)  # the highest there is
    study.optimize(lambda trial: trial.config["x"] ** 2 + 10 * trial.fidelity, trials=20)
    full = [t for t in study.trials if t.share == 1.0]
    assert study.best is min(full, key=lambda t: t.scores["loss"])
    assert study.best is study.goal.best(study.trials)
    assert study.best.scores["loss"] > max(t.scores["loss"] for t in study.trials if t.share < 1)
    two = Goal.parse("min loss, min size")
    small = [Trial(i, {}, fidelity=f, measurement=Measurement({"loss": s, "size": s})) for i, (f, s) in enumerate([(0.5, 0.0), (None, 2.0), (1.0, 3.0)])]
    assert two.front(small) == [small[1]]


@pytest.mark.parametrize("scheduler", BY_FIDELITY)
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_study_continued_repeats_the_one_that_was_not_stopped(scheduler: str, sampler: str) -> None:
    ledger = MemoryLedger()
    whole = _study(scheduler, sampler=sampler)
    whole.optimize(noisy, trials=40)
    for trials in (3, 11, 1, 25):
        _study(scheduler, sampler=sampler, ledger=ledger).optimize(noisy, trials=trials)
    assert _story(Study("s", ledger=ledger)) == _story(whole)


class Mortal(MemoryLedger):
    """A ledger at one of whose calls the user interrupts, before or after the call took effect."""

    def __init__(self) -> None:
        super().__init__()
        self.fatal, self.after = -1, False

    def append(self, facts: Sequence[Fact], claims: Sequence[Claim] = ()) -> list[int]:
        self.fatal -= 1
        if self.fatal == 0 and not self.after:
            raise KeyboardInterrupt
        answer = super().append(facts, claims)
        if self.fatal == 0:
            raise KeyboardInterrupt
        return answer


@pytest.mark.parametrize("scheduler", BY_FIDELITY)
def test_an_interruption_anywhere_leaves_no_hole(scheduler: str) -> None:
    whole = _study(scheduler)
    whole.optimize(noisy, trials=30)
    ledger, rng = Mortal(), np.random.default_rng(0)
    while True:
        ledger.fatal, ledger.after = int(rng.integers(2, 20)), bool(rng.integers(2))
        try:
            study = _study(scheduler, ledger=ledger)
            study.optimize(noisy, trials=30 - sum(t.status is not Status.RUNNING for t in study.trials))
        except KeyboardInterrupt:
            continue
        except UsageError:
            pass  # nothing is left to do
        break
    assert _story(Study("s", ledger=ledger)) == _story(whole)
    asked = [fact.key for fact in ledger.read("study/s", kind="asked")]
    assert asked == [f"asked/{n}" for n in range(30)]


@pytest.mark.parametrize("scheduler", ["asha", "halving"])
def test_workers_at_once_let_no_trial_go_on_twice(scheduler: str, tmp_path: Path) -> None:
    def work() -> None:
        _study(scheduler, ledger=tmp_path / "s.db").optimize(square, trials=10)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = Study("s", ledger=tmp_path / "s.db").trials
    gone = [t.continues for t in trials if t.continues is not None]
    assert [t.number for t in trials] == list(range(30))
    assert gone
    assert len(gone) == len(set(gone))
    assert {t.status for t in trials} == {Status.DONE}


def test_a_population_is_the_same_whatever_the_workers_and_then_has_ended() -> None:
    alone, together = (Study("s", space=LINE, scheduler="population", fidelity=1 / 4, sampler="sobol", seed=2) for _ in range(2))
    alone.optimize(square, trials=100)
    with ThreadPoolExecutor(4) as executor:
        together.optimize(square, trials=100, executor=executor)
    assert len(alone.trials) == 40
    assert alone.why_ended == together.why_ended == "the scheduler has nothing more to begin"
    kept = [[(t.fidelity, t.continues) for t in study.trials] for study in (alone, together)]
    assert kept[0][:10] == kept[1][:10]
    assert Counter(share for share, _ in kept[0]) == Counter(share for share, _ in kept[1]) == {0.25: 10, 0.5: 10, 0.75: 10, 1.0: 10}


def test_who_must_wait_says_for_what() -> None:
    study = Study(space=LINE, scheduler=Population(Goal(), st.Space(LINE), size=2, steps=2), sampler="random")
    first = study.ask(), study.ask()
    with pytest.raises(SpaceExhausted, match="the scheduler waits for trial 0, 1"):
        study.ask()
    study.tell(first[0], 1.0), study.tell(first[1], 2.0)
    assert study.ask().continues == 0


@pytest.mark.parametrize("scheduler", ["asha", "halving", "hyperband"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_finite_space_is_tried_at_the_lowest_rung_and_its_best_in_full(scheduler: str, workers: int) -> None:
    study = Study(space={"x": st.Int(0, 4)}, scheduler=scheduler, fidelity=1 / 9, sampler="grid", seed=0)
    with ThreadPoolExecutor(workers) as executor:
        study.optimize(lambda trial: trial.config["x"] + 1 - trial.fidelity, executor=executor)
    assert {t.config["x"] for t in study.trials} == {0, 1, 2, 3, 4}
    assert study.best.share == 1.0
    assert study.best.config["x"] == 0
    assert len({(t.config["x"], t.fidelity) for t in study.trials}) == len(study.trials)


def test_what_was_enqueued_begins_at_the_lowest_rung_and_what_was_told_from_outside_does_no_harm() -> None:
    study = _study("asha")
    study.enqueue({"x": 0.0})
    study.optimize(square, trials=3)
    assert (study.trials[0].origin, study.trials[0].config["x"]) == ("enqueued", 0.0)
    assert study.trials[0].share == pytest.approx(1 / 9)
    plain = Study("s", space=LINE, sampler="random", ledger=study.ledger)  # another program that knows of no shares
    plain.optimize(lambda _: 7.0, trials=2)
    going = _study("asha", ledger=study.ledger)
    going.optimize(square, trials=20)
    assert going.trials[5].continues == 0
    assert {t.fidelity for t in going.trials[3:5]} == {None}
    assert going.best.scores["loss"] < 7.0


def test_a_define_by_run_objective_goes_on_with_what_it_chose() -> None:
    study = Study(scheduler="asha", fidelity=1 / 3, sampler="random", seed=3)
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, trials=12)
    going_on = [t for t in study.trials if t.continues is not None]
    assert going_on
    assert all(t.continues is not None and t.config == study.trials[t.continues].config for t in going_on)


def test_the_sampler_sees_one_trial_a_config() -> None:
    shown: list[list[Trial]] = []

    class Watching:
        name = "watching"

        def ask(self, history: Any, n: int = 1) -> list[dict[str, Any]]:
            shown.append(list(history))
            return [{"x": 0.9 - 0.1 * len(history)}] * n

    study = _study("asha", sampler=Watching())
    study.optimize(square, trials=13)
    for history in shown:
        configs = [t.config["x"] for t in history]
        assert len(configs) == len(set(configs))
        assert [t.number for t in history] == [t.number for t in study.trials if t.continues is None][: len(history)]
    assert len(shown) == sum(t.continues is None for t in study.trials)
    assert {t.status for t in shown[-1]} <= {Status.DONE, Status.PRUNED}


@pytest.mark.parametrize("sampler", ["bayes", "tpe", "cma", "evolution", "auto", "sobol"])
def test_every_sampler_bears_the_union(sampler: str) -> None:
    study = Study(space={"x": st.Float(-1, 1), "k": st.Choice(["a", "b"])}, scheduler="hyperband", fidelity=1 / 9, sampler=sampler, seed=1)
    study.optimize(square, trials=30)
    assert {t.status for t in study.trials} == {Status.DONE}
    assert study.best.share == 1.0
    new = [(t.config["x"], t.config["k"]) for t in study.trials if t.continues is None]
    assert len(set(new)) == len(new)


def test_the_frame_tells_of_shares_where_there_are_any() -> None:
    study = _study("asha")
    assert "fidelity" not in study.to_frame()
    study.optimize(square, trials=6)
    frame = study.to_frame()
    assert frame["fidelity"].tolist() == [t.share for t in study.trials]
    assert frame["continues"].dropna().astype(int).tolist() == [t.continues for t in study.trials if t.continues is not None]


def test_old_ledgers_are_read() -> None:
    ledger = MemoryLedger()
    Study("s", space=LINE, ledger=ledger, seed=1)
    body = {"number": 0, "config": {"x": 0.5}, "origin": "sobol", "seed": 3, "fidelity": None, "started": 1.0, "queued": 0}
    ledger.append([Fact("study/s", "asked", body, key="asked/0")])
    assert Study("s", ledger=ledger).trials[0].continues is None
    study = _study("asha", ledger=MemoryLedger())
    study.ask()
    assert "continues" not in study.ledger.read("study/s", kind="asked")[0].body


# objectives that report on the way


def epochs(trial: OpenTrial) -> float:
    """Twenty-seven epochs; the loss falls to the square of x."""
    loss = 0.0
    for epoch in range(27):
        loss = trial.config["x"] ** 2 + 1 / (1 + epoch)
        trial.report(loss, epoch)
        if trial.should_prune():
            trial.prune()
    return loss


@pytest.mark.parametrize(("scheduler", "n_jobs"), [("asha", None), ("hyperband", None), ("median", None), pytest.param("asha", 2, marks=pytest.mark.slow)])
def test_stopping_saves_epochs_and_keeps_the_best(scheduler: str, n_jobs: int | None) -> None:
    study = Study(space=LINE, scheduler=scheduler, sampler="sobol", seed=4)
    study.optimize(epochs, trials=40, n_jobs=n_jobs)
    spent = sum(len(t.readings) for t in study.trials)
    assert spent < {"asha": 0.45, "hyperband": 0.7, "median": 0.9}[scheduler] * 40 * 27
    assert min(abs(t.config["x"]) for t in study.trials) == abs(study.best.config["x"])
    stopped = [t for t in study.trials if t.status is Status.PRUNED]
    assert stopped
    assert all(t.scores["loss"] == pytest.approx(t.config["x"] ** 2 + 1 / 27, abs=0.02) for t in stopped[5:] if scheduler != "median")
    assert {t.fidelity for t in study.trials} == {None}


def test_plateaus_are_left_and_none_stops_nothing() -> None:
    def objective(trial: OpenTrial) -> float:
        for step in range(50):
            trial.report(max(10 - step, 5), step)
            if trial.should_prune():
                trial.prune()
        return 5.0

    study = Study(space=LINE, scheduler="plateau", sampler="random")
    study.optimize(objective, trials=2)
    assert [len(t.readings) for t in study.trials] == [16, 16]
    assert [t.scores for t in study.trials] == [{"loss": 5.0}] * 2
    unbound = Study(space=LINE, scheduler="none", sampler="random")
    unbound.optimize(objective, trials=2)
    assert [len(t.readings) for t in unbound.trials] == [50, 50]


def test_a_stopped_study_continued_repeats_the_one_that_was_not() -> None:
    for scheduler in ("asha", "hyperband"):
        whole = Study("s", space=LINE, scheduler=scheduler, sampler="tpe", seed=6)
        whole.optimize(epochs, trials=30)
        ledger = MemoryLedger()
        for trials in (4, 15, 11):
            Study("s", space=LINE, scheduler=scheduler, sampler="tpe", seed=6, ledger=ledger).optimize(epochs, trials=trials)
        assert _story(Study("s", ledger=ledger)) == _story(whole)


# what it is told


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, MedianRule),
        ({"fidelity": 0.1}, ASHA),
        ({"scheduler": "asha"}, AshaRule),
        ({"scheduler": "hyperband"}, HyperbandRule),
        ({"scheduler": "halving", "fidelity": 0.1}, Halving),
        ({"scheduler": Halving(Goal())}, Halving),
    ],
)
def test_which_scheduler_is_meant(options: dict[str, Any], kind: type) -> None:
    assert type(Study(space=LINE, **options).scheduler) is kind


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheduler": "ashaa"}, "did you mean 'asha'"),
        ({"scheduler": "halving"}, "fidelity=1/27"),
        ({"scheduler": Halving(Goal()), "fidelity": 0.1}, "tell Halving itself"),
        ({"fidelity": 3}, "fidelity=3 must be above 0 and below 1"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(options: dict[str, Any], said: str) -> None:
    ledger = MemoryLedger()
    with pytest.raises(UsageError, match=said):
        Study("s", space=LINE, ledger=ledger, **options)
    assert ledger.read() == []


def test_a_scheduler_of_ones_own_may_answer_what_it_likes() -> None:
    class Doubling(MedianRule):
        def ration(self, history: Any, new: bool = True) -> Ration | None:  # noqa: ARG002 - the seam's arguments
            last = history[-1] if history else None
            return Ration(0.5) if last is None or last.share == 1.0 else Ration(1.0, last.number, origin="doubling")

    study = Study(space=LINE, scheduler=Doubling(Goal()), sampler="random")
    study.optimize(square, trials=6)
    assert [(t.share, t.continues) for t in study.trials] == [(0.5, None), (1.0, 0), (0.5, None), (1.0, 2), (0.5, None), (1.0, 4)]
