"""Whether what comes after a search still fits into the time: the last fit, the fit of the best default, and what is said of the score."""

from __future__ import annotations

import math
import time as clock
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from staytuned.study import Study
from staytuned.trial import Trial

_REMEMBERED = 5
_SAFETY = 1.2  # fits differ from one another, and a processor has other things to do


@dataclass(frozen=True)
class Clock:
    """The time for a search and its last fit.

    Args:
        began: by ``time.monotonic``.
        seconds: from then on; None for no limit.
    """

    began: float
    seconds: float | None

    def left(self, reserve: float = 0.0) -> float | None:
        """Seconds, at least a millisecond; None without a limit."""
        return None if self.seconds is None else max(self.began + self.seconds - clock.monotonic() - reserve, 0.001)


class TimeSpent(Exception):
    """Raised out of a search whose end can wait no longer."""


@dataclass
class Pace:
    """Ends a search once its own last steps would not fit into the time any more, which is known only when its best trials are.

    Args:
        clock: of the search.
        folds: of a trial.
        fixed: seconds that the last steps take besides fits.
        reserve: seconds that the search leaves over for them anyhow.
    """

    clock: Clock
    folds: int
    fixed: float = 0.0
    reserve: float = 0.0
    _ends: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED + 1))

    def heard(self, study: Study, baseline: Trial | None) -> None:
        """Look at the time after a trial.

        Raises:
            TimeSpent: the next one would come too late.
        """
        self._ends.append(clock.monotonic())
        needed = self.needed(study.goal.best(study.trials), baseline)
        left = self.clock.left()
        if left is not None and needed > self.reserve and left < needed + self.gap:
            raise TimeSpent

    def needed(self, best: Trial | None, baseline: Trial | None) -> float:
        """Seconds from the end of the search on, as far as its trials tell: the best and the best default are fitted once more, on all rows."""
        fits = {trial.number: whole_fit(trial, self.folds) + _scoring(trial) for trial in (best, baseline) if trial is not None}
        return self.fixed + _SAFETY * sum(fits.values())

    @property
    def gap(self) -> float:
        """Seconds between the ends of two trials of late; 0 as long as nothing is known."""
        gaps = [after - before for before, after in pairwise(self._ends)]
        return sum(gaps) / len(gaps) if gaps else 0.0


def whole_fit(trial: Trial, folds: int) -> float:
    """Seconds that a fit on all training rows takes by those of the trial's folds, in proportion to the rows; 0 where they are not known.

    Args:
        folds: of a whole trial; a single one trains on four fifths of the rows.
    """
    seconds = [reading.fit_seconds for reading in trial.readings if math.isfinite(reading.fit_seconds)]
    rows = 1.25 if folds == 1 else folds / (folds - 1)
    return rows / trial.share * sum(seconds) / len(seconds) if seconds else 0.0


def _scoring(trial: Trial) -> float:
    """Seconds that the rows held out in a fold took; the test rows are about as many."""
    return max((reading.score_seconds for reading in trial.readings), default=0.0)
