"""The steps of a tuning run, as functions: what the estimator, the command line and the steward all call."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from staytuned.automl.columns import Table
from staytuned.automl.effort import Effort
from staytuned.automl.events import OnEvent, Said, silent
from staytuned.automl.metrics import Metric, metric_for
from staytuned.automl.pace import Clock, Pace, TimeSpent
from staytuned.automl.progress import Baselines, baseline_of, ended_sentence, moved
from staytuned.automl.rescue import rescue
from staytuned.automl.split import Fold, fold_count, folds
from staytuned.automl.workers import ended
from staytuned.automl.zoo import ZOO, Family, Quality, candidates, default_config, joint_space, pipeline, split_config, with_changes
from staytuned.errors import NotFoundError
from staytuned.evaluate.columns import Columns, free_levels
from staytuned.evaluate.cv import CrossValidation, mean_scores
from staytuned.evaluate.honest import Honest
from staytuned.evaluate.out_of_fold import Kind, kind_of
from staytuned.evaluate.race import Race
from staytuned.evaluate.winner import honest_of
from staytuned.execute.choose import executor_for
from staytuned.execute.processes import ProcessExecutor
from staytuned.goal import Goal
from staytuned.monitor.performance import Prediction
from staytuned.open_trial import Evaluated
from staytuned.protocols import Ledger
from staytuned.space.space import Config, Space
from staytuned.study import Study
from staytuned.trial import Status, Trial

_TRIAL_SHARE, _LEAST_LIMIT = 0.15, 5.0  # of the time, at most, for one trial; but at least so many seconds
_FIT_SHARE, _FIT_SECONDS = 0.03, 0.7  # of the time, or seconds, kept for the last fits
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
        effort: how rows were rationed and what was to be enough, in a sentence; empty where neither was asked for.
        fit_seconds: that the last fit took.
    """

    config: Config
    score: float
    study: Study
    pipeline: Any
    plan: Plan
    baseline: Trial | None
    honest: Honest | None = None
    effort: str = ""
    fit_seconds: float = 0.0


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
    executor: Executor | None = None,
    race: bool = True,
    effort: Effort | None = None,
    on_event: OnEvent | None = None,
) -> Tuned:
    """Baselines, then a search over the joint space, then a fit of the best config on all rows given; within the budget.

    A search that runs out of time before any config has a score ends a little late with the cheapest default (see ``rescue``).

    Args:
        X, y: the training part; nothing else is looked at.
        plan: from :func:`make_plan`; made from the other arguments if None.
        trials, seconds: the budget, baselines included; seconds also cover the final fit and that of the best default.
        warm: configs to try before anything else, such as an older study's best; scored anew, never trusted.
        with_defaults: try every family's default config next.
        ledger, name: where the study is kept; a study of that name is continued.
        n_jobs: worker processes; None for all processors.
        executor: processes that were started already, in place of these; they are ended with the search.
        race: drop a config after a few folds when it can hardly win; not where rows are rationed.
        effort: whether training rows are rationed, and what is enough.

    Raises:
        NotFoundError: no config finished with a score.
        UsageError: the effort does not suit the table.
    """
    budget = Clock(time.monotonic(), seconds)
    plan = plan or make_plan(X, y, table, metric=metric, space=space, seed=seed)
    effort = effort or Effort()
    effort.check_folds(len(plan.folds))
    say = on_event or silent
    kind = _kind(plan, table, len(X), seconds)
    evaluator = CrossValidation(Build(table), X, y, plan.folds, {plan.metric.name: plan.metric.scorer}, keep_rows=kind is not None)
    rows = effort.over(evaluator, groups=plan.groups, classify=table.task != "regression")
    scheduler = effort.scheduler_for(plan.goal, evaluator, plan.space, rows, trials=trials, method=method)
    if isinstance(scheduler, Race) and not race:
        scheduler = replace(scheduler, level=0.0)
    free = free_levels(evaluator.build, plan.space) if method != "manual" and not effort.rationed else {}
    study = Study(name, space=plan.space, goal=plan.goal, sampler=method, scheduler=scheduler, ledger=ledger, seed=seed, left_open=free)
    evaluator = evaluator if rows is None else replace(evaluator, resource=rows.seeded(study.seed))
    limit = trial_timeout if trial_timeout is not None else None if seconds is None else max(_TRIAL_SHARE * seconds, _LEAST_LIMIT)
    measures = Columns(evaluator, plan.goal, plan.space, free, patience=math.inf if limit is None else _PATIENCE * limit) if free else evaluator
    if study.trials:
        say(Said("Continue", f"study {study.name!r} already has {len(study.trials)} trials; going on from there"))
    if decided := effort.said(scheduler, len(X)):
        say(Said("Effort", decided))
    defaults = [default_config(f) for f in plan.families if plan.space.contains(default_config(f))] if with_defaults else []
    _enqueue(study, warm=[config for config in warm if plan.space.contains(config)], default=defaults)
    baselines = Baselines(study, plan.metric.name, len(defaults), say)
    fixed = _HONEST_SECONDS * len(X) if kind is not None else 0.0
    pace = Pace(budget, len(plan.folds), fixed, fixed + _kept_for_fits(seconds, limit, len(plan.folds)))

    def heard(trial: Trial) -> None:
        say(moved(study, trial, trials, budget))
        baselines.heard()
        pace.heard(study, baseline_of(study))

    more = None if trials is None else max(trials - sum(t.status is not Status.RUNNING for t in study.trials), 0)
    if more is None or more > 0:
        executor = executor or executor_for(-1 if n_jobs is None else n_jobs, timeout=limit, memory=memory)
        if isinstance(executor, ProcessExecutor):
            executor.timeout = limit
        try:
            study.optimize(Evaluated(measures), more, budget.left(pace.reserve), executor=executor, on_trial=heard, enough=effort.enough)
        except TimeSpent:
            study.why_ended = "the time was up, but for the last fits"
        finally:
            ended(executor)  # at once: a worker may be loading what its first trial needs, which has come too late
    if seconds is not None and trial_timeout is None:
        late = rescue(study, plan.families, measures, ends=time.time() + (budget.left() or 0.0), memory=memory)
        if late is not None and (seen := len(late.readings)):
            say(Said("Note", f"no config had a score when the time was up; the cheapest default was measured after it, on {seen} of {len(plan.folds)} folds"))
    baselines.last_word()
    say(Said("Tune", ended_sentence(study)))
    if failed := [t for t in study.trials if t.status.failed]:
        say(Said("Note", f"{len(failed)} of them failed; the last, {failed[-1].config.get('model')}: {failed[-1].cure}"))
    best, baseline = study.best, baseline_of(study)
    fitting = time.monotonic()
    fitted = fit_config(best.config, X, y, table, seed=best.seed)
    fitting = time.monotonic() - fitting
    honest = None if kind is None else _honest(study, kind, plan, y, baseline)
    return Tuned(best.config, plan.goal.score(best), study, fitted, plan, baseline, honest, decided, fitting)


