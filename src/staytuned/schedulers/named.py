"""From a scheduler's name to the scheduler."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from typing import cast

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.protocols import Scheduler
from staytuned.space.space import Space

_RULES = {  # file and class; a file is loaded when its scheduler is first asked for
    "none": ("never", "Never"),
    "median": ("median", "MedianRule"),
    "plateau": ("plateau", "PlateauRule"),
    "asha": ("asha", "AshaRule"),
    "hyperband": ("hyperband", "HyperbandRule"),
}
_BY_FIDELITY = {
    "asha": ("asha", "ASHA"),
    "halving": ("halving", "Halving"),
    "hyperband": ("hyperband", "Hyperband"),
    "population": ("population", "Population"),
}

SCHEDULERS = (*_RULES, "halving", "population")


def scheduler_named(name: str, goal: Goal, lowest: float | None = None, space: Space | None = None, seed: int = 0) -> Scheduler:
    """The scheduler of this name, with its defaults.

    Args:
        lowest: the least share of the full effort, for objectives that read ``trial.fidelity``; None for those that report on the way.
        space, seed: for population based training, which changes configs itself.

    Raises:
        UsageError: no scheduler has this name, or it is not for this kind of objective.
    """
    known = str(name).lower()
    if known not in SCHEDULERS:
        near = get_close_matches(known, SCHEDULERS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"scheduler={name!r} is not known; {hint}The schedulers are {', '.join(SCHEDULERS)}")
    if lowest is None:
        if known not in _RULES:
            raise UsageError(
                f"scheduler={name!r} gives trials a share of the effort: say the least one, such as fidelity=1/27, and read trial.fidelity in the objective; "
                "for an objective that only reports on the way take 'asha'"
            )
        return _loaded(*_RULES[known])(goal)
    from staytuned.schedulers.rungs import checked_lowest

    checked_lowest(lowest)
    if known not in _BY_FIDELITY:
        raise UsageError(f"scheduler={name!r} judges what is reported on the way and knows no fidelity={lowest!r}; take one of {', '.join(_BY_FIDELITY)}")
    scheduler = _loaded(*_BY_FIDELITY[known])
    if known != "population":
        return scheduler(goal, lowest)
    if space is None:
        raise UsageError("scheduler='population' changes configs as they run, so the study must be given its space=")
    return scheduler(goal, space, steps=max(2, round(1 / lowest)), seed=seed)


def _loaded(file: str, name: str) -> Callable[..., Scheduler]:
    return cast(Callable[..., Scheduler], getattr(importlib.import_module(f"staytuned.schedulers.{file}"), name))
