"""What a search tells while it runs: every trial, and which default is best once all have ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from staytuned.automl.effort import share_words
from staytuned.automl.events import Moved, OnEvent, Said
from staytuned.automl.pace import Clock
from staytuned.automl.zoo import ZOO, split_config
from staytuned.study import Study
from staytuned.trial import Status, Trial


def baseline_of(study: Study) -> Trial | None:
    """The best of the default configs; of those that went on with more rows, as they did last."""
    return study.goal.best(trial for trial in study.trials if first_of(trial, study.trials).origin == "default")


def first_of(trial: Trial, trials: Sequence[Trial]) -> Trial:
    """The trial as which this one began, itself if it did not go on from another."""
    while trial.continues is not None:
        trial = trials[trial.continues]
    return trial


def moved(study: Study, trial: Trial, planned: int | None, clock: Clock) -> Moved:
    """A trial ended: what there is to say."""
    counts = {status: sum(t.status is status for t in study.trials) for status in (Status.DONE, Status.PRUNED)}
    failed = sum(t.status.failed for t in study.trials)
    return Moved(trial, study.goal.best(study.trials), counts[Status.DONE], failed, counts[Status.PRUNED], planned, clock.left())


def ended_sentence(study: Study) -> str:
    """How many trials, and why there are no more."""
    return f"{len(study.trials)} trials in all; ended because {study.why_ended or 'there was nothing left to do'}"


@dataclass
class Baselines:
    """Says which default is best once all have ended.

    Args:
        metric: its name.
        waiting: how many defaults are to be tried.
    """

    study: Study
    metric: str
    waiting: int
    say: OnEvent

    def heard(self) -> None:
        """Look whether all have ended."""
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
        title, score = ZOO[split_config(baseline.config)[0]].title, self.study.goal.score(baseline)
        rows = f", trained on {share_words(baseline.share)} of the rows" if baseline.share < 1 else ""
        return f"the best default is {title} with {self.metric} {score:.4f} in validation{rows}"
