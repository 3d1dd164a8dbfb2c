"""Halving by promotion: the paper's table, budgets, and what goes on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.protocols import Ration, Scheduler
from staytuned.schedulers.asha import ASHA
from staytuned.schedulers.halving import Halving
from staytuned.schedulers.hyperband import Hyperband, hyperband_brackets
from staytuned.trial import Measurement, Status, Trial

LOSS = Goal()
SCHEDULERS = [ASHA(LOSS), Halving(LOSS), Hyperband(LOSS), Hyperband(LOSS, lowest=1 / 81), ASHA(LOSS, lowest=0.1, eta=2), Halving(LOSS, configs=40)]

# Li et al. 2018, table 1: n_i and r_i of the brackets for R = 81, eta = 3
TABLE = {
    4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    3: [(34, 3), (11, 9), (3, 27), (1, 81)],
    2: [(15, 9), (5, 27), (1, 81)],
    1: [(8, 27), (2, 81)],
    0: [(5, 81)],
}


def told(trial: Trial, loss: float) -> Trial:
    return replace(trial, measurement=Measurement({"loss": loss}) if math.isfinite(loss) else Measurement(status=Status.FAILED))


def begun(history: list[Trial], ration: Ration, pool: list[float]) -> Trial:
    """The trial a study would write down; a config is its place in the pool of final losses."""
    if ration.continues is not None:
        return Trial(len(history), history[ration.continues].config, ration.origin, fidelity=ration.fidelity, continues=ration.continues)
    return Trial(len(history), {"i": sum(t.continues is None for t in history) % len(pool)}, fidelity=ration.fidelity)


def run(scheduler: Scheduler, pool: list[float], trials: int, curve: Callable[[float, float], float] = lambda loss, share: loss + 1 - share) -> list[Trial]:
    """One worker; noiseless curves that keep their order unless said otherwise. Configs are not repeated: after the pool there are no new ones."""
    history: list[Trial] = []
    while len(history) < trials:
        fresh = sum(t.continues is None for t in history) < len(pool)
        ration = scheduler.ration(history, new=fresh)
        if ration is None:
            break
        trial = begun(history, ration, pool)
        history.append(told(trial, curve(pool[trial.config["i"]], trial.share)))
    return history


def losses(n: int, seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).permutation(n).astype(float).tolist()


def test_the_brackets_are_those_of_the_papers_table() -> None:
    brackets = hyperband_brackets(81, 3)
    assert {len(b) - 1: [(n, round(81 * share, 9)) for n, share in b] for b in brackets} == TABLE
    assert [len(b) - 1 for b in brackets] == [4, 3, 2, 1, 0]


def test_hyperband_runs_the_table_in_order_and_begins_anew() -> None:
    history = run(Hyperband(LOSS, lowest=1 / 81), losses(500), 2 * sum(n for bracket in TABLE.values() for n, _ in bracket))
    expected = [(n, r) for s in (4, 3, 2, 1, 0) for n, r in TABLE[s]] * 2
    found: list[tuple[int, int]] = []
    for trial in history:
        steps = round(81 * trial.share)
        found = [*found[:-1], (found[-1][0] + 1, steps)] if found and found[-1][1] == steps and found[-1] != expected[len(found) - 1] else [*found, (1, steps)]
    assert found == expected


def test_no_bracket_costs_more_than_its_budget() -> None:
    """B = (s_max + 1) R (Li et al. 2018, section 3.2), where a promotion pays for its whole rung; less if it goes on from a checkpoint."""
    for ratio, eta in ((81, 3), (27, 3), (64, 4), (100, 3), (16, 2)):
        brackets = hyperband_brackets(ratio, eta)
        for bracket in brackets:
            s = len(bracket) - 1
            assert sum(n * share for n, share in bracket) <= len(brackets) + (s + 1) * eta**-s + 1e-9  # the second term: n was rounded up
            assert all(later <= now / eta for (now, _), (later, _) in pairwise(bracket))
    assert [round(sum(n * share * 81 for n, share in bracket)) for bracket in hyperband_brackets(81)] == [405, 363, 351, 378, 405]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=repr)
def test_one_in_eta_goes_on_and_only_the_best(scheduler: Any) -> None:
    """ASHA promotes some too many, of the order of the square root of a rung (Li et al. 2020, section 3.2); the others never do."""
    history = run(scheduler, losses(200), 150)
    rungs = Counter(round(t.share, 6) for t in history if t.continues is not None)
    assert rungs
    for share, climbed in rungs.items():
        below = sum(round(t.share * scheduler.eta, 6) == share for t in history)
        assert climbed <= below / scheduler.eta + (math.sqrt(below) if scheduler.name == "asha" else 0)
    for trial in history:
        if trial.continues is not None:
            before = history[trial.continues]
            assert (trial.config, trial.origin) == (before.config, scheduler.name)
            assert trial.share == pytest.approx(before.share * scheduler.eta)
            if scheduler.name == "asha" or trial.number < sum(n for n, _ in scheduler.brackets[0]):
                rung = sorted(t.scores["loss"] for t in history[: trial.number] if t.share == before.share)
                assert before.scores["loss"] <= rung[int(len(rung) / scheduler.eta) - 1]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=repr)
def test_an_answer_depends_on_the_history_alone(scheduler: Scheduler) -> None:
    history = run(scheduler, losses(200), 150)
    for length in range(0, 150, 7):
        ration = scheduler.ration(history[:length])
        assert ration is not None
        assert (ration.continues, ration.fidelity) == (history[length].continues, history[length].fidelity)
        foreign = [replace(told(Trial(1000 + i, {"i": 0}), -5.0), origin="foreign") for i in range(3)]
        assert scheduler.ration([*history[:length], *foreign]) == ration


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=repr)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_many_workers_in_any_order_never_let_a_trial_go_on_twice_and_never_wait(scheduler: Any, data: st.DataObject) -> None:
    pool, history, flying = losses(400), [], []
    for _ in range(60):
        if flying and (len(flying) == 8 or data.draw(st.booleans())):
            at = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
            failed = data.draw(st.integers(0, 9)) == 0
            history[at] = told(history[at], math.inf if failed else pool[history[at].config["i"]])
        else:
            ration = scheduler.ration(history)
            assert ration is not None
            history.append(begun(history, ration, pool))
            flying.append(len(history) - 1)
    gone = [t.continues for t in history if t.continues is not None]
    assert len(gone) == len(set(gone))
    assert all(history[number].status is Status.DONE for number in gone)


def test_halving_waits_for_a_whole_rung_and_asha_does_not() -> None:
    history = [told(Trial(i, {"i": i}, fidelity=1 / 9), float(i)) for i in range(9)]
    assert Halving(LOSS, lowest=1 / 9).ration([*history[:8], Trial(8, {}, fidelity=1 / 9)]) == Ration(1 / 9)  # the next bracket meanwhile
    assert Halving(LOSS, lowest=1 / 9).ration(history) == Ration(1 / 3, 0, origin="halving")
    assert ASHA(LOSS, lowest=1 / 9).ration(history[:2]) == Ration(1 / 9)
    assert ASHA(LOSS, lowest=1 / 9).ration(history[:3]) == Ration(1 / 3, 0, origin="asha")


def test_asha_lets_a_paused_trial_go_on_when_worse_ones_have_come() -> None:
    asha = ASHA(LOSS, lowest=1 / 3)
    history = [told(Trial(i, {}, fidelity=1 / 3), loss) for i, loss in enumerate([2.0, 1.0, 3.0])]
    history.append(told(Trial(3, {}, fidelity=1.0, continues=1), 0.0))
    assert asha.ration(history) == Ration(1 / 3)
    history += [told(Trial(i, {}, fidelity=1 / 3), 9.0) for i in (4, 5, 6)]
    assert asha.ration(history) == Ration(1.0, 0, origin="asha")


def test_asha_prefers_the_highest_rung() -> None:
    """Li et al. 2020, algorithm 2: rungs are looked through from the top."""
    history = [told(Trial(i, {}, fidelity=1 / 9), float(i)) for i in range(9)]
    history += [told(Trial(9 + i, {}, fidelity=1 / 3, continues=i), float(i)) for i in range(3)]
    history += [told(Trial(12 + i, {}, fidelity=1 / 9), -1.0) for i in range(3)]
    assert ASHA(LOSS, lowest=1 / 9).ration(history) == Ration(1.0, 9, origin="asha")


@pytest.mark.parametrize("seed", range(5))
def test_without_noise_asha_and_halving_find_the_same_top(seed: int) -> None:
    """With curves that keep their order, all of a pool of 81 seen: the best of them is measured in full by both, and so are the next two by ASHA's rung."""
    pool = losses(81, seed)
    tops = [[t.config["i"] for t in run(scheduler(LOSS, lowest=1 / 81), pool, 10_000) if t.share == 1.0] for scheduler in (Halving, ASHA)]
    best = int(np.argmin(pool))
    assert tops[0] == [best]
    assert best in tops[1]


