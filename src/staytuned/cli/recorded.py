"""Studies as a ledger has them, read without writing to it."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from staytuned.errors import NotFoundError, UsageError
from staytuned.goal import Goal
from staytuned.protocols import Ledger
from staytuned.space.codec import space_from_json
from staytuned.space.space import Space
from staytuned.store.keeping import Row, Stream, keeping
from staytuned.story import Story
from staytuned.trial import Cost, Measurement, Status, Trial

_MANY = 200  # studies from which on all are read at once


@dataclass(frozen=True)
class Recorded:
    """A study.

    Args:
        space: what may vary, for a define-by-run study as far as is known; None where it holds Python objects, whose values are named by their places.
        began, last: Unix time in seconds of the first and the last fact.
    """

    name: str
    goal: Goal
    space: Space | None
    story: Story
    began: float
    last: float


def recorded(ledger: Ledger, name: str) -> Recorded:
    """The study of this name.

    Raises:
        NotFoundError: there is none; the message names those there are.
    """
    facts = ledger.read(f"study/{name}")
    founded = next((fact.body for fact in facts if fact.kind == "founded"), None)
    if founded is None:
        raise unknown(name, ledger, bool(facts))
    goal, stored = Goal.parse(founded["goal"]), founded["space"]
    opaque = stored is not None and "opaque" in stored
    story = Story(goal, None if stored is None or opaque else space_from_json(stored))
    for fact in facts:
        story.take_in(replace(fact, body=_by_place(fact.body)) if opaque else fact)
    return Recorded(name, goal, None if opaque else story.space, story, facts[0].at, facts[-1].at)


def unknown(name: str, ledger: Ledger, headless: bool = False) -> UsageError:
    """What to say of a study that is not there."""
    if headless:
        return UsageError(
            f"study {name!r} has no goal in this ledger, only what a worker told after it was deleted; remove the rest: staytuned delete {name} --yes"
        )
    names = [stream.name.removeprefix("study/") for stream in keeping(ledger).streams("study/")]
    if near := difflib.get_close_matches(name, names, n=1):
        return NotFoundError(f"there is no study {name!r}; did you mean {near[0]!r}?")
    some = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more (staytuned studies)" if len(names) > 5 else "")
    return NotFoundError(f"there is no study {name!r}; the ledger has {some or 'none yet'}")


def goals(ledger: Ledger, streams: Sequence[Stream]) -> dict[str, Goal]:
    """The goal of each study that has one, by its stream."""
    if len(streams) <= _MANY:
        facts = [fact for stream in streams for fact in ledger.read(stream.name, kind="founded")]
    else:
        facts = ledger.read("study/", kind="founded")
    return {fact.stream: Goal.parse(fact.body["goal"]) for fact in facts}


def best_of(ledger: Ledger, streams: Iterable[Stream], goals: Mapping[str, Goal]) -> dict[str, float]:
    """The score of the best trial of each study that has one, by its stream. Reads what it needs of every trial and no more."""
    names = [stream.name for stream in streams if stream.name in goals]
    kept, wanted = keeping(ledger), set(names)
    if len(names) <= _MANY:
        rows = (row for name in names for row in kept.rows(name))
    else:
        rows = (row for row in kept.rows("study/") if row.line.stream in wanted)
    shares: dict[tuple[str, int], float] = {}
    best: dict[str, tuple[Any, float]] = {}
    for row in rows:
        stream = row.line.stream
        if row.line.kind == "asked" and '"fidelity":null' not in row.line.body:
            body = json.loads(row.line.body)
            shares[stream, body["number"]] = body["fidelity"]
        elif row.line.kind == "told" and (trial := _ended(row, shares)) is not None:
            rank = goals[stream].rank(trial)
            if rank is not None and (stream not in best or rank < best[stream][0]):
                best[stream] = rank, goals[stream].score(trial)
    return {stream: score for stream, (_, score) in best.items() if math.isfinite(score)}


def _ended(row: Row, shares: Mapping[tuple[str, int], float]) -> Trial | None:
    body = json.loads(row.line.body)
    measured = body["measurement"]
    if measured["status"] != Status.DONE:
        return None
    scores = {name: float(score) for name, score in measured["scores"].items()}
    return Trial(body["number"], {}, fidelity=shares.get((row.line.stream, body["number"])), measurement=Measurement(scores, cost=Cost(*measured["cost"])))


def _by_place(value: Any) -> Any:
    """With ``choice 3`` for a Python object that the ledger knows by its place among the choices."""
    if isinstance(value, dict):
        if set(value) == {"choice"} and isinstance(value["choice"], int):
            return f"choice {value['choice']}"
        return {name: _by_place(part) for name, part in value.items()}
    return [_by_place(part) for part in value] if isinstance(value, list) else value
