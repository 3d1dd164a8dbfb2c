"""The second loop: look, decide, act, record.

A steward looks after one model: it predicts, watches batches, and tends: retrains, retunes, promotes, rolls back. Its judgement lives
in the policy, its memory in the ledger. Every step is a fact that is written before the next step begins, so that a steward that was
killed is continued by the next call, in any process.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from staytuned.automl.columns import table_from_json
from staytuned.challenger import (
    Attempt,
    Keeper,
    Retrain,
    Retune,
    fingerprint,
    inputs_of,
    labels_in,
    make_challenger,
    retrain_by_recipe,
    retune_by_recipe,
    trained_upto,
)
from staytuned.errors import LedgerLocked, StayTunedError, UsageError
from staytuned.monitor.health import Health
from staytuned.monitor.log import (
    LabelledRows,
    Span,
    batch_tokens,
    find_predictions,
    label_batch,
    label_spans,
    labelled_rows,
    log_predictions,
    prediction_batch,
)
from staytuned.monitor.performance import Prediction, losses
from staytuned.monitor.watch import MonitorState, Reference, check
from staytuned.policy import Action, Decision, PolicySettings, Shadow, Situation, decide
from staytuned.protocols import Fact, Ledger
from staytuned.registry import Event, Registry, Version
from staytuned.stats.stream import PairedBet
from staytuned.store.open import open_ledger
from staytuned.store.owner import is_dead, new_owner


@dataclass(frozen=True)
class StewardSettings:
    """The numbers of the loop; those of the decisions are the policy's.

    Args:
        policy: of the decisions.
        hold_back: share of the labelled rows since the change on which a challenger is tested, the latest; at least ``least_held`` of them.
        last_rows: length of the third training window, beside all rows and those since the change.
        relapse_rows: labelled rows after which new harm is new trouble, and not the old that was never mended.
        promote_error: probability that a challenger no better than the champion is promoted, however long it is tested.
        roll_back_error: the same for the way back.
        reverse_rows: labelled rows for which the last champion is tested on in the shadow.
        labels_per_false_alarm, batches_per_false_alarm: of the monitor.
        warm: old configs to try first when retuning.
    """

    policy: PolicySettings = field(default_factory=PolicySettings)
    hold_back: float = 0.3
    least_held: int = 50
    last_rows: int = 2000
    relapse_rows: int = 500
    promote_error: float = 0.05
    roll_back_error: float = 0.01
    reverse_rows: int = 5000
    labels_per_false_alarm: float = 100_000
    batches_per_false_alarm: float = 1000
    warm: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.hold_back < 1 or self.least_held < 1 or self.last_rows < 1:
            raise UsageError(f"hold_back={self.hold_back!r} must be a share between 0 and 1, and numbers of rows at least 1")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the champion said.

    Args:
        ids: one per row, unique for ever; labels are joined by them.
        prediction: labels, and probabilities of a classifier.
        version: of the champion.
    """

    ids: list[str]
    prediction: Prediction
    version: int


@dataclass(frozen=True)
class Tended:
    """What tending came to.

    Args:
        decision: the last one that changed something, else the one to keep.
        health: of the last batch that the champion was watched on; None if there was none.
        champion: the version in service afterwards.
        sentence: what was done and why.
        steps: all decisions, in order.
    """

    decision: Decision
    health: Health | None
    champion: int
    sentence: str
    steps: tuple[Decision, ...]


