"""A chronicle says what a list would, packed or not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from staytuned import chronicle
from staytuned._random import generator
from staytuned.chronicle import Chronicle
from staytuned.goal import Goal
from staytuned.samplers.named import named
from staytuned.space.dims import Choice, Float
from staytuned.space.space import Space
from staytuned.store.memory import MemoryLedger
from staytuned.study import Study
from staytuned.trial import Measurement, Status, Trial

SPACE = Space({"x": Float(-1, 1), "kind": Choice(["a", "b", "c"])})


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs early, so that little is much."""
    monkeypatch.setattr(chronicle, "RECENT", 40)
    monkeypatch.setattr(chronicle, "_BLOCK", 8)


def trial(number: int, running: bool = False) -> Trial:
    rng = generator(number, "trial")
    config = SPACE.sample(rng)
    status = Status.FAILED if number % 11 == 7 else Status.DONE
    scores = {} if status is Status.FAILED else {"loss": float(rng.normal())}
    return Trial(number, config, "random", number, measurement=None if running else Measurement(scores, status))


def told(count: int) -> tuple[Chronicle, list[Trial]]:
    """A chronicle of trials that end out of order, and the list that it stands for."""
    found, known = Chronicle(), []
    rng, running = random.Random(0), []
    for number in range(count):
        known.append(trial(number, running=True))
        found.append(known[-1])
        running.append(number)
        while len(running) > 5:
            ended = running.pop(rng.randrange(len(running)))
            known[ended] = trial(ended)
            found.replace(known[ended])
    return found, known


@pytest.mark.parametrize("count", [0, 1, 39, 47, 48, 49, 200])
def test_what_a_list_would_say(count: int) -> None:
    found, known = told(count)
    assert found.packed == max(0, 8 * ((count - 40) // 8))
    assert len(found) == count
    assert list(found) == known
    assert found == known
    assert found == tuple(known)
    assert [found[place] for place in range(-count, count)] == known + known
    for part in (slice(None), slice(3, 9), slice(-5, None), slice(60, 10, -7), slice(None, None, 13), slice(500, None)):
        assert found[part] == known[part]
    for place in (count, -count - 1):
        with pytest.raises(IndexError, match=f"there is no trial {place}; there are {count}"):
            found[place]
    if count:
        assert found != known[:-1]
        assert found != [*known[:-1], trial(1000)]


def test_a_trial_that_runs_is_never_packed() -> None:
    found = Chronicle()
    for number in range(200):
        found.append(trial(number, running=number == 3))
    assert found.packed == 0
    found.replace(trial(3))
    for number in range(200, 260):
        found.append(trial(number))
    assert found.packed > 8
    assert list(found) == [trial(number) for number in range(260)]


def test_one_that_does_not_pack_keeps_the_same_objects() -> None:
    found, known = Chronicle(packs=False), [trial(number) for number in range(100)]
    for one in known:
        found.append(one)
    assert all(one is another for one, another in zip(found, known, strict=True))


@pytest.mark.parametrize("method", ["random", "sobol", "tpe", "evolution", "cma", "auto"])
def test_samplers_answer_as_they_do_to_a_list(method: str) -> None:
    """Asked on the way, when some is packed and some runs; a sampler that saw only the end says the same."""
    found, known = told(130)
    follows, fresh = (named(method, SPACE, Goal.parse("min loss"), 5) for _ in range(2))
    for more in range(130, 136):
        follows.ask(found, 1)
        found.append(trial(more, running=more % 2 == 0))
        known.append(found[-1])
    assert found.packed > 50
    assert follows.ask(found, 2) == fresh.ask(known, 2)


def test_nothing_packed_is_proposed_again() -> None:
    space = Space({"a": Choice(list(range(12))), "b": Choice(list(range(10)))})
    study = Study(space=space, sampler="random", seed=0, ledger=MemoryLedger())
    study.optimize(lambda open_trial: float(open_trial.config["a"]), trials=500)
    assert len({tuple(sorted(one.config.items())) for one in study.trials}) == len(study.trials) == 120
    assert "120" in study.why_ended


def test_a_study_is_the_same_packed_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def story(study: Study) -> list[Any]:
        return [(one.number, one.config, one.scores, one.status) for one in study.trials]

    def run() -> Study:
        study = Study(space=SPACE, sampler="tpe", seed=3, ledger=MemoryLedger())
        study.optimize(lambda open_trial: float(open_trial.config["x"]) ** 2, trials=120)
        return study

    packed = run()
    assert isinstance(packed.trials, Chronicle)
    assert packed.trials.packed >= 72
    again = Study(packed.name, space=SPACE, sampler="tpe", ledger=packed.ledger)
    monkeypatch.setattr(chronicle, "RECENT", 10**6)
    whole = run()
    assert isinstance(whole.trials, tuple)
    assert story(packed) == story(whole) == story(again)
    assert packed.best.config == whole.best.config
    assert packed.to_frame().drop(columns="seconds").equals(whole.to_frame().drop(columns="seconds"))


def test_trials_given_shares_of_the_effort_are_not_packed() -> None:
    study = Study(space=SPACE, sampler="random", scheduler="asha", fidelity=1 / 9, seed=3)
    study.optimize(lambda open_trial: float(open_trial.config["x"]) ** 2, trials=80)
    assert isinstance(study.trials, tuple)
