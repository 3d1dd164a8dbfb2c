"""What keeping a ledger takes and working with it never does: lists of its streams, claims and blobs, and ways to add and to remove.

The seam (``Ledger``) stays small because of this page: whatever reaches behind it does so here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, Select, delete, func, insert, select

from staytuned.errors import LedgerError, UsageError
from staytuned.protocols import Fact, Ledger
from staytuned.store.lines import Line, to_fact, to_line
from staytuned.store.memory import MemoryLedger
from staytuned.store.schema import claims as claims_table
from staytuned.store.schema import facts as facts_table
from staytuned.store.shelf import Shelf, memory_shelf, shelf_of
from staytuned.store.sql import SqlLedger

_T = TypeVar("_T")
_PART = 5_000  # facts at a time

OWN = "ledger"  # the stream in which a ledger says what was done to itself


class Row(NamedTuple):
    """A fact as it is kept: its body as text."""

    id: int
    line: Line
    at: float

    def fact(self) -> Fact:
        """The fact.

        Raises:
            LedgerError: its body is no JSON object.
        """
        try:
            fact = to_fact(self.line, self.id, self.at)
        except ValueError as problem:
            raise LedgerError(f"{self.spoken} cannot be read ({problem}); restore a backup, and see what else is wrong: staytuned check") from problem
        if not isinstance(fact.body, dict):
            raise LedgerError(f"{self.spoken} holds no JSON object; restore a backup, and see what else is wrong: staytuned check")
        return fact

    @property
    def spoken(self) -> str:
        """What messages call it."""
        return f"fact {self.id} ({self.line.kind!r} in {self.line.stream!r})"


class Stream(NamedTuple):
    """A stream, its number of facts of each kind, and when the last one was written in Unix seconds."""

    name: str
    kinds: dict[str, int]
    last: float


class Held(NamedTuple):
    """A key, who holds it, and until when in Unix seconds."""

    key: str
    owner: str
    until: float


class Door(Protocol):
    """A ledger that is closed to all others: what happens through the door happens as a whole or not at all."""

    def last(self) -> int:
        """The highest id."""
        ...

    def names(self) -> set[str]:
        """The streams there are."""
        ...

    def rows(self, stream: str) -> list[Row]:
        """A stream."""
        ...

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows with their ids, the next ones in order, and their times."""
        ...

    def remove(self, streams: Sequence[str]) -> int:
        """Take out streams with their claims; the number of facts. A line of the stream "ledger" remembers it, so that no id is given twice."""
        ...

    def held(self) -> list[Held]:
        """All claims."""
        ...

    def free(self, keys: Sequence[str]) -> None:
        """End claims, whoever holds them."""
        ...


class Keeping(Protocol):
    """A ledger, for those who keep it."""

    shelf: Shelf

    def streams(self, prefix: str = "") -> list[Stream]:
        """The streams whose names begin so, the last one written to first."""
        ...

    def rows(self, stream: str = "") -> Iterator[Row]:
        """The rows of a stream, of all (empty) or of all that begin so (a trailing slash), in order of id."""
        ...

    def alone(self, step: Callable[[Door], _T]) -> _T:
        """The step's answer; while it runs nobody else writes."""
        ...

    def held(self) -> list[Held]:
        """All claims."""
        ...

    def faults(self, repair: bool) -> list[str]:
        """What the database itself finds wrong with its pages and indices; with ``repair`` the indices are made anew first."""
        ...


def keeping(ledger: Ledger) -> Keeping:
    """A ledger of this package, for those who keep it.

    Raises:
        UsageError: it is another's ledger, of which only the seam is known.
    """
    if isinstance(ledger, SqlLedger):
        return _InDatabase(ledger)
    if isinstance(ledger, MemoryLedger):
        return _InMemory(ledger)
    raise UsageError(f"{ledger!r} cannot be kept by staytuned, which knows the insides of its own ledgers only; export it by its own means")


