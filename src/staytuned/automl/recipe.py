"""The steps of a tuning run, as functions: what the estimator, the command line and the steward all call."""

from __future__ import annotations

import math
import time as clock
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning

from staytuned.automl.columns import Table
from staytuned.automl.events import Moved, OnEvent, Said, silent
from staytuned.automl.metrics import Metric, metric_for
from staytuned.automl.split import Fold, fold_count, folds
from staytuned.automl.zoo import ZOO, Family, Quality, candidates, default_config, joint_space, pipeline, split_config, with_changes
from staytuned.errors import NotFoundError
from staytuned.evaluate.columns import Columns, free_levels
from staytuned.evaluate.cv import CrossValidation, mean_scores
from staytuned.evaluate.honest import Honest
from staytuned.evaluate.out_of_fold import Kind, kind_of
from staytuned.evaluate.race import Race
from staytuned.evaluate.winner import honest_of
from staytuned.goal import Goal
from staytuned.monitor.performance import Prediction
from staytuned.open_trial import Evaluated
from staytuned.protocols import Ledger
from staytuned.space.space import Config, Space
from staytuned.study import Study
from staytuned.trial import Status, Trial

_TRIAL_SHARE = 0.15  # of the time, at most, for one trial
_HONEST_SECONDS, _HONEST_SHARE = 6e-4, 0.05  # what correcting the score takes for a row, and of the time at most
_PATIENCE = 0.5  # of the time for one trial, within which a column of values may grow


