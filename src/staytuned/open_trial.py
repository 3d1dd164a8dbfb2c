"""A trial while it runs: what an objective is given, with Optuna's method names."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from staytuned._random import generator
from staytuned.errors import TrialPruned, UsageError
from staytuned.goal import Goal
from staytuned.protocols import Scheduler, Verdict
from staytuned.space.dims import Choice, Dimension, Float, Int, Ordinal, Value
from staytuned.space.space import Config
from staytuned.trial import History, Measurement, Reading, Status, Trial


@dataclass(frozen=True)
class Evaluated:
    """An objective made of an evaluator that reads fold by fold and may be stopped between folds."""

    evaluator: Callable[..., Measurement]

    def __call__(self, trial: OpenTrial) -> Measurement:
        """The trial's measurement."""
        return self.evaluator(trial.config, trial.fidelity, trial.seed, trial.stop)


@dataclass
class OpenTrial:
    """What ``Study.ask`` gives and an objective receives. It can travel to another process and knows nothing of the study.

    Args:
        number: 0, 1, 2, ... within the study.
        config: one value per dimension; grows as a define-by-run objective suggests.
        seed: for the objective's own randomness.
        goal: whose metric ``report`` speaks of.
        scheduler: judges reports.
        peers: the trials the scheduler needs to see.
        proposal: what the sampler would like a define-by-run objective to try.
        fidelity: the share of the full effort (rows, rounds, epochs or folds) to spend, in (0, 1]; None means full.
        continues: the number of the trial that goes on here, so that an objective may go on from what it kept of it; None for a new start.
        ends: Unix time at which the study's own time is up; infinity if it has no limit.
        alone: whether the study had nothing else to show when the trial began; then it goes on until it has.
        cut_off: whether the trial was told to stop for that.
    """

    number: int
    config: Config
    seed: int
    goal: Goal
    scheduler: Scheduler
    peers: History = ()
    proposal: Mapping[str, Value] = field(default_factory=dict)
    fidelity: float | None = None
    continues: int | None = None
    ends: float = math.inf
    alone: bool = False
    cut_off: bool = False
    readings: list[Reading] = field(default_factory=list)
    suggested: dict[str, Dimension] = field(default_factory=dict)
    _looked: float = field(default=math.inf, init=False, repr=False, compare=False)  # Unix time of the last look at the clock
    _longest: float = field(default=0.0, init=False, repr=False, compare=False)  # seconds between two looks

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """A real number in [low, high]."""
        return float(self.suggest(name, Float(low, high, step=step, log=log)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number in [low, high]."""
        return int(self.suggest(name, Int(low, high, step=step, log=log)))

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value:
        """One of the choices, which have no order."""
        return self.suggest(name, Choice(choices))

    def suggest_ordinal(self, name: str, choices: Sequence[Value]) -> Value:
        """One of the choices, which stand in order."""
        return self.suggest(name, Ordinal(choices))

    def suggest(self, name: str, dimension: Dimension) -> Value:
        """The value of a dimension; the same one however often it is asked for.

        Raises:
            UsageError: the name already holds a value outside this dimension.
            SpaceError: a choice that the ledger cannot hold.
        """
        if name not in self.config:
            dimension.to_json()  # what cannot be written down is refused here, where the objective can be told, and not when the trial is recorded
            wish = self.proposal.get(name)
            draw = dimension.from_unit(float(generator(self.seed, "suggest", name).random()))
            self.config[name] = wish if name in self.proposal and dimension.contains(wish) else draw
            self.suggested[name] = dimension
        elif not dimension.contains(self.config[name]):
            raise UsageError(f"{name}={self.config[name]!r} in this trial is outside {dimension!r}; ask for one name with one dimension only")
        return self.config[name]

    def report(self, value: float, step: int) -> None:
        """Tell a score on the way, by the first objective, after epoch, round or fold ``step`` (counted from 0)."""
        self.readings.append(Reading("step", int(step), {self.goal.metric: float(value)}))

    def should_prune(self) -> bool:
        """Whether the scheduler would stop here, or the study's time is up; then ``raise staytuned.TrialPruned``."""
        return self.stop(self.readings)

    def overdue(self, readings: Sequence[Reading] | None = None) -> bool:
        """Whether the trial has to stop because the study's time is up, or would be before it can look again: it is judged by its longest stretch so far.

        A trial that stops is given back, and runs anew when the study is continued; but the one that is all the study has to show is recorded with what it
        read so far, and does not stop before it has read anything.

        Args:
            readings: so far; None for what was reported.
        """
        if self.ends < math.inf and not self.cut_off:
            read, now = self.readings if readings is None else readings, time.time()
            last = read[-1].fit_seconds + read[-1].score_seconds if read else 0.0
            self._longest = max(self._longest, now - self._looked, last)
            self._looked = now
            self.cut_off = (bool(read) or not self.alone) and now + self._longest >= self.ends
        return self.cut_off

    def stop(self, readings: Sequence[Reading]) -> bool:
        """Whether to stop at these readings: the study's time is up, or the scheduler says so."""
        return self.overdue(readings) or self.scheduler.judge(self.peers, self._so_far(readings)) is Verdict.STOP

    def prune(self) -> None:
        """Stop now.

        Raises:
            TrialPruned: always.
        """
        raise TrialPruned(f"stopped after step {self.readings[-1].index}" if self.readings else "stopped")

    def closed(self, measurement: Measurement) -> Measurement:
        """The measurement with what this trial reported; a stopped trial gets the score it would most likely have reached."""
        readings = measurement.readings or tuple(self.readings)
        scores = dict(measurement.scores)
        if measurement.status is Status.PRUNED and any(math.isfinite(r.scores.get(self.goal.metric, math.nan)) for r in readings):
            estimate = self.scheduler.estimate(self.peers, self._so_far(readings))
            scores |= {self.goal.metric: estimate} if math.isfinite(estimate) else {}
        return replace(measurement, scores=scores, readings=readings, config=self.config if self.suggested else measurement.config)

    def _so_far(self, readings: Sequence[Reading]) -> Trial:
        measurement = Measurement(status=Status.RUNNING, readings=tuple(readings))
        return Trial(self.number, self.config, seed=self.seed, fidelity=self.fidelity, measurement=measurement, continues=self.continues)
