"""Every sampler takes the same exam; who cannot pass a law by its nature is excused in the open."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from staytuned._random import generator
from staytuned.errors import SpaceExhausted, UsageError
from staytuned.goal import Goal
from staytuned.protocols import Sampler
from staytuned.samplers.auto import Auto
from staytuned.samplers.bayes import Bayes
from staytuned.samplers.evolution import Evolution
from staytuned.samplers.grid import Grid
from staytuned.samplers.manual import Manual
from staytuned.samplers.named import METHODS, named
from staytuned.samplers.random import Random
from staytuned.samplers.sobol import Sobol
from staytuned.samplers.tpe import TPE
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Config, Space
from staytuned.testing import sampler_laws
from staytuned.testing.sampler_laws import SAMPLER_LAWS, SamplerLaw, check_sampler
from staytuned.trial import Measurement, Trial

MAKERS: dict[str, Callable[[Space, Goal, int], Sampler]] = {
    "grid": Grid,
    "random": Random,
    "sobol": Sobol,
    "tpe": TPE,
    "bayes": Bayes,
    "evolution": Evolution,
    "auto": Auto,
}


def _small(space: Space, goal: Goal, seed: int) -> Sampler:
    return Evolution(space, goal, seed, population=5, tournament=2)


@pytest.mark.parametrize("law", SAMPLER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in ("auto", "bayes") else name for name in MAKERS])
def test_law(name: str, law: SamplerLaw) -> None:
    law(MAKERS[name])


def test_a_small_population_passes_too() -> None:
    check_sampler(_small)


class Forgetful:
    """Breaks the laws: proposes the same config again and again, and counts how often it was asked."""

    name = "forgetful"

    def __init__(self, space: Space, *_: object) -> None:
        self.space, self.asked = space, 0

    def ask(self, *request: object) -> list[Config]:
        self.asked += 1
        config = self.space.sample(generator(self.asked // 20, "forgetful"))
        return [config] * (request[1] if len(request) > 1 else 1)


@pytest.mark.parametrize(
    "law", [sampler_laws.repeats_no_pending, sampler_laws.differs_in_a_batch, sampler_laws.ends_a_finite_space, sampler_laws.repeats_itself]
)
def test_a_bad_sampler_fails(law: SamplerLaw) -> None:
    with pytest.raises(AssertionError, match=r"\w+ \w+"):
        law(Forgetful)


def test_a_sampler_that_leaves_the_space_fails() -> None:
    class Outside(Forgetful):
        def ask(self, *_: object) -> list[Config]:
            return [{"a": 2}]

    with pytest.raises(AssertionError, match="proposed"):
        sampler_laws.proposes_inside(Outside)


SPACE = Space({"x": Float(0, 1), "k": Choice(["a", "b"]), "n": Int(1, 3, when={"k": ["b"]})})


def test_manual_goes_through_its_list_and_says_how_to_go_on() -> None:
    configs = [{"x": 0.5, "k": "a"}, {"x": 0.1, "k": "b", "n": 2}, {"x": 0.5, "k": "a"}]
    sampler = Manual(SPACE, Goal(), 0, configs)
    assert sampler.ask([], 5) == configs[:2]
    history = [Trial(0, {"x": 0.5, "k": "a"}, measurement=Measurement({"loss": 1.0}))]
    assert sampler.ask(history) == [configs[1]]
    with pytest.raises(SpaceExhausted, match="enqueue"):
        sampler.ask([*history, Trial(1, configs[1])])
    with pytest.raises(SpaceExhausted, match="no configs"):
        Manual(SPACE, Goal(), 0).ask([])


def test_manual_refuses_what_does_not_fit() -> None:
    with pytest.raises(UsageError, match=r"'n' is missing"):
        Manual(SPACE, Goal(), 0, [{"x": 0.5, "k": "b"}])


@pytest.mark.parametrize("method", METHODS)
def test_named(method: str) -> None:
    sampler = named(method, SPACE, Goal(), 3)
    assert isinstance(sampler, Sampler)
    assert sampler.name == method


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'random'"):
        named("randm", SPACE, Goal(), 0)
    with pytest.raises(UsageError, match="The methods are manual, grid"):
        named("?", SPACE, Goal(), 0)


def test_a_space_without_choice_is_tried_once() -> None:
    for make in MAKERS.values():
        for space in (Space({"a": Int(1, 1), "b": Float(2, 2)}), Space({})):
            sampler = make(space, Goal(), 0)
            (config,) = sampler.ask([], 3)
            with pytest.raises(SpaceExhausted):
                sampler.ask([Trial(0, config)])


def test_auto_names_who_answers() -> None:
    sampler = Auto(SPACE, Goal(), 0)
    history: list[Trial] = []
    origins = []
    for number in range(30):
        origins.append(sampler.origin(history))
        config = Random(SPACE, Goal(), number).ask([])[0]
        history.append(Trial(number, config, measurement=Measurement({"loss": config["x"]})))
    assert origins[:6] == ["sobol"] * 6
    assert origins[6:28] == ["bayes"] * 22
    assert origins[28] == "tpe"
    assert sampler.origin(history * 7) == "bayes"
    assert sampler.origin([*history * 7, history[0]]) == "tpe"


def test_sobol_fills_every_half_of_every_dimension() -> None:
    space = Space({f"x{i}": Float(0, 1) for i in range(4)})
    configs = Sobol(space, Goal(), 5).ask([], 16)
    for name in space.names:
        assert sorted(int(c[name] * 16) for c in configs) == list(range(16))  # a (0, 4, 1)-net: one point in each sixteenth
