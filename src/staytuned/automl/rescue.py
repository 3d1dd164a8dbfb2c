"""A search that ran out of time before any config had a score still gives a model: the cheapest default, a little late."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from staytuned.automl.zoo import Family, default_config
from staytuned.errors import SpaceExhausted
from staytuned.evaluate.guard import failure, measured
from staytuned.execute.choose import executor_for
from staytuned.goal import Goal
from staytuned.open_trial import OpenTrial
from staytuned.space.space import Config
from staytuned.study import Study
from staytuned.trial import Measurement, Reading, Status, Trial


def rescue(study: Study, families: Sequence[Family], measures: Callable[..., Measurement], *, ends: float, memory: int | None = None) -> Trial | None:
    """Measure the cheapest default that nothing but time stood in the way of, on its first fold whatever that takes, on others while there is time.

    Args:
        study: of which no trial has a score.
        families: cheap ones first.
        measures: (config, fidelity, seed, stop) to a measurement.
        ends: Unix time at which the search should have ended.
        memory: bytes that it may take.

    Returns:
        The trial; None where another trial has a score, or every default ended for another reason than time.
    """
    config = None if study.goal.best(study.trials) is not None else _cheapest(study, families)
    if config is None:
        return None
    trial = _asked(study, config)
    if trial is None:
        return None
    with executor_for(1, memory=memory) as executor:
        try:
            measurement = executor.submit(_Once(measures, study.goal, ends), trial.config, trial.fidelity, trial.seed).result()
        except Exception as problem:
            measurement = failure(problem)
    return study.tell(trial, measurement)


@dataclass(frozen=True)
class _Once:
    """Travels to a worker, where memory is limited."""

    measures: Callable[..., Measurement]
    goal: Goal
    ends: float

    def __call__(self, config: Config, fidelity: float | None, seed: int) -> Measurement:
        with threadpool_limits(1):
            return measured(lambda: self.measures(config, fidelity, seed, self._late), self.goal)

    def _late(self, readings: Sequence[Reading]) -> bool:
        return bool(readings) and time.time() >= self.ends


def _cheapest(study: Study, families: Sequence[Family]) -> Config | None:
    others = [trial.config for trial in study.trials if trial.status.failed and trial.status is not Status.TIMEOUT]
    defaults: list[Config] = [default_config(family) for family in families]
    return next((config for config in defaults if study.space.contains(config) and config not in others), None)


def _asked(study: Study, config: Mapping[str, Any]) -> OpenTrial | None:
    """The config's trial, begun or not; others that come before it in line stay there."""
    begun = [trial.config for trial in study.trials if trial.status is Status.RUNNING]
    if config not in [*begun, *study.queue]:
        study.enqueue(config, "default")
    held: list[OpenTrial] = []
    try:
        while (trial := study.ask()).config != config:
            held.append(trial)
    except SpaceExhausted:
        return None
    finally:
        for other in held:
            study.give_back(other)
    return trial
