"""A table made into an objective and a space: what a comparison of strategies runs on. Read, split and scored as in tuning."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from staytuned._random import generator
from staytuned.automl.columns import Table, infer
from staytuned.automl.given import column_values, completed
from staytuned.automl.read import nearest
from staytuned.automl.recipe import Build, Plan, fit_config, make_plan, predict
from staytuned.automl.resampled import interval_of
from staytuned.automl.sentences import read_sentence, space_sentence
from staytuned.automl.split import Split, fold_count, hold_out
from staytuned.automl.zoo import ZOO, Family, default_config, load_space, with_changes
from staytuned.errors import UsageError
from staytuned.evaluate.cv import CrossValidation
from staytuned.space.space import Config
from staytuned.stats.compare import Interval
from staytuned.trial import Measurement

ALL = "all"


@dataclass(frozen=True)
class Validated:
    """The mean validation score of a config; the same config always gets the same score, whichever strategy asks."""

    evaluator: CrossValidation
    seed: int

    def __call__(self, config: Config) -> Measurement:
        return self.evaluator(config, None, self.seed)


@dataclass(frozen=True)
class TableObjective:
    """What strategies are compared on.

    Args:
        table: columns, task and warnings as inferred.
        plan: space, metric and validation folds.
        split: the rows to validate on and those kept for the test.
        features, labels: all rows.
        seed: of the split, the folds and the models.
    """

    table: Table
    plan: Plan
    split: Split
    features: Any
    labels: npt.NDArray[Any]
    seed: int

    @property
    def objective(self) -> Validated:
        """The function that strategies search; it holds the training rows only."""
        rows, metric = self.split.train, self.plan.metric
        X, y = self.features.iloc[rows], self.labels[rows]
        return Validated(CrossValidation(Build(self.table), X, y, self.plan.folds, {metric.name: metric.scorer}, train_scores=False), self.seed)

    def tested(self, config: Config) -> Interval:
        """The score on the rows kept for the test, after a fit on all others, with its 95 % bootstrap interval over rows."""
        train, test = self.split.train, self.split.test
        fitted = fit_config(config, self.features.iloc[train], self.labels[train], self.table, seed=self.seed)
        prediction = predict(fitted, self.features.iloc[test], self.table)
        return interval_of(self.plan.metric, np.asarray(self.labels[test]), prediction, rng=generator(self.seed, "test"))

    def by_hand(self, configs: Sequence[Config]) -> list[Config]:
        """Configs given by hand, each filled with its model's defaults; without any, the default of every model.

        Raises:
            UsageError: one does not fit the space.
        """
        if not configs:
            return [default for family in self.plan.families if self.plan.space.contains(default := default_config(family))]
        return [completed(_with_model(config, self.plan), self.plan) for config in configs]

    def steps(self) -> list[tuple[str, str]]:
        """What was done with the table, as (step, sentence)."""
        warnings = [("Note", warning) for warning in self.table.warnings]
        read = read_sentence(self.table, self.features)
        return [("Read", read), *warnings, ("Split", self.split.sentence), ("Space", self._space_sentence())]

    def _space_sentence(self) -> str:
        if len(self.plan.families) > 1:
            return space_sentence(self.plan)
        family = self.plan.families[0]
        return f"{len(family.space)} hyperparameters of {family.title}, judged by {self.plan.metric.name} in {self.plan.folds_named}"


def table_objective(
    frame: Any,
    target: str,
    *,
    model: str = "lightgbm",
    metric: Any = "auto",
    space: str | Path | None = None,
    cv: int | None = None,
    test_size: float = 0.2,
    groups: str | None = None,
    time_order: str | None = None,
    task: str | None = None,
    kinds: Mapping[str, str] | None = None,
    drop: Sequence[str] = (),
    seed: int = 0,
) -> TableObjective:
    """Read a table, set test rows aside, and make the rest an objective.

    Args:
        frame: a DataFrame with the target column.
        model: the family to tune, or "all" for the joint space of all that suit the table.
        cv: folds; None for three, or one where the table is large: strategies are told apart by many trials, not by many folds.
        test_size, groups, time_order, task, kinds, drop, metric, space: as for :class:`~staytuned.automl.automl.AutoML`.

    Raises:
        TableError: the table cannot be learned from.
        UsageError: an option that makes no sense.
    """
    if not 0 < test_size < 1:
        raise UsageError(f"test_size={test_size!r} is a share of the rows: between 0 and 1, such as 0.2")
    if cv is not None and cv < 1:
        raise UsageError(f"cv={cv!r} must be a whole number of at least 1")
    zoo = _zoo(model, with_changes({}) if space is None else load_space(space))
    features, labels, table = infer(frame, target, task=task, kinds=kinds, drop=drop)
    group_values, times = (column_values(name, frame, features, table, option) for name, option in ((groups, "groups"), (time_order, "time_order")))
    split = hold_out(labels, table.task, share=test_size, groups=group_values, time_order=times, seed=seed)
    X, y = features.iloc[split.train], labels[split.train]
    plan = make_plan(
        X,
        y,
        table,
        metric=metric,
        space=zoo,
        cv=fold_count(len(X), X.shape[1], "fast") if cv is None else cv,
        groups=None if group_values is None else group_values[split.train],
        time_order=None if times is None else times[split.train],
        seed=seed,
    )
    return TableObjective(table, plan, split, features, labels, seed)


def signature(frame: Any, *options: Any) -> str:
    """A hash that is the same for the same table and options, in any process."""
    rows = pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy().tobytes()
    files = [Path(option).read_bytes() for option in options if isinstance(option, Path) and option.is_file()]
    words = repr([str(name) for name in frame.columns] + [str(option) for option in options]).encode()
    return hashlib.sha256(b"".join([rows, words, *files])).hexdigest()


def _zoo(model: str, zoo: dict[str, Family]) -> dict[str, Family]:
    if model == ALL:
        return zoo
    if model not in zoo:
        left_out = f"model={model!r} is left out by the space file; let it in, or name another" if model in ZOO else ""
        raise UsageError(left_out or f"model={model!r} is not one of {', '.join(zoo)}, {ALL}{nearest(model, (*zoo, ALL))}")
    return {model: zoo[model]}


def _with_model(config: Config, plan: Plan) -> Config:
    """A config of the only model need not name it."""
    return config if "model" in config or len(plan.families) > 1 else {"model": plan.families[0].name, **config}
