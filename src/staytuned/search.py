"""The scikit-learn front: an estimator in, the same estimator tuned and fitted out."""

from __future__ import annotations

import math
import numbers
import time as clock
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import TimeSeriesSplit
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from staytuned.errors import UsageError
from staytuned.evaluate.build import Build, check_names, with_params
from staytuned.evaluate.chosen import check_failures, chosen_row
from staytuned.evaluate.columns import Columns, free_levels, unfolded
from staytuned.evaluate.cv import CrossValidation
from staytuned.evaluate.effort import Parameter, Rows
from staytuned.evaluate.honest import Honest
from staytuned.evaluate.out_of_fold import Kind
from staytuned.evaluate.overtuned import corrected_best, correction_seconds, deciding_scorer, kept_kind, most_configs, warn_if_overtuned
from staytuned.evaluate.results import cv_results
from staytuned.evaluate.routing import Routed, router, routing_enabled
from staytuned.evaluate.scoring import Scoring
from staytuned.goal import Goal
from staytuned.identity import claim_identity, search_identity
from staytuned.protocols import Ledger, Sampler, Scheduler
from staytuned.rationing import Rationing
from staytuned.searching import LeftBehind, check_executor, ended, run_trials
from staytuned.space.branches import Branches
from staytuned.space.space import Space
from staytuned.study import Study

_LAST_SHARE = 0.2  # of the time, at most, for what comes after the trials


def _offers(search: Any, name: str) -> bool:
    """True if the best estimator or, before the fit, the one that was passed has this attribute; else AttributeError."""
    search._need_refit(name)
    getattr(getattr(search, "best_estimator_", search.estimator), name)
    return True


def _delegated(method: Callable[..., Any]) -> Any:
    """A method that is there where the estimator has one of the same name."""
    return available_if(lambda search: _offers(search, method.__name__))(method)


