"""What a ledger says to a database, the same to every one.

There is one writer at a time (see ``databases``), so ids can be counted on from the last one, without gaps, and a reader that asks for
what came after the last id it saw misses none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, update

from staytuned.protocols import Claim, Fact
from staytuned.store.lease import FREE, Lease, grant, refused
from staytuned.store.lines import Line, to_fact
from staytuned.store.schema import claims as leases
from staytuned.store.schema import facts

_LARGEST_ID = 2**63 - 1
_AT_ONCE = 1000  # rows that lie beside their facts in memory

# Everything a line and a claim must know, in one look: every statement more is a way to the server and back, while others wait.
_LOOK = select(
    select(func.max(facts.c.id)).scalar_subquery(),
    select(facts.c.id).where(facts.c.stream == bindparam("stream"), facts.c.key == bindparam("key")).scalar_subquery(),
    select(leases.c.owner).where(leases.c.key == bindparam("claimed")).scalar_subquery(),
    select(leases.c.until).where(leases.c.key == bindparam("claimed")).scalar_subquery(),
)
_INSERT = insert(facts)
_BEGIN_LEASE = insert(leases)
_CHANGE_LEASE = update(leases).where(leases.c.key == bindparam("claimed"))
_END_LEASE = delete(leases).where(leases.c.key == bindparam("claimed"))


def append(connection: Connection, lines: Sequence[Line], claims: Sequence[Claim], now: float) -> list[int]:
    """Write the lines and the claims' leases, or nothing where a claim stands in the way; the ids, 0 for what was left out."""
    last, taken, held = _look(connection, lines, claims)
    ids: list[int] = []
    for line in lines:
        name = (line.stream, line.key)
        if line.key is not None and name in taken:
            ids.append(0)
            continue
        taken.add(name)
        last += 1
        ids.append(last)
    if claims and (0 in ids or any(refused(lease, claim, now) for lease, claim in zip(held, claims, strict=True))):
        return [0] * len(lines)
    for lease, claim in zip(held, claims, strict=True):
        put_lease(connection, claim.key, lease, grant(lease, claim, now))
    if rows := [line._asdict() | {"id": id, "at": now} for line, id in zip(lines, ids, strict=True) if id]:
        connection.execute(_INSERT, rows)
    return ids


def are_there(connection: Connection, lines: Sequence[Line], ids: Sequence[int], now: float) -> bool:
    """Whether the lines were written with these ids at this moment; no if none was to be."""
    last = max((place for place, id in enumerate(ids) if id), default=None)  # all were or none
    if last is None:
        return False
    found = connection.execute(select(facts.c.stream, facts.c.kind, facts.c.key, facts.c.body, facts.c.at).where(facts.c.id == ids[last])).one_or_none()
    return found is not None and Line(*found[:4]) == lines[last] and abs(found[4] - now) < 1e-3


def held_by(connection: Connection, key: str) -> Lease:
    """The lease on a key, FREE if there is none."""
    [held] = _look(connection, [], [Claim(key, "", 0)])[2]
    return held


def put_lease(connection: Connection, key: str, before: Lease, after: Lease) -> None:
    """Keep the lease that follows on another."""
    owner, until = after.owner, min(after.until, sys.float_info.max)  # MySQL knows no infinity
    if after == before:
        return
    if after is FREE:
        connection.execute(_END_LEASE, {"claimed": key})
    elif before is FREE:
        connection.execute(_BEGIN_LEASE, {"key": key, "owner": owner, "until": until})
    else:
        connection.execute(_CHANGE_LEASE, {"claimed": key, "owner": owner, "until": until})


def read(connection: Connection, stream: str, after: int, kind: str | None, limit: int | None) -> list[Fact]:
    """The facts of a stream, of all (empty) or of all that begin so (a trailing slash), of one kind or all, with an id above ``after``, the first ``limit``."""
    if limit is not None and limit < 1:
        return []
    wanted = {"after": min(after, _LARGEST_ID), "stream": stream, "kind": kind} | ({} if limit is None else {"limit": min(limit, _LARGEST_ID)})
    # A range can use the index, and unlike LIKE it tells upper case from lower. "0" is the character after "/".
    range_ = {"beyond": f"{stream[:-1]}0"} if stream.endswith("/") else {}
    rows = connection.execute(_reading(bool(stream), bool(range_), kind is not None, limit is not None), wanted | range_).yield_per(_AT_ONCE)
    return [to_fact(Line(stream, kind, key, body), id, at) for id, stream, kind, key, body, at in rows]


@cache
def _reading(of_stream: bool, of_range: bool, of_kind: bool, limited: bool) -> Select[Any]:
    found = select(facts.c.id, facts.c.stream, facts.c.kind, facts.c.key, facts.c.body, facts.c.at).where(facts.c.id > bindparam("after"))
    if of_range:
        found = found.where(facts.c.stream >= bindparam("stream"), facts.c.stream < bindparam("beyond"))
    elif of_stream:
        found = found.where(facts.c.stream == bindparam("stream"))
    found = (found.where(facts.c.kind == bindparam("kind")) if of_kind else found).order_by(facts.c.id)
    return found.limit(bindparam("limit")) if limited else found


def _look(connection: Connection, lines: Sequence[Line], claims: Sequence[Claim]) -> tuple[int, set[tuple[str, str | None]], list[Lease]]:
    """The last id; the (stream, key) that are there, of those that the lines have; and the lease on each key that is claimed."""
    last, taken, held = 0, set[tuple[str, str | None]](), list[Lease]()
    keyed = [line for line in lines if line.key is not None]
    for line, claim in zip_longest(keyed or lines[:1], claims):
        names = {"stream": line.stream if line else None, "key": line.key if line else None, "claimed": claim.key if claim else None}
        last_id, known, owner, until = connection.execute(_LOOK, names).one()
        last = last_id or 0
        if known:
            taken.add((line.stream, line.key))
        if claim:
            held.append(FREE if owner is None else Lease(owner, until))
    return last, taken, held
