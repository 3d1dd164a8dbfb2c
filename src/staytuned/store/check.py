"""Is a ledger whole? Every fact is read, every study's trials are counted, every blob is hashed; what can be put right is, what cannot is said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from staytuned.errors import BlobMissing, LedgerError, StayTunedError
from staytuned.goal import Goal
from staytuned.protocols import Fact, Ledger
from staytuned.space.codec import dimension_from_json, space_from_json
from staytuned.store.digest import is_digest
from staytuned.store.keeping import Held, Keeping, Row, keeping, trial_of
from staytuned.store.references import may_use, uses
from staytuned.trial import measurement_from_json, trial_from_json


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Args:
        place: a stream, a claim's key, a blob's hash, or "database".
        what: it is, with the way out.
        repaired: None where it cannot be repaired, else whether it was.
    """

    place: str
    what: str
    repaired: bool | None


@dataclass(frozen=True, slots=True)
class Examination:
    """What was looked at, and what was found.

    Args:
        idle, idle_bytes: blobs that no fact refers to, which is no fault.
    """

    facts: int
    streams: int
    trials: int
    blobs: int
    idle: int
    idle_bytes: int
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is left to be put right."""
        return all(finding.repaired for finding in self.findings)


def check_ledger(ledger: Ledger, *, repair: bool = False) -> Examination:
    """Look at everything a ledger holds. Others may work on it meanwhile.

    Args:
        repair: make the indices of an SQLite file anew, give claims back whose trials have ended or are gone, and remove damaged blobs that nothing
            refers to. Facts are never changed.
    """
    kept = keeping(ledger)
    findings = [Finding("database", f"SQLite finds: {text}; restore a backup, or save what is left: .recover", None) for text in kept.faults(repair)]
    held = kept.held()  # before the facts: of a trial whose claim is seen the beginning is seen too
    seen = _Seen()
    for row in kept.rows():
        findings += _looked_at(row, seen)
    for study in seen.studies.values():
        findings += study.findings()
    findings += _claims(kept, held, seen, repair)
    blobs, idle, idle_bytes = 0, 0, 0
    for blob in list(kept.shelf.kept()):
        blobs += 1
        if blob.name not in seen.maybe:
            idle, idle_bytes = idle + 1, idle_bytes + blob.size
            findings += _idle_blob(kept, ledger, blob.name, repair)
    for digest, users in seen.used.items():
        findings += _blob(ledger, digest, users)
    trials = sum(len(study.asked) for study in seen.studies.values())
    return Examination(seen.facts, len(seen.streams), trials, blobs, idle, idle_bytes, tuple(_shortened(findings)))


@dataclass
class _StudySeen:
    stream: str
    founded: bool = False
    asked: dict[int, int] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    queued: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def findings(self) -> Iterator[Finding]:
        wrong = list(self.wrong)
        if not self.founded and (self.asked or self.told):
            wrong.insert(0, "its goal and space are not there, so it cannot be gone on with; if it was deleted while a worker ran it, delete it again")
        if gaps := [number for number in range(max(self.asked, default=-1) + 1) if number not in self.asked]:
            wrong.append(f"trial {_listed(gaps)} is not there, but later ones are")
        yield from (Finding(self.stream, text, None) for text in wrong)

    def take_in(self, fact: Fact) -> None:
        body = fact.body
        if fact.kind == "founded":
            self.founded = True
            Goal.parse(body["goal"])
            if body["space"] is not None and "opaque" not in body["space"]:
                space_from_json(body["space"])
        elif fact.kind == "enqueued":
            self.queued.add(fact.id)
        elif fact.kind == "asked":
            self._asked(fact)
        elif fact.kind in ("told", "left", "taken"):
            number = body["number"]
            if number not in self.asked:
                self.wrong.append(f"fact {fact.id} ({fact.kind!r}) is about trial {number}, which had not begun")
            if fact.kind == "told":
                if number in self.told:
                    self.wrong.append(f"trial {number} was told twice, in fact {fact.id} again")
                measurement_from_json(_plain(body["measurement"]))
                for name, dimension in body.get("suggested", {}).items():
                    dimension_from_json(dimension, name)
                self.told.add(number)

    def _asked(self, fact: Fact) -> None:
        trial = trial_from_json({**fact.body, "config": {}})
        if trial.number in self.asked:
            self.wrong.append(f"trial {trial.number} began twice, in fact {fact.id} again")
        elif trial.number != len(self.asked):
            self.wrong.append(f"trial {trial.number} stands where trial {len(self.asked)} should, in fact {fact.id}")
        if (queued := fact.body["queued"]) and queued not in self.queued:
            self.wrong.append(f"trial {trial.number} is said to come from fact {queued}, which is nothing that was enqueued")
        self.asked.setdefault(trial.number, fact.id)


@dataclass
class _Seen:
    facts: int = 0
    streams: set[str] = field(default_factory=set)
    studies: dict[str, _StudySeen] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    used: dict[str, list[str]] = field(default_factory=dict)


def _looked_at(row: Row, seen: _Seen) -> Iterator[Finding]:
    stream = row.line.stream
    seen.facts += 1
    seen.streams.add(stream)
    seen.maybe |= may_use(row)
    try:
        fact = row.fact()
    except LedgerError as problem:
        yield Finding(stream, str(problem), None)
        return
    if not math.isfinite(row.at):
        yield Finding(stream, f"{row.spoken} has no time ({row.at!r})", None)
    for digest in uses(fact.body):
        seen.used.setdefault(digest, []).append(row.spoken)
    if not stream.startswith("study/"):
        return
    study = seen.studies.setdefault(stream, _StudySeen(stream))
    try:
        study.take_in(fact)
    except (KeyError, TypeError, ValueError, AttributeError, StayTunedError) as problem:
        said = f"no {problem}" if isinstance(problem, KeyError) else str(problem)
        yield Finding(stream, f"{row.spoken} makes no sense: {said}", None)


def _claims(kept: Keeping, held: list[Held], seen: _Seen, repair: bool) -> list[Finding]:
    """Claims that hold nothing: a worker that dies between its last word and giving the trial back leaves one."""
    found: dict[str, str] = {}
    for claim in held:
        stream, number = trial_of(claim.key)
        if stream is None or not stream.startswith("study/"):
            continue
        study = seen.studies.get(stream)
        if study is None or number not in study.asked:
            found[claim.key] = "a claim on a trial that is not there"
        elif number in study.told:
            found[claim.key] = "a claim on a trial that has ended"
    if repair and found:
        kept.alone(lambda door: door.free(list(found)))
    return [Finding(key, f"{what}; it hinders nobody", repair) for key, what in found.items()]


def _idle_blob(kept: Keeping, ledger: Ledger, name: str, repair: bool) -> Iterator[Finding]:
    if not is_digest(name):
        return  # an interrupted writer's; the sweep takes it
    try:
        ledger.get(name)
    except BlobMissing:
        if repair:
            kept.shelf.drop(name)
        yield Finding(name, "a damaged blob that nothing refers to", repair)


def _blob(ledger: Ledger, digest: str, users: list[str]) -> Iterator[Finding]:
    try:
        ledger.get(digest)
    except BlobMissing as problem:
        yield Finding(digest, f"{problem} (needed by {users[0]}{f' and {len(users) - 1} more' if len(users) > 1 else ''})", None)


_SHOWN = 20  # findings of one place


def _shortened(findings: list[Finding]) -> Iterator[Finding]:
    for _, part in groupby(sorted(findings, key=lambda finding: finding.place), key=lambda finding: finding.place):
        rows = list(part)
        yield from rows[:_SHOWN]
        if len(rows) > _SHOWN:
            yield Finding(rows[0].place, f"... and {len(rows) - _SHOWN} more of this kind", rows[-1].repaired)


def _plain(measurement: object) -> dict[str, object]:
    """The measurement without configs, which may hold choices that need the space."""
    body = dict(measurement) if isinstance(measurement, dict) else {}
    return {name: value for name, value in body.items() if name not in ("config", "column")}


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
