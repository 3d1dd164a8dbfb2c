"""The best trials, with how sure their scores are and what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from staytuned.goal import Goal
from staytuned.space.dims import index_of
from staytuned.space.space import Config
from staytuned.trial import History, Status, Trial


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One trial.

    Args:
        rank: 1 for the best.
        trial: its number.
        score: in the metric's own direction.
        error: standard error of the score over the folds; NaN with fewer than two folds.
        train_score: mean score on the rows fitted on; NaN where not measured.
        seconds: wall-clock time.
        status: how it ended.
        origin: who proposed it.
        config: what it tried.
    """

    rank: int
    trial: int
    score: float
    error: float
    train_score: float
    seconds: float
    status: Status
    origin: str
    config: Config


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The best trials, best first.

    Args:
        rows: the trials.
        metric, direction: of the scores.
        by: the dimension of which each value has its best trial here; None for the best of all.
    """

    rows: tuple[LeaderboardRow, ...]
    metric: str
    direction: str
    by: str | None = None


def leaderboard(history: History, goal: Goal, limit: int | None = 10, by: str | None = None) -> Leaderboard:
    """The best finished trials.

    Args:
        history: trials in any state.
        goal: what is best; equal scores rank by trial number.
        limit: so many at most; None for all.
        by: a dimension such as "model": only the best trial for each of its values.
    """
    finished = [t for t in history if t.status is Status.DONE and math.isfinite(goal.score(t))]
    ranked = sorted(finished, key=lambda t: (goal.loss(goal.score(t)), t.number))
    if by is not None:
        ranked = _first_of_each(ranked, by)
    return Leaderboard(tuple(_row(rank, t, goal) for rank, t in enumerate(ranked[:limit], start=1)), goal.metric, goal.direction, by)


def _first_of_each(trials: Iterable[Trial], by: str) -> list[Trial]:
    seen: list[Any] = []
    firsts = []
    for trial in trials:
        if by in trial.config and index_of(seen, trial.config[by]) is None:
            seen.append(trial.config[by])
            firsts.append(trial)
    return firsts


def _row(rank: int, trial: Trial, goal: Goal) -> LeaderboardRow:
    score = goal.score(trial)
    return LeaderboardRow(
        rank, trial.number, score, _error(trial, goal), _train_score(trial, goal), trial.cost.seconds, trial.status, trial.origin, trial.config
    )


def _error(trial: Trial, goal: Goal) -> float:
    folds = _finite(r.scores.get(goal.metric, math.nan) for r in trial.readings if r.place == "fold")
    return float(np.std(folds, ddof=1) / math.sqrt(len(folds))) if len(folds) > 1 else math.nan


def _train_score(trial: Trial, goal: Goal) -> float:
    """Over the folds; where there are none, at the last step that measured it."""
    folds = _finite(r.train_scores.get(goal.metric, math.nan) for r in trial.readings if r.place == "fold")
    others = _finite(r.train_scores.get(goal.metric, math.nan) for r in trial.readings if r.place != "fold")
    return float(np.mean(folds)) if folds else (others[-1] if others else math.nan)


def _finite(scores: Iterable[float]) -> list[float]:
    return [s for s in scores if math.isfinite(s)]
