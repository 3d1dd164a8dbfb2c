"""Guided methods must beat luck, by the median over a few seeds, on problems whose answers are known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from staytuned.goal import Goal
from staytuned.samplers.named import named
from staytuned.testing.problems import PROBLEMS, Problem
from staytuned.trial import Measurement, Trial

BY_NAME = {p.name: p for p in PROBLEMS}
SEEDS = range(5)


def _regret(method: str, problem: Problem, trials: int, seed: int) -> float:
    sampler = named(method, problem.space, Goal(), seed)
    history: list[Trial] = []
    for number in range(trials):
        config = sampler.ask(history)[0]
        history.append(Trial(number, config, measurement=Measurement({"loss": problem.f(config)})))
    return min(t.scores["loss"] for t in history) - problem.best


def _median(method: str, problem: Problem, trials: int) -> float:
    return float(np.median([_regret(method, problem, trials, seed) for seed in SEEDS]))


CASES = [
    ("tpe", "sphere", 60, 0.5), ("tpe", "pipeline", 60, 0.7), ("tpe", "cell", 60, 0.9), ("tpe", "valley", 40, 0.9),
    ("evolution", "sphere", 80, 0.7), ("evolution", "cell", 80, 0.9), ("evolution", "pipeline", 80, 0.9),
    ("bayes", "valley", 12, 0.5),
]  # fmt: skip
SLOW = [
    ("bayes", "branin", 25, 0.2), ("bayes", "sphere", 40, 0.05), ("bayes", "hartmann6", 50, 0.3), ("bayes", "rosenbrock", 50, 0.5),
    ("bayes", "pipeline", 40, 0.3), ("bayes", "cell", 40, 0.5),
    ("auto", "sphere", 40, 0.05), ("auto", "hartmann6", 50, 0.3), ("auto", "pipeline", 40, 0.3), ("auto", "cell", 40, 0.6),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("method", "problem", "trials", "share"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)])
def test_the_regret_left_is_a_share_of_random_s(method: str, problem: str, trials: int, share: float) -> None:
    chance, guided = (_median(m, BY_NAME[problem], trials) for m in ("random", method))
    assert guided <= share * chance


def test_nothing_is_lost_where_there_is_nothing_to_learn() -> None:
    assert _median("tpe", BY_NAME["noise"], 40) < 0.15  # the best of 40 uniform draws is 0.024 on average


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_no_draw_is_better_than_the_best(problem: Problem) -> None:
    rng = np.random.default_rng(0)
    assert min(problem.f(problem.space.sample(rng)) for _ in range(2000)) >= problem.best - 1e-6


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("sphere", {f"x{i}": 0.3 for i in range(5)}),
        ("branin", {"x": math.pi, "y": 2.275}),
        ("hartmann6", dict(zip([f"x{i}" for i in range(6)], [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573], strict=True))),
        ("rosenbrock", {f"x{i}": 1.0 for i in range(4)}),
        ("pipeline", {"model": "svm", "C": 10.0, "kernel": "rbf", "gamma": 0.01}),
        ("valley", {"rate": 0.01}),
    ],
)
def test_the_best_is_reached(name: str, config: dict[str, object]) -> None:
    problem = BY_NAME[name]
    assert problem.space.contains(config)
    assert problem.f(config) == pytest.approx(problem.best, abs=1e-5)


def test_the_best_cell_is_the_best_of_all() -> None:
    problem = BY_NAME["cell"]
    choices = problem.space["edge0"].choices  # type: ignore[union-attr]
    assert min(problem.f({f"edge{i}": c for i, c in enumerate(cells)}) for cells in itertools.product(choices, repeat=6)) == pytest.approx(problem.best)
