"""What a search over a table may be asked for besides trials and seconds: to ration the training rows, and to end once it has enough."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from staytuned.enough import NOISE, Enough
from staytuned.errors import UsageError
from staytuned.evaluate.cv import CrossValidation
from staytuned.evaluate.effort import Rows
from staytuned.goal import Goal
from staytuned.protocols import Scheduler
from staytuned.rationing import Rationing
from staytuned.schedulers.rungs import shares
from staytuned.space.space import Space


@dataclass(frozen=True)
class Effort:
    """As ``TuneSearchCV`` has it, over rows: of each fold's training part, scored on all rows held out.

    Args:
        scheduler: asha, halving or hyperband, or a Scheduler, which then pursues the search's own goal; None for none, with a fidelity for asha.
        fidelity: the least share of the training rows, in (0, 1/3]; None for two rows a fold of every class, but not below 1/27.
        enough: also end once less is left to gain than this, in the metric's unit, or than "noise"; None to spend all of the budget.
    """

    scheduler: str | Scheduler | None = None
    fidelity: float | None = None
    enough: float | str | None = None

    @property
    def rationed(self) -> bool:
        """Whether trials are given shares of the rows; folds are then not raced, and fits not reused."""
        return self._rationing.on

    def check(self) -> None:
        """Whether it makes sense, before anything is read.

        Raises:
            UsageError: it does not.
        """
        self._rationing.check(race="auto", reuse="auto")
        if self.enough is not None:
            Enough(Goal("the metric"), self.enough)

    def check_folds(self, folds: int) -> None:
        """Whether the noise of a score can be told from so many.

        Raises:
            UsageError: it cannot.
        """
        if self.enough == NOISE and folds < 2:
            raise UsageError(
                "enough='noise' is read off the folds, and this table gets only one; ask for more (cv=3), or say in the metric's unit what gain is too small "
                "to matter, such as enough=0.001"
            )

    def over(self, cv: CrossValidation, *, groups: object, classify: bool) -> Rows | None:
        """What trials have less of; None where all have all rows."""
        return Rows.of(cv, groups=groups, classify=classify) if self.rationed else None

    def scheduler_for(self, goal: Goal, cv: CrossValidation, space: Space, rows: Rows | None, *, trials: int | None, method: str) -> Scheduler:
        """The scheduler that was asked for; without one the race over folds.

        Raises:
            UsageError: the table is too small for the lowest share.
        """
        return self._rationing.scheduler_for(goal, cv, space, rows, trials=trials, grid=method == "grid")

    def said(self, scheduler: Scheduler, rows: int) -> str:
        """What was decided, in a sentence; empty where nothing was asked for.

        Args:
            scheduler: as ``scheduler_for`` gave it.
            rows: of the training part.
        """
        parts = []
        if self.rationed:
            name = getattr(scheduler, "name", type(scheduler).__name__)
            lowest, eta = getattr(scheduler, "lowest", None), getattr(scheduler, "eta", None)
            if lowest is None or eta is None:
                parts.append(f"{name} decides how far each config goes")
            else:
                least = f"{'at least ' if name == 'hyperband' else ''}{share_words(shares(lowest, eta)[0])} of the {rows:,} training rows"
                parts.append(f"{name}: configs begin with {least}, and the good ones go on with more")
            parts.append("folds are not raced, and no fit is reused")
        if self.enough is not None:
            bound = f"{self.enough:g}" if isinstance(self.enough, int | float) else "the noise of the best score"
            parts.append(f"ends early once what is left to gain is probably below {bound}")
        return "; ".join(parts)

    @property
    def _rationing(self) -> Rationing:
        return Rationing(self.scheduler, self.fidelity, "n_samples")


def share_words(share: float) -> str:
    """A share of the rows as people write it.

    >>> share_words(1 / 9), share_words(0.4)
    ('1/9', '0.4')
    """
    fraction = Fraction(share).limit_denominator(1000)
    return f"1/{fraction.denominator}" if fraction.numerator == 1 and abs(float(fraction) - share) < 1e-9 else f"{share:.3g}"
