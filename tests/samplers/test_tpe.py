"""The estimator's densities against sums and integrals, and the sampler's aim."""

from __future__ import annotations

import math

import numpy as np
import pytest

from staytuned.goal import Goal
from staytuned.samplers._cube import Cube
from staytuned.samplers.tpe import TPE, Parzen
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.trial import Measurement, Status, Trial


def test_the_density_of_a_number_integrates_to_one() -> None:
    cube = Cube(Space({"x": Float(0, 1)}))
    parzen = Parzen(cube, np.array([[0.0], [0.3], [0.97]]), np.array([1.0, 0.7, 0.4]))
    grid = (np.arange(20_000)[:, None] + 0.5) / 20_000
    assert np.exp(parzen.log_density(grid)).mean() == pytest.approx(1, abs=1e-4)


def test_the_density_of_a_category_sums_to_one_and_prefers_what_was_seen() -> None:
    cube = Cube(Space({"c": Choice(["a", "b", "c", "d"])}))
    points = (np.arange(4)[:, None] + 0.5) / 4
    parzen = Parzen(cube, points[[1, 1, 2]], np.ones(3))
    density = np.exp(parzen.log_density(points))
    assert density.mean() == pytest.approx(1)  # relative to the even density
    assert density[1] > density[2] > density[0] == pytest.approx(density[3])


def test_an_absent_dimension_contributes_nothing() -> None:
    space = Space({"c": Choice(["on", "off"]), "x": Float(0, 1, when={"c": ["on"]})})
    cube = Cube(space)
    rows = np.array([cube.row({"c": "on", "x": 0.2}), cube.row({"c": "off"})])
    parzen = Parzen(cube, rows, np.ones(2))
    off = math.exp(parzen.log_density(rows[1:])[0])
    alone = Parzen(Cube(Space({"c": Choice(["on", "off"])})), rows[:, :1], np.ones(2))
    assert off == pytest.approx(math.exp(alone.log_density(rows[1:, :1])[0]))


def test_draws_follow_the_density() -> None:
    cube = Cube(Space({"x": Float(0, 1), "c": Choice(["a", "b", "c"])}))
    rows = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    drawn = Parzen(cube, rows, np.ones(3)).draw(20_000, np.random.default_rng(0))
    assert drawn[:, 0].mean() == pytest.approx(0.5, abs=0.01)
    assert np.std(drawn[:, 0]) == pytest.approx(0.5 * 1.06 * (1 / 12) ** 0.5 * 3 ** (-1 / 6), abs=0.005)  # half of Scott's rule for even values
    same = (np.floor(drawn[:, 1] * 3) == 1).mean()
    assert same == pytest.approx(1 - 0.5 * 2 / 3, abs=0.02)  # smoothing 1 / (1 + n / k) = 1/2, two of three categories are others


def test_it_aims_at_the_good() -> None:
    space = Space({"x": Float(0, 1), "n": Int(1, 20), "c": Choice(["good", "bad", "worse"])})
    rng = np.random.default_rng(1)
    history = []
    for number in range(60):
        config = space.sample(rng)
        loss = abs(config["x"] - 0.7) + abs(config["n"] - 5) / 20 + ["good", "bad", "worse"].index(config["c"])
        history.append(Trial(number, config, measurement=Measurement({"loss": loss})))
    configs = TPE(space, Goal(), 0).ask(history, 20)
    assert sum(c["c"] == "good" for c in configs) >= 15
    assert abs(float(np.median([c["x"] for c in configs])) - 0.7) < 0.15
    assert abs(float(np.median([c["n"] for c in configs])) - 5) <= 4


def test_it_avoids_where_trials_fail() -> None:
    space = Space({"x": Float(0, 1)})
    xs = np.linspace(0, 1, 41).tolist()
    history = [Trial(i, {"x": x}, measurement=Measurement({"loss": x} if x < 0.5 else {}, Status.DONE if x < 0.5 else Status.MEMORY)) for i, x in enumerate(xs)]
    assert np.median([c["x"] for c in TPE(space, Goal("loss", "max"), 0).ask(history, 15)]) < 0.55


def test_the_cost_of_an_ask_is_bounded() -> None:
    space = Space({"x": Float(0, 1), "y": Float(0, 1)})
    rng = np.random.default_rng(2)
    history = [Trial(i, {"x": float(a), "y": float(b)}, measurement=Measurement({"loss": float(a)})) for i, (a, b) in enumerate(rng.random((2000, 2)))]
    seen: list[int] = []
    original = Parzen.log_density

    def spying(self: Parzen, points):
        seen.append(len(self._rows))
        return original(self, points)

    Parzen.log_density = spying  # type: ignore[method-assign]
    try:
        TPE(space, Goal(), 0).ask(history)
    finally:
        Parzen.log_density = original  # type: ignore[method-assign]
    assert seen == [50, 300]
