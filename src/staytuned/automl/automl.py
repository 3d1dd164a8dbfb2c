"""A table in, a tuned model out."""

from __future__ import annotations

import hashlib
import time as clock
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from staytuned._random import fresh_seed
from staytuned.automl.columns import Table, infer
from staytuned.automl.events import OnEvent, Said, silent
from staytuned.automl.keep import keep
from staytuned.automl.read import nearest
from staytuned.automl.recipe import Plan, Tuned, dummy_score, make_plan, tune
from staytuned.automl.report import write_report
from staytuned.automl.result import Result, fit_verdict, learning_curve, test_once
from staytuned.automl.split import hold_out
from staytuned.automl.zoo import QUALITIES, ZOO, Quality, default_config, load_space, split_config
from staytuned.errors import UsageError
from staytuned.insight.leaderboard import Leaderboard, leaderboard
from staytuned.protocols import Fact, Ledger
from staytuned.registry import Version
from staytuned.samplers.named import METHODS
from staytuned.space.space import Config
from staytuned.store.open import open_ledger
from staytuned.trial import Trial

_SHOW_SHARE = 0.1  # of the time, kept for the test, the learning curve and the report

_T = TypeVar("_T")


class AutoML(BaseEstimator):  # type: ignore[misc]
    """Reads a table, splits it, measures baselines, tunes, chooses by validation, tests once, and explains itself.

    The model in the end is the one that was tested: trained on the training part, a pipeline from raw columns to predictions.

    Args:
        time: seconds for everything; None for no limit (then give trials).
        trials: configs to try, the defaults included; None for no limit.
        metric: "auto" (roc_auc for two classes, accuracy for more, rmse for numbers), a name such as "f1", or a scikit-learn scorer.
        quality: "fast" (cheap families, 3 folds), "balanced" (all families, 5 folds), "best" (all, 10 folds); large tables get fewer folds.
        n_jobs: worker processes; None for all processors.
        random_state: seed. With trials, one worker and no time limit the whole run repeats exactly.
        method: auto manual grid random sobol bayes tpe cma evolution.
        space: changes to the default spaces: ``{"lightgbm": {"num_leaves": [15, 31]}, "svm": False}``, or the path of a YAML or JSON file.
        configs: configs to try first, such as ``{"model": "svm", "svm.C": 10}``; what one leaves out is the model's default. With method="manual",
            the only ones.
        test_size: share of the rows set aside for the one test.
        cv: validation folds; None to decide by the table's size.
        task: "binary", "multiclass" or "regression"; None to infer it.
        kinds: column name to kind where the inferred one is wrong, ``{"zip": "categorical"}``.
        drop: columns to leave out.
        trial_timeout: seconds for one config; None for 15 % of the time.
        memory: bytes for one config; None for no limit.
        ledger: where the study is kept; a path, URL or Ledger; None for memory.
        name: of the model and its study.
        on_event: called with every step (``Said``) and every finished trial (``Moved``).

    Attributes:
        result_: everything found, a :class:`~staytuned.automl.result.Result`.
        model_: the fitted scikit-learn pipeline.
        classes_: of a classifier.

    >>> from sklearn.datasets import load_iris
    >>> model = AutoML(time=None, trials=4, quality="fast", n_jobs=1, random_state=0).fit(load_iris(as_frame=True).frame, target="target")
    >>> bool(model.result_.test.tuned.point > 0.8)
    True
    """

    def __init__(
        self,
        *,
        time: float | None = 60,
        trials: int | None = None,
        metric: Any = "auto",
        quality: Quality = "balanced",
        n_jobs: int | None = None,
        random_state: int | None = None,
        method: str = "auto",
        space: Mapping[str, Any] | str | Path | None = None,
        configs: Sequence[Config] = (),
        test_size: float = 0.2,
        cv: int | None = None,
        task: str | None = None,
        kinds: Mapping[str, str] | None = None,
        drop: Sequence[str] = (),
        trial_timeout: float | None = None,
        memory: int | None = None,
        ledger: str | Path | Ledger | None = None,
        name: str = "model",
        on_event: OnEvent | None = None,
    ) -> None:
        self.time = time
        self.trials = trials
        self.metric = metric
        self.quality = quality
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.method = method
        self.space = space
        self.configs = configs
        self.test_size = test_size
        self.cv = cv
        self.task = task
        self.kinds = kinds
        self.drop = drop
        self.trial_timeout = trial_timeout
        self.memory = memory
        self.ledger = ledger
        self.name = name
        self.on_event = on_event

    def fit(self, X: Any, y: Any = None, *, target: str | None = None, groups: Any = None, time_order: Any = None) -> AutoML:
        """Tune on a table.

        Args:
            X: a DataFrame that holds the target column, or the features alone.
            y: (n_rows,) the target, if X does not hold it.
            target: the target column's name.
            groups, time_order: a column's name, or (n_rows,) values: rows of a group stay together; the test part is the latest.

        Raises:
            TableError: the table cannot be learned from; the message says why and the way out.
            UsageError: an option that makes no sense.
        """
        self._check_options()
        steps = _Timeline(self.on_event or silent, self.time)
        frame, target = _framed(X, y, target)
        features, labels, table = steps.timed("read", lambda: infer(frame, target, task=self.task, kinds=self.kinds, drop=self.drop))
        steps.say("Read", read_sentence(table, features))
        for warning in table.warnings:
            steps.say("Note", warning)
        groups, time_order = (column_values(values, frame, features, table, name) for values, name in ((groups, "groups"), (time_order, "time_order")))
        ledger = open_ledger(self.ledger)
        study, seed = self._study(ledger, features[[c.name for c in table.used]].assign(**{table.target: labels}), groups, time_order)
        split = hold_out(labels, table.task, share=self.test_size, groups=groups, time_order=time_order, seed=seed)
        steps.say("Split", split.sentence)
        X_train, y_train = features.iloc[split.train], labels[split.train]
        inside = {"groups": groups, "time_order": time_order}
        plan = make_plan(
            X_train,
            y_train,
            table,
            metric=self.metric,
            quality=self.quality,
            space=load_space(self.space) if isinstance(self.space, str | Path) else self.space,
            cv=self.cv,
            seed=seed,
            **{key: None if values is None else np.asarray(values)[split.train] for key, values in inside.items()},
        )
        warm = [completed(config, plan) for config in self.configs]
        steps.say("Space", space_sentence(plan))
        blind = steps.timed("baseline", lambda: dummy_score(X_train, y_train, table, plan))
        steps.say("Baseline", f"a model that looks at no column has {plan.metric.name} {blind:.4f} in validation")
        tuned = steps.timed("tune", lambda: self._tuned(X_train, y_train, table, plan, warm, ledger, study, seed, steps))
        steps.say("Choose", _choice_sentence(tuned))
        test, prediction, baseline = steps.timed("test", lambda: test_once(tuned, features, labels, split, table, seed=seed))
        steps.say("Test", test.sentence)
        fit = fit_verdict(tuned, blind, test)
        steps.say("Fit", fit.sentence)
        spare = 10.0 if steps.left() is None else 0.9 * max(steps.left() or 0.0, 0.0)
        curve = steps.timed("learning curve", lambda: learning_curve(tuned, X_train, y_train, table, seconds=spare, seed=seed))
        self.result_ = Result(self.name, table, split, tuned, blind, test, fit, np.asarray(labels[split.test]), prediction, baseline, curve, tuple(steps.rows))
        self.model_ = tuned.pipeline
        self.table_ = table
        self.training_ = features.iloc[split.train].assign(**{table.target: y_train})
        if table.task != "regression":
            self.classes_ = np.asarray(tuned.pipeline.classes_)
        ledger.append([Fact(f"study/{study}", "closed", {}, key="closed")])
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n_rows,) classes or numbers, for a DataFrame with the training table's columns."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict(X))

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(n_rows, n_classes) probabilities in the order of ``classes_``.

        Raises:
            UsageError: the model predicts numbers.
        """
        check_is_fitted(self, "model_")
        if self.table_.task == "regression":
            raise UsageError("this model predicts numbers; it has no classes to give probabilities for")
        return np.asarray(self.model_.predict_proba(X), dtype=float)

    def score(self, X: Any, y: Any) -> float:
        """The metric on rows you hold, in its own direction."""
        check_is_fitted(self, "model_")
        return float(self.result_.metric.scorer(self.model_, X, y))

    def leaderboard(self, limit: int = 10) -> Leaderboard:
        """The best trials with their scores, standard errors and costs."""
        check_is_fitted(self, "result_")
        study = self.result_.tuned.study
        return leaderboard(study.trials, study.goal, limit=limit)

    @property
    def best_(self) -> Trial:
        """The chosen trial."""
        check_is_fitted(self, "result_")
        return self.result_.best

    def report(self, path: str | Path) -> Path:
        """Write the report, one HTML file that opens offline; its path."""
        check_is_fitted(self, "result_")
        return write_report(self.result_, path)

    def keep(self, ledger: str | Path | Ledger | None = None) -> Version:
        """Register the model in a ledger, its own study's if None, under ``name``; a steward can then look after it."""
        check_is_fitted(self, "result_")
        return keep(self.result_, self.training_, open_ledger(self.ledger if ledger is None else ledger))

    def _study(self, ledger: Ledger, known: Any, groups: Any, time_order: Any) -> tuple[str, int]:
        """The study's name and seed: of one that was broken off in the same call on the same table, or of a new one.

        The seed decides the split: a run that goes on must keep the test rows that its trials never saw.
        """
        options = [self.metric, self.quality, self.method, self.space, list(self.configs), self.test_size, self.cv, self.random_state]
        if isinstance(self.space, str | Path) and Path(self.space).is_file():
            options.append(Path(self.space).read_bytes())
        rows = [pd.util.hash_pandas_object(pd.DataFrame(known), index=False).to_numpy().tobytes()]
        rows += [pd.util.hash_pandas_object(pd.Series(values), index=False).to_numpy().tobytes() for values in (groups, time_order) if values is not None]
        signature = hashlib.sha256(b"".join([*rows, repr([*options, list(known.columns)]).encode()])).hexdigest()
        return _study_to_continue(ledger, self.name, signature, fresh_seed() if self.random_state is None else int(self.random_state))

    def _tuned(self, X: Any, y: Any, table: Table, plan: Plan, warm: Sequence[Config], ledger: Ledger, study: str, seed: int, steps: _Timeline) -> Tuned:
        left = steps.left()
        return tune(
            X,
            y,
            table,
            plan=plan,
            method=self.method,
            trials=self.trials,
            seconds=None if left is None or self.time is None else max(left - _SHOW_SHARE * self.time, 0.3 * self.time),
            warm=warm,
            with_defaults=self.method != "manual" or not warm,
            ledger=ledger,
            name=study,
            seed=seed,
            n_jobs=self.n_jobs,
            trial_timeout=self.trial_timeout,
            memory=self.memory,
            on_event=self.on_event,
        )

    def _check_options(self) -> None:
        if self.time is None and self.trials is None and self.method != "manual":
            raise UsageError("give time= in seconds, trials=, or both: without either the search would never end")
        for option in ("time", "trial_timeout", "memory"):
            value = getattr(self, option)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{option}={value!r} must be more than 0{', in seconds' * (option != 'memory')}; leave it out for no limit")
        for option, least in (("trials", 1), ("cv", 1), ("random_state", 0)):
            value = getattr(self, option)
            if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < least):
                raise UsageError(f"{option}={value!r} must be a whole number of at least {least}")
        for option, names in (("quality", QUALITIES), ("method", METHODS)):
            value = str(getattr(self, option))
            if value not in names:
                raise UsageError(f"{option}={value!r} must be one of {', '.join(names)}{nearest(value, tuple(names))}")
        if not 0 < self.test_size < 1:
            raise UsageError(f"test_size={self.test_size!r} is a share of the rows: between 0 and 1, such as 0.2")
        if self.n_jobs == 0:
            raise UsageError("n_jobs=0 must be 1 for one at a time, a number of worker processes, or -1 for all processors")
        if not str(self.name).strip() or "/" in str(self.name):
            raise UsageError(f"name={self.name!r} must be a text without '/', such as 'titanic'")


