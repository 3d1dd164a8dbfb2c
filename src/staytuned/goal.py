"""What "better" means: metrics with their directions, limits that must hold, and a budget."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from staytuned.errors import UsageError
from staytuned.trial import Cost, History, Measurement, Status, Trial

Direction: TypeAlias = Literal["min", "max"]
Sense: TypeAlias = Literal["<=", ">=", "<", ">"]
Array: TypeAlias = npt.NDArray[np.float64]

_WORDS: dict[str, Direction] = {"min": "min", "minimize": "min", "minimise": "min", "max": "max", "maximize": "max", "maximise": "max"}
COSTS = ("seconds", "cpu_seconds", "peak_memory")  # metrics every measured trial has, unless its scores hold one of that name
_NOTHING = Cost()  # what a trial cost that was told without saying so
_LIMIT = re.compile(r"\s*([^\s<>,]+)\s*(<=|>=|<|>)\s*([^\s<>,]+)\s*")
_PLAIN = re.compile(r"[^\s<>,]+")  # a name that a goal's text can hold


@dataclass(frozen=True, slots=True)
class Limit:
    """A metric that must not pass a bound: an outcome constraint, known only after the trial.

    Args:
        metric: the name of a score or of a cost, without spaces.
        sense: "<=" or ">="; with "<" or ">" the bound itself breaks the limit.
        bound: finite, in the metric's unit.

    >>> str(Limit("latency", "<=", 5.0))
    'latency <= 5'
    """

    metric: str
    sense: Sense
    bound: float

    def __post_init__(self) -> None:
        _must_be_plain(self.metric)
        if self.sense not in ("<=", ">=", "<", ">"):
            raise UsageError(f"sense={self.sense!r} of the limit on {self.metric!r} must be '<=' or '>='")
        if not _is_real(self.bound) or not math.isfinite(self.bound):
            raise UsageError(f"bound={self.bound!r} of the limit on {self.metric!r} must be a finite number")
        object.__setattr__(self, "bound", float(self.bound))

    def __str__(self) -> str:
        return f"{self.metric} {self.sense} {_number(self.bound)}"

    def excess(self, value: float) -> float:
        """By how much a value breaks the limit, in the metric's unit; above zero exactly where it is broken."""
        over = value - self.bound if self.sense[0] == "<" else self.bound - value
        return math.ulp(self.bound) if over == 0 and self.sense in ("<", ">") else over


