"""What a tuning run says of its steps."""

from __future__ import annotations

from typing import Any

from staytuned.automl.columns import Table
from staytuned.automl.effort import share_words
from staytuned.automl.recipe import Plan, Tuned
from staytuned.automl.zoo import ZOO, split_config
from staytuned.trial import Status


def read_sentence(table: Table, features: Any) -> str:
    """Rows, columns and target."""
    kinds: dict[str, int] = {}
    for column in table.columns:
        kinds[column.kind] = kinds.get(column.kind, 0) + 1
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    task = {"binary": "two classes", "multiclass": f"{len(table.classes or ())} classes", "regression": "a number"}[table.task]
    return f"{len(features):,} rows; columns: {listed}; predicting {table.target!r}, {task}"


def space_sentence(plan: Plan) -> str:
    """What is searched, and how it is judged."""
    left = "".join(f"; without {name} ({reason})" for name, reason in plan.left_out.items())
    return f"{len(plan.space)} hyperparameters of {len(plan.families)} models, judged by {plan.metric.name} in {plan.folds_named}{left}"


def choice_sentence(tuned: Tuned) -> str:
    """What was chosen, and how much of the table its score was measured with."""
    family, params = split_config(tuned.config)
    values = ", ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items())
    return f"{ZOO[family].title} by validation score, {tuned.plan.metric.name} {tuned.score:.4f}{_corrected_words(tuned)}{_less_words(tuned)}: {values}"


def _corrected_words(tuned: Tuned) -> str:
    """What the score is worth, as it was chosen for being high."""
    honest = tuned.honest
    return "" if honest is None else f" ({honest.corrected:.4f} corrected for the choice, {honest.low:.4f} to {honest.high:.4f})"


def _less_words(tuned: Tuned) -> str:
    """What the best trial had less of than a whole one."""
    best, folds = tuned.study.best, len(tuned.plan.folds)
    words = f" after {len(best.readings)} of {folds} folds" * (best.status is not Status.DONE)
    return words + (f" on {share_words(best.share)} of the training rows, as no config got all of them" if best.share < 1 else "")