class _Timeline:
    """Says each step and notes how long it took."""

    def __init__(self, on_event: OnEvent, seconds: float | None) -> None:
        self.rows: list[tuple[str, float]] = []
        self._on_event = on_event
        self._deadline = None if seconds is None else clock.monotonic() + seconds

    def say(self, step: str, text: str) -> None:
        self._on_event(Said(step, text))

    def timed(self, step: str, work: Callable[[], _T]) -> _T:
        began = clock.monotonic()
        try:
            return work()
        finally:
            self.rows.append((step, clock.monotonic() - began))

    def left(self) -> float | None:
        return None if self._deadline is None else self._deadline - clock.monotonic()


def _framed(X: Any, y: Any, target: str | None) -> tuple[Any, str]:
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X)).rename(columns=lambda c: f"x{c}")
    if y is None:
        if target is None:
            raise UsageError("name the target column, fit(table, target='price'), or pass y")
        return frame, target
    if len(np.asarray(y)) != len(frame):
        raise UsageError(f"X has {len(frame):,} rows and y has {len(np.asarray(y)):,}; they must be equally long")
    name = target or str(getattr(y, "name", None) or "target")
    if name in frame.columns:
        raise UsageError(f"X already has a column {name!r}; give the target another name with target=")
    return frame.assign(**{name: np.asarray(y)}), name