def _enqueue(study: Study, **origins: Sequence[Config]) -> None:
    """Have these configs tried first, each with its origin; those of a run that was killed while it enqueued are not enqueued twice."""
    known = [*study.queue, *(trial.config for trial in study.trials)]
    for origin, configs in origins.items():
        for config in configs:
            if config not in known:
                study.enqueue(config, origin)
                known.append(config)


def _honest(study: Study, kind: Kind, plan: Plan, y: Any, baseline: Trial | None) -> Honest | None:
    """The best score corrected for its having been chosen among the trials with all rows."""
    full = [trial for trial in study.trials if trial.share == 1]
    first = None if baseline is None else baseline.number
    return honest_of(full, study.ledger.get, kind, plan.goal, y, plan.folds, groups=plan.groups, ordered=plan.ordered, first=first)


def _kind(plan: Plan, table: Table, rows: int, seconds: float | None) -> Kind | None:
    """How the score will be corrected; None where it will not: one fold, an unknown metric, or more than a twentieth of the time."""
    affordable = seconds is None or _HONEST_SECONDS * rows <= _HONEST_SHARE * seconds
    if len(plan.folds) < 2 or not affordable:
        return None
    return kind_of(plan.metric.scorer, Build(table)(default_config(plan.families[0]), 0))


def fit_config(config: Config, X: Any, y: Any, table: Table, *, seed: int = 0, n_jobs: int = 1) -> Any:
    """The pipeline of a config, fitted on all rows given.

    On as many threads as jobs, like the trial it comes from: BLAS and OpenMP on all processors take several times as long where others are at work.
    """
    with warnings.catch_warnings(), threadpool_limits(n_jobs):
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


@dataclass(frozen=True)
class _Dummy:
    task: str

    def __call__(self, config: Config, seed: int) -> Any:  # noqa: ARG002 - a dummy has nothing to configure
        return dummy(self.task)


def _kept_for_fits(seconds: float | None, limit: float | None, n_folds: int) -> float:
    """Seconds that are kept for the last fits before anything is known of them; where they turn out to be dearer, the search ends sooner.

    A fit takes at most its part of a trial at its limit: of k folds, each of (k - 1) / k of the rows, or of a single one of 4 / 5.
    """
    if seconds is None or limit is None:
        return 0.0
    rows = 1.25 if n_folds == 1 else n_folds / (n_folds - 1)
    return min(1.3 * rows / n_folds * limit, _TRIAL_SHARE * seconds, max(_FIT_SHARE * seconds, _FIT_SECONDS))


def best_configs(study: Study, count: int) -> list[Config]:
    """The configs of the best finished trials, best first, those that were given more rows before others.

    Raises:
        NotFoundError: none finished.
    """
    ranked = [(rank, trial) for trial in study.trials if (rank := study.goal.rank(trial)) is not None]
    if not ranked:
        raise NotFoundError(f"no trial of study {study.name!r} has finished with a score")
    return [trial.config for _, trial in sorted(ranked, key=lambda pair: pair[0])[:count]]
