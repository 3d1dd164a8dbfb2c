"""A sampler of part of a space: what is left open is decided by the trial itself, which measures all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeAlias

from staytuned.protocols import Sampler
from staytuned.space.space import Config, Space
from staytuned.trial import History, Status, Trial

Past: TypeAlias = Sequence[Sequence[Trial]]


class LeftOpen:
    """Asks another sampler for configs without some dimensions, and shows it the history without them.

    Args:
        make: from the space that remains and the trials of earlier studies to its sampler.
        space: the whole.
        names: what is left open: dimensions that no other depends on and no constraint speaks of.
        past: the trials of earlier studies of the whole.
    """

    def __init__(self, make: Callable[[Space, Past], Sampler], space: Space, names: Collection[str], past: Past = ()) -> None:
        remaining = without(space, names)
        self._names = frozenset(names)
        self._finite = remaining.size is not None
        self._inner = make(remaining, [[self._without(trial) for trial in trials] for trials in past])
        self._seen: list[tuple[Trial, Trial | None]] = []  # as the history has it, as the inner sampler sees it
        self.name = self._inner.name

    def ask(self, history: History, n: int = 1) -> list[Config]:
        """Up to ``n`` new configs, without what is left open.

        Raises:
            SpaceExhausted: nothing untried is left in what remains of the space.
        """
        return self._inner.ask(self.shown(history), n)

    def origin(self, history: History) -> str:
        """The name of the method that answers the next ask."""
        origin = getattr(self._inner, "origin", None)
        return str(origin(self.shown(history))) if callable(origin) else self.name

    def shown(self, history: History) -> History:
        """The history as the inner sampler sees it; a trial that has not changed is the same object again.

        A trial that was asked for with a value of its own for something left open, such as a default, says at least what its config can do: it is shown as
        one that was stopped early. Where what remains of the space is finite it is left out, so that its other values are still measured.
        """
        del self._seen[len(history) :]
        for place, trial in enumerate(history):
            if place == len(self._seen):
                self._seen.append((trial, self._stripped(trial)))
            elif self._seen[place][0] is not trial:
                self._seen[place] = (trial, self._stripped(trial))
        return [shown for _, shown in self._seen if shown is not None]

    def _stripped(self, trial: Trial) -> Trial | None:
        """As the inner sampler sees it; None if it does not."""
        measurement = trial.measurement
        shown = self._without(trial)
        if shown is trial or (measurement is not None and measurement.column):
            return shown
        if self._finite:
            return None
        if measurement is not None and measurement.status is Status.DONE:
            return replace(shown, measurement=replace(measurement, status=Status.PRUNED))
        return shown

    def _without(self, trial: Trial) -> Trial:
        rest = {name: value for name, value in trial.config.items() if name not in self._names}
        return trial if len(rest) == len(trial.config) else replace(trial, config=rest)


def without(space: Space, names: Collection[str]) -> Space:
    """What remains of a space."""
    return Space({name: dimension for name, dimension in space.dimensions.items() if name not in names}, space.constraints)
