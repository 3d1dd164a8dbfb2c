"""Nothing escapes: whatever becomes of a piece of work, a measurement comes back, with its cost and a cure."""

from __future__ import annotations

import logging
import math
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from staytuned.errors import TrialKilled, TrialOutOfMemory, TrialPruned, TrialTimeout
from staytuned.evaluate.output import kept_output, shortened
from staytuned.goal import COSTS, Goal, value_of
from staytuned.trial import Cost, Measurement, Status

Outcome: TypeAlias = Measurement | Mapping[str, float] | Sequence[float] | float

_log = logging.getLogger(__name__)

_NOTHING = Cost()

_STATUS: tuple[tuple[tuple[type[BaseException], ...], Status], ...] = (
    ((TrialPruned,), Status.PRUNED),
    ((TrialTimeout,), Status.TIMEOUT),
    ((TrialOutOfMemory, MemoryError), Status.MEMORY),
    ((TrialKilled, BrokenExecutor, CancelledError), Status.LOST),
)


def measured(work: Callable[[], Outcome], goal: Goal | str) -> Measurement:
    """The measurement that ``work`` gives, or the one that says why there is none.

    Args:
        work: returns a measurement, scores by metric, the one score, or a tuple with a score for each of several objectives in their order.
        goal: whose metrics have to be there and finite, or the one metric's name; other scores may be NaN, but must be numbers.

    The cost is the wall-clock time; the processor time of all threads of this process, so that what runs beside it in other
    threads is counted too; and the largest resident size this process ever had, before the work included. A cost
    that a measurement brings with it stays. The end of what the work wrote and logged meanwhile is the measurement's ``log``, as far as
    :func:`~staytuned.evaluate.output.kept_output` sees it; of an exception the measurement has the traceback.

    >>> measured(lambda: 0.25, "loss").scores
    {'loss': 0.25}
    >>> bad = measured(lambda: float("nan"), "loss")
    >>> print(bad.status, "-", bad.cure)
    invalid - loss=nan is no score; return a finite number, or raise TrialPruned to give this config up
    """
    goal = _as_goal(goal)
    wall, cpu = time.perf_counter(), time.process_time()

    def cost() -> Cost:
        return Cost(time.perf_counter() - wall, time.process_time() - cpu, _peak_memory())

    with kept_output() as output:
        try:
            measurement = _read(work(), goal)
            measurement = _judged(replace(measurement, cost=cost()) if measurement.cost == _NOTHING else measurement, goal)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as problem:
            _log.debug("the work raised an exception", exc_info=True)
            measurement = failure(problem, cost())
            measurement = replace(measurement, log=shortened(output.text + measurement.log))
    return replace(measurement, log=output.text) if output.text and not measurement.log else measurement


def told(outcome: Outcome, goal: Goal | str) -> Measurement:
    """The measurement of work that was done elsewhere: its cost is what the outcome brings with it, if anything."""
    goal = _as_goal(goal)
    try:
        return _judged(_read(outcome, goal), goal)
    except Exception as problem:
        return failure(problem)


def failure(problem: BaseException, cost: Cost = _NOTHING) -> Measurement:
    """The measurement of work that ended in an exception, its own or the one its future holds; a process that was ended may have left its ``log`` there."""
    status = next((status for kinds, status in _STATUS if isinstance(problem, kinds)), Status.FAILED)
    log = shortened(problem.log) if isinstance(problem, TrialKilled) else ""
    return Measurement(status=status, cure=_cure(problem, status), cost=cost, log=log, traceback=_traced(problem))


def _as_goal(goal: Goal | str) -> Goal:
    return Goal(goal) if isinstance(goal, str) else goal


def _read(outcome: Any, goal: Goal) -> Measurement:
    if isinstance(outcome, Measurement):
        return outcome
    named = outcome if isinstance(outcome, Mapping) else _named(outcome, goal)
    if named is None:
        metrics = [objective.metric for objective in goal.objectives]
        said = f"{_short(outcome)} is no score for each of {', '.join(metrics)}; return {len(metrics)} numbers in that order, or a dict"
        return Measurement(status=Status.INVALID, cure=said)
    scores, wrong = {}, []
    for name, value in named.items():
        try:
            scores[str(name)] = _number(value)
        except (TypeError, ValueError, OverflowError):
            wrong.append(f"{name}={_short(value)}")
    if wrong:
        return Measurement(scores, Status.INVALID, f"{', '.join(wrong)} is no score; return a number, or a number for each metric")
    return Measurement(scores)


def _named(outcome: Any, goal: Goal) -> Mapping[str, Any] | None:
    """What came back by metric; None if it cannot be told which is which. Costs need not be returned, for they are measured anyhow."""
    every = [objective.metric for objective in goal.objectives]
    scored = [metric for metric in every if metric not in COSTS]
    if len(every) > 1 and (isinstance(outcome, list | tuple) or getattr(outcome, "ndim", 0) == 1):
        metrics = every if len(outcome) == len(every) else scored
        return dict(zip(metrics, outcome, strict=True)) if len(outcome) == len(metrics) else None
    metrics = scored or list(goal.metrics) or every
    if outcome is None and not goal.metrics:
        return {}
    return {metrics[0]: outcome} if len(metrics) == 1 else None


def _judged(measurement: Measurement, goal: Goal) -> Measurement:
    """The measurement, invalid if a metric of the goal is not there or not finite."""
    if measurement.status is not Status.DONE:
        return measurement
    for metric in goal.names:
        value = value_of(measurement, metric)
        if not math.isfinite(value):
            cure = _not_finite(metric, value) if metric in measurement.scores else _missing(metric, measurement.scores, goal)
            return replace(measurement, status=Status.INVALID, cure=cure)
    return measurement


def _not_finite(metric: str, value: float) -> str:
    return f"{metric}={value!r} is no score; return a finite number, or raise TrialPruned to give this config up"


def _missing(metric: str, scores: Mapping[str, float], goal: Goal) -> str:
    if metric in COSTS:
        return f"what it cost in {metric} is not known; return {metric!r} among the scores, or change the goal"
    named = ", ".join(map(repr, scores)) or "nothing"
    wanted = "it" if len(goal.metrics) == 1 else f"a dict with {', '.join(map(repr, goal.metrics))}"
    return f"there is no {metric!r} among the scores ({named}); return {wanted}, or change the goal"


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


def _traced(problem: BaseException) -> str:
    """Its traceback from the first frame that is not this library's own; empty for what is no error of the work."""
    place = problem.__traceback__
    if isinstance(problem, TrialPruned | TrialKilled | BrokenExecutor | CancelledError) or (place is None and not hasattr(problem, "__notes__")):
        return ""
    while place is not None and place.tb_next is not None and place.tb_frame.f_code.co_filename.startswith(_OURS):
        place = place.tb_next
    return shortened("".join(traceback.format_exception(type(problem), problem, place)))


_OURS = str(Path(__file__).parents[1])
_INSTALLED = ("<frozen ", _OURS, *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))


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
