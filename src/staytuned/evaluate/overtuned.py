"""Whether the best score of a search holds: what it is worth corrected for its having been chosen, and the warning where it is worth less."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from staytuned.errors import Overtuned
from staytuned.evaluate.cv import CrossValidation
from staytuned.evaluate.honest import Honest
from staytuned.evaluate.out_of_fold import Kind, kind_of
from staytuned.evaluate.scoring import Scoring
from staytuned.evaluate.winner import honest_of
from staytuned.goal import Goal
from staytuned.space.space import Space
from staytuned.trial import History

_MOST_ROWS = 200_000  # of a table whose row values are kept
_MOST_VALUES = 2**28  # of all configs; four bytes each
_SECONDS, _SECONDS_A_ROW = 0.3, 5e-5
_MOST_TRIALS = 100  # taken for granted where only time ends the search


def deciding_scorer(scoring: Scoring, refit: Any) -> Any:
    """The scorer of the metric that decides, where one does."""
    return scoring.asked[refit] if isinstance(scoring.asked, dict) else scoring.asked


def kept_kind(scoring: Scoring, refit: Any, estimator: Any, evaluator: CrossValidation, configs: float | None) -> Kind | None:
    """How the row values of the metric that decides are read; None where none are kept, as they say nothing or are too many.

    Args:
        refit: as ``TuneSearchCV`` takes it.
        configs: that the search measures at most; None to keep row values however many there are.
    """
    weighted = any(value is not None for params in evaluator.score_params.values() for value in params.values())
    if not scoring.decided or weighted or len(evaluator.splits) < 2 or evaluator.y is None:
        return None
    if configs is not None:
        values = configs * sum(len(test) for _, test in evaluator.splits)
        if np.shape(evaluator.y)[0] > _MOST_ROWS or values > _MOST_VALUES:
            return None
    return kind_of(deciding_scorer(scoring, refit), estimator)


def most_configs(trials: int | None, space: Space, free: Mapping[str, Sequence[Any]]) -> float:
    """How many configs a search measures at most.

    Args:
        trials: at most; None where only time ends the search.
        free: the values of what each trial measures at all of them.
    """
    size = math.inf if space.size is None else space.size
    return min(min(_MOST_TRIALS if trials is None else int(trials), size) * math.prod(map(len, free.values())), size)


def correction_seconds(rows: int) -> float:
    """About how long correcting a score takes for a table of so many rows; a few seconds more with hundreds of configs."""
    return _SECONDS + _SECONDS_A_ROW * rows


def corrected_best(
    trials: History, load: Callable[[str], bytes], kind: Kind, goal: Goal, evaluator: CrossValidation, *, groups: Any = None, ordered: bool = False
) -> Honest | None:
    """The best score of the trials at full effort, corrected for its having been chosen; None where too little is known.

    Args:
        trials: all of the search; the lead is over the one whose origin is "default".
        load: reads a blob of the ledger.
        groups, ordered: as in :func:`~staytuned.evaluate.winner.honest_of`.
    """
    full = [trial for trial in trials if trial.share == 1]
    default = _went_on(trials, next((trial.number for trial in trials if trial.origin == "default"), None))
    return honest_of(full, load, kind, goal, evaluator.y, evaluator.splits, groups=groups, ordered=ordered, first=default)


def warn_if_overtuned(found: Honest, kind: Kind, stacklevel: int) -> None:
    """Warn where the best score lies outside the interval of the corrected one.

    Not with log loss, of which one row, wrong and sure, can outweigh all others.

    Args:
        stacklevel: as for a warning of the caller's own.
    """
    if kind.name != "log_loss" and not found.low <= found.naive <= found.high:
        warnings.warn(
            f"the best of {found.configs} configs scores {found.naive:.4g}, but what is chosen without a tenth of the rows scores {found.corrected:.4g} "
            f"on them ({100 * found.level:g} % interval {found.low:.4g} to {found.high:.4g}), and so may this one on new rows; more rows, repeated folds "
            "or fewer configs make the choice surer",
            Overtuned,
            stacklevel=stacklevel + 1,
        )


def _went_on(trials: History, number: int | None) -> int | None:
    """The last trial as which this one went on, itself if it did not."""
    later = {trial.continues: trial.number for trial in trials if trial.continues is not None}
    while number in later:
        number = later[number]
    return number