def column_values(values: Any, frame: Any, features: Any, table: Table, option: str) -> Any:
    """Values for the rows that are left, from a column's name or an array as long as the table."""
    if values is None:
        return None
    if isinstance(values, str):
        named = f"{option}={values!r}"
        if values not in frame.columns:
            names = [str(c) for c in frame.columns]
            raise UsageError(f"{named} is not a column{nearest(values, names) or '; the table has ' + ', '.join(names[:12])}")
        is_date = any(column.name == values and column.kind == "date" for column in table.columns)  # text would be sorted by its letters
        left = features[values] if is_date else frame.loc[features.index, values]
    else:
        named = option
        if len(np.asarray(values)) != len(frame):
            raise UsageError(f"{option} has {len(np.asarray(values)):,} values for a table of {len(frame):,} rows")
        left = pd.Series(np.asarray(values)[frame.index.get_indexer(features.index)])
    if missing := int(left.isna().sum()):
        raise UsageError(f"{named} has no value in {missing:,} of {len(left):,} rows; fill them in, or drop those rows")
    return left.to_numpy()


def _study_to_continue(ledger: Ledger, name: str, signature: str, seed: int) -> tuple[str, int]:
    """The first study of the name, or the name with a number, that is free or was broken off with the same signature; and its seed."""
    number = 1
    while True:
        study = name if number == 1 else f"{name}-{number}"
        stream = f"study/{study}"
        facts = {fact.kind: fact.body for fact in ledger.read(stream) if fact.kind in ("planned", "founded", "closed")}
        if not facts and ledger.append([Fact(stream, "planned", {"signature": signature, "seed": seed}, key="planned")])[0]:
            return study, seed
        if "closed" not in facts and facts.get("planned", {}).get("signature") == signature:
            return study, int(facts["planned"]["seed"])
        number += 1


