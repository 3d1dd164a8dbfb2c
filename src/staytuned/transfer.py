"""What a study learns from an earlier one: which configs to run again first, and in which order the rest stood.

Scores of earlier data are never taken over. A study that kept them as if still true would chase an optimum that has moved.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np

from staytuned.errors import SpaceError, UsageError
from staytuned.goal import Goal
from staytuned.protocols import Fact
from staytuned.samplers._cube import Cube
from staytuned.space.codec import config_from_json, config_to_json, from_unit, to_unit
from staytuned.space.dims import Choice, believed
from staytuned.space.space import Config, Space
from staytuned.trial import Measurement, Status, Trial

_APART = 0.1
_GOOD_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is left of an earlier study once its values are forgotten.

    Args:
        again: the configs to run first, the best first, the default last.
        trials: at most 100; each one's score by the new goal's metric is the normal score of its rank, turned so that the better is better.
    """

    again: tuple[Config, ...]
    trials: tuple[Trial, ...]


def lesson(trials: Sequence[Trial], goal: Goal, new_goal: Goal, space: Space | None, top: int) -> Lesson:
    """What to learn from these trials.

    Args:
        goal: what was better when they were run. new_goal: what is better now; its first metric gets the scores.
        space: of the new study; names that it does not have are left out of the configs, and trials that then do not fit are overlooked. None takes all.
        top: configs to run again at most, besides the default (a trial of origin "default").

    Raises:
        UsageError: no trial that ended fits the space, or ``top`` is no whole number of at least 0.
    """
    ended = [t for t in trials if t.status is not Status.RUNNING]
    held = [replace(t, config=config) for t in ended if (config := _held(t.config, space)) is not None]
    if not held:
        why = f"none of the {len(ended)} that ended lies in the space of {', '.join(space or ()) or 'this study'}" if ended else "none has ended"
        raise UsageError(f"there is nothing to learn from these {len(trials)} trials: {why}; pass a study over the same parameters, at least in part")
    from staytuned.samplers._belief import normal_scores, standings, telling  # and with it scipy, which nobody needs who only reads a study

    losses = np.array([math.nan if t.status.failed else goal.loss(goal.score(t)) for t in held], dtype=float)
    scores = normal_scores(standings(losses, np.array([goal.violation(t) for t in held], dtype=float)))
    known = [_as_order(i, held[at].config, scores[at], held[at].status, new_goal) for i, at in enumerate(telling(scores).tolist())]
    ranked = [held[at] for at in np.argsort(scores, kind="stable").tolist() if held[at].status is Status.DONE]
    return Lesson(_again(ranked, space, _checked(top)), tuple(known))


def lesson_to_facts(found: Lesson, goal: Goal, space: Space | None, stream: str, source: str) -> list[Fact]:
    """What a study's ledger keeps of a lesson: the old trials, ``[config, normal score (low is good), status]`` each, and the configs it enqueues.

    Args:
        source: what was learned from. A study learns from one source once: the facts have keys, so that a script may say it again.
    """
    trials = [[config_to_json(t.config, space), round(goal.loss(goal.score(t)), 4), str(t.status)] for t in found.trials]
    mark = source or hashlib.blake2b(json.dumps(trials, sort_keys=True).encode(), digest_size=8).hexdigest()
    facts = [Fact(stream, "learned", {"source": source, "trials": trials}, key=f"learned/{mark}")]
    for i, config in enumerate(found.again):
        facts.append(Fact(stream, "enqueued", {"config": config_to_json(config, space), "origin": "earlier"}, key=f"learned/{mark}/{i}"))
    return facts


def trials_from_json(body: Sequence[Sequence[Any]], goal: Goal, space: Space | None) -> tuple[Trial, ...]:
    """The trials that were written by :func:`lesson_to_facts`."""
    return tuple(_as_order(i, config_from_json(config, space), score, Status(status), goal) for i, (config, score, status) in enumerate(body))


def _checked(top: Any) -> int:
    if isinstance(top, bool) or not isinstance(top, Integral) or int(top) < 0:
        raise UsageError(f"top={top!r} must be a whole number of at least 0: so many of the old best are run again first")
    return int(top)


def _held(config: Mapping[str, Any], space: Space | None) -> Config | None:
    """What the new space, and JSON, can hold of a config; None where that is nothing."""
    held = dict(config)
    if space is not None:
        known = {name: value for name, value in config.items() if name in space.dimensions}
        held = space.pruned(known)
        if not Cube(space).fits(held):
            return None
    try:
        config_to_json(held, space)
    except SpaceError:
        return None
    return held


def _as_order(number: int, config: Config, score: float, status: Status, goal: Goal) -> Trial:
    return Trial(number, config, "earlier", measurement=Measurement({goal.metric: goal.loss(float(score))}, status))


def _again(ranked: Sequence[Trial], space: Space | None, top: int) -> tuple[Config, ...]:
    """Of the best third those that lie apart from every better one, then the default."""
    good = ranked[: math.ceil(_GOOD_SHARE * len(ranked))]
    chosen: list[Config] = []
    for trial in [*good, *(t for t in ranked if t.origin == "default")]:
        if len(chosen) < top or trial.origin == "default":
            config = _completed(trial.config, space)
            if config is not None and all(_apart(config, other, space) for other in chosen):
                chosen.append(config)
    return tuple(chosen)


def _completed(config: Config, space: Space | None) -> Config | None:
    """With what the new space asks for beside: the value believed best, or the middle. None where that breaks a constraint."""
    if space is None:
        return config
    middle = [0.5 if (centre := believed(space[name])) is None else centre for name in space.names]
    row = to_unit(space, config)
    whole = from_unit(space, np.where(np.isnan(row), middle, row)) | config
    return whole if space.contains(whole) else None


def _apart(one: Config, other: Config, space: Space | None) -> bool:
    """Whether two configs differ by a tenth of some dimension's range, or in a category."""
    if space is None:
        return one != other
    difference = np.abs(to_unit(space, one) - to_unit(space, other))
    categories = any(isinstance(space[name], Choice) and one.get(name) != other.get(name) for name in space.names)
    return categories or set(one) != set(other) or bool(np.nanmax(difference, initial=0.0) >= _APART)