@pytest.mark.parametrize("scheduler", [ASHA(LOSS), Halving(LOSS), Hyperband(LOSS)], ids=repr)
@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_a_space_too_small_for_a_bracket_still_measures_one_in_full(scheduler: Scheduler, n: int) -> None:
    pool = losses(n)
    history = run(scheduler, pool, 1000)
    full = [t for t in history if t.share == 1.0]
    assert int(np.argmin(pool)) in [t.config["i"] for t in full]
    assert len(history) < 3 * n + 4


@pytest.mark.parametrize("scheduler", [ASHA(LOSS, lowest=1 / 9), Halving(LOSS, lowest=1 / 9), Hyperband(LOSS, lowest=1 / 9)], ids=repr)
def test_where_all_fail_nothing_goes_on(scheduler: Scheduler) -> None:
    history = run(scheduler, losses(50), 50, curve=lambda *_: math.inf)
    assert len(history) == 50
    assert all(t.continues is None for t in history)


def test_limits_come_before_scores_and_fronts_before_the_first_objective() -> None:
    limited, two = Goal.parse("min loss where size <= 5"), Goal.parse("min loss, min size")
    scores = [(0.0, 9.0), (3.0, 5.0), (1.0, 5.0)]
    history = [Trial(i, {}, fidelity=1 / 3, measurement=Measurement({"loss": loss, "size": size})) for i, (loss, size) in enumerate(scores)]
    assert ASHA(limited, lowest=1 / 3).ration(history) == Ration(1.0, 2, origin="asha")
    dominated = [(0.5, 9.0), (1.0, 1.0), (0.6, 9.5), (0.55, 9.9), (0.58, 9.8), (9.0, 9.9)]  # two on the front
    history = [Trial(i, {}, fidelity=1 / 3, measurement=Measurement({"loss": loss, "size": size})) for i, (loss, size) in enumerate(dominated)]
    history.append(Trial(6, {}, fidelity=1.0, continues=0))
    assert ASHA(two, lowest=1 / 3).ration(history) == Ration(1.0, 1, origin="asha")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ASHA(LOSS, lowest=0), "fidelity=0 must be above 0"),
        (lambda: ASHA(LOSS, lowest=1.0), "below 1"),
        (lambda: Hyperband(LOSS, lowest=0.5), "fidelity=0.5 is above 1/3"),
        (lambda: Hyperband(LOSS, eta=1), "eta=1 must be a number of at least 2"),
        (lambda: Halving(LOSS, lowest=1 / 27, configs=26), "configs=26 must be a whole number of at least 27"),
        (lambda: Halving(LOSS, lowest=True), "fidelity=True"),
        (lambda: ASHA(LOSS, eta=math.nan), "eta=nan"),
    ],
)
def test_nonsense_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
