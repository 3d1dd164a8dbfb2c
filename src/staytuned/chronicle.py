"""All trials of a study, however many: what is new as it is, what ended long ago packed away until somebody looks."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator, Sequence
from typing import overload

from staytuned.trial import Status, Trial

RECENT = 10_000  # trials at the end that are never packed
_BLOCK = 500


class Chronicle(Sequence[Trial]):
    """The trials of one study by number: it only grows, and only a trial that runs is ever replaced.

    Blocks of 500 trials that have all ended are packed to about a tenth of their size once 10,000 newer ones have come. Looking at one of them unpacks its
    block, some ten microseconds a trial; the same trial is then equal to what it was, not the same object.

    Args:
        packs: whether anything is ever packed.
    """

    def __init__(self, packs: bool = True) -> None:
        self.packs = packs
        self._packed: list[bytes] = []
        self._rest: list[Trial] = []
        self._looked: tuple[int, list[Trial]] = (-1, [])

    @property
    def packed(self) -> int:
        """How many of the first trials are packed."""
        return _BLOCK * len(self._packed)

    def append(self, trial: Trial) -> None:
        """Go on with the next trial."""
        self._rest.append(trial)
        if self.packs and len(self._rest) >= RECENT + _BLOCK:
            self._pack()

    def replace(self, trial: Trial) -> None:
        """Put a trial into the place of its number, where one that runs stands."""
        self._rest[trial.number - self.packed] = trial

    def __len__(self) -> int:
        return self.packed + len(self._rest)

    def __iter__(self) -> Iterator[Trial]:
        for block in self._packed:
            yield from _unpacked(block)
        yield from self._rest

    @overload
    def __getitem__(self, place: int) -> Trial: ...
    @overload
    def __getitem__(self, place: slice) -> list[Trial]: ...

    def __getitem__(self, place: int | slice) -> Trial | list[Trial]:
        if isinstance(place, slice):
            places = range(*place.indices(len(self)))
            if not self._packed or (len(places) and min(places[0], places[-1]) >= self.packed):
                start = self.packed
                return [self._rest[at - start] for at in places]
            return [self[at] for at in places]
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError(f"there is no trial {place}; there are {len(self)}")
        if at >= self.packed:
            return self._rest[at - self.packed]
        block, inside = divmod(at, _BLOCK)
        if self._looked[0] != block:
            self._looked = (block, _unpacked(self._packed[block]))
        return self._looked[1][inside]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} trials, {self.packed} of them packed>"

    def _pack(self) -> None:
        oldest = self._rest[:_BLOCK]
        if all(trial.status is not Status.RUNNING for trial in oldest):
            self._packed.append(zlib.compress(pickle.dumps(oldest, pickle.HIGHEST_PROTOCOL), 1))
            del self._rest[:_BLOCK]


def _unpacked(block: bytes) -> list[Trial]:
    trials: list[Trial] = pickle.loads(zlib.decompress(block))
    return trials
