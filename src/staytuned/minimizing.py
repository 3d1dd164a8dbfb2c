"""The shortest way: a function and a space in, the best config out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from staytuned.open_trial import OpenTrial
from staytuned.protocols import Sampler
from staytuned.space.door import SpaceLike
from staytuned.space.space import Config
from staytuned.study import Study
from staytuned.trial import Trial


def minimize(
    f: Callable[[Config], Any],
    space: SpaceLike,
    *,
    trials: int | None = 100,
    time: float | None = None,
    method: str | Sampler = "auto",
    limits: str | None = None,
    learn_from: Study | Sequence[Trial] | None = None,
    seed: int | None = None,
) -> Trial:
    """The best trial of ``f`` over a space.

    Args:
        f: called with a config, a dict; returns the number to make small, or a dict of it as ``loss`` and of what the limits speak of.
        space: a Space, or a dict from name to dimension, list or scipy distribution.
        trials: at most; None for no limit.
        time: seconds at most; None for no limit.
        method: manual grid random sobol bayes tpe cma evolution auto, or a Sampler.
        limits: what must hold, such as ``"seconds <= 2"`` or ``"latency <= 20 and recall >= 0.9"``; if no trial keeps them, the one that breaks
            them least is returned.
        learn_from: an earlier study, or its trials, to begin with; see :meth:`Study.learn_from`.
        seed: same seed, same result.

    Raises:
        NotFoundError: every trial failed.

    >>> from staytuned.space.dims import Float
    >>> round(minimize(lambda c: (c["x"] - 2) ** 2, {"x": Float(-5, 5)}, trials=30, seed=0).config["x"], 1)
    2.0
    """
    study = Study(space=space, goal=f"min loss where {limits}" if limits else "min loss", sampler=method, seed=seed)
    if learn_from is not None:
        study.learn_from(learn_from)
    study.optimize(_OfConfig(f), trials=trials, timeout=time)
    return study.best


@dataclass(frozen=True)
class _OfConfig:
    f: Callable[[Config], Any]

    def __call__(self, trial: OpenTrial) -> Any:
        return self.f(trial.config)
