"""Nothing escapes: whatever becomes of a piece of work, a measurement comes back, with its cost and a cure."""

from __future__ import annotations

import logging
import math
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from staytuned.errors import TrialKilled, TrialOutOfMemory, TrialPruned, TrialTimeout
from staytuned.trial import Cost, Measurement, Status

Outcome: TypeAlias = Measurement | Mapping[str, float] | float

_log = logging.getLogger(__name__)

_NOTHING = Cost()

_STATUS: tuple[tuple[tuple[type[BaseException], ...], Status], ...] = (
    ((TrialPruned,), Status.PRUNED),
    ((TrialTimeout,), Status.TIMEOUT),
    ((TrialOutOfMemory, MemoryError), Status.MEMORY),
    ((TrialKilled, BrokenExecutor, CancelledError), Status.LOST),
)


def measured(work: Callable[[], Outcome], metric: str) -> Measurement:
    """The measurement that ``work`` gives, or the one that says why there is none.

    Args:
        work: returns a measurement, scores by metric, or the one score.
        metric: the score that has to be there and finite; the others may be NaN, but must be numbers.

    The cost is the wall-clock time; the processor time of all threads of this process, so that what runs beside it in other
    threads is counted too; and the largest resident size this process ever had, before the work included. A cost
    that a measurement brings with it stays.

    >>> measured(lambda: 0.25, "loss").scores
    {'loss': 0.25}
    >>> bad = measured(lambda: float("nan"), "loss")
    >>> print(bad.status, "-", bad.cure)
    invalid - loss=nan is no score; return a finite number, or raise TrialPruned to give this config up
    """
    wall, cpu = time.perf_counter(), time.process_time()

    def cost() -> Cost:
        return Cost(time.perf_counter() - wall, time.process_time() - cpu, _peak_memory())

    try:
        measurement = _checked(work(), metric)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as problem:
        _log.debug("the work raised an exception", exc_info=True)
        return failure(problem, cost())
    return replace(measurement, cost=cost()) if measurement.cost == _NOTHING else measurement


def failure(problem: BaseException, cost: Cost = _NOTHING) -> Measurement:
    """The measurement of work that ended in an exception, its own or the one its future holds."""
    status = next((status for kinds, status in _STATUS if isinstance(problem, kinds)), Status.FAILED)
    return Measurement(status=status, cure=_cure(problem, status), cost=cost)


def _checked(outcome: Outcome, metric: str) -> Measurement:
    if isinstance(outcome, Measurement):
        return outcome if outcome.status is not Status.DONE else _judged(outcome, metric)
    named = outcome if isinstance(outcome, Mapping) else {metric: outcome}
    scores, wrong = {}, []
    for name, value in named.items():
        try:
            scores[str(name)] = _number(value)
        except (TypeError, ValueError, OverflowError):
            wrong.append(f"{name}={_short(value)}")
    if wrong:
        return Measurement(scores, Status.INVALID, f"{', '.join(wrong)} is no score; return a number, or a number for each metric")
    return _judged(Measurement(scores), metric)


def _judged(measurement: Measurement, metric: str) -> Measurement:
    scores = measurement.scores
    if metric not in scores:
        named = ", ".join(map(repr, scores)) or "nothing"
        return replace(measurement, status=Status.INVALID, cure=f"there is no {metric!r} among the scores ({named}); return it, or change the goal")
    if not math.isfinite(scores[metric]):
        cure = f"{metric}={scores[metric]!r} is no score; return a finite number, or raise TrialPruned to give this config up"
        return replace(measurement, status=Status.INVALID, cure=cure)
    return measurement


def _number(value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError(value)
    return float(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _cure(problem: BaseException, status: Status) -> str:
    if status is Status.PRUNED:
        return str(problem) or "stopped early, as it could not win"
    if isinstance(problem, CancelledError):
        return "cancelled before it ran; tell the study to continue to have it run"
    text = str(problem).strip()
    if isinstance(problem, TrialKilled) and text:
        return text
    said = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    if status is Status.MEMORY:
        return f"{said}{_place(problem)}; narrow the space to smaller configs, or run fewer at once"
    return f"{said}{_place(problem)}"


def _place(problem: BaseException) -> str:
    """Where it happened: the innermost line of code that is the user's, neither staytuned's nor that of an installed package."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(problem.__traceback__)]
    if not frames:
        return ""
    own = [(code, line) for code, line in frames if not code.co_filename.startswith(_INSTALLED)]
    code, line = (own or frames)[-1]
    return f"; at {Path(code.co_filename).name}:{line} in {code.co_name}"


_INSTALLED = ("<frozen ", str(Path(__file__).parents[1]), *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))


def _peak_memory() -> int:
    """Largest resident size of this process in bytes; 0 where unknown."""
    try:
        # Not ru_maxrss: on Linux a process that was spawned begins with its parent's.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return _peak_by_rusage()


def _peak_by_rusage() -> int:
    if sys.platform == "win32":
        return 0
    else:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
