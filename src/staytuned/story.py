"""What a study's facts say, taken in one by one: the trials, the queue, what varies, who is under way, what is best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from staytuned.chronicle import Chronicle
from staytuned.goal import Goal
from staytuned.protocols import Fact
from staytuned.space.codec import config_from_json, dimension_from_json
from staytuned.space.dims import Dimension
from staytuned.space.space import Config, Space
from staytuned.transfer import trials_from_json
from staytuned.trial import Status, Trial, measurement_from_json, trial_from_json


class Story:
    """The state of a study, read off its facts. Every fact costs the same, however many came before.

    Args:
        goal: what is best.
        space: what may vary; None where the objective says so as it runs.
        packs: whether trials that ended long ago may be packed away, which makes looking at them slow.

    Attributes:
        trials: all trials, by number; one sequence that grows, in which a trial that ends takes its own place.
        queue: the configs to be tried next, each with who asked for it, by the id of their fact.
        past: what was learned from earlier studies: for each its trials, scored by the normal scores of their ranks.
        suggested: what a define-by-run objective has asked for so far.
        running: the numbers of the trials under way.
        workers: who began a trial under way, or took it over, by its number; empty where the one who had it gave it back.
        taken: how often a trial was taken over, by its number.
        deaths: how often the worker that ran a trial died, by its number.
        reported: the trials that ended and had told readings on the way, in the order of their ends.
        best: the best finished trial by the goal; None before the first.
        stopped: the best of those stopped on the way.
        rationed: whether a trial was given less than the full effort, or went on from another.
    """

    def __init__(self, goal: Goal, space: Space | None, packs: bool = False) -> None:
        self.goal = goal
        self.trials = Chronicle(packs)
        self.queue: dict[int, tuple[Config, str]] = {}
        self.past: tuple[tuple[Trial, ...], ...] = ()
        self.suggested: dict[str, Dimension] = {}
        self.running: set[int] = set()
        self.workers: dict[int, str] = {}
        self.taken: Counter[int] = Counter()
        self.deaths: Counter[int] = Counter()
        self.reported: list[Trial] = []
        self.best: Trial | None = None
        self.stopped: Trial | None = None
        self.rationed = False
        self._given = space
        self._space = Space({}) if space is None else space
        self._best_rank: tuple[float, float, float, int] | None = None

    @property
    def space(self) -> Space:
        """What may vary, as far as is known; the same object until more is."""
        return self._space

    def take_in(self, fact: Fact) -> None:
        """Go on with the next fact of the study's stream; facts of other kinds are passed over."""
        if fact.kind == "enqueued":
            self.queue[fact.id] = (config_from_json(fact.body["config"], self._given), fact.body["origin"])
        elif fact.kind == "learned":
            self.past += (trials_from_json(fact.body["trials"], self.goal, self._given),)
        elif fact.kind == "asked":
            self._asked(fact.body)
        elif fact.kind == "told":
            self._told(fact.body)
        elif fact.kind in ("left", "taken") and fact.body["number"] in self.running:
            self._changed_hands(fact.body["number"], fact.body.get("by", ""))

    def _asked(self, body: Mapping[str, Any]) -> None:
        self.queue.pop(body["queued"], None)
        trial = trial_from_json(body, self._given)
        self.trials.append(trial)
        self.running.add(trial.number)
        self.workers[trial.number] = body.get("by", "")
        self.rationed = self.rationed or trial.fidelity is not None or trial.continues is not None
        self.trials.packs &= not self.rationed  # schedulers look at all of them again and again

    def _told(self, body: Mapping[str, Any]) -> None:
        self._widen(body.get("suggested", {}))
        number = body["number"]
        trial = self.trials[number].measured(measurement_from_json(body["measurement"], self._given))
        self.trials.replace(trial)
        self.running.discard(number)
        for once in (self.workers, self.taken, self.deaths):
            once.pop(number, None)
        if trial.readings:
            self.reported.append(trial)
        if trial.status is Status.PRUNED:
            self.stopped = self.goal.best([trial] if self.stopped is None else [self.stopped, trial])
        rank = self.goal.rank(trial)
        if rank is not None and (self._best_rank is None or rank < self._best_rank):
            self.best, self._best_rank = trial, rank

    def _changed_hands(self, number: int, worker: str) -> None:
        if worker:
            self.taken[number] += 1
            self.deaths[number] += self.workers[number] not in ("", worker)
        self.workers[number] = worker

    def _widen(self, suggested: Mapping[str, Any]) -> None:
        new = {name: dimension_from_json(dimension, name) for name, dimension in suggested.items() if name not in self.suggested}
        if new:
            self.suggested |= new
            if self._given is None:
                self._space = Space(self.suggested)