class TuneSearchCV(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Tunes an estimator by cross-validation, then fits it with the best config on all rows. Stands wherever RandomizedSearchCV stands.

    The first trial is the estimator as it was passed, where its own values lie in the space (origin "default"; not with
    ``method="grid"``), so that the search never ends behind it for want of trying (with a ``scheduler`` it begins at the lowest rung, as all do). Equal
    scores go to the earlier trial.

    Args:
        estimator: any scikit-learn estimator, a pipeline included. It is cloned, never changed.
        space: parameter name to dimension, list of values or scipy distribution; a Space, with conditions and constraints; or a list of
            such dicts, of which each config takes one. Estimators may stand among the values.
        method: manual grid random sobol bayes tpe cma evolution auto, or a Sampler.
        trials: at most; None for no limit, with ``time`` or a finite space. A search continued from a ledger counts those it finds there.
        time: seconds at most, from the call of ``fit`` to the corrected score, refit excluded. A config under way stops at its last fold before that; where no
            other has finished, the mean of its folds so far is its score.
        scoring: as in scikit-learn: None (the estimator's own ``score``), a name, a callable, a list or dict of several, or a callable that
            returns a dict. Higher is better.
        cv: as in scikit-learn. The same folds serve every trial.
        refit: fit the best config on all rows. With several metrics the name of the one that decides, False, or a function
            from ``cv_results_`` to the index of the best (the first metric then guides the search).
        n_jobs: worker processes, over trials; -1 for all processors. With an executor: how many trials it is given at once, None for as many as it has
            workers.
        executor: where trials run; any ``concurrent.futures.Executor``, such as Dask's ``client.get_executor()`` or
            :class:`~staytuned.execute.ray.RayExecutor`. Default: this process, or worker processes if n_jobs or a limit asks for them. The table travels
            with the objective, the refit stays here, and whoever made the executor shuts it down. Clones share it. Pickles and copies leave
            it behind: they predict, and want another one before they are fitted again.
        random_state: an int, RandomState or Generator; same seed, same search (where n_jobs is 1 or the method looks at no scores).
        race: stop a config after some folds once it can hardly win. "auto": on, except for ``method="grid"``. It needs at least 3 folds
            and one metric that decides, and is off without them.
        reuse: measure all values of hyperparameters that come free with a fit, such as the rounds of a boosting or the neighbours of a k-NN: each fold
            is fitted once, every value scored, and the one with the best mean taken; the method searches the rest. "auto": where the scores are those
            of separate fits up to rounding; True: also where they are equal up to a solver's tolerance, or as good. A range with more than 64 values
            is measured at 32. Not with ``method="manual"``, a Sampler, several metrics without one that decides, or on a grid that returns train scores.
        honest: keep what each held-out row said of each config, and correct the best score for its having been chosen: see ``honest_``. "auto": on for
            accuracy, ROC AUC of two classes, log loss, R squared, and squared, root squared, absolute and relative errors, with at least 2 folds, a
            metric that decides, no sample weights that reach the scorer, at most 200,000 rows and rows' values of about 1 GiB. True: also with more. They
            are kept in ``ledger``.
        scheduler: spend little on many configs and much on few: asha, halving or hyperband; or a Scheduler, such as ``ASHA(Goal(), lowest=1/16, eta=4)``, that
            then pursues the search's own goal. Each config begins at a share of the full effort, and the best third goes on with three times as
            much, as a new trial; ``trials`` counts them all. Folds are then not raced and no fit is reused (``reuse=True`` and ``race=True`` are refused).
            On a grid, halving begins with all configs in one bracket. None: every config at full effort; with a ``fidelity``, asha.
        fidelity: the least share of the full effort, such as 1/9; rungs are at 1, 1/3, 1/9 and so on down to it. None: rungs down to two rows a fold of
            every class, as in HalvingRandomSearchCV (or to a ``resource`` of 1), but not below 1/27 nor more of them than ``trials`` and the
            number of configs fill in a bracket of halving.
        resource: of what there is less at a lower share, as in HalvingRandomSearchCV. "n_samples": of each fold's training rows, in one order
            for all configs; classes in proportion, groups whole, and of folds in order of time the latest rows (see
            :class:`~staytuned.evaluate.effort.Rows`). Held-out rows are always all scored. Or a parameter of the estimator that is a positive whole number,
            such as "n_estimators": of its value, also where that is searched.
        enough: also stop once what is left to gain is probably below this, in the metric's unit; or below "noise", the standard error of the best score
            over its folds (see :class:`~staytuned.enough.Enough`). None to spend all of ``trials`` and ``time``.
        error_score: what ``cv_results_`` shows as the scores of a config that failed; "raise" to raise its error instead.
        return_train_score: also score on the training folds.
        verbose: 1 prints a line per trial, 2 also what ``honest_`` says in the end.
        trial_timeout: seconds per trial; a trial that needs longer is killed. Not with an executor, which has limits of its own or none.
        memory: bytes per trial; a trial that needs more is killed. Not with an executor.
        ledger: where the search is remembered, such as ``"sqlite:///staytuned.db"``; the same search run again continues there.
        name: of the study in the ledger. Default: made from estimator, space, scoring, folds and table, so that the same search finds it again.

    Attributes:
        best_estimator_, best_params_, best_score_, best_index_, cv_results_, scorer_, n_splits_, refit_time_, multimetric_: as in scikit-learn. A
            raced-out config has NaN for the folds it did not see, as ``mean_test_score`` its estimate for all folds, and ranks behind every finished one.
            Failed configs rank last. ``cv_results_`` also has the columns ``status``, ``origin`` and ``trial_seconds``. With a scheduler also
            ``iter``, the rung, and ``n_resources``: the rows of the table, of which each fold trains on its part, or the parameter's value. The best is then of
            the highest rung that any reached, and others rank behind; ``params`` is without the resource, and the refit has all of it.
        trials_: the trials, one per row of ``cv_results_``, in the order of proposing; on a grid a trial that measured many values has a row for each.
        reused_: hyperparameters of which each fit measured many values, as a dict to those values.
        honest_: ``best_score_`` corrected for its having been chosen (:class:`~staytuned.evaluate.honest.Honest`), as
            :func:`~staytuned.evaluate.honest.corrected` does it; its ``lead`` is over the estimator as it was passed, and ``said`` says it in words. None
            where ``honest`` is off, or a trial has no row values, as those of an earlier search without them. With a scheduler it knows only the trials at
            full effort, and is None if there are none: that those had been chosen among others at lower rungs is not corrected for.
        n_resources_, n_candidates_: with a scheduler, what trials were given at each rung (the largest, where the parameter itself is searched), and
            how many trials there were.
        study_: the study, whose ``why_ended`` says what ended the search. It is bound to its ledger and left out of pickles and copies.

    Raises:
        UsageError: (a ValueError) arguments that make no sense, or every trial failed; the message says what to do.

    Warns:
        Overtuned: the best score is better than the corrected one and outside its interval; not with log loss, of which one row can outweigh all others.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from staytuned.space.dims import Float
    >>> X, y = load_iris(return_X_y=True)
    >>> search = TuneSearchCV(SVC(), {"C": Float(1e-2, 1e2, log=True), "kernel": ["rbf", "linear"]}, trials=10, random_state=0).fit(X, y)
    >>> search.best_score_ > 0.96
    True
    """

    def __init__(
        self,
        estimator: Any,
        space: Any,
        *,
        method: str | Sampler = "auto",
        trials: int | None = 50,
        time: float | None = None,
        scoring: Any = None,
        cv: Any = 5,
        refit: bool | str | Callable[[dict[str, Any]], int] = True,
        n_jobs: int | None = None,
        executor: Executor | None = None,
        random_state: Any = None,
        race: bool | str = "auto",
        reuse: bool | str = "auto",
        honest: bool | str = "auto",
        scheduler: str | Scheduler | None = None,
        fidelity: float | None = None,
        resource: str = "n_samples",
        enough: float | str | None = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
        verbose: int = 0,
        trial_timeout: float | None = None,
        memory: int | None = None,
        ledger: str | Path | Ledger | None = None,
        name: str | None = None,
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.method = method
        self.trials = trials
        self.time = time
        self.scoring = scoring
        self.cv = cv
        self.refit = refit
        self.n_jobs = n_jobs
        self.executor = executor
        self.random_state = random_state
        self.race = race
        self.reuse = reuse
        self.honest = honest
        self.scheduler = scheduler
        self.fidelity = fidelity
        self.resource = resource
        self.enough = enough
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.verbose = verbose
        self.trial_timeout = trial_timeout
        self.memory = memory
        self.ledger = ledger
        self.name = name

    def fit(self, X: Any, y: Any = None, **params: Any) -> TuneSearchCV:
        """Search, then refit.

        Args:
            X: (n_rows, n_features), or (n_rows, n_rows) for an estimator on kernel matrices.
            y: (n_rows,) or (n_rows, n_outputs); None where the estimator needs none.
            params: ``groups`` goes to the splitter; ``sample_weight`` to the estimator and to scorers that take it; all else to
                the estimator's ``fit``. Entries as long as the table are cut to the folds. Where scikit-learn's
                metadata routing is enabled, it decides instead.
        """
        began = clock.monotonic()
        self._check_options()
        scoring = Scoring.of(self.estimator, self.scoring, self.refit)
        if y is None and get_tags(self.estimator).target_tags.required:
            raise UsageError(f"{type(self.estimator).__name__} requires y to be passed, but the target y is None; call fit(X, y)")
        X, y = indexable(X, y)
        routed = Routed.of(self, scoring, params)
        splits, groups = routed.splits(self.cv, self.estimator, X, y), routed.split.get("groups")
        branches = Branches.of(self.space)
        check_names(branches, self.estimator)
        evaluator = CrossValidation(
            Build(self.estimator, branches.plain), X, y, splits, {"score": scoring.scorer}, self.return_train_score, routed.fit, {"score": routed.score}
        )
        free = self._free(branches, scoring, evaluator)
        kind = self._kind(scoring, evaluator, branches.space, free)
        resource = self._rationing.over(branches, evaluator, groups=groups, classify=is_classifier(self.estimator))
        study = self._study(branches, scoring.goal, evaluator, free, resource)
        keep_rows = kind is not None and deciding_scorer(scoring, self.refit)
        evaluator = replace(evaluator, keep_rows=keep_rows, resource=None if resource is None else resource.seeded(study.seed))
        measures = Columns(evaluator, scoring.goal, branches.space, free, self.reuse is True, grow=self.method != "grid") if free else evaluator
        run_trials(
            study,
            measures,
            raced=self._races(scoring, len(splits)),
            trials=self.trials,
            time=self._time_left(began, 0.0 if kind is None else correction_seconds(len(evaluator.y))),
            enough=self.enough,
            executor=self.executor,
            n_jobs=self.n_jobs,
            trial_timeout=self.trial_timeout,
            memory=self.memory,
            verbose=self.verbose,
            error_score=self.error_score,
        )
        self.reused_ = {branches.plain[name]: values for name, values in free.items()}
        self._conclude(study, branches, scoring, evaluator)
        self.honest_ = None if kind is None else self._corrected(study, kind, evaluator, groups)
        if self.refit:
            self._fit_best(X, y, routed.fit)
        return self

    # the fitted search stands for its best estimator

    @_delegated
    def predict(self, X: Any) -> Any:
        """What the best estimator predicts."""
        check_is_fitted(self)
        return self.best_estimator_.predict(X)

    @_delegated
    def predict_proba(self, X: Any) -> Any:
        """(n_rows, n_classes) the best estimator's probabilities, in the order of ``classes_``."""
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(X)

    @_delegated
    def predict_log_proba(self, X: Any) -> Any:
        """(n_rows, n_classes) their logarithms."""
        check_is_fitted(self)
        return self.best_estimator_.predict_log_proba(X)

    @_delegated
    def decision_function(self, X: Any) -> Any:
        """The best estimator's decision function."""
        check_is_fitted(self)
        return self.best_estimator_.decision_function(X)

    @_delegated
    def score_samples(self, X: Any) -> Any:
        """(n_rows,) the best estimator's score of every row."""
        check_is_fitted(self)
        return self.best_estimator_.score_samples(X)

    @_delegated
    def transform(self, X: Any) -> Any:
        """The rows as the best estimator transforms them."""
        check_is_fitted(self)
        return self.best_estimator_.transform(X)

    @_delegated
    def inverse_transform(self, X: Any) -> Any:
        """The rows as they were before ``transform``."""
        check_is_fitted(self)
        return self.best_estimator_.inverse_transform(X)

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """The best estimator's score on these rows by the metric that decided.

        Args:
            params: for the scorer; only with scikit-learn's metadata routing enabled.
        """
        self._need_refit("score")
        check_is_fitted(self)
        if params and not routing_enabled():
            raise UsageError(f"score() takes {', '.join(params)} only with sklearn.set_config(enable_metadata_routing=True)")
        params = process_routing(self, "score", **params).scorer["score"] if params else {}
        scorer = self.scorer_[self.refit] if isinstance(self.scorer_, dict) else self.scorer_
        found = scorer(self.best_estimator_, X, y, **params)
        return found[self.refit] if isinstance(found, Mapping) else found  # type: ignore[no-any-return]

    @property
    def classes_(self) -> Any:
        """The class labels of the best estimator."""
        _offers(self, "classes_")
        return self.best_estimator_.classes_

    @property
    def n_features_in_(self) -> int:
        """The number of columns seen in ``fit``; only after a refit."""
        try:
            check_is_fitted(self)
        except NotFittedError as problem:
            raise AttributeError(f"this {type(self).__name__} has no n_features_in_ before fit") from problem
        return self.best_estimator_.n_features_in_  # type: ignore[no-any-return]

    def get_metadata_routing(self) -> Any:
        """Where scikit-learn's metadata routing sends what: to the estimator's fit, the scorer and the splitter."""
        scoring = Scoring.of(self.estimator, self.scoring, self.refit)
        scorer = scoring.scorer if scoring.several else scoring.asked
        return router(self, self.estimator, scorer, self.cv)

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = deepcopy(inner.classifier_tags)
        tags.regressor_tags = deepcopy(inner.regressor_tags)
        tags.target_tags = deepcopy(inner.target_tags)
        tags.input_tags.pairwise = inner.input_tags.pairwise
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.array_api_support = inner.array_api_support
        return tags

    def __sklearn_clone__(self) -> TuneSearchCV:
        """An unfitted search with copies of the parameters, of which the executor alone is shared: it cannot be copied."""
        bare = copy(self)  # its executor is left behind
        twin: TuneSearchCV = super(TuneSearchCV, bare).__sklearn_clone__()
        twin.executor = self.executor
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: LeftBehind.of(value) if name == "executor" else value for name, value in state.items() if name != "study_"}

    # the steps of fit

    def _check_options(self) -> None:
        if not hasattr(self.estimator, "fit"):
            raise UsageError(f"estimator={self.estimator!r} has no fit(); pass a scikit-learn estimator, not its class or name")
        trials: Any = self.trials  # nothing has checked it yet
        if self.error_score != "raise" and not isinstance(self.error_score, int | float | np.number):
            raise UsageError(f"error_score={self.error_score!r} must be 'raise' or a number such as nan")
        for option in ("race", "reuse", "honest"):
            if getattr(self, option) not in (True, False, "auto"):
                raise UsageError(f"{option}={getattr(self, option)!r} must be True, False or 'auto'")
        check_executor(self.executor)
        self._rationing.check(race=self.race, reuse=self.reuse)
        if trials is not None and (not isinstance(trials, numbers.Integral) or int(trials) < 1):
            raise UsageError(f"trials={trials!r} must be a whole number of at least 1, or None with a time limit or a finite space")

    @property
    def _rationing(self) -> Rationing:
        return Rationing(self.scheduler, self.fidelity, self.resource)

    def _races(self, scoring: Scoring, folds: int) -> bool:
        if self._rationing.on:
            return True  # the scheduler may judge folds too
        wanted = self.race if isinstance(self.race, bool) else self.method != "grid"
        return wanted and folds >= 3 and scoring.decided

    def _time_left(self, began: float, after: float) -> Any:
        """Seconds for the trials, so that what comes after them fits too; at most a fifth of the whole is kept for that."""
        given: Any = self.time
        if not isinstance(given, numbers.Real) or not float(given) > 0:
            return given  # None, or what the study refuses
        return max(float(given) - (clock.monotonic() - began) - min(after, _LAST_SHARE * float(given)), 0.001)

    def _free(self, branches: Branches, scoring: Scoring, evaluator: CrossValidation) -> dict[str, list[Any]]:
        """What each fit measures at many values."""
        grid = self.method == "grid"
        fits = isinstance(self.method, str) and self.method != "manual" and scoring.decided and not (grid and self.return_train_score)
        if not self.reuse or not fits or self._rationing.on:
            return {}
        return free_levels(evaluator.build, branches.space, inexact=self.reuse is True, listed=grid)

    def _kind(self, scoring: Scoring, evaluator: CrossValidation, space: Space, free: Mapping[str, Sequence[Any]]) -> Kind | None:
        """How the row values of the metric that decides are read; None to keep none."""
        if not self.honest:
            return None
        return kept_kind(scoring, self.refit, self.estimator, evaluator, most_configs(self.trials, space, free) if self.honest == "auto" else None)

    def _corrected(self, study: Study, kind: Kind, evaluator: CrossValidation, groups: Any) -> Honest | None:
        """What the best score is worth, said and warned of."""
        ordered = isinstance(self.cv, TimeSeriesSplit)
        found = corrected_best(study.trials, study.ledger.get, kind, study.goal, evaluator, groups=groups, ordered=ordered)
        if found is not None:
            if self.verbose > 1:
                print(found.said)
            warn_if_overtuned(found, kind, stacklevel=3)
        return found

    def _study(self, branches: Branches, goal: Goal, evaluator: CrossValidation, free: Collection[str], resource: Rows | Parameter | None) -> Study:
        if self.trials is None and self.time is None and self.method != "manual" and branches.space.size is None:
            raise UsageError("trials=None without time= would never end, as the space holds a continuous dimension; give one of them, or only lists")
        rationing = self._rationing
        scheduler = rationing.scheduler_for(goal, evaluator, branches.space, resource, trials=self.trials, grid=self.method == "grid")
        more = [self.resource] if rationing.on else []
        identity = "" if self.ledger is None else search_identity(self.estimator, branches.space, self.scoring, evaluator, *more)
        study = Study(
            self.name or (f"search-{identity[:12]}" if identity else None),
            space=branches.space,
            goal=goal,
            sampler=self.method,
            scheduler=scheduler,
            ledger=self.ledger,
            seed=_seed(self.random_state),
            left_open=free,
        )
        if identity:
            claim_identity(study.ledger, study.name, identity)
        if not study.trials and not study.queue and self.method != "grid" and (default := branches.holding(self.estimator.get_params(deep=True))) is not None:
            study.enqueue(default, origin="default")
        return study

    def _conclude(self, study: Study, branches: Branches, scoring: Scoring, evaluator: CrossValidation) -> None:
        """Everything a fitted search knows, short of the refit."""
        folds, resource = len(evaluator.splits), evaluator.resource
        rows = [row for trial in ended(study) for row in unfolded(trial)] if self.method == "grid" else ended(study)
        trials = tuple(replace(t, config=branches.config(t.config)) for t in rows)
        spent = [resource.amount(evaluator, t.config, t.share) for t in rows] if isinstance(resource, Rows | Parameter) else None
        check_failures(trials, study.why_ended, stacklevel=3)
        names = scoring.names(trials)
        error_score = math.nan if isinstance(self.error_score, str) else float(self.error_score)
        self.study_, self.trials_ = study, trials
        self.multimetric_, self.n_splits_, self.scorer_ = names != ["score"], folds, scoring.asked
        self.cv_results_ = cv_results(trials, folds, names, train=self.return_train_score, error_score=error_score, n_resources=spent)
        if spent is not None:
            rungs = [self.cv_results_["n_resources"][self.cv_results_["iter"] == rung] for rung in range(self.cv_results_["iter"].max() + 1)]
            self.n_resources_, self.n_candidates_ = [int(rung.max()) for rung in rungs], [len(rung) for rung in rungs]
        if self.refit or not self.multimetric_:
            deciding = self.refit if self.multimetric_ and isinstance(self.refit, str) else "score"
            self.best_index_ = chosen_row(self.cv_results_, deciding, self.refit if callable(self.refit) else None)
            self.best_params_ = self.cv_results_["params"][self.best_index_]
            if not callable(self.refit):
                self.best_score_ = float(self.cv_results_[f"mean_test_{deciding}"][self.best_index_])

    def _fit_best(self, X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:
        self.best_estimator_ = with_params(self.estimator, self.best_params_)
        began = clock.perf_counter()
        self.best_estimator_.fit(X, **fit_params) if y is None else self.best_estimator_.fit(X, y, **fit_params)
        self.refit_time_ = clock.perf_counter() - began
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_

    def _need_refit(self, name: str) -> None:
        if not self.refit:
            raise AttributeError(f"{name} needs a refitted estimator, and this {type(self).__name__} was made with refit=False; refit best_params_ yourself")


def _seed(random_state: Any) -> int | None:
    if random_state is None:
        return None
    if isinstance(random_state, numbers.Integral) and int(random_state) >= 0:
        return int(random_state)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    raise UsageError(f"random_state={random_state!r} must be None, a whole number of at least 0, a RandomState or a Generator")
