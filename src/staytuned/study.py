"""Read second. The first loop: ask, run, measure, tell, record."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

from staytuned._random import fresh_seed, generator, integer
from staytuned.custody import LEASE, RETRY, Custody, checked_lease, checked_retry
from staytuned.deadline import Deadline
from staytuned.enough import Enough
from staytuned.errors import NotFoundError, SpaceError, SpaceExhausted, TrialTimeout, UsageError
from staytuned.evaluate.guard import failure
from staytuned.execute.choose import executor_for
from staytuned.execute.crew import Crew, crew_of
from staytuned.goal import Budget, Goal, value_of
from staytuned.insight.frame import frame
from staytuned.left_open import LeftOpen, without
from staytuned.open_trial import OpenTrial
from staytuned.outcome import Objective, Outcome, Run, as_measurement
from staytuned.protocols import Fact, Ledger, Ration, Sampler, Scheduler
from staytuned.samplers.named import named
from staytuned.schedulers.median import MedianRule
from staytuned.schedulers.named import scheduler_named
from staytuned.schedulers.union import pooled
from staytuned.space.codec import config_to_json, space_from_json, space_to_json
from staytuned.space.dims import Dimension, Value
from staytuned.space.door import SpaceLike, as_space
from staytuned.space.space import Config, Space
from staytuned.store.open import open_ledger
from staytuned.story import Story
from staytuned.transfer import lesson, lesson_to_facts
from staytuned.trial import Cost, History, Measurement, Status, Trial, measurement_to_json, trial_to_json

OnTrial: TypeAlias = Callable[[Trial], None]

_TIME_UP = "the time was up"
_GRACE = 1.0  # seconds that trials have to come in once the time is up
_PAGE = 2000  # facts to read at once
_PAUSE = 0.05  # seconds between looks whether other workers have ended what the scheduler waits for
_STEP_BACK = 2.0  # seconds at most before a worker that was overtaken tries again


class Study:
    """A goal pursued over a space; owns an append-only history of trials.

    Args:
        name: what it is called in the ledger; a new name if None. An existing study of that name is continued.
        space: what may vary; None to let the objective say so as it runs (``trial.suggest_float`` and the like).
        goal: ``"min loss"``, ``"max roc_auc"``; several objectives and limits as ``"max accuracy, min latency where peak_memory <= 2e9"``, or a list of
            objectives. The costs seconds, cpu_seconds and peak_memory (bytes) come by themselves; other metrics the objective returns.
        sampler: a method's name (manual grid random sobol bayes tpe cma evolution auto) or a Sampler.
        scheduler: rations effort: a name or a Scheduler. none, median, plateau, asha and hyperband judge objectives that ``report`` and ask
            ``should_prune()``; with ``fidelity``, asha, halving, hyperband and population give each trial a share of the effort in ``trial.fidelity``
            and let the good ones go on later. None for the median rule, with ``fidelity`` for asha.
        fidelity: the least share of the full effort (rows, rounds, epochs or folds) that tells something, such as 1/27; for objectives that read
            ``trial.fidelity``. Only trials at the highest fidelity reached count for ``best``. None for objectives that do not read it.
        ledger: where it is remembered: a path or URL such as ``"sqlite:///staytuned.db"``, a Ledger, or None for memory.
        seed: of all its randomness; a fresh one, recorded, if None.
        left_open: dimensions that no sampler proposes, because the objective measures many of their values at once and says in its
            Measurement's ``config`` which it took; no other dimension may depend on them.
        lease: seconds after which a trial is taken over whose worker, on another machine, says nothing; it says that it lives three times in it, in a
            thread of its own, between ``ask`` and ``tell`` too. A worker that died on this machine is found out within a second.
        retry: how often a trial whose worker died is run again; after that it is recorded as lost, with a cure.

    Raises:
        UsageError: the ledger's study of this name has another goal or space, there is no such method, or lease or retry makes no sense.

    >>> from staytuned.space.dims import Float
    >>> study = Study(space={"x": Float(-1, 1)}, sampler="random", seed=1)
    >>> study.optimize(lambda trial: trial.config["x"] ** 2, trials=20)
    >>> study.best.scores["loss"] < 0.05
    True
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        space: SpaceLike | None = None,
        goal: str | Goal | Sequence[str] = "min loss",
        sampler: str | Sampler = "auto",
        scheduler: str | Scheduler | None = None,
        fidelity: float | None = None,
        ledger: str | Path | Ledger | None = None,
        seed: int | None = None,
        left_open: Collection[str] = (),
        lease: float = LEASE,
        retry: int = RETRY,
    ) -> None:
        self.goal = Goal.parse(goal)
        self.ledger = open_ledger(ledger)
        self.name = name or f"study-{fresh_seed():08x}"
        self.why_ended = ""
        self._method = sampler
        self._left_open = frozenset(left_open)
        self._space = None if space is None else as_space(space)
        lease, retry = checked_lease(lease), checked_retry(retry)
        self._read_to = 0
        self._total: int | None = None  # trials that the study may have in all, while optimize() was told so
        self._made: tuple[Space, Sampler] | None = None
        self._briefed: tuple[int, History] = (0, ())
        if isinstance(sampler, str):
            named(sampler, Space({}), self.goal, 0)  # a misspelt method is said now, not at the first ask
        self._scheduler(scheduler, fidelity, Space({}), 0)  # and so is a scheduler, before anything is written
        self.seed = self._found(seed)
        self.scheduler: Scheduler = self._scheduler(scheduler, fidelity, self._space, self.seed)
        self._story = Story(self.goal, self._space, packs=isinstance(sampler, str) and not left_open)
        self._custody = Custody(self.ledger, self._stream, self._story, self.refresh, lease, retry)
        self.refresh()

    @property
    def space(self) -> Space:
        """What may vary; for a define-by-run study, everything suggested so far."""
        return self._story.space

    @property
    def trials(self) -> History:
        """All trials, by number; what other workers did comes in with the next ask, tell or refresh.

        A tuple. In a study of more than 10,000 trials the older ones may be packed away to save memory; then a sequence that grows with the study
        and unpacks them as they are looked at, some ten microseconds each.
        """
        return self._story.trials if self._story.trials.packed else tuple(self._story.trials)

    @property
    def queue(self) -> tuple[Config, ...]:
        """The configs that are enqueued and not yet asked for."""
        return tuple(config for config, _ in self._story.queue.values())

    @property
    def best(self) -> Trial:
        """The best finished trial: of those that keep the goal's limits, or, if none does, the one that breaks them least (see ``feasible``).

        If none has finished, the best of those that were stopped on the way and have a score, such as the mean of the folds so far.

        Raises:
            NotFoundError: no trial has a score; the message says why the last one has not.
            UsageError: there are several objectives, so that no one trial is best.
        """
        if self.goal.others:
            raise UsageError(f"study {self.name!r} has {len(self.goal.objectives)} objectives, so no one trial is best; choose from study.front")
        best = self._story.best or self._story.stopped
        if best is None:
            failed = [t for t in self._story.trials if t.status.failed]
            why = f"; the last failure: {failed[-1].cure}" if failed else f"; {self.why_ended}" if self.why_ended else ""
            raise NotFoundError(f"no trial of study {self.name!r} has finished with a score{why}")
        return best

    @property
    def front(self) -> list[Trial]:
        """The finished trials that keep the goal's limits and that no other beats in one objective without losing in another, by number.

        If none keeps the limits, the one that breaks them least (see ``feasible``). With one objective, the best trial alone.
        """
        return self.goal.front(self._story.trials)

    @property
    def feasible(self) -> bool:
        """Whether a finished trial keeps every limit of the goal."""
        return self._story.best is not None and self.goal.violation(self._story.best) == 0

    def __repr__(self) -> str:
        broken = self.goal.limits and self._story.best is not None and not self.feasible
        return f"<Study {self.name!r}: {self.goal}, {len(self._story.trials)} trials{', none within the limits' if broken else ''}>"

    def enqueue(self, config: Mapping[str, Value], origin: str = "enqueued") -> None:
        """Have this config tried before anything a sampler proposes.

        Raises:
            SpaceError: it does not fit the space.
        """
        if self._space is not None and (problem := self._space.problem(config)):
            raise SpaceError(f"cannot enqueue: {problem}")
        self.ledger.append([Fact(self._stream, "enqueued", {"config": config_to_json(config, self._space), "origin": origin})])
        self.refresh()

    def learn_from(self, other: Study | Sequence[Trial], top: int = 5) -> None:
        """Begin with what an earlier study of the same parameters, or some of them, found; its data may have drifted since.

        Its best configs are run again first (origin "earlier"), and the order of its trials tells the sampler where to look, for as long as the
        new trials bear it out. Its scores are never believed. Learning from the same study twice changes nothing.

        Args:
            other: a study, or trials; of trials the order is judged by this study's goal.
            top: configs to run again at most, besides its default: the best of those that lie apart.

        Raises:
            UsageError: no trial of it fits this study's space.
        """
        trials, goal, source = (other.trials, other.goal, f"{other.name}/{other.seed}") if isinstance(other, Study) else (other, self.goal, "")
        found = lesson(trials, goal, self.goal, self._space, top)
        self.ledger.append(lesson_to_facts(found, self.goal, self._space, self._stream, source))
        self.refresh()

    def ask(self, *, total: int | None = None) -> OpenTrial:
        """The next trial: one that a dead worker left or that was given back, else one that the scheduler lets go on, else the next of the queue, else
        what the sampler proposes.

        Args:
            total: trials that the study has in all at most, whoever asks for them; None for no limit. Counting ``trials`` before asking would not do, as other
                workers ask in the meantime.

        Raises:
            SpaceExhausted: nothing untried is left, the total is reached, or the scheduler waits for trials under way.
            UsageError: the total makes no sense.
        """
        misses, total = 0, self._total if total is None else _checked_total(total)
        while True:
            begun = clock.monotonic()
            self.refresh()
            if (left := self._custody.left_over()) is not None:
                return self._opened(left)
            number = len(self._story.trials)
            if total is not None and number >= total:
                raise _Waiting(f"the study has {number} trials, and total={total} asks for no more")
            queued, trial = self._next(number)
            body = trial_to_json(trial, self._space) | {"queued": queued, "by": self._custody.worker}
            if self._custody.began(number, Fact(self._stream, "asked", body, key=f"asked/{number}")):
                return self._opened(self._story.trials[number])
            # Another worker was faster, which makes this proposal worthless. The longer they queue for the ledger, the longer each steps back.
            misses += 1
            clock.sleep(
                min(max(clock.monotonic() - begun, 0.001) * 2 ** min(misses, 10), _STEP_BACK)
                * generator(self.seed, "step back", self._custody.worker, misses).uniform()
            )

    def tell(self, trial: OpenTrial | Trial | int, result: float | Sequence[float] | Mapping[str, float] | Status | str | Measurement) -> Trial:
        """Record what came back. Telling a trial twice changes nothing: the first word counts.

        Args:
            trial: what ``ask`` gave, or its number.
            result: a score, a tuple of one for each objective in the goal's order, scores by metric, a status such as ``"failed"``, or a whole
                Measurement, which alone can say what the trial cost.

        Raises:
            UsageError: no such trial, or no such status.
        """
        measurement = as_measurement(result, self.goal)
        if isinstance(trial, OpenTrial):
            return self._record(trial.number, trial.closed(measurement), trial.suggested)
        return self._record(trial.number if isinstance(trial, Trial) else int(trial), measurement, {})

    def give_back(self, trial: OpenTrial | Trial | int) -> None:
        """Let go of a trial that was asked for here and will not be told; whoever asks next gets it."""
        number = trial if isinstance(trial, int) else trial.number
        if self._custody.holds(number):
            self._custody.leave(number)

    def optimize(
        self,
        objective: Objective,
        trials: int | None = None,
        timeout: float | None = None,
        *,
        total: int | None = None,
        executor: Executor | None = None,
        n_jobs: int | None = None,
        trial_timeout: float | None = None,
        memory: int | None = None,
        on_trial: OnTrial | None = None,
        enough: float | str | None = None,
    ) -> None:
        """Run trials until the budget is spent or the space is used up; ``why_ended`` says which.

        A trial that raises, returns NaN, or breaks a limit is recorded with a status and a cure, and the study goes on. A trial still running at
        the timeout is given back (it is run first when the study is continued).

        Args:
            objective: called with an open trial; returns a score, a tuple of one for each objective, scores by metric, or a Measurement.
            trials: new trials at most, of this worker.
            timeout: seconds at most. Running trials are cut off at the deadline where they run in processes of their own. Everywhere they stop at the last
                fold or ``should_prune()`` before it, as far as their earlier ones tell; elsewhere none begins that would not come so far in time. If no
                trial has finished by then, the one under way is recorded as pruned, with the score of what it read, if it read anything.
            total: trials that the study has in all at most, whoever runs them. Any number of workers that are told the same number end when exactly so
                many have ended: the last ones wait for each other, and take over what a dead one left.
            executor: where trials run; any ``concurrent.futures.Executor``, such as Dask's ``client.get_executor()`` or
                :class:`~staytuned.execute.ray.RayExecutor`. Default: this process, or worker processes if n_jobs or a limit asks for them.
            n_jobs: worker processes; -1 for all processors. With an executor: how many trials it is given at once, None for as many as it has workers.
            trial_timeout: seconds per trial; a trial that needs longer is killed. Not with an executor, which has limits of its own or none.
            memory: bytes per trial; a trial that needs more is killed. Not with an executor.
            on_trial: called with every trial as it ends.
            enough: also stop once what is left to gain is probably below this, in the metric's unit; or below "noise", the standard error of the best
                score over its folds. Looked at after every fifth trial from the 30th on, whatever the sampler; a study that has enough ends at once.
                None to go on. See :class:`~staytuned.enough.Enough`.

        Raises:
            UsageError: neither trials nor total nor timeout, or a nonsensical one; ``enough`` with several objectives or limits, or "noise" without folds; an
                executor together with limits on a trial.
        """
        budget, total = Budget(trials, timeout), _checked_total(total)
        endless = trials is None and total is None and timeout is None and self._method != "manual"
        if endless and (self._space is None or without(self._space, self._left_open).size is None):
            raise UsageError("optimize() without trials=, total= or timeout= would never end on this space; give one")
        satisfied = None if enough is None else Enough(self.goal, enough, self.seed, self._left_open)
        deadline = Deadline(budget.seconds)
        ours = executor is None
        if executor is None:
            executor = executor_for(n_jobs, timeout=trial_timeout, memory=memory)
        elif trial_timeout is not None or memory is not None:
            limits = f"trial_timeout={trial_timeout!r}, memory={memory!r}"
            raise UsageError(f"{limits} cannot be given to an executor that is there already; make it with them, as in ProcessExecutor(8, timeout=60)")
        try:
            crew = crew_of(executor, None if ours else n_jobs)
            self._total = total
            self._loop(Run(objective, self.goal), budget.trials, deadline, crew, on_trial, satisfied)
        except BaseException:
            if ours and hasattr(executor, "kill"):
                executor.kill()  # nobody waits for trials whose results nobody will read
            raise
        finally:
            self._total = None
            if ours:
                executor.shutdown(wait=True, cancel_futures=True)

    def refresh(self) -> None:
        """Take in what the ledger has heard since the last look."""
        while True:
            news = self.ledger.read(self._stream, self._read_to, limit=_PAGE)
            for fact in news:
                self._read_to = fact.id
                self._story.take_in(fact)
                if fact.kind == "told":
                    self._custody.over(fact.body["number"])
                elif fact.kind == "learned":
                    self._made = None  # the sampler is told
            if len(news) < _PAGE:
                return

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row per trial: number, status, a column per metric, seconds, origin, the config's values, and what went wrong.

        With several objectives ``front`` says which trials are on the front, with limits ``feasible`` which finished trials keep them; where trials were
        given shares of the effort, ``fidelity`` is the share and ``continues`` the number of the trial that went on. The costs that
        the goal speaks of have columns too. A metric that is named like another of these columns has "score." before its name.
        """
        return frame(self._story.trials, self.goal, self._story.rationed)

    # the loop

    def _loop(self, run: Run, trials: int | None, deadline: Deadline, crew: Crew, on_trial: OnTrial | None, satisfied: Enough | None = None) -> None:
        flying: dict[Future[Outcome], OpenTrial] = {}
        begun, self.why_ended = 0, ""
        with self._given_back(), _cancelled_at_the_end(flying):
            while True:
                while not self.why_ended and len(flying) < crew.under_way:
                    if trials is not None and begun >= trials:
                        self.why_ended = f"all {trials} trials asked for were run"
                    elif deadline.passed:
                        self.why_ended = _TIME_UP
                    elif not crew.cuts_off and self._story.best is not None and deadline.left < deadline.stretch:
                        self.why_ended = f"{_TIME_UP}: {deadline.left:.2g} s were left, and a trial may take {deadline.stretch:.2g} s until it can be stopped"
                    elif satisfied is not None and not self._story.queue and (reason := satisfied.reason(self._story.trials, self._story.space)):
                        self.why_ended = reason
                    elif self._launched(run, crew, deadline, flying):
                        begun += 1
                    elif flying:
                        break  # once they have landed there may be more to do
                if not flying:
                    self.why_ended += self._unkept()
                    return
                patience = min(crew.glance, max(deadline.left, 0) + _GRACE)
                landed, _ = wait(flying, timeout=None if patience == math.inf else patience, return_when=FIRST_COMPLETED)
                for future in landed:
                    self._land(future, flying.pop(future), deadline, on_trial)
                if not landed and deadline.left <= -_GRACE:  # on an executor that cannot cut trials off
                    self.why_ended = f"{_TIME_UP}{self._unkept()}"
                    return

    def _unkept(self) -> str:
        """What there is to say if no trial keeps the limits."""
        nearest = self._story.best
        if nearest is None or self.feasible:
            return ""
        broken = [limit for limit, excess in zip(self.goal.limits, self.goal.excesses(nearest), strict=True) if not excess <= 0]
        values = " and ".join(f"{limit.metric}={value_of(nearest.measurement, limit.metric):.6g}, not {limit.sense} {limit.bound:.6g}" for limit in broken)
        return f"; no trial keeps the limits, the nearest is trial {nearest.number} with {values}"

    def _launched(self, run: Run, crew: Crew, deadline: Deadline, flying: dict[Future[Outcome], OpenTrial]) -> int:
        try:
            trial = self.ask()
        except _Waiting as pause:
            if not flying and self._story.running <= self._custody.held():
                self.why_ended = str(pause)
            elif not flying:
                clock.sleep(_PAUSE)  # for other workers
            return 0
        except SpaceExhausted as end:
            self.why_ended = "" if flying else str(end)
            return 0
        trial.ends, trial.alone = deadline.ends, self._story.best is None
        flying[crew.submit(run, trial, deadline.left)] = trial
        return 1

    def _land(self, future: Future[Outcome], trial: OpenTrial, deadline: Deadline, on_trial: OnTrial | None) -> None:
        try:
            outcome = future.result()
        except CancelledError:
            return
        except Exception as problem:
            if isinstance(problem, TrialTimeout) and deadline.passed:
                return  # the study's time was up, not the trial's: it is given back
            spent = Cost(seconds=max(clock.time() - self._story.trials[trial.number].started, 0.0))  # a killed worker tells no more
            outcome = Outcome(failure(problem, spent), {})
        measurement = outcome.measurement
        if outcome.cut_off:
            self.why_ended = _TIME_UP
            if self._story.best is not None or not math.isfinite(value_of(measurement, self.goal.metric)):
                return  # it is given back
            measurement = replace(measurement, cure=f"{_TIME_UP} after {_looks(measurement)}, and no trial had finished")
        deadline.heard(measurement)
        told = self._record(trial.number, measurement, outcome.suggested)
        if on_trial is not None:
            on_trial(told)

    @contextmanager
    def _given_back(self) -> Iterator[None]:
        """Whatever this loop began and did not finish, however it ends, is free for the next worker."""
        before = self._custody.held()
        try:
            yield
        finally:
            for number in self._custody.held() - before:
                self.give_back(number)

    # one trial

    def _next(self, number: int) -> tuple[int, Trial]:
        """(id of the queued fact or 0, the trial to begin): one that goes on, or a new config."""
        trials = self._story.trials
        ration = self.scheduler.ration(trials)
        if ration is not None and ration.continues is None:
            try:
                queued, config, origin = self._proposal()
                return queued, Trial(number, config, origin, integer(self.seed, "trial", number), ration.fidelity, clock.time())
            except SpaceExhausted:
                ration = self.scheduler.ration(trials, new=False)
                if ration is None:
                    raise
        if ration is None or ration.continues is None:
            under_way = ", ".join(map(str, sorted(self._story.running)))
            raise _Waiting(f"the scheduler waits for trial {under_way}" if under_way else "the scheduler has nothing more to begin")
        return 0, self._going_on(number, trials[ration.continues], ration)

    def _going_on(self, number: int, before: Trial, ration: Ration) -> Trial:
        """The same config goes on with the same seed: the same randomness, more effort."""
        seed = before.seed if ration.config is None else integer(self.seed, "trial", number)
        config = before.config if ration.config is None else ration.config
        return Trial(number, config, ration.origin, seed, ration.fidelity, clock.time(), continues=before.number)

    def _proposal(self) -> tuple[int, Config, str]:
        """(id of the queued fact or 0, config, who proposed it)."""
        for fact_id, (queued, source) in self._story.queue.items():
            return fact_id, queued, source
        if self._space is None and not self._story.suggested:
            return 0, {}, "random"  # nothing is known of the space before the objective has run once
        sampler = self._sampler(self._story.space)
        history = pooled(self._story.trials, self.goal, len(self._story.space) + 1) if self._story.rationed else self._story.trials
        configs = sampler.ask(history, 1)
        if not configs:
            raise SpaceExhausted(f"the sampler {sampler.name!r} has nothing more to propose")
        origin = getattr(sampler, "origin", None)
        return 0, configs[0], origin(history) if callable(origin) else sampler.name

    def _sampler(self, space: Space) -> Sampler:
        if self._made is None or self._made[0] is not space:
            self._made = (space, self._made_for(space))
        return self._made[1]

    def _made_for(self, space: Space) -> Sampler:
        if not isinstance(self._method, str):
            return self._method
        make = partial(named, self._method, goal=self.goal, seed=self.seed)
        if not self._left_open:
            return make(space, past=self._story.past)
        return LeftOpen(lambda remaining, past: make(remaining, past=past), space, self._left_open, self._story.past)

    def _opened(self, trial: Trial) -> OpenTrial:
        config = dict(trial.config) if self._space is not None else {}
        return OpenTrial(trial.number, config, trial.seed, self.goal, self.scheduler, self._peers(), trial.config, trial.fidelity, trial.continues)

    def _peers(self) -> History:
        """What the scheduler needs of the trials that reported; asked for again only when more have."""
        reported = self._story.reported
        if self._briefed[0] != len(reported):
            self._briefed = (len(reported), self.scheduler.brief(reported))
        return self._briefed[1]

    def _record(self, number: int, measurement: Measurement, suggested: Mapping[str, Dimension]) -> Trial:
        if number >= len(self._story.trials):
            self.refresh()
        if not 0 <= number < len(self._story.trials):
            raise UsageError(f"study {self.name!r} has no trial {number}; it has {len(self._story.trials)}")
        if measurement.rows:
            measurement = replace(measurement, rows=b"", rows_at=self.ledger.put(measurement.rows))
        body: dict[str, Any] = {"number": number, "measurement": measurement_to_json(measurement, self._space)}
        if new := {name: d.to_json() for name, d in suggested.items() if name not in self._story.suggested}:
            body["suggested"] = new
        told = Fact(self._stream, "told", body, key=f"told/{number}")
        if not (self._custody.holds(number) and self.ledger.append([told], [self._custody.end(number)])[0]):
            self.ledger.append([told])  # by one who does not hold it, or no more: the first word counts
        self.refresh()
        return self._story.trials[number]

    def _scheduler(self, scheduler: str | Scheduler | None, fidelity: float | None, space: Space | None, seed: int) -> Scheduler:
        if scheduler is None and fidelity is None:
            return MedianRule(self.goal)
        if scheduler is None or isinstance(scheduler, str):
            return scheduler_named(scheduler or "asha", self.goal, fidelity, space, seed)
        if fidelity is not None:
            raise UsageError(f"fidelity={fidelity!r} goes with the name of a scheduler; tell {type(scheduler).__name__} itself, as in ASHA(goal, lowest=1/27)")
        return scheduler

    # the story so far

    @property
    def _stream(self) -> str:
        return f"study/{self.name}"

    def _found(self, seed: int | None) -> int:
        """Write the study's definition, or check it against the one that is there; its seed."""
        space: dict[str, Any] | None = None
        if self._space is not None:
            try:
                space = space_to_json(self._space)
            except SpaceError:
                space = {"opaque": True}  # it holds objects: whoever continues the study passes the space again
        seed = fresh_seed() if seed is None else _checked_seed(seed)
        if self.ledger.append([Fact(self._stream, "founded", {"goal": str(self.goal), "space": space, "seed": seed}, key="founded")])[0]:
            return seed
        stored = self.ledger.read(self._stream, kind="founded")[0].body
        if stored["goal"] != str(self.goal):
            raise UsageError(f"study {self.name!r} in this ledger pursues {stored['goal']!r}, not {str(self.goal)!r}; give the new study another name")
        if space is not None and stored["space"] is not None and stored["space"] != space:
            raise UsageError(f"study {self.name!r} in this ledger has another space; give the new study another name")
        if self._space is None and stored["space"] is not None:
            if "opaque" in stored["space"]:
                raise UsageError(f"study {self.name!r} has a space of Python objects, which the ledger cannot hold; pass the same space= again")
            self._space = space_from_json(stored["space"])
        return int(stored["seed"])


@contextmanager
def _cancelled_at_the_end(flying: Mapping[Future[Outcome], OpenTrial]) -> Iterator[None]:
    """However the loop ends, nobody will read what is still under way."""
    try:
        yield
    finally:
        for future in flying:
            future.cancel()


class _Waiting(SpaceExhausted):
    """The scheduler begins nothing before a trial under way has ended."""


def _looks(measurement: Measurement) -> str:
    """How far a trial came."""
    count, place = len(measurement.readings), measurement.readings[-1].place if measurement.readings else "report"
    return f"{count} {place}{'s' * (count != 1)}"


def _checked_total(total: Any) -> int | None:
    if total is not None and (isinstance(total, bool) or not isinstance(total, Integral) or int(total) < 1):
        raise UsageError(f"total={total!r} must be a whole number of at least 1: how many trials the study should have in all")
    return None if total is None else int(total)


def _checked_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, Integral) or int(seed) < 0:
        raise UsageError(f"seed={seed!r} must be a whole number of at least 0, or None for a fresh one")
    return int(seed)
