"""A table in, a tuned model out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from staytuned._random import fresh_seed
from staytuned.automl.columns import Table, infer
from staytuned.automl.effort import Effort
from staytuned.automl.events import OnEvent, silent
from staytuned.automl.given import column_values, completed, framed, study_to_continue
from staytuned.automl.keep import keep
from staytuned.automl.read import nearest
from staytuned.automl.recipe import Plan, Tuned, dummy_score, make_plan, tune
from staytuned.automl.resampled import affordable_rounds
from staytuned.automl.result import Result, fit_verdict, learning_curve, test_once
from staytuned.automl.sentences import choice_sentence, read_sentence, space_sentence
from staytuned.automl.split import Split, hold_out
from staytuned.automl.timeline import Timeline
from staytuned.automl.workers import started
from staytuned.automl.zoo import QUALITIES, Quality, load_space
from staytuned.errors import UsageError
from staytuned.insight.leaderboard import Leaderboard, leaderboard
from staytuned.protocols import Fact, Ledger, Scheduler
from staytuned.registry import Version
from staytuned.samplers.named import METHODS
from staytuned.space.space import Config
from staytuned.store.open import open_ledger
from staytuned.trial import Trial

_SHOW_SHARE = 0.05  # of the time, kept for the test and the learning curve
_LEAST_SHARE = 0.2  # of the time, for the search even where everything else takes long


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
        scheduler: many configs on few of the training rows, the good ones on more: asha, halving or hyperband, or a Scheduler such as
            ``ASHA(Goal(), lowest=1/16, eta=4)``, which then pursues the run's own goal. Folds are then not raced, and no fit is reused. None: every config on
            all rows; with a ``fidelity``, asha.
        fidelity: the least share of each fold's training rows, in (0, 1/3]; held-out rows are always all scored. None: two rows a fold of every class, but not
            below 1/27.
        enough: also end once what is left to gain is probably below this, in the metric's unit; or below "noise", the standard error of the best score
            over its folds (see :class:`~staytuned.enough.Enough`). None to spend all of ``time`` and ``trials``.
        configs: configs to try first, such as ``{"model": "svm", "svm.C": 10}``; what one leaves out is the model's default. With method="manual",
            the only ones.
        test_size: share of the rows set aside for the one test.
        cv: validation folds; None to decide by the table's size.
        task: "binary", "multiclass" or "regression"; None to infer it.
        kinds: column name to kind where the inferred one is wrong, ``{"zip": "categorical"}``.
        drop: columns to leave out.
        trial_timeout: seconds for one config; None for 15 % of the time, but at least 5 s.
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
        scheduler: str | Scheduler | None = None,
        fidelity: float | None = None,
        enough: float | str | None = None,
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
        self.scheduler = scheduler
        self.fidelity = fidelity
        self.enough = enough
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
        steps = Timeline(self.on_event or silent, self.time)
        limit = self.trial_timeout if self.trial_timeout is not None else self.time
        with started(self.n_jobs, limit=limit, memory=self.memory) as executor:
            self._fitted(X, y, target, groups, time_order, steps, executor)
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

    def report(self, path: str | Path, seconds: float | None = None) -> Path:
        """Write the report, one HTML file that opens offline; its path.

        Args:
            seconds: that it may take; what would take longer, such as what mattered, is left out. None for no limit.
        """
        from staytuned.automl.report import write_report

        check_is_fitted(self, "result_")
        return write_report(self.result_, path, seconds)

    def keep(self, ledger: str | Path | Ledger | None = None) -> Version:
        """Register the model in a ledger, its own study's if None, under ``name``; a steward can then look after it."""
        check_is_fitted(self, "result_")
        return keep(self.result_, self.training_, open_ledger(self.ledger if ledger is None else ledger))

    def _fitted(self, X: Any, y: Any, target: str | None, groups: Any, time_order: Any, steps: Timeline, executor: Executor) -> None:
        """The steps, in order."""
        frame, target = framed(X, y, target)
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
        rounds, show = self._rounds(plan, labels, split, table)
        tuned = steps.timed("tune", lambda: self._tuned(X_train, y_train, table, plan, warm, ledger, study, seed, show, steps, executor))
        steps.say("Choose", choice_sentence(tuned))
        test, prediction, baseline = steps.timed("test", lambda: test_once(tuned, features, labels, split, table, seed=seed, rounds=rounds))
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

    def _study(self, ledger: Ledger, known: Any, groups: Any, time_order: Any) -> tuple[str, int]:
        """The study's name and seed: of one that was broken off in the same call on the same table, or of a new one.

        The seed decides the split: a run that goes on must keep the test rows that its trials never saw.
        """
        options = [self.metric, self.quality, self.method, self.space, list(self.configs), self.test_size, self.cv, self.random_state]
        if self._effort.rationed:
            options += [self.scheduler, self.fidelity]
        if isinstance(self.space, str | Path) and Path(self.space).is_file():
            options.append(Path(self.space).read_bytes())
        rows = [pd.util.hash_pandas_object(pd.DataFrame(known), index=False).to_numpy().tobytes()]
        rows += [pd.util.hash_pandas_object(pd.Series(values), index=False).to_numpy().tobytes() for values in (groups, time_order) if values is not None]
        signature = hashlib.sha256(b"".join([*rows, repr([*options, list(known.columns)]).encode()])).hexdigest()
        return study_to_continue(ledger, self.name, signature, fresh_seed() if self.random_state is None else int(self.random_state))

    def _rounds(self, plan: Plan, labels: Any, split: Split, table: Table) -> tuple[int | None, float]:
        """How many resamples of the test rows there will be time for, and the seconds to keep for what is shown in the end."""
        if self.time is None:
            return None, 0.0
        share, train = _SHOW_SHARE * self.time, labels[split.train]  # the test rows are not looked at before the test
        rounds, seconds = affordable_rounds(plan.metric, train[np.arange(len(split.test)) % len(train)], table.classes, share / 2)
        return rounds, max(share, 1.2 * seconds)

    def _tuned(
        self,
        X: Any,
        y: Any,
        table: Table,
        plan: Plan,
        warm: Sequence[Config],
        ledger: Ledger,
        study: str,
        seed: int,
        show: float,
        steps: Timeline,
        executor: Executor,
    ) -> Tuned:
        left = steps.left()
        return tune(
            X,
            y,
            table,
            plan=plan,
            method=self.method,
            trials=self.trials,
            seconds=None if left is None or self.time is None else max(left - show, _LEAST_SHARE * self.time),
            warm=warm,
            with_defaults=self.method != "manual" or not warm,
            ledger=ledger,
            name=study,
            seed=seed,
            n_jobs=self.n_jobs,
            trial_timeout=self.trial_timeout,
            memory=self.memory,
            executor=executor,
            effort=self._effort,
            on_event=self.on_event,
        )

    @property
    def _effort(self) -> Effort:
        return Effort(self.scheduler, self.fidelity, self.enough)

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
        self._effort.check()
        if not 0 < self.test_size < 1:
            raise UsageError(f"test_size={self.test_size!r} is a share of the rows: between 0 and 1, such as 0.2")
        if self.n_jobs == 0:
            raise UsageError("n_jobs=0 must be 1 for one at a time, a number of worker processes, or -1 for all processors")
        if not str(self.name).strip() or "/" in str(self.name):
            raise UsageError(f"name={self.name!r} must be a text without '/', such as 'titanic'")