@dataclass(frozen=True)
class Plan:
    """What a search will do: decided before it starts, from the table and the wishes alone.

    Args:
        families: the model families in the race.
        left_out: name to reason, for those that are not.
        space: the joint space, ``model`` and every family's own dimensions.
        metric: what is optimised.
        folds: validation folds, positions in the training part.
        folds_named: the same in words.
        groups: (n_rows,) of the training part: rows that belong together; None where each stands alone.
        ordered: whether the folds are cut along time.
    """

    families: Sequence[Family]
    left_out: Mapping[str, str]
    space: Space
    metric: Metric
    folds: Sequence[Fold]
    folds_named: str
    groups: Any = None
    ordered: bool = False

    @property
    def goal(self) -> Goal:
        return Goal(self.metric.name, self.metric.direction)


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Args:
        config: the chosen one, by validation score.
        score: its mean validation score.
        study: with every trial.
        pipeline: fitted with it on all rows given.
        plan: what was searched and how.
        baseline: the best of the default configs; None if none finished.
        honest: the score corrected for its having been chosen; None where that would take too long, or the metric does not allow it.
    """

    config: Config
    score: float
    study: Study
    pipeline: Any
    plan: Plan
    baseline: Trial | None
    honest: Honest | None = None


@dataclass(frozen=True)
class Build:
    """Builds the unfitted pipeline of a config; travels to workers."""

    table: Table
    n_jobs: int = 1

    def __call__(self, config: Config, seed: int) -> Any:
        name, params = split_config(config)
        return pipeline(ZOO[name], params, self.table, task=self.table.task, seed=seed, n_jobs=self.n_jobs)


def make_plan(
    X: Any,
    y: Any,
    table: Table,
    *,
    metric: str | Metric = "auto",
    quality: Quality = "balanced",
    space: Mapping[str, Any] | None = None,
    cv: int | None = None,
    groups: Any = None,
    time_order: Any = None,
    seed: int = 0,
) -> Plan:
    """Candidates, space, metric and folds for a training table.

    Args:
        X: (n_rows, n_columns) DataFrame. y: (n_rows,) target.
        space: changes to the default spaces, see :func:`~staytuned.automl.zoo.with_changes`.
        cv: folds; None to decide by the table's size.
    """
    chosen = metric if isinstance(metric, Metric) else metric_for(metric, table.task, table.classes)
    zoo = with_changes(space) if space else ZOO
    families, left_out = candidates(table.task, len(X), X.shape[1], quality, zoo)
    count = cv if cv is not None else fold_count(len(X), X.shape[1], quality)
    parts, named = folds(y, table.task, count, groups=groups, time_order=time_order, seed=seed)
    return Plan(families, left_out, joint_space(families), chosen, parts, named, groups, time_order is not None)


def tune(
    X: Any,
    y: Any,
    table: Table,
    *,
    plan: Plan | None = None,
    metric: str | Metric = "auto",
    method: str = "auto",
    trials: int | None = None,
    seconds: float | None = 60,
    space: Mapping[str, Any] | None = None,
    warm: Sequence[Config] = (),
    with_defaults: bool = True,
    ledger: Ledger | None = None,
    name: str | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    trial_timeout: float | None = None,
    memory: int | None = None,
    race: bool = True,
    on_event: OnEvent | None = None,
) -> Tuned:
    """Baselines, then a search over the joint space, then a fit of the best config on all rows given; within the budget.

    Args:
        X, y: the training part; nothing else is looked at.
        plan: from :func:`make_plan`; made from the other arguments if None.
        trials, seconds: the budget, baselines included; seconds also cover the final fit.
        warm: configs to try before anything else, such as an older study's best; scored anew, never trusted.
        with_defaults: try every family's default config next.
        ledger, name: where the study is kept; a study of that name is continued.
        n_jobs: worker processes; None for all processors.
        race: drop a config after a few folds when it can hardly win.

    Raises:
        NotFoundError: no config finished with a score.
    """
    began = clock.monotonic()
    plan = plan or make_plan(X, y, table, metric=metric, space=space, seed=seed)
    say = on_event or silent
    scheduler = Race(plan.goal, len(plan.folds), level=0.05 if race else 0.0)
    kind = _kind(plan, table, len(X), seconds)
    evaluator = CrossValidation(Build(table), X, y, plan.folds, {plan.metric.name: plan.metric.scorer}, keep_rows=kind is not None)
    free = free_levels(evaluator.build, plan.space) if method != "manual" else {}
    limit = trial_timeout if trial_timeout is not None else None if seconds is None else max(_TRIAL_SHARE * seconds, 2.0)
    measures = Columns(evaluator, plan.goal, plan.space, free, patience=math.inf if limit is None else _PATIENCE * limit) if free else evaluator
    study = Study(name, space=plan.space, goal=plan.goal, sampler=method, scheduler=scheduler, ledger=ledger, seed=seed, left_open=free)
    defaults = [default_config(f) for f in plan.families if plan.space.contains(default_config(f))] if with_defaults else []
    if study.trials:
        say(Said("Continue", f"study {study.name!r} already has {len(study.trials)} trials; going on from there"))
    known = [*study.queue, *(trial.config for trial in study.trials)]
    for origin, configs in (("warm", [c for c in warm if plan.space.contains(c)]), ("default", defaults)):
        for config in configs:
            if config not in known:  # a run that was killed while it enqueued goes on here
                study.enqueue(config, origin)
                known.append(config)
    workers, planned = -1 if n_jobs is None else n_jobs, trials
    budget = _Clock(began, seconds)
    if trials is not None:
        trials = max(trials - sum(t.status is not Status.RUNNING for t in study.trials), 0)
    baselines = _Baselines(study, plan, len(defaults), say)

    def heard(trial: Trial) -> None:
        say(_moved(study, trial, planned, budget))
        baselines.heard()

    if trials is None or trials > 0:
        reserve = 0.0 if limit is None else _final_fit_share(len(plan.folds)) * limit
        reserve += _HONEST_SECONDS * len(X) if kind is not None else 0.0
        study.optimize(Evaluated(measures), trials, budget.left(reserve), n_jobs=workers, trial_timeout=limit, memory=memory, on_trial=heard)
    baselines.last_word()
    say(Said("Tune", f"{len(study.trials)} trials in all; ended because {study.why_ended or 'there was nothing left to do'}"))
    if failed := [t for t in study.trials if t.status.failed]:
        say(Said("Note", f"{len(failed)} of them failed; the last, {failed[-1].config.get('model')}: {failed[-1].cure}"))
    best, baseline = study.best, baseline_of(study)
    fitted = fit_config(best.config, X, y, table, seed=best.seed)
    first = None if baseline is None else baseline.number
    honest = None
    if kind is not None:
        honest = honest_of(study.trials, study.ledger.get, kind, plan.goal, y, plan.folds, groups=plan.groups, ordered=plan.ordered, first=first)
    return Tuned(best.config, plan.goal.score(best), study, fitted, plan, baseline, honest)


def _kind(plan: Plan, table: Table, rows: int, seconds: float | None) -> Kind | None:
    """How the score will be corrected; None where it will not: one fold, an unknown metric, or more than a twentieth of the time."""
    affordable = seconds is None or _HONEST_SECONDS * rows <= _HONEST_SHARE * seconds
    if len(plan.folds) < 2 or not affordable:
        return None
    return kind_of(plan.metric.scorer, Build(table)(default_config(plan.families[0]), 0))


def fit_config(config: Config, X: Any, y: Any, table: Table, *, seed: int = 0, n_jobs: int = 1) -> Any:
    """The pipeline of a config, fitted on all rows given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Build(table, n_jobs)(config, seed).fit(X, y)