class Steward:
    """Looks after one model.

    Args:
        ledger: where the model is registered: a path, URL or Ledger.
        name: of the model.
        retrain, retune: how new versions are made; by default as ``AutoML`` makes them.
        settings: of the loop and its policy.
        trust_pickle: load models that were stored as pickles, which can run any code their maker chose.
        clock: Unix time in seconds.

    Raises:
        NotFoundError: no such model.
        UntrustedModel: by every method that predicts, where the model is a pickle and pickles are not trusted.
    """

    def __init__(
        self,
        ledger: str | Path | Ledger,
        name: str,
        *,
        retrain: Retrain | None = None,
        retune: Retune | None = None,
        settings: StewardSettings | None = None,
        trust_pickle: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.ledger = open_ledger(ledger)
        self.name = name
        self.registry = Registry(self.ledger)
        self.settings = settings or StewardSettings()
        self._retrain = retrain or retrain_by_recipe
        self._retune = retune or retune_by_recipe(self.ledger)
        self._trust_pickle = trust_pickle
        self._clock = clock
        self._loaded: dict[int, Keeper] = {}
        self._owner = new_owner()
        self.registry.versions(name)

    def predict(self, X: pd.DataFrame) -> Predictions:
        """Predict with the champion, and log it.

        Raises:
            TableError: columns are missing.
        """
        champion = self._keeper(self.registry.champion(self.name))
        inputs = inputs_of(X, champion.table)
        prediction = champion.predict(inputs)
        return Predictions(log_predictions(self.ledger, self.name, champion.version.number, inputs, prediction), prediction, champion.version.number)

    def watch(self, table: pd.DataFrame) -> Health:
        """The champion's health on a batch. It is predicted, checked and logged; with a target column its labels are logged too.

        Each batch counts once: of a table (of 20 rows or more) that was watched before, only the verdict is given.

        Raises:
            TableError: columns are missing, or the target has a label the model does not know.
        """
        with self._alone("watch"):
            champion, era = self._champion()
            X, y = inputs_of(table, champion.table), labels_in(table, champion.table)
            token = fingerprint(X, y) if len(X) >= _SAME_ROWS else secrets.token_hex(8)
            before = [fact for fact in self._facts("watched", era) if fact.body["token"] == token]
            if before:
                return self._remembered(before[0])[0]
            prediction = champion.predict(X)
            state = self._state(champion, era)
            health, after = check(champion.reference, state, X, prediction, y)
            if token not in batch_tokens(self.ledger, self.name):
                batch = prediction_batch(self.ledger, self.name, champion.version.number, X, prediction, y=y, token=token)
                self._looked(champion, era, token, health, state, after, batch.facts)
            return health

    def label(self, ids: Sequence[str], y: npt.ArrayLike) -> Health | None:
        """Join labels that came later to their predictions, and look what they say about the champion.

        Returns:
            Its health on these rows; None where all labels only replace earlier ones.

        Raises:
            NotFoundError: nothing was predicted under one of the ids.
        """
        with self._alone("watch"):
            champion, era = self._champion()
            joined, facts = label_batch(self.ledger, self.name, ids, y)
            again = set(joined.relabelled)
            fresh = [place for place, one in enumerate(ids) if one not in again]
            if not fresh:
                self.ledger.append(facts)
                return None
            logged = find_predictions(self.ledger, self.name, [ids[place] for place in fresh])
            X, state = inputs_of(logged.X, champion.table), self._state(champion, era)
            health, after = check(champion.reference, state, X, champion.predict(X), np.asarray(y)[fresh])
            # their inputs were looked at when they were predicted, or never will be: here only the labels are news
            self._looked(champion, era, joined.token, health, state, replace(after, drift=state.drift), facts)
            return health

    def tend(self) -> Tended:
        """Look, decide, act, record, until there is nothing to do. A call that was killed is continued by the next one.

        Raises:
            LedgerLocked: another process is tending this model.
        """
        steps: list[Decision] = []
        said: list[str] = []
        with self._alone("tend", wait=0):
            health = self._last_health()
            while len(steps) < _MOST_STEPS:
                view = self._view()
                if view.unfinished is not None:
                    said += self._made(view.unfinished, view)
                    continue
                decision = decide(view.situation, self.settings.policy)
                body = {"action": str(decision.action), "champion": view.champion.version.number, "sentence": str(decision)}
                self._record("decided", body)
                steps.append(decision)
                self._act(decision, view)
                if decision.action not in (Action.RETRAIN, Action.RETUNE):
                    break
        acted = [step for step in steps if step.action is not Action.KEEP]
        sentence = " ".join([*(str(step) for step in acted or steps[-1:]), *said])
        return Tended((acted or steps)[-1], health, self.registry.champion(self.name).number, sentence, tuple(steps))

    def history(self) -> tuple[Event, ...]:
        """The model's story, oldest first."""
        return self.registry.story(self.name)

    # look

    def _champion(self) -> tuple[Keeper, int]:
        """The champion, and the id of the fact that began its era."""
        return self._keeper(self.registry.champion(self.name)), self.registry.since(self.name)

    def _keeper(self, version: Version) -> Keeper:
        if version.number not in self._loaded:
            model = self.registry.load(version, trust_pickle=self._trust_pickle)
            reference = Reference.from_json(version.manifest["reference"])
            self._loaded[version.number] = Keeper(version, model, table_from_json(version.manifest["table"]), reference)
        return self._loaded[version.number]

    def _state(self, champion: Keeper, era: int) -> MonitorState:
        looks = self._facts("watched", era)
        if looks:
            return self._remembered(looks[-1])[1]
        false_alarms = self.settings.labels_per_false_alarm, self.settings.batches_per_false_alarm
        return MonitorState.fresh(champion.reference, labels_per_false_alarm=false_alarms[0], batches_per_false_alarm=false_alarms[1])

    def _looked(self, champion: Keeper, era: int, token: str, health: Health, before: MonitorState, after: MonitorState, facts: Sequence[Fact]) -> None:
        """Write a look together with what was looked at: both or neither."""
        blob = self.ledger.put(json.dumps({"health": health.to_json(), "state": after.to_json()}).encode())
        seen = [0 if state.risk is None else state.risk.seen for state in (before, after)]
        body = {"era": era, "version": champion.version.number, "token": token, "harm": health.harm, "seen": seen, "blob": blob}
        body["sentence"] = f"version {champion.version.number} was watched on {health.rows:,} rows, {health.labelled:,} of them labelled: {health.sentence}"
        self.ledger.append([*facts, Fact(self._stream, "watched", body, key=f"watched/{era}/{token}")])

    def _remembered(self, look: Fact) -> tuple[Health, MonitorState]:
        body = json.loads(self.ledger.get(look.body["blob"]))
        return Health.from_json(body["health"]), MonitorState.from_json(body["state"])

    def _last_health(self) -> Health | None:
        looks = self._facts("watched", self.registry.since(self.name))
        return self._remembered(looks[-1])[0] if looks else None

    def _view(self) -> _View:
        """Everything a decision needs, the duels brought up to the last label."""
        champion, era = self._champion()
        spans = label_spans(self.ledger, self.name)
        tainted = frozenset(fact.body["token"] for fact in self._facts("watched") if fact.body["harm"] == "incident")
        total = spans[-1].stop if spans else 0
        attempts = self._attempts(champion.version.number, era, total)
        looks = self._facts("watched", era)
        state = self._state(champion, era)
        harm = looks[-1].body["harm"] if looks else "none"
        change = _change_position(state, looks, spans)
        trained = trained_upto(champion.version, spans)
        last = attempts[-1] if attempts else None
        hurts = harm == "confirmed"
        relevant = max(trained, change or 0) if hurts else trained
        again = last is not None and last.outcome != "" and (change or 0) - last.ended <= self.settings.relapse_rows
        tries = last.tries + 1 if again and last is not None else 0
        open_one = last if last is not None and not last.outcome else None
        view = _View(champion, era, spans, tainted, total, relevant, last.trouble if again and last is not None else relevant, len(attempts), tries)
        if open_one is not None and self._version_of(open_one) is None:
            return replace(view, unfinished=open_one)
        situation = Situation(
            champion=champion.version.number,
            harm=harm,
            looks=len(looks),
            rows=view.clean_rows(relevant),
            rows_since_attempt=None if last is None else view.clean_rows(last.stop),
            hours_since_attempt=None if last is None else max(self._clock() - last.at, 0.0) / 3600,
            recovered=hurts and self._recovered(view),
            tries=tries,
            shadow=None if open_one is None else self._challenger(open_one, view),
            predecessor=self._predecessor(view),
        )
        return replace(view, situation=situation, challenge=open_one)

    def _recovered(self, view: _View) -> bool:
        promise, enough = view.champion.reference.promise, 2 * self.settings.policy.least_rows
        rows = self._rows(view, max(view.relevant, view.total - enough))
        if promise is None or len(rows) < enough:
            return False
        values = losses(promise, rows.y, view.champion.predict(inputs_of(rows.X, view.champion.table))).values
        return len(values) > 0 and float(np.mean(values)) <= promise.risk

    def _rows(self, view: _View, start: int, stop: int | None = None) -> LabelledRows:
        return labelled_rows(self.ledger, self.name, start, view.total if stop is None else stop, view.tainted)

    # duels

    def _challenger(self, attempt: Attempt, view: _View) -> Shadow | None:
        version = self._version_of(attempt)
        if version is None:
            return None
        bet = self._duel(f"challenger/{attempt.number}", version, attempt.held_from, view.total, self.settings.promote_error, view)
        return Shadow(version.number, bet.wins, bet.loses, bet.e_better, view.clean_rows(attempt.held_from))

    def _predecessor(self, view: _View) -> Shadow | None:
        """The last champion, tested on the labels that came since it was replaced; nobody after a rollback."""
        began = [fact for fact in self.ledger.read(f"model/{self.name}") if fact.id == view.era]
        version = self.registry.predecessor(self.name)
        if version is None or began[0].kind != "promoted":
            return None
        start = sum(span.stop - span.start for span in view.spans if span.fact < view.era)
        stop = min(view.total, start + self.settings.reverse_rows)
        bet = self._duel(f"predecessor/{view.era}", version, start, stop, self.settings.roll_back_error, view)
        return Shadow(version.number, bet.wins, bet.loses, bet.e_better, view.clean_rows(start))

    def _duel(self, duel: str, shadow: Version, start: int, stop: int, error: float, view: _View) -> PairedBet:
        """Goes on with a test of a shadow against the champion, on the labelled rows it has not seen up to ``stop``."""
        facts = [fact for fact in self._facts("dueled") if fact.body["duel"] == duel]
        upto = facts[-1].body["upto"] if facts else start
        bet = PairedBet.from_json(facts[-1].body["bet"]) if facts else PairedBet(alpha=error)
        promise = view.champion.reference.promise
        if stop <= upto or promise is None:
            return bet
        rows = self._rows(view, upto, stop)
        if len(rows):
            X = inputs_of(rows.X, view.champion.table)
            mine, its = (losses(promise, rows.y, keeper.predict(X)).values for keeper in (view.champion, self._keeper(shadow)))
            bet.update_many(mine - its)
        self._record("dueled", {"duel": duel, "shadow": shadow.number, "upto": stop, "bet": bet.to_json()}, key=f"dueled/{duel}/{stop}")
        return bet

    # act

    def _act(self, decision: Decision, view: _View) -> None:
        challenge, situation = view.challenge, view.situation
        if decision.action in (Action.RETRAIN, Action.RETUNE):
            self._begin(decision.action, view)
        elif decision.action is Action.PROMOTE and situation.shadow is not None and challenge is not None:
            evidence = {"evidence": min(situation.shadow.evidence, 1e300), "rows": situation.shadow.rows}
            self.registry.promote(self.name, situation.shadow.version, decision.reason, evidence)
            self._settle(challenge, "promoted", view.total)
        elif decision.action is Action.DISCARD and challenge is not None:
            self._settle(challenge, "discarded", view.total)
        elif decision.action is Action.ROLL_BACK and situation.predecessor is not None:
            if challenge is not None:
                self._settle(challenge, "overtaken", view.total)
            self.registry.roll_back(self.name, decision.reason, {"evidence": min(situation.predecessor.evidence, 1e300), "rows": situation.predecessor.rows})

    def _begin(self, action: Action, view: _View) -> None:
        """Fix, before anything is fitted, which rows are learned from and which are held back: a continued attempt takes the same ones."""
        rows = self._rows(view, view.relevant)
        held = min(max(self.settings.least_held, round(self.settings.hold_back * len(rows))), len(rows) // 2)
        number = view.attempts + 1
        body = {"number": number, "action": str(action), "era": view.era, "parent": view.champion.version.number, "leave_out": sorted(view.tainted)}
        body |= {"relevant": view.relevant, "trouble": view.trouble, "held_from": int(rows.positions[-held]), "stop": view.total, "tries": view.tries}
        body["sentence"] = f"attempt {number} began: {action} version {view.champion.version.number}, {held:,} later rows held back for the test"
        self._record("attempted", body, key=f"attempted/{number}")

    def _made(self, attempt: Attempt, view: _View) -> list[str]:
        """Fit and register the challenger of an attempt; what went wrong, in words."""
        try:
            make_challenger(
                self.registry, attempt, view.champion, view.spans, self._retrain, self._retune, last_rows=self.settings.last_rows, warm=self.settings.warm
            )
        except Exception as problem:  # a fit can fail in any way; the attempt is over, the loop is not
            cause = str(problem) if isinstance(problem, StayTunedError) else f"{type(problem).__name__}: {problem}"
            self._settle(attempt, "failed", view.total, cause)
            return [f"Attempt {attempt.number} failed: {cause}."]
        return []

    # record

    @property
    def _stream(self) -> str:
        return f"steward/{self.name}"

    def _facts(self, kind: str, era: int | None = None) -> list[Fact]:
        return [fact for fact in self.ledger.read(self._stream, kind=kind) if era is None or fact.body["era"] == era]

    def _record(self, kind: str, body: Mapping[str, Any], key: str | None = None) -> None:
        self.ledger.append([Fact(self._stream, kind, body, key=key)])

    def _settle(self, attempt: Attempt, outcome: str, position: int, cause: str = "") -> None:
        body: dict[str, Any] = {"number": attempt.number, "outcome": outcome, "position": position}
        if outcome != "promoted":
            body["sentence"] = (
                f"attempt {attempt.number} ({attempt.action}) was {outcome}" if outcome != "failed" else f"attempt {attempt.number} failed: {cause}"
            )
        self._record("settled", body, key=f"settled/{attempt.number}")

    def _attempts(self, champion: int, era: int, total: int) -> list[Attempt]:
        """All attempts; one whose champion is no longer in service is settled here, for nothing else can end it."""
        settled = {fact.body["number"]: fact.body for fact in self._facts("settled")}
        attempts = []
        for fact in self._facts("attempted"):
            fields = {name: value for name, value in fact.body.items() if name not in ("sentence", "leave_out", "parent")}
            attempt = Attempt(**fields, leave_out=frozenset(fact.body["leave_out"]), at=fact.at)
            if attempt.number not in settled and attempt.era != era:
                version = self._version_of(attempt)
                outcome = "promoted" if version is not None and version.number == champion else "overtaken"
                self._settle(attempt, outcome, total)
                settled[attempt.number] = {"outcome": outcome, "position": total}
            end = settled.get(attempt.number)
            attempts.append(attempt if end is None else replace(attempt, outcome=end["outcome"], ended=end["position"]))
        return attempts

    def _version_of(self, attempt: Attempt) -> Version | None:
        return next((v for v in self.registry.versions(self.name) if v.manifest.get("attempt") == attempt.number), None)

    @contextmanager
    def _alone(self, what: str, wait: float = 60.0) -> Iterator[None]:
        """Holds the right to watch, or to tend, this model; a dead process's is taken over."""
        key, deadline = f"{what}/{self.name}", time.monotonic() + wait
        while (holder := self.ledger.claim(key, self._owner, _LEASE)) != self._owner:
            if is_dead(holder):
                self.ledger.claim(key, self._owner, _LEASE, instead_of=holder)
            elif time.monotonic() >= deadline:
                raise LedgerLocked(f"another process ({holder}) is about to {what} model {self.name!r}; try again when it is done")
            else:
                time.sleep(0.05)
        try:
            yield
        finally:
            self.ledger.claim(key, self._owner, 0)


_SAME_ROWS = 20  # fewer rows can come twice by chance
_MOST_STEPS = 6
_LEASE = 24 * 3600.0


@dataclass(frozen=True, eq=False)
class _View:
    """The ledger as it stands, read for one decision."""

    champion: Keeper
    era: int
    spans: Sequence[Span]
    tainted: frozenset[str]
    total: int
    relevant: int
    trouble: int
    attempts: int
    tries: int
    situation: Situation = field(default_factory=Situation)
    challenge: Attempt | None = None
    unfinished: Attempt | None = None

    def clean_rows(self, start: int) -> int:
        return sum(max(0, span.stop - max(start, span.start)) for span in self.spans if span.token not in self.tainted)


def _change_position(state: MonitorState, looks: Sequence[Fact], spans: Sequence[Span]) -> int | None:
    """Where, among all labels, the confirmed rise began; None if none is."""
    if state.risk is None or not state.risk.drifted or state.risk.change_point is None:
        return None
    change, by_token = state.risk.change_point, {span.token: span for span in spans}
    for look in looks:
        before, after = look.body["seen"]
        if before <= change < after and look.body["token"] in by_token and look.body["harm"] != "incident":
            span = by_token[look.body["token"]]
            return span.start + int((change - before) / (after - before) * (span.stop - span.start))  # a batch of pairs has fewer losses than rows
    return None