@dataclass(frozen=True, slots=True)
class Goal:
    """A metric and its direction; with several objectives the first, the others beside it.

    The costs ``seconds``, ``cpu_seconds`` and ``peak_memory`` (bytes) may be named like any metric; every trial that was measured has them.

    Args:
        metric: the name of a score.
        direction: "min" or "max".
        others: the further objectives, each a goal of one metric.
        limits: what must hold for a trial to count.

    >>> Goal.parse("max roc_auc")
    Goal(metric='roc_auc', direction='max', others=(), limits=())
    >>> print(Goal.parse("max roc_auc, min latency where peak_memory <= 2e9"))
    max roc_auc, min latency where peak_memory <= 2000000000
    """

    metric: str = "loss"
    direction: Direction = "min"
    others: tuple[Goal, ...] = ()
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise UsageError(f"direction={self.direction!r} must be 'min' or 'max'")
        object.__setattr__(self, "others", tuple(self.others))
        object.__setattr__(self, "limits", tuple(self.limits))
        if not self.others and not self.limits:
            return  # the one metric may have any name, as scikit-learn's scorers do
        names = [goal.metric for goal in (self, *self.others)]
        for name in names:
            _must_be_plain(name)
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"{twice[0]!r} is named twice in a goal; name each metric once")
        if any(other.others or other.limits for other in self.others):
            raise UsageError("an objective beside the first has a metric and a direction only; limits belong to the whole goal")

    @classmethod
    def parse(cls, text: str | Goal | Sequence[str]) -> Goal:
        """A goal from ``"min loss"``, ``"max roc_auc"`` or just ``"min"``; several objectives are separated by commas or given as a list, limits
        follow ``where``: ``"max accuracy, min latency where peak_memory <= 1e9 and latency < 20"``.

        ``Goal.parse(str(goal)) == goal`` for every goal whose metrics have names without spaces.

        Raises:
            UsageError: the text does not read like this.
        """
        if isinstance(text, Goal):
            return text
        plain = ", ".join(map(str, text)) if isinstance(text, list | tuple) else str(text)
        objectives, *limits = re.split(r"\swhere\s", plain, maxsplit=1, flags=re.IGNORECASE)
        goals = [_objective(part, text) for part in objectives.split(",")]
        found = tuple(_limit(part) for part in re.split(r",|\sand\s", limits[0], flags=re.IGNORECASE)) if limits else ()
        return replace(goals[0], others=tuple(goals[1:]), limits=found)

    def __str__(self) -> str:
        objectives = ", ".join(f"{goal.direction} {goal.metric}" for goal in self.objectives)
        return objectives + (" where " + " and ".join(map(str, self.limits)) if self.limits else "")

    @property
    def objectives(self) -> tuple[Goal, ...]:
        """Every objective as a goal of its own, the first one first."""
        return (replace(self, others=(), limits=()) if self.others or self.limits else self, *self.others)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The scores a finished trial must bring, the first objective's first; costs come by themselves."""
        return tuple(name for name in self.names if name not in COSTS)

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric the goal speaks of, costs included: the objectives' in their order, then the limits'."""
        return tuple(dict.fromkeys([goal.metric for goal in (self, *self.others)] + [limit.metric for limit in self.limits]))

    def loss(self, score: float) -> float:
        """The first objective's score turned so that lower is better."""
        return score if self.direction == "min" else -score

    def score(self, trial: Trial) -> float:
        """The trial's score by the first objective; NaN where there is none."""
        return value_of(trial.measurement, self.metric)

    def losses(self, history: History) -> Array:
        """(n_trials,) lower is better; NaN for trials that run or failed, the estimate so far for pruned ones."""
        usable = (Status.DONE, Status.PRUNED)
        return np.array([self.loss(self.score(t)) if t.status in usable else np.nan for t in history], dtype=float)

    def vector(self, trial: Trial) -> tuple[float, ...]:
        """(n_objectives,) the trial's losses, lower is better; NaN where there is none."""
        return tuple(goal.loss(value_of(trial.measurement, goal.metric)) for goal in (self, *self.others))

    def excesses(self, trial: Trial) -> tuple[float, ...]:
        """(n_limits,) by how much the trial breaks each limit, as a share of the bound; NaN where it was not measured."""
        return tuple(limit.excess(value_of(trial.measurement, limit.metric)) / (abs(limit.bound) or 1.0) for limit in self.limits)

    def violation(self, trial: Trial) -> float:
        """The sum of what is above the limits, each as a share of its bound; 0 where all hold, infinity where one was not measured."""
        total = sum(max(excess, 0.0) if excess == excess else math.inf for excess in self.excesses(trial))
        return float(total)

    def rank(self, trial: Trial, stopped: bool = False) -> tuple[float, float, float, int] | None:
        """What :meth:`best` compares, the lowest first: (minus the fidelity, violation, loss by the first objective, number).

        None unless it finished with a score; or was stopped on the way with one, if ``stopped``.
        """
        ranked = trial.status is Status.DONE or (stopped and trial.status is Status.PRUNED)
        score = self.score(trial) if ranked else math.nan
        return (-trial.share, self.violation(trial) if self.limits else 0.0, self.loss(score), trial.number) if math.isfinite(score) else None

    def best(self, history: Iterable[Trial]) -> Trial | None:
        """The best finished trial, the earliest among equals; if nothing finished, the best of those stopped on the way; None if there is no score at all.

        Of those at the highest fidelity that any finished at, for scores at different ones cannot be compared; of those that keep the limits, or,
        if none does, of those that break them least. With several objectives, the best by the first of them.
        """
        ranked = ((rank, trial) for trial in history if (rank := self.rank(trial, stopped=True)) is not None)
        return min(ranked, key=lambda pair: (pair[1].status is Status.PRUNED, pair[0]), default=(None, None))[1]

    def front(self, history: Iterable[Trial]) -> list[Trial]:
        """The finished trials that keep the limits and that no other beats in one objective without losing in another, by number.

        If none keeps the limits, the one that breaks them least. Of trials that are equal in all objectives, the earliest. Only trials at the highest
        fidelity that any finished at count.
        """
        done = sorted((t for t in history if t.status is Status.DONE and all(map(math.isfinite, self.vector(t)))), key=lambda t: t.number)
        highest = max((t.share for t in done), default=1.0)
        done = [t for t in done if t.share == highest]
        kept = [t for t in done if self.violation(t) == 0]
        if not kept:
            least = self.best(done)
            return [] if least is None else [least]
        return [kept[i] for i in nondominated(np.array([self.vector(t) for t in kept], dtype=float))]

    def better(self, score: float, than: float) -> bool:
        return self.loss(score) < self.loss(than)


