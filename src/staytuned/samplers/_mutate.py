"""Small steps in a mixed, conditional space."""

from __future__ import annotations

import numpy as np

from staytuned.samplers._cube import Array, Cube

_RESAMPLE = 0.3


def mutated(cube: Cube, parents: Array, step: Array | float, rng: np.random.Generator) -> Array:
    """(n, d) one child of each parent row.

    About half of the dimensions move: numbers by a Gaussian of standard deviation ``step`` (of the unit interval) reflected at the ends, at
    least to the next cell where they are discrete; categories are drawn anew with probability 0.3. Dimensions that come into being are drawn evenly.

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
    moves = (draw < 0.5) | (draw == draw.min(axis=1, keepdims=True)) & able
    anew = rng.random(shape)
    jump = moves & cube.category & ((rng.random(shape) < _RESAMPLE) | (moves.sum(axis=1, keepdims=True) == 1))
    slide = moves & ~cube.category
    shift = step * rng.standard_normal(shape)
    shift = np.copysign(np.maximum(np.abs(shift), cube.widths(parents)), shift)
    moved = points + shift
    turned = (cube.cells > 0) & ((moved < 0) | (moved > 1))  # reflected at its end, the last cell would only meet itself
    points = np.where(slide, _reflected(np.where(turned, points - shift, moved)), np.where(jump, anew, points))
    return cube.snap(points)


def _reflected(points: Array) -> Array:
    reflected: Array = 1.0 - np.abs(1.0 - np.mod(np.abs(points), 2.0))
    return reflected
