"""How a search rations its effort: by which scheduler, over what resource, and from which share of the full effort on."""

from __future__ import annotations

import math
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from staytuned.errors import UsageError
from staytuned.evaluate.cv import CrossValidation
from staytuned.evaluate.effort import Parameter, Rows
from staytuned.evaluate.race import Race
from staytuned.goal import Goal
from staytuned.protocols import Scheduler
from staytuned.schedulers.halving import Halving
from staytuned.schedulers.named import SCHEDULERS, scheduler_named
from staytuned.schedulers.rungs import checked_lowest, heights, shares
from staytuned.space.branches import Branches
from staytuned.space.space import Space

_BY_SHARE = ("asha", "halving", "hyperband")
_ETA = 3.0  # of schedulers by name
_MOST_RUNGS = 3  # below full effort, where no fidelity was given


@dataclass(frozen=True)
class Rationing:
    """What a search was asked for, which nothing has checked yet; without scheduler and fidelity every trial is a full one.

    Args:
        scheduler: asha, halving or hyperband, or a Scheduler; None for asha if there is a fidelity, else for the race over folds.
        fidelity: the least share of the full effort; None for the least that makes sense.
        resource: of what there is less at a lower share: "n_samples", or a parameter of the estimator that is a positive whole number.
    """

    scheduler: Any
    fidelity: Any
    resource: Any

    @property
    def on(self) -> bool:
        """Whether trials are given shares of the effort."""
        return self.scheduler is not None or self.fidelity is not None

    def check(self, *, race: bool | str, reuse: bool | str) -> None:
        """Whether what was asked for can go together.

        Raises:
            UsageError: it cannot, or it makes no sense.
        """
        if not self.on:
            if self.resource != "n_samples":
                raise UsageError(f"resource={self.resource!r} goes with a scheduler, such as scheduler='asha'")
            return
        self._check_scheduler()
        if self.fidelity is not None:
            checked_lowest(self.fidelity, _ETA)
        if not isinstance(self.resource, str):
            raise UsageError(f"resource={self.resource!r} must be 'n_samples' or the name of one of the estimator's parameters")
        for option, wanted, way in (
            ("race", race, "the scheduler already stops what can hardly win"),
            ("reuse", reuse, "the values that come free are not the same at every share"),
        ):
            if wanted is True:
                raise UsageError(f"{option}=True does not go with a scheduler: {way}; leave {option} at 'auto', or scheduler and fidelity out")

    def over(self, branches: Branches, evaluator: CrossValidation, *, groups: Any, classify: bool) -> Rows | Parameter | None:
        """What trials at a share of the effort have less of; None where all are full ones.

        Args:
            groups: (n_rows,) rows of one group stay together; None for none.
            classify: whether the target holds classes.
        """
        if not self.on:
            return None
        if self.resource == "n_samples":
            return Rows.of(evaluator, groups=groups, classify=classify)
        searched = any(self.resource == name or self.resource.startswith(f"{name}__") for part in branches.parts for name in part)
        return Parameter(self.resource, searched)

    def scheduler_for(
        self, goal: Goal, evaluator: CrossValidation, space: Space, resource: Rows | Parameter | None, *, trials: int | None, grid: bool
    ) -> Scheduler:
        """The scheduler that was asked for, in pursuit of the search's goal; without one the race over folds.

        Args:
            resource: as ``over`` gives it.
            trials: of the search at most; None for no limit.
            grid: whether all configs are tried.

        Raises:
            UsageError: the resource is too small for the lowest share.
        """
        if resource is None:
            return Race(goal, len(evaluator.splits))
        asked = "asha" if self.scheduler is None else self.scheduler
        if not isinstance(asked, str):
            resource.check(evaluator, getattr(asked, "lowest", 1.0))
            return replace(asked, goal=goal) if is_dataclass(asked) and hasattr(asked, "goal") else asked  # type: ignore[return-value,type-var]
        lowest = self._lowest(evaluator, space, resource, trials) if self.fidelity is None else float(self.fidelity)
        resource.check(evaluator, shares(lowest, _ETA)[0])
        if asked.lower() == "halving" and grid and space.size is not None:
            return Halving(goal, lowest, _ETA, max(int(space.size), round(1 / shares(lowest, _ETA)[0])))
        return scheduler_named(asked, goal, lowest)

    def _check_scheduler(self) -> None:
        scheduler = self.scheduler
        if isinstance(scheduler, str):
            if scheduler.lower() not in _BY_SHARE:
                if scheduler.lower() not in SCHEDULERS:
                    scheduler_named(scheduler, Goal())  # says which was meant
                raise UsageError(f"scheduler={scheduler!r} does not go with a search, whose fits begin anew every time; take {', '.join(_BY_SHARE)}")
        elif scheduler is not None:
            if isinstance(scheduler, type) or not isinstance(scheduler, Scheduler):
                raise UsageError(f"scheduler={scheduler!r} must be {', '.join(_BY_SHARE)}, or a Scheduler such as ASHA(Goal(), lowest=1/9)")
            if self.fidelity is not None:
                raise UsageError(
                    f"fidelity={self.fidelity!r} goes with the name of a scheduler; tell {type(scheduler).__name__} itself, as in ASHA(Goal(), lowest=1/9)"
                )

    def _lowest(self, evaluator: CrossValidation, space: Space, resource: Rows | Parameter, trials: int | None) -> float:
        """The least share where none was given."""
        least = resource.least(evaluator)
        rungs = min(_MOST_RUNGS, heights(1 / least, _ETA) if least > 0 else _MOST_RUNGS)
        if rungs < 1:
            raise UsageError(
                f"resource={self.resource!r} is too small for a rung below full effort: its least share would be {least:.3g}, and should be at most 1/3; "
                "give fidelity= yourself, or leave the scheduler out"
            )
        most = math.inf if trials is None else int(trials)
        while rungs > 1 and (sum(round(_ETA**rung) for rung in range(rungs + 1)) > most or (space.size is not None and _ETA**rungs > space.size)):
            rungs -= 1
        return float(_ETA**-rungs)
