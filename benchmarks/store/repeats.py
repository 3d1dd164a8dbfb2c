"""What repeated measurements say: a ratio with its interval, and what the disk is capable of."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """(geometric mean, low, high) of ours / theirs over repeats that were measured in pairs; Student's 95 % interval of the logarithm."""
    logs = np.log(np.asarray(ours) / np.asarray(theirs))
    mean, half = float(logs.mean()), float("nan")
    if len(logs) > 1:
        half = float(t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
    return float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half))


def said(found: tuple[float, float, float]) -> str:
    """A ratio in words."""
    mean, low, high = found
    return f"{mean:.3g} ({low:.3g} to {high:.3g})" if low == low else f"{mean:.3g}"


def flushes(folder: Path, seconds: float = 0.5) -> float:
    """How often a second 4 KiB can be appended to a file and flushed to the disk: nobody who flushes once a trial is faster."""
    place, count = folder / "flushed", 0
    with place.open("wb", buffering=0) as file:
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            file.write(bytes(4096))
            os.fsync(file.fileno())
            count += 1
        rate = count / (time.perf_counter() - begun)
    place.unlink()
    return rate