def claims_of(streams: Iterable[str], held: Iterable[Held]) -> list[Held]:
    """The claims on the trials of streams."""
    wanted = set(streams)
    return [claim for claim in held if (stream := trial_of(claim.key)[0]) is not None and stream in wanted]


def trial_of(key: str) -> tuple[str | None, int]:
    """The stream and the number of the trial that a claim's key names; (None, -1) for any other key."""
    stream, _, number = key.rpartition("/")
    return (stream, int(number)) if stream and re.fullmatch("[0-9]+", number) else (None, -1)


def _removal(streams: Sequence[str], removed: int) -> Line:
    return to_line(Fact(OWN, "deleted", {"streams": list(streams), "facts": removed}))


class _InDatabase:
    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        # The one place where the insides of SqlLedger are used.
        self._visit: Callable[[Callable[[Connection], Any]], Any] = ledger._read
        self._change: Callable[[Callable[[Connection, float], Any]], Any] = ledger._write
        self.shelf = shelf_of(ledger.blobs, self._visit, self._change)

    def streams(self, prefix: str = "") -> list[Stream]:
        columns = facts_table.c.stream, facts_table.c.kind, func.count(), func.max(facts_table.c.at)
        counts = _named(select(*columns), prefix, whole=False).group_by(facts_table.c.stream, facts_table.c.kind).order_by(facts_table.c.stream)
        found = self._visit(lambda connection: connection.execute(counts).all())
        streams = []
        for name, part in groupby(found, key=lambda row: row[0]):
            rows = list(part)
            streams.append(Stream(name, {kind: count for _, kind, count, _ in rows}, max(last for *_, last in rows)))
        return sorted(streams, key=lambda stream: -stream.last)

    def rows(self, stream: str = "") -> Iterator[Row]:
        after = 0
        while True:
            wanted = _named(_ROWS, stream).where(facts_table.c.id > after).order_by(facts_table.c.id).limit(_PART)
            part = [_row(*row) for row in self._visit(partial(_all, wanted))]
            yield from part
            if len(part) < _PART:
                return
            after = part[-1].id

    def alone(self, step: Callable[[Door], _T]) -> _T:
        return self._change(lambda connection, now: step(_DatabaseDoor(connection, now)))  # type: ignore[no-any-return]

    def held(self) -> list[Held]:
        return self._visit(lambda connection: _held(connection))  # type: ignore[no-any-return]

    def faults(self, repair: bool) -> list[str]:
        if repair and not self._ledger.read_only:
            self._change(lambda connection, _: connection.exec_driver_sql("REINDEX") if connection.dialect.name == "sqlite" else None)
        return self._visit(_faults)  # type: ignore[no-any-return]


