"""Small problems whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from staytuned._random import generator
from staytuned.space.dims import Choice, Float, Int, Ordinal
from staytuned.space.space import Space


@dataclass(frozen=True, slots=True)
class Problem:
    """A function to minimise.

    Args:
        name: as the literature has it.
        space: where it is defined.
        f: config to loss, lower is better; the same config always gives the same loss.
        best: the smallest loss in the space.
    """

    name: str
    space: Space
    f: Callable[[Mapping[str, Any]], float]
    best: float


def sphere(config: Mapping[str, Any]) -> float:
    """Sum of squares of x0 .. x4, minimum 0 where all are 0.3."""
    return float(sum((config[f"x{i}"] - 0.3) ** 2 for i in range(5)))


def branin(config: Mapping[str, Any]) -> float:
    """Branin 1972: three equal minima of 0.397887."""
    x, y = config["x"], config["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
_P = 1e-4 * np.array(
    [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991], [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
)


def hartmann6(config: Mapping[str, Any]) -> float:
    """Hartmann 1973 in six dimensions: six local minima, the lowest -3.32237."""
    x = np.array([config[f"x{i}"] for i in range(6)])
    return float(-_ALPHA @ np.exp(-(_A * (x - _P) ** 2).sum(axis=1)))


def rosenbrock(config: Mapping[str, Any]) -> float:
    """Rosenbrock 1960 in four dimensions, on a log scale: a long bent valley, minimum 0 where all are 1."""
    x = np.array([config[f"x{i}"] for i in range(4)])
    return float(np.log1p((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()))


def pipeline(config: Mapping[str, Any]) -> float:
    """Two models with parameters of their own: the support vectors' best is 0.05, the forest's 0.2."""
    if config["model"] == "svm":
        loss = 0.05 + 0.06 * (math.log10(config["C"]) - 1) ** 2
        gamma = math.log10(config["gamma"]) + 2 if config["kernel"] == "rbf" else 1.0
        return float(loss + 0.1 * gamma**2)
    return float(0.2 + 0.3 * (config["depth"] / 20 - 1) ** 2 + (0.0 if config["criterion"] == "gini" else 0.02) + 0.05 * (512 / config["trees"] - 1))


_OPERATIONS = ("skip", "conv1", "conv3", "pool", "none")
_WORTH = {"skip": 0.3, "conv1": 0.5, "conv3": 1.0, "pool": 0.4, "none": 0.0}


def cell(config: Mapping[str, Any]) -> float:
    """An architecture of six edges with five operations each: convolutions are good, unless all neighbours are; minimum 1.5."""
    chosen = [config[f"edge{i}"] for i in range(6)]
    crowding = sum(a == b == "conv3" for a, b in pairwise(chosen))
    return float(6.0 - sum(_WORTH[c] for c in chosen) + 1.2 * crowding)


def valley(config: Mapping[str, Any]) -> float:
    """One learning rate: the best is 0.01, where the loss is 0."""
    return float(abs(math.log10(config["rate"]) + 2) ** 1.5)


def noise(config: Mapping[str, Any]) -> float:
    """Nothing to learn: a uniform draw between 0 and 1 keyed by the config."""
    return float(generator(0, f"{config['x']:.12g}", f"{config['y']:.12g}").random())


PROBLEMS: tuple[Problem, ...] = (
    Problem("sphere", Space({f"x{i}": Float(0, 1) for i in range(5)}), sphere, 0.0),
    Problem("branin", Space({"x": Float(-5, 10), "y": Float(0, 15)}), branin, 0.397887),
    Problem("hartmann6", Space({f"x{i}": Float(0, 1) for i in range(6)}), hartmann6, -3.32237),
    Problem("rosenbrock", Space({f"x{i}": Float(-2, 2) for i in range(4)}), rosenbrock, 0.0),
    Problem(
        "pipeline",
        Space(
            {
                "model": Choice(["svm", "forest"]),
                "C": Float(1e-3, 1e4, log=True, when={"model": ["svm"]}),
                "kernel": Choice(["linear", "rbf"], when={"model": ["svm"]}),
                "gamma": Float(1e-5, 10, log=True, when={"kernel": ["rbf"]}),
                "depth": Int(1, 30, when={"model": ["forest"]}),
                "trees": Ordinal([32, 64, 128, 256, 512], when={"model": ["forest"]}),
                "criterion": Choice(["gini", "entropy"], when={"model": ["forest"]}),
            }
        ),
        pipeline,
        0.05,
    ),
    Problem("cell", Space({f"edge{i}": Choice(_OPERATIONS) for i in range(6)}), cell, 1.5),
    Problem("valley", Space({"rate": Float(1e-6, 1, log=True)}), valley, 0.0),
    Problem("noise", Space({"x": Float(0, 1), "y": Float(0, 1)}), noise, 0.0),
)
