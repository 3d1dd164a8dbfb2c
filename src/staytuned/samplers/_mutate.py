"""Small steps in a mixed, conditional space."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from staytuned.samplers._cube import Array, Cube, untried
from staytuned.space.space import Config

_RESAMPLE = 0.3
_TRIES = 64
_SMALLEST_STEP, _LARGEST_STEP = 0.01, 0.3


def mutated(cube: Cube, parents: Array, step: Array | float, rng: np.random.Generator, share: float = 0.5) -> Array:
    """(n, d) one child of each parent row.

    About ``share`` of the dimensions move, at least one: numbers by a Gaussian of standard deviation ``step`` (of the unit interval) reflected at
    the ends, at least to the next cell where they are discrete; categories are drawn anew with probability 0.3. Dimensions that come into being
    are drawn evenly.

    Args:
        parents: (n, d) snapped rows.
        step: (n, 1) or one number.
    """
    shape = parents.shape
    if not cube.varies.any():
        return parents.copy()
    points = np.where(np.isnan(parents), rng.random(shape), parents)
    able = cube.varies & ~np.isnan(parents)
    draw = np.where(able, rng.random(shape), 2.0)
    moves = (draw < share) | (draw == draw.min(axis=1, keepdims=True)) & able
    anew = rng.random(shape)
    jump = moves & cube.category & ((rng.random(shape) < _RESAMPLE) | (moves.sum(axis=1, keepdims=True) == 1))
    slide = moves & ~cube.category
    shift = step * rng.standard_normal(shape)
    shift = np.copysign(np.maximum(np.abs(shift), cube.widths(parents)), shift)
    moved = points + shift
    turned = (cube.cells > 0) & ((moved < 0) | (moved > 1))  # reflected at its end, the last cell would only meet itself
    points = np.where(slide, _reflected(np.where(turned, points - shift, moved)), np.where(jump, anew, points))
    return cube.snap(points)


def neighbour(cube: Cube, parent: Array, taken: Container[bytes], rng: np.random.Generator) -> Config:
    """An untried config one mutation from the parent, the step drawn from 0.01 to 0.3 on a log scale; any untried one where none is near.

    Args:
        parent: (d,) a snapped row.

    Raises:
        SpaceExhausted: nothing is left.
    """
    for _ in range(_TRIES):
        config = fresh(cube, mutated(cube, parent[None, :], drawn_step(rng), rng)[0], taken)
        if config is not None:
            return config
    return untried(cube, taken, rng)


def fresh(cube: Cube, row: Array, taken: Container[bytes]) -> Config | None:
    """The config at a snapped row; None if it was tried or breaks a constraint."""
    config = cube.config(row)
    return config if cube.key(config) not in taken and cube.space.satisfied(config) else None


def drawn_step(rng: np.random.Generator) -> float:
    """A standard deviation between 0.01 and 0.3, even on a log scale."""
    return float(np.exp(rng.uniform(np.log(_SMALLEST_STEP), np.log(_LARGEST_STEP))))


def _reflected(points: Array) -> Array:
    """Points folded back at the ends of the unit interval, as often as it takes."""
    inside: Array = 1.0 - np.abs(1.0 - np.mod(np.abs(points), 2.0))
    return inside