class _DatabaseDoor:
    def __init__(self, connection: Connection, now: float) -> None:
        self._connection = connection
        self._now = now

    def last(self) -> int:
        return int(self._connection.scalar(select(func.max(facts_table.c.id))) or 0)

    def names(self) -> set[str]:
        return set(self._connection.scalars(select(facts_table.c.stream).distinct()))

    def rows(self, stream: str) -> list[Row]:
        return [_row(*row) for row in self._connection.execute(_named(_ROWS, stream).order_by(facts_table.c.id)).all()]

    def add(self, rows: Sequence[Row]) -> None:
        if rows:
            self._connection.execute(insert(facts_table), [row.line._asdict() | {"id": row.id, "at": row.at} for row in rows])

    def remove(self, streams: Sequence[str]) -> int:
        last = self.last()
        removed = sum(self._connection.execute(delete(facts_table).where(facts_table.c.stream == stream)).rowcount for stream in streams)
        self.free([claim.key for claim in claims_of(streams, self.held())])
        self.add([Row(last + 1, _removal(streams, removed), self._now)])
        return removed

    def held(self) -> list[Held]:
        return _held(self._connection)

    def free(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._connection.execute(delete(claims_table).where(claims_table.c.key == key))


_ROWS: Select[Any] = select(facts_table.c.id, facts_table.c.stream, facts_table.c.kind, facts_table.c.key, facts_table.c.body, facts_table.c.at)


def _all(wanted: Select[Any], connection: Connection) -> Sequence[Any]:
    return connection.execute(wanted).all()


def _row(id: int, stream: str, kind: str, key: str | None, body: str, at: float) -> Row:
    return Row(id, Line(stream, kind, key, body), at)


def _named(wanted: Select[Any], stream: str, whole: bool = True) -> Select[Any]:
    """The selection narrowed to a stream, or to all that begin so; ``whole``: only a trailing slash means a beginning."""
    if not stream:
        return wanted
    if whole and not stream.endswith("/"):
        return wanted.where(facts_table.c.stream == stream)
    return wanted.where(facts_table.c.stream >= stream, facts_table.c.stream < f"{stream[:-1]}{chr(ord(stream[-1]) + 1)}")


def _held(connection: Connection) -> list[Held]:
    return [Held(*row) for row in connection.execute(select(claims_table.c.key, claims_table.c.owner, claims_table.c.until)).all()]


def _faults(connection: Connection) -> list[str]:
    if connection.dialect.name != "sqlite":
        return []  # a server looks after its own pages
    return [text for text in connection.exec_driver_sql("PRAGMA integrity_check").scalars() if text != "ok"]


class _InMemory:
    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.shelf = memory_shelf(ledger._blobs)

    def streams(self, prefix: str = "") -> list[Stream]:
        found: dict[str, Stream] = {}
        for row in self.rows():
            if row.line.stream.startswith(prefix):
                stream = found.setdefault(row.line.stream, Stream(row.line.stream, {}, row.at))
                stream.kinds[row.line.kind] = stream.kinds.get(row.line.kind, 0) + 1
                found[row.line.stream] = stream._replace(last=max(stream.last, row.at))
        return sorted(found.values(), key=lambda stream: -stream.last)

    def rows(self, stream: str = "") -> Iterator[Row]:
        for fact in self._ledger.read(stream):
            yield Row(fact.id, to_line(fact), fact.at)

    def alone(self, step: Callable[[Door], _T]) -> _T:
        ledger = self._ledger
        with ledger._lock:
            before = list(ledger._lines), set(ledger._keys), dict(ledger._leases)
            try:
                return step(_MemoryDoor(ledger))
            except BaseException:
                ledger._lines, ledger._keys, ledger._leases = before
                raise

    def held(self) -> list[Held]:
        return self.alone(lambda door: door.held())

    def faults(self, repair: bool) -> list[str]:  # noqa: ARG002
        return []


class _MemoryDoor:
    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def last(self) -> int:
        return len(self._ledger._lines)

    def names(self) -> set[str]:
        return {line.stream for line, _ in self._ledger._lines}

    def rows(self, stream: str) -> list[Row]:
        return [Row(id, line, at) for id, (line, at) in enumerate(self._ledger._lines, 1) if line.stream == stream]

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._ledger._lines.append((row.line, row.at))
            if row.line.key is not None:
                self._ledger._keys.add((row.line.stream, row.line.key))

    def remove(self, streams: Sequence[str]) -> int:
        removed = 0
        for place, (line, at) in enumerate(self._ledger._lines):
            if line.stream in streams:
                removed += 1
                self._ledger._lines[place] = Line(OWN, "gone", None, "{}"), at  # ids are places here: an empty line keeps the others'
                self._ledger._keys.discard((line.stream, line.key or ""))
        self.free([claim.key for claim in claims_of(streams, self.held())])
        self._ledger._lines.append((_removal(streams, removed), time.time()))
        return removed

    def held(self) -> list[Held]:
        return [Held(key, *lease) for key, lease in self._ledger._leases.items() if lease.owner]

    def free(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._ledger._leases.pop(key, None)
