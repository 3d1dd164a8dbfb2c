"""The studies of a ledger, read no further than a list of them needs."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from staytuned.errors import NotFoundError, UsageError
from staytuned.goal import Goal
from staytuned.protocols import Ledger
from staytuned.store.keeping import Row, Stream, keeping
from staytuned.trial import Cost, Measurement, Status, Trial

_MANY = 200  # studies from which on all are read at once


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