def value_of(measurement: Measurement | None, metric: str) -> float:
    """What was measured of a metric: the score of that name, or else the cost; NaN where it is not known."""
    if measurement is None:
        return math.nan
    if metric in measurement.scores:
        return measurement.scores[metric]
    cost = measurement.cost
    unknown = metric not in COSTS or cost == _NOTHING or (metric == "peak_memory" and not cost.peak_memory)
    return math.nan if unknown else float(getattr(cost, metric))


def nondominated(losses: Array) -> list[int]:
    """The positions of the rows that no other row dominates, ascending; of equal rows the first.

    Args:
        losses: (n, n_objectives) finite, lower is better.
    """
    order = np.lexsort((np.arange(len(losses)), *losses.T[::-1]))  # whoever dominates a row comes before it
    if losses.shape[1] == 2:
        second = losses[order, 1]
        least = np.minimum.accumulate(np.concatenate([[math.inf], second[:-1]]))
        return sorted(order[second < least].tolist())
    front = np.empty_like(losses)
    members: list[int] = []
    for i in order.tolist():
        if not (front[: len(members)] <= losses[i]).all(axis=1).any():
            front[len(members)] = losses[i]
            members.append(i)
    return sorted(members)


@dataclass(frozen=True, slots=True)
class Budget:
    """When to stop: after so many trials, so many seconds, or whichever comes first.

    Args:
        trials: new trials at most; None for no limit.
        seconds: wall-clock seconds at most; None for no limit.
    """

    trials: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is not None and not (_is_real(self.trials) and self.trials >= 1 and self.trials % 1 == 0):
            raise UsageError(f"trials={self.trials!r} must be a whole number of at least 1")
        if self.seconds is not None and not (_is_real(self.seconds) and self.seconds > 0):
            raise UsageError(f"a time budget of {self.seconds!r} seconds must be a positive number")


def _objective(part: str, whole: object) -> Goal:
    word, *metric = part.split() or [""]
    if word.lower() in _WORDS and len(metric) < 2:
        return Goal(metric[0] if metric else "loss", _WORDS[word.lower()])
    hint = f"; a metric's name has no spaces, so write {'_'.join(metric)!r}" if word.lower() in _WORDS else ""
    raise UsageError(
        f"goal={whole!r} must read like 'min loss' or 'max roc_auc', with several 'max roc_auc, min latency', with limits '... where latency <= 5'{hint}"
    )


def _limit(part: str) -> Limit:
    found = _LIMIT.fullmatch(part)
    try:
        bound = float(found[3]) if found else math.nan
    except ValueError:
        bound = math.nan
    if not found or not math.isfinite(bound):
        raise UsageError(f"the limit {part.strip()!r} of a goal must read like 'latency <= 5' or 'recall >= 0.9'")
    return Limit(found[1], cast(Sense, found[2]), bound)


def _must_be_plain(name: object) -> None:
    if not isinstance(name, str) or not _PLAIN.fullmatch(name) or name.lower() in ("where", "and"):
        raise UsageError(f"the metric {name!r} of a goal must have a name without spaces, commas, '<' and '>', other than 'where' and 'and'; rename it")


def _number(value: float) -> str:
    """The shortest text that reads back as this number."""
    return repr(value).removesuffix(".0")


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
