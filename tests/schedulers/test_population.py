"""Population based training: who copies whom, and how far a copy moves."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.protocols import Ration
from staytuned.schedulers.population import Population, explored
from staytuned.space.dims import Choice, Float, Int, Ordinal
from staytuned.space.space import Space
from staytuned.trial import Measurement, Status, Trial

SPACE = Space({"rate": Float(1e-3, 1, log=True), "units": Int(1, 100), "kind": Choice(["a", "b"]), "size": Ordinal([8, 16, 32])})
POPULATION = Population(Goal(), SPACE, size=10, steps=3, seed=4)


def member(number: int, loss: float | None, step: int = 1, steps: int = 3, continues: int | None = None) -> Trial:
    config = {"rate": 0.01 * (1 + number), "units": 10 + number, "kind": "a", "size": 16}
    measurement = None if loss is None else Measurement({"loss": loss} if math.isfinite(loss) else {}, Status.DONE if math.isfinite(loss) else Status.FAILED)
    return Trial(number, config, fidelity=step / steps, measurement=measurement, continues=continues)


def succession(population: Population, history: list[Trial]) -> list[Ration]:
    """The rations of one step, all under way."""
    found: list[Ration] = []
    history = list(history)
    while (ration := population.ration(history)) is not None:
        assert ration.continues is not None
        config = ration.config or history[ration.continues].config
        history.append(Trial(len(history), config, fidelity=ration.fidelity, continues=ration.continues))
        found.append(ration)
    return found


FIRST = [member(i, float(9 - i)) for i in range(10)]  # the later, the better


def test_it_begins_with_new_members_and_waits_for_all_of_a_step() -> None:
    assert POPULATION.ration([]) == POPULATION.ration(FIRST[:9]) == Ration(1 / 3)
    assert POPULATION.ration([*FIRST[:9], member(9, None)]) is None
    assert POPULATION.ration([*FIRST[:3], member(3, None)], new=False) is None
    assert POPULATION.ration(FIRST[:3], new=False) is not None  # a space of three configs has three members


def test_the_worst_fifth_copies_the_best_fifth_and_the_others_go_on() -> None:
    rations = succession(POPULATION, FIRST)
    assert len(rations) == 10
    assert {r.fidelity for r in rations} == {2 / 3}
    assert [r.continues for r in rations[2:]] == list(range(2, 10))
    assert all(r.config is None for r in rations[2:])
    assert {r.continues for r in rations[:2]} <= {8, 9}
    for ration in rations[:2]:
        assert ration.config is not None
        assert ration.continues is not None
        assert ration.config != FIRST[ration.continues].config
        assert (ration.config["kind"], ration.config["size"]) == ("a", 16)


def test_members_that_failed_are_replaced_first() -> None:
    failed = [replace(t, measurement=Measurement(status=Status.FAILED)) if t.number in (5, 6, 7) else t for t in FIRST]
    rations = succession(POPULATION, failed)
    assert {r.continues for r in rations if r.config is not None} <= {8, 9}
    assert [i for i, r in enumerate(rations) if r.config is not None] == [5, 6, 7]
    assert POPULATION.ration([member(i, math.inf) for i in range(10)]) is None


def test_a_population_takes_size_times_steps_trials_whatever_the_workers() -> None:
    def grown(workers: int, seed: int) -> list[Any]:
        rng, history, flying = np.random.default_rng(seed), [], []
        while True:
            ration = POPULATION.ration(history) if len(flying) < workers else None
            if ration is not None:
                before = None if ration.continues is None else history[ration.continues]
                config = ration.config or (before.config if before else {"rate": 0.5 ** rng.integers(1), "units": len(history), "kind": "a", "size": 8})
                history.append(Trial(len(history), config, fidelity=ration.fidelity, continues=ration.continues))
                flying.append(len(history) - 1)
            elif flying:
                at = flying.pop(int(rng.integers(len(flying))))
                history[at] = replace(history[at], measurement=Measurement({"loss": float(history[at].config["units"])}))
            else:
                return [(t.fidelity, t.continues, t.config) for t in history]

    alone = grown(1, 0)
    assert Counter(share for share, *_ in alone) == {1 / 3: 10, 2 / 3: 10, 1.0: 10}
    assert grown(4, 1) == grown(25, 2) == alone


def test_a_copy_is_perturbed_by_a_fifth_or_drawn_anew() -> None:
    config = {"rate": 0.1, "units": 50, "kind": "a", "size": 16}
    perturbed = [explored(SPACE, config, np.random.default_rng(i), resample=0.0) for i in range(40)]
    assert {round(c["rate"], 9) for c in perturbed} == {0.08, 0.12}
    assert {c["units"] for c in perturbed} == {40, 60}
    assert {(c["kind"], c["size"]) for c in perturbed} == {("a", 16)}
    anew = [explored(SPACE, config, np.random.default_rng(i), resample=1.0, vary=["rate", "kind", "size"]) for i in range(40)]
    assert len({c["rate"] for c in anew}) == 40
    assert {c["kind"] for c in anew} == {"a", "b"}
    assert {c["units"] for c in anew} == {50}
    beside = {explored(SPACE, config, np.random.default_rng(i), resample=0.0, vary=["size"])["size"] for i in range(20)}
    assert beside == {8, 32}


def test_a_copy_stays_in_the_space() -> None:
    space = Space({"kind": Choice(["a", "b"]), "x": Float(0, 1), "n": Int(1, 9, step=2), "only": Float(2, 3, when={"kind": ["b"]})}, constraints=["x + n <= 6"])
    config = {"kind": "a", "x": 0.9, "n": 5}
    for i in range(60):
        assert space.contains(explored(space, config, np.random.default_rng(i), 0.5, vary=["kind", "x", "n"]))
    edge = Space({"x": Float(0, 1), "n": Int(1, 3)})
    assert {tuple(explored(edge, {"x": 1.0, "n": 1}, np.random.default_rng(i), 0.0).values()) for i in range(20)} == {(0.8, 1), (0.8, 2), (1.0, 1), (1.0, 2)}


@pytest.mark.parametrize(
    ("options", "said"),
    [({"size": 1}, "size=1"), ({"steps": 2.5}, "steps=2.5"), ({"share": 0.6}, "share=0.6"), ({"resample": -1}, "resample=-1"), ({"vary": ["lr"]}, "vary='lr'")],
)
def test_nonsense_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Population(Goal(), SPACE, **options)
