"""From a scheduler's name to the scheduler."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.protocols import Scheduler
from staytuned.schedulers.asha import ASHA, AshaRule
from staytuned.schedulers.halving import Halving
from staytuned.schedulers.hyperband import Hyperband, HyperbandRule
from staytuned.schedulers.median import MedianRule
from staytuned.schedulers.never import Never
from staytuned.schedulers.plateau import PlateauRule
from staytuned.schedulers.population import Population
from staytuned.schedulers.rungs import checked_lowest
from staytuned.space.space import Space

_RULES: dict[str, Callable[[Goal], Scheduler]] = {
    "none": Never,
    "median": MedianRule,
    "plateau": PlateauRule,
    "asha": AshaRule,
    "hyperband": HyperbandRule,
}
_BY_FIDELITY: dict[str, Callable[[Goal, float], Scheduler]] = {"asha": ASHA, "halving": Halving, "hyperband": Hyperband}

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
        return _RULES[known](goal)
    checked_lowest(lowest)
    if known == "population":
        if space is None:
            raise UsageError("scheduler='population' changes configs as they run, so the study must be given its space=")
        return Population(goal, space, steps=max(2, round(1 / lowest)), seed=seed)
    if known not in _BY_FIDELITY:
        raise UsageError(
            f"scheduler={name!r} judges what is reported on the way and knows no fidelity={lowest!r}; take {', '.join(_BY_FIDELITY)} or population"
        )
    return _BY_FIDELITY[known](goal, lowest)