def completed(config: Config, plan: Plan) -> Config:
    """A config given by hand, what it leaves out filled with its model's defaults.

    Raises:
        UsageError: it does not fit the space.
    """
    families = {family.name: family for family in plan.families}
    name = str(config.get("model"))
    if name not in families:
        why = f"{name!r} is left out: {plan.left_out[name]}" if name in plan.left_out else f"model={name!r} is not one of {', '.join(families)}"
        raise UsageError(f"the config {dict(config)!r} cannot be tried: {why}{nearest(name, tuple(families))}")
    if unknown := [key for key in config if key not in plan.space.dimensions]:
        own = tuple(key for key in plan.space.dimensions if key.startswith(f"{name}."))
        raise UsageError(
            f"the config {dict(config)!r} cannot be tried: {unknown[0]!r} is not in the space{nearest(unknown[0], own)}; {name} has {', '.join(own)}"
        )
    full = plan.space.pruned(default_config(families[name]) | dict(config)) | dict(config)
    if problem := plan.space.problem(full):
        raise UsageError(f"the config {dict(config)!r} cannot be tried: {problem}")
    return full


def read_sentence(table: Table, features: Any) -> str:
    kinds: dict[str, int] = {}
    for column in table.columns:
        kinds[column.kind] = kinds.get(column.kind, 0) + 1
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    task = {"binary": "two classes", "multiclass": f"{len(table.classes or ())} classes", "regression": "a number"}[table.task]
    return f"{len(features):,} rows; columns: {listed}; predicting {table.target!r}, {task}"


def space_sentence(plan: Plan) -> str:
    left = "".join(f"; without {name} ({reason})" for name, reason in plan.left_out.items())
    return f"{len(plan.space)} hyperparameters of {len(plan.families)} models, judged by {plan.metric.name} in {plan.folds_named}{left}"


def _choice_sentence(tuned: Tuned) -> str:
    family, params = split_config(tuned.config)
    values = ", ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items())
    return f"{ZOO[family].title} by validation score, {tuned.plan.metric.name} {tuned.score:.4f}{_corrected_words(tuned)}: {values}"


def _corrected_words(tuned: Tuned) -> str:
    """What the score is worth, as it was chosen for being high."""
    honest = tuned.honest
    return "" if honest is None else f" ({honest.corrected:.4f} corrected for the choice, {honest.low:.4f} to {honest.high:.4f})"
