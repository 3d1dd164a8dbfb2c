"""Studies and whole ledgers from one ledger into another.

What arrives keeps its keys, times and order, and is given new ids. A stream that is there already is gone on with, if its facts are the first ones of
what comes; so moving twice changes nothing, and moving again later brings what was added. All facts are written at once or none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from staytuned.errors import BlobMissing, NotFoundError, UsageError
from staytuned.protocols import Ledger
from staytuned.store.keeping import OWN, Door, Row, keeping
from staytuned.store.lines import Line
from staytuned.store.references import may_be_meant, renumbered, uses

_PART = 2_000  # facts written at a time


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved.

    Args:
        facts: that were new there.
        known: that were there already.
        streams: of all of them, by name, as they are called there.
        blobs: that went along.
        missing: the hashes of those that were gone before.
    """

    facts: int
    known: int
    streams: tuple[str, ...]
    blobs: int
    missing: tuple[str, ...]


def copy_ledger(source: Ledger, target: Ledger, studies: Sequence[str] | None = None, rename: Mapping[str, str] | None = None) -> Moved:
    """Copy all streams, or some studies, with their blobs. Leases stay behind: a trial under way is run again at the target.

    Args:
        studies: their names; None for everything, models and stewards too.
        rename: the names of studies there, by their names here.

    Raises:
        NotFoundError: there is no such study.
        UsageError: the target has a study of that name with another history; or both are one ledger.
    """
    place = getattr(source, "place", None)
    if source is target or (place is not None and place == getattr(target, "place", None)):
        raise UsageError(f"{source!r} cannot be copied onto itself; name another ledger")
    called = called_in(source, studies, rename)
    last, blobs, missing = 0, set[str](), set[str]()
    for row in rows_of(source, called):
        last = row.id
        for digest in set(uses(row.fact().body)) - blobs - missing:
            try:
                target.put(source.get(digest))
                blobs.add(digest)
            except BlobMissing:
                missing.add(digest)
    # What was appended since then would come without its blobs.
    grafted = graft(target, (renamed(row, called) for row in rows_of(source, called) if row.id <= last))
    return Moved(*grafted, len(blobs), tuple(sorted(missing)))


def graft(target: Ledger, rows: Iterable[Row]) -> tuple[int, int, tuple[str, ...]]:
    """Write rows of another ledger, all or none; how many were new, how many known, and their streams.

    Args:
        rows: in order of their old ids.

    Raises:
        UsageError: a stream is there already with another history.
    """
    return keeping(target).alone(lambda door: _grafted(door, rows))


def _grafted(door: Door, rows: Iterable[Row]) -> tuple[int, int, tuple[str, ...]]:
    names, last = door.names(), door.last()
    there: dict[str, list[Row]] = {}
    seen: Counter[str] = Counter()
    ids: dict[int, int] = {}
    new: list[Row] = []
    written = 0
    for row in rows:
        stream, place = row.line.stream, seen[row.line.stream]
        if stream in names and stream not in there:
            there[stream] = door.rows(stream)
        seen[stream] += 1
        line = renumbered(row.line, ids)
        known = there.get(stream, [])
        if place < len(known):
            if not _same(known[place], line, row.at):
                raise UsageError(_conflict(known[place], place))
            id = known[place].id
        else:
            last = id = last + 1
            new.append(Row(id, line, row.at))
        if may_be_meant(row):
            ids[row.id] = id
        if len(new) == _PART:
            door.add(new)
            written += len(new)
            new = []
    door.add(new)
    written += len(new)
    return written, sum(seen.values()) - written, tuple(sorted(seen))


def _same(row: Row, line: Line, at: float) -> bool:
    return row.line[:3] == line[:3] and row.at == at and (row.line.body == line.body or row.fact().body == json.loads(line.body))


def _conflict(row: Row, place: int) -> str:
    kind, _, name = row.line.stream.partition("/")
    way_out = f"bring it in under another name with rename (--rename {name}={name}-2)" if kind == "study" else "copy it into a ledger of its own"
    return f"the {kind} {name!r} is in this ledger already with another history (from its fact {place + 1}, {row.line.kind!r}); nothing was changed: {way_out}"


def called_in(source: Ledger, studies: Sequence[str] | None, rename: Mapping[str, str] | None) -> dict[str, str]:
    """The streams wanted of a ledger, each with its name at the target."""
    return chosen([stream.name for stream in keeping(source).streams()], studies, rename, repr(source))


def chosen(streams: Iterable[str], studies: Sequence[str] | None, rename: Mapping[str, str] | None, where: str) -> dict[str, str]:
    """The streams wanted, each with its name at the target.

    Args:
        where: what messages call the source.
    """
    there = [stream for stream in streams if stream != OWN]
    known = sorted(stream.removeprefix("study/") for stream in there if stream.startswith("study/"))
    for name in (*(studies or ()), *(rename or {})):
        if name not in known:
            some = ", ".join(map(repr, known[:5])) + (", ..." if len(known) > 5 else "")
            raise NotFoundError(f"there is no study {name!r} in {where}; it has {some or 'none'}")
    called = {stream: stream for stream in there if studies is None or stream in {f"study/{name}" for name in studies}}
    called |= {f"study/{old}": f"study/{new}" for old, new in (rename or {}).items() if f"study/{old}" in called}
    if twice := [name for name, count in Counter(called.values()).items() if count > 1]:
        raise UsageError(f"two studies cannot both be called {twice[0].removeprefix('study/')!r}; rename each to a name of its own")
    return called


def rows_of(source: Ledger, called: Mapping[str, str]) -> Iterator[Row]:
    """The rows of some of its streams, in order."""
    [only] = called if len(called) == 1 else [""]
    return (row for row in keeping(source).rows(only) if row.line.stream in called)


def renamed(row: Row, called: Mapping[str, str]) -> Row:
    """The row as it is called at the target."""
    return row._replace(line=row.line._replace(stream=called[row.line.stream]))
