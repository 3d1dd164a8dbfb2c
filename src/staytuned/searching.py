"""How the trials of a search are run, wherever that is, and what is told of each."""

from __future__ import annotations

import math
import time as clock
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from staytuned.errors import UsageError
from staytuned.evaluate.columns import Columns
from staytuned.evaluate.cv import CrossValidation
from staytuned.goal import Goal
from staytuned.open_trial import OpenTrial
from staytuned.space.branches import BRANCH
from staytuned.study import Study
from staytuned.trial import Measurement, Status, Trial


def run_trials(
    study: Study,
    evaluator: CrossValidation | Columns,
    *,
    raced: bool,
    trials: int | None,
    time: float | None,
    enough: float | str | None,
    executor: Executor | None,
    n_jobs: int | None,
    trial_timeout: float | None,
    memory: int | None,
    verbose: int,
    error_score: float | str,
) -> None:
    """Run trials until the budget is spent; ``study.why_ended`` says how it ended.

    Args:
        raced: whether the scheduler may stop a trial between folds; else only the end of the time may.
        trials: at most, those that the study has already included.
        verbose: whether a line is printed for each.
        error_score: "raise" to raise a failed trial's error.
        time, enough, executor, n_jobs, trial_timeout, memory: as in :meth:`~staytuned.study.Study.optimize`.

    Raises:
        UsageError: a trial failed, and that is to be raised; or as ``Study.optimize``.
    """
    left = None if trials is None else int(trials) - len(ended(study))
    if left is not None and left < 1:
        study.why_ended = f"all {trials} trials had been run before"
        return

    def on_trial(trial: Trial) -> None:
        if verbose:
            print(_line(trial, study.goal))
        if error_score == "raise" and trial.status.failed:
            if trial.status is Status.FAILED:
                evaluator(trial.config, trial.fidelity, trial.seed)  # fails again, here and with its own traceback
            raise UsageError(f"trial {trial.number} failed: {trial.cure}")

    objective = _Objective(evaluator, raced)
    study.optimize(objective, left, time, executor=executor, n_jobs=n_jobs, trial_timeout=trial_timeout, memory=memory, on_trial=on_trial, enough=enough)


def ended(study: Study) -> list[Trial]:
    """The trials that are not under way."""
    return [trial for trial in study.trials if trial.status is not Status.RUNNING]


@dataclass(frozen=True)
class LeftBehind:
    """Stands in a pickle or copy of a search for its executor, which belongs to whoever made it.

    Args:
        kind: the executor's class.
    """

    kind: str

    @classmethod
    def of(cls, executor: Any) -> LeftBehind | None:
        """What stands for this executor; None for none."""
        return executor if executor is None or isinstance(executor, cls) else cls(type(executor).__name__)


def check_executor(executor: Any) -> None:
    """Whether trials can be run there.

    Raises:
        UsageError: the executor was left behind.
    """
    if isinstance(executor, LeftBehind):
        raise UsageError(
            f"this search was pickled or copied, and its {executor.kind} stayed behind; give it an executor by set_params(executor=...), or "
            "set_params(executor=None) to search without one"
        )


@dataclass(frozen=True)
class _Objective:
    """What travels to a worker: the evaluator with the table."""

    evaluator: CrossValidation | Columns
    raced: bool

    def __call__(self, trial: OpenTrial) -> Measurement:
        evaluator = self.evaluator
        if isinstance(evaluator, Columns) and trial.ends < math.inf:
            evaluator = replace(evaluator, patience=min(evaluator.patience, trial.ends - clock.time()))
        return evaluator(trial.config, trial.fidelity, trial.seed, trial.stop if self.raced else trial.overdue)


def _line(trial: Trial, goal: Goal) -> str:
    config = ", ".join(f"{name}={value!r}" for name, value in trial.config.items() if name != BRANCH)
    said = trial.cure if trial.status.failed else f"{goal.metric} {goal.score(trial):.6g}"
    said += "" if trial.fidelity is None else f"  at {trial.share:.3g} of the effort"
    return f"trial {trial.number:>3}  {trial.origin:<9} {trial.status:<7} {trial.cost.seconds:6.2f} s  {said}  {config}"