def predict(model: Any, X: Any, table: Table) -> Prediction:
    """What a fitted pipeline says of rows: labels, and for classification the probability of each class of the table.

    A model that was trained on a window may have met only some of the classes; the others have probability zero.
    """
    if table.task == "regression":
        return Prediction(np.asarray(model.predict(X), dtype=float))
    if not hasattr(model, "predict_proba"):
        return Prediction(np.asarray(model.predict(X)), None, table.classes)
    classes, met = np.asarray(table.classes), np.asarray(model.classes_).tolist()
    probabilities = np.zeros((len(X), len(classes)))
    probabilities[:, [table.classes.index(name) for name in met]] = model.predict_proba(X)
    return Prediction(classes[probabilities.argmax(axis=1)], probabilities, table.classes)


def dummy_score(X: Any, y: Any, table: Table, plan: Plan) -> float:
    """The mean validation score of a model that looks at no column."""
    evaluator = CrossValidation(_Dummy(table.task), np.zeros((len(X), 1)), y, plan.folds, {plan.metric.name: plan.metric.scorer}, train_scores=False)
    return mean_scores(evaluator({}).readings)[plan.metric.name]


def dummy(task: str) -> Any:
    """An unfitted model that looks at no column."""
    return DummyRegressor() if task == "regression" else DummyClassifier(strategy="prior")


def baseline_of(study: Study) -> Trial | None:
    """The best of the default configs."""
    return study.goal.best(t for t in study.trials if t.origin == "default")


@dataclass(frozen=True)
class _Dummy:
    task: str

    def __call__(self, config: Config, seed: int) -> Any:  # noqa: ARG002 - a dummy has nothing to configure
        return dummy(self.task)


@dataclass(frozen=True)
class _Clock:
    began: float
    seconds: float | None

    def left(self, reserve: float = 0.0) -> float | None:
        return None if self.seconds is None else max(self.began + self.seconds - clock.monotonic() - reserve, 0.001)


def _final_fit_share(n_folds: int) -> float:
    """What the last fit may take, as a share of what a trial may take: a trial fits k folds, each of (k - 1) / k of the rows; a single one 4 / 5."""
    rows = 1.25 if n_folds == 1 else n_folds / (n_folds - 1)
    return 1.3 * rows / n_folds


@dataclass
class _Baselines:
    """Says which default is best once all have ended."""

    study: Study
    plan: Plan
    waiting: int
    say: OnEvent

    def heard(self) -> None:
        ended = sum(t.origin == "default" and t.status is not Status.RUNNING for t in self.study.trials)
        if ended >= self.waiting:
            self.last_word()

    def last_word(self) -> None:
        """Say it now, unless it was said."""
        if self.waiting:
            self.waiting = 0
            self.say(Said("Baseline", self._sentence()))

    def _sentence(self) -> str:
        baseline = baseline_of(self.study)
        if baseline is None:
            return "no default config finished; the search goes on without a baseline"
        title, score = ZOO[split_config(baseline.config)[0]].title, self.plan.goal.score(baseline)
        return f"the best default is {title} with {self.plan.metric.name} {score:.4f} in validation"


def _moved(study: Study, trial: Trial, planned: int | None, budget: _Clock) -> Moved:
    counts = {status: sum(t.status is status for t in study.trials) for status in (Status.DONE, Status.PRUNED)}
    failed = sum(t.status.failed for t in study.trials)
    return Moved(trial, study.goal.best(study.trials), counts[Status.DONE], failed, counts[Status.PRUNED], planned, budget.left())


def best_configs(study: Study, count: int) -> list[Config]:
    """The configs of the best finished trials, best first.

    Raises:
        NotFoundError: none finished.
    """
    done = [t for t in study.trials if t.status is Status.DONE]
    if not done:
        raise NotFoundError(f"no trial of study {study.name!r} has finished with a score")
    return [t.config for t in sorted(done, key=lambda t: study.goal.loss(study.goal.score(t)))[:count]]
