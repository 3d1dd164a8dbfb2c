"""Population based training (Jaderberg et al. 2017): the worst go on from what the best have learned, with hyperparameters a little changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.protocols import Ration
from staytuned.schedulers.never import as_reported, needs_nothing, never_stops
from staytuned.schedulers.rungs import checked, climbers, ranked
from staytuned.space.dims import Dimension, Float, Int, Ordinal, Value
from staytuned.space.space import Config, Space
from staytuned.trial import History, Status, Trial

_FACTORS = (0.8, 1.2)  # Jaderberg et al. 2017, section 4.1.1
_TRIES = 20  # changes tried until the constraints hold


@dataclass(frozen=True)
class Population:
    """Trains ``size`` configs side by side in ``steps`` steps; after each the worst fifth give way to changed copies of the best fifth.

    For objectives that read ``trial.fidelity`` and can go on from what they kept of ``trial.continues``: the same member, or the better one it copies.
    Truncation selection; a copied hyperparameter is drawn anew with probability ``resample``, else multiplied by 0.8 or 1.2 (Jaderberg et al. 2017,
    section 4.1.1). A step begins when all members have ended the one before, so the outcome does not depend on the number of workers; those beyond
    ``size`` have nothing to do. After the last step there is nothing more to begin: a population takes ``size * steps`` trials.

    Args:
        goal: what is better.
        space: what the changes stay within.
        size: members.
        steps: into which the full effort is cut.
        share: of the members that are replaced at each step, and of those that are copied; at most a half.
        resample: the probability that a copied value is drawn anew.
        vary: the names that change; None for all of type Float and Int, as other values often name a structure that kept weights would not fit.
        seed: same seed, same changes.

    Raises:
        UsageError: a number out of its range, or a name that the space has not.
    """

    goal: Goal
    space: Space
    size: int = 10
    steps: int = 10
    share: float = 0.2
    resample: float = 0.25
    vary: Sequence[str] | None = None
    seed: int = 0

    name = "population"

    def __post_init__(self) -> None:
        checked("size", self.size, 2, whole=True), checked("steps", self.steps, 2, whole=True)
        checked("share", self.share, 0, 0.5), checked("resample", self.resample, 0, 1)
        if unknown := [name for name in self.vary or () if name not in self.space.dimensions]:
            raise UsageError(f"vary={unknown[0]!r} is not in the space; it has {', '.join(self.space)}")

    judge, brief, estimate = never_stops, needs_nothing, as_reported

    def ration(self, history: History, new: bool = True) -> Ration | None:
        """The next member's next step; None while others must end theirs first, and at the end."""
        levels = [step / self.steps for step in range(1, self.steps + 1)]
        generations = climbers([t for t in history if t.fidelity is not None and (t.continues is None) == (round(t.fidelity * self.steps) == 1)], levels)
        size = self.size if new else min(self.size, len(generations[0]))
        if len(generations[0]) < size:
            return Ration(levels[0])
        for g, (now, then) in enumerate(pairwise(generations)):
            members = now[:size]
            if any(t.status is Status.RUNNING for t in members):
                return None
            if len(then) < size:
                return self._succession(members, len(then), g, levels[g + 1])
        return None

    def _succession(self, members: Sequence[Trial], slot: int, generation: int, level: float) -> Ration | None:
        """Who goes on in a slot: its member, or in place of a bad one a changed copy of a good one; None if all have failed."""
        standing = [t.number for t in ranked(self.goal, members)]
        count = max(1, int(self.share * len(members))) if self.share else 0
        if not standing:
            return None
        kept = standing[: max(len(members) - count, count)]
        member = members[slot]
        if member.number in kept:
            return Ration(level, member.number, origin=self.name)
        rng = generator(self.seed, self.name, generation, slot)
        parent = standing[int(rng.integers(max(1, min(count, len(standing)))))]
        config = next(t.config for t in members if t.number == parent)
        return Ration(level, parent, explored(self.space, config, rng, self.resample, self.vary), self.name)


def explored(space: Space, config: Config, rng: np.random.Generator, resample: float, vary: Sequence[str] | None = None) -> Config:
    """A config near another one; the same one if no change keeps the constraints."""
    names = [n for n in space if isinstance(space[n], Float | Int)] if vary is None else vary
    for _ in range(_TRIES):
        changed: Config = {}
        for name in space.parents_first:
            if name in space.active(changed):
                changed[name] = _changed(space[name], config, name, rng, resample) if name in names or name not in config else config[name]
        whole = {name: changed[name] for name in space if name in changed}
        if space.contains(whole):
            return whole
    return dict(config)


def _changed(dimension: Dimension, config: Config, name: str, rng: np.random.Generator, resample: float) -> Value:
    """Drawn anew, or a fifth smaller or larger; of an order the value beside, of a choice any."""
    anew, up, draw = rng.random() < resample, int(rng.integers(2)), float(rng.random())
    if anew or name not in config or not isinstance(dimension, Float | Int | Ordinal):
        return dimension.from_unit(draw)
    value: Any = config[name]
    if isinstance(dimension, Ordinal):
        return dimension.from_unit(min(max(dimension.to_unit(value) + (2 * up - 1) / dimension.size, 0.0), 1.0))
    moved = value * _FACTORS[up]
    if isinstance(dimension, Int) and round(moved) == value:
        moved = value + (2 * up - 1) * dimension.step
    return dimension.from_unit(dimension.to_unit(min(max(moved, dimension.low), dimension.high)))
