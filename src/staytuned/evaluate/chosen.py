"""Which config a search takes in the end, if there is one to take."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import FitFailedWarning

from staytuned.errors import UsageError
from staytuned.trial import Trial


def check_failures(trials: Sequence[Trial], why_ended: str, stacklevel: int) -> None:
    """Warn of failed trials.

    Args:
        trials: that have ended.
        why_ended: of the search.
        stacklevel: as for a warning of the caller's own.

    Raises:
        UsageError: there is nothing else, or nothing at all.
    """
    failed = [trial for trial in trials if trial.status.failed]
    if not trials:
        raise UsageError(f"no trial was finished: {why_ended}")
    if not failed:
        return
    first = f"the first, {failed[0].config!r}: {failed[0].cure}"
    if len(failed) == len(trials):
        raise UsageError(f"all the {len(trials)} trials failed, so nothing can be chosen; {first}")
    warnings.warn(f"{len(failed)} of {len(trials)} trials failed and rank last; {first}", FitFailedWarning, stacklevel=stacklevel + 1)


def chosen_row(results: Mapping[str, Any], metric: str, refit: Callable[[Any], int] | None) -> int:
    """The index of the best row of ``cv_results_``.

    Args:
        metric: the one that decides, where no function does.
        refit: the function that does, as scikit-learn's searches take it.

    Raises:
        TypeError, IndexError: what the function returned is no index of a row.
    """
    if refit is None:
        return int(np.argmin(results[f"rank_test_{metric}"]))
    index: Any = refit(results)
    rows = len(results["params"])
    if not isinstance(index, numbers.Integral):
        raise TypeError(f"the function refit returned {index!r}; it must return the index of a row of cv_results_")
    if not 0 <= int(index) < rows:
        raise IndexError(f"the function refit returned {index}, but cv_results_ has {rows} rows")
    return int(index)
