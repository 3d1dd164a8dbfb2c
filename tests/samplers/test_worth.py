"""What a config is worth: closed forms against simulation, slopes against differences."""

from __future__ import annotations

import numpy as np
import pytest

from staytuned.goal import Goal, nondominated
from staytuned.samplers._belief import Belief
from staytuned.samplers._cube import Cube
from staytuned.samplers._gp import Posterior, default_start, features, full, layout
from staytuned.samplers._pareto import hypervolume
from staytuned.samplers._worth import Believed, Hypervolume, Improvement, Keeps, Worth
from staytuned.samplers.bayes import Bayes
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.trial import Measurement, Status, Trial

SPACE = Space({"a": Float(0, 1, prior=0.3), "b": Float(0, 1), "c": Choice(["u", "v"]), "d": Float(0, 1, when={"c": ["u"]})})
CUBE = Cube(SPACE)
PLAN = layout(CUBE)


def _model(seed: int, n: int = 9) -> Posterior:
    rng = np.random.default_rng(seed)
    rows = CUBE.snap(rng.random((n, 4)))
    return Posterior(default_start(PLAN, scale=0.5, noise=1e-3), PLAN, features(PLAN, rows), rng.standard_normal(n), full(n))


def _terms() -> list:
    under_way = features(PLAN, CUBE.snap(np.random.default_rng(7).random((2, 4))))
    front = np.array([[-1.0, 0.8], [0.1, 0.1], [0.9, -1.2]])
    return [
        Improvement(_model(0), -0.4),
        Improvement(_model(1).believing(under_way), -9.0),
        Keeps(_model(2)),
        Hypervolume((_model(3), _model(4)), front, np.array([1.5, 1.4])),
        Believed(Belief.of(CUBE, Goal()), 2.0),
    ]


@pytest.mark.parametrize("index", range(5))
def test_slopes_are_derivatives_of_scores(index: int) -> None:
    term = _terms()[index]
    for seed in (11, 12, 13):
        row = CUBE.snap(np.random.default_rng(seed).uniform(0.05, 0.95, (1, 4)))[0]
        value, gradient = term.slope(row)
        assert value == pytest.approx(float(term.score(row[None])[0]), rel=1e-6, abs=1e-9)
        for j in np.flatnonzero(CUBE.continuous):
            if np.isnan(row[j]):
                assert gradient[j] == 0
                continue
            shift = 1e-5 * np.eye(4)[j]
            up, down = (float(term.score((row + s * shift)[None])[0]) for s in (1, -1))
            assert gradient[j] == pytest.approx((up - down) / 2e-5, rel=2e-3, abs=2e-3)
        assert gradient[2] == 0  # a category


def test_the_worth_is_the_sum_of_its_terms() -> None:
    terms, rows = _terms(), CUBE.snap(np.random.default_rng(5).random((6, 4)))
    np.testing.assert_allclose(Worth(terms).score(rows), np.sum([t.score(rows) for t in terms], axis=0))
    assert Worth(terms).score(rows[:0]).shape == (0,)
    value, gradient = Worth(terms).slope(rows[0])
    assert value == pytest.approx(sum(t.slope(rows[0])[0] for t in terms))
    np.testing.assert_allclose(gradient, np.sum([t.slope(rows[0])[1] for t in terms], axis=0))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_expected_growth_of_the_dominated_area_is_what_simulation_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((12, 2))
    front, reference = points[nondominated(points)], np.array([2.0, 2.2])
    term = Hypervolume((_model(3), _model(4)), front, reference)
    rows = CUBE.snap(rng.random((1, 4)))
    (m1, d1), (m2, d2) = (model.predict(features(PLAN, rows)) for model in term.models)
    drawn = np.stack([m1 + d1 * rng.standard_normal(4000), m2 + d2 * rng.standard_normal(4000)], axis=1)
    base = hypervolume(front, reference)
    gains = [hypervolume(np.vstack([front, point]), reference) - base for point in drawn]
    error = np.std(gains) / np.sqrt(len(gains))
    assert np.exp(term.score(rows)[0]) == pytest.approx(np.mean(gains), abs=4 * error + 1e-3)


def test_a_limit_is_learned_and_kept() -> None:
    """The best loss lies where the limit is broken; the best that keeps it is at x = 0.4."""
    space, goal = Space({"x": Float(0, 1), "y": Float(0, 1)}), Goal.parse("min loss where load <= 4")
    sampler, history = Bayes(space, goal, 0), list[Trial]()
    for number in range(22):
        config = sampler.ask(history)[0]
        scores = {"loss": (config["x"] - 0.9) ** 2 + (config["y"] - 0.5) ** 2, "load": 10 * config["x"]}
        history.append(Trial(number, config, measurement=Measurement(scores)))
    best = goal.best(history)
    assert best is not None
    assert best.scores["load"] <= 4
    assert best.scores["loss"] < 0.27  # the optimum under the limit is 0.25
    assert sum(t.scores["load"] <= 4.2 for t in history[12:]) >= 7


def test_where_half_of_the_space_fails_few_trials_are_lost() -> None:
    space = Space({"x": Float(0, 1), "n": Int(1, 9)})
    sampler, history = Bayes(space, Goal(), 1), list[Trial]()
    for number in range(26):
        config = sampler.ask(history)[0]
        broken = config["x"] > 0.5
        measurement = Measurement({}, Status.FAILED, "broken") if broken else Measurement({"loss": (config["x"] - 0.55) ** 2 + abs(config["n"] - 4) / 10})
        history.append(Trial(number, config, measurement=measurement))
    assert sum(t.status.failed for t in history[8:]) <= 8  # the best is at the very edge, and chance would fail 9 of these 18
    assert min(t.scores["loss"] for t in history if t.scores) < 0.05


@pytest.mark.parametrize("goal", ["min f, min g", pytest.param("min f, min g, min h", marks=pytest.mark.slow)])
def test_several_objectives_are_spread_over_the_front(goal: str) -> None:
    space, wanted = Space({"x": Float(0, 1), "y": Float(0, 1)}), Goal.parse(goal)
    sampler, history = Bayes(space, wanted, 2), list[Trial]()
    for number in range(28):
        config = sampler.ask(history)[0]
        bowl = 2 * (config["y"] - 0.4) ** 2
        scores = {"f": config["x"] + bowl, "g": (1 - config["x"]) ** 2 + bowl, "h": (config["x"] - 0.5) ** 2 + bowl}
        history.append(Trial(number, config, measurement=Measurement(scores)))
    front = wanted.front(history)
    spots = sorted(t.config["x"] for t in front)
    assert len(front) >= 6
    assert spots[0] < 0.2
    assert spots[-1] > 0.8
    assert np.mean([abs(t.config["y"] - 0.4) for t in front]) < 0.1
