"""What goes along the axes: numbers that fit, names that can be read, ticks and scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from staytuned.errors import UsageError
from staytuned.insight.axis import label

Array: TypeAlias = npt.NDArray[np.float64]

MOST_POINTS = 400  # points beyond which a cloud goes into the picture as an image, and a line is thinned
PLAIN = FuncFormatter(lambda value, _: label(float(value)))


def shown(name: Any, most: int = 34) -> str:
    """A name fit for a picture: one line, its middle left out where it is long, no character that XML or mathtext would trip over."""
    text = "".join(c if c.isprintable() else " " for c in str(name))
    if len(text) > most:
        text = f"{text[: most // 2]}…{text[len(text) - (most - 1 - most // 2) :]}"
    return text.replace("$", r"\$")


def with_direction(metric: str, direction: str) -> str:
    """A metric's name, and which way is better."""
    return f"{shown(metric)} ({'higher' if direction == 'max' else 'lower'} is better)"


def numbers(values: npt.ArrayLike, name: str, like: Array | None = None) -> Array:
    """Them as one row, as long as the one they belong to."""
    row: Array = np.asarray(values, dtype=float).ravel()
    if like is not None and len(row) != len(like):
        raise UsageError(f"{name} has {len(row)} values where {len(like)} are needed, one for each place along x")
    return row


def thinned(length: int, most: int) -> npt.NDArray[np.int_]:
    """Indices of at most so many points of a line, evenly apart, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).astype(int))


def many(points: Sequence[float] | Array) -> bool:
    """Whether they had better go into the picture as an image."""
    return len(points) > MOST_POINTS


def names_down(ax: Axes, names: Sequence[str]) -> None:
    """Names down the left side, the first on top."""
    ax.set_yticks(range(len(names)), [shown(name) for name in names])
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.set_ylim(len(names) - 0.4, -0.6)


def ticks(ax: Axes, side: str, places: Sequence[float], names: Sequence[str], room: float = 70) -> None:
    """Tick labels; along x they lean over where the longest would not fit ``room`` characters as often as there are labels."""
    crowded = side == "x" and (max(map(len, names), default=0) + 1) * len(names) > room
    (ax.set_xticks if side == "x" else ax.set_yticks)(places, names)
    if crowded:
        for tick in ax.get_xticklabels():
            tick.set(rotation=35, ha="right", rotation_mode="anchor")


def log_up(ax: Axes) -> None:
    """A log scale along y, its few labels as plain numbers."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(numticks=7))
    ax.yaxis.set_major_formatter(PLAIN)
    ax.yaxis.set_minor_formatter(NullFormatter())
