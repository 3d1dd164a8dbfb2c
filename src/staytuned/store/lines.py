"""What may be written in a ledger, and how a fact's body becomes text; one door for all ledgers, so that they agree."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from staytuned.errors import UsageError
from staytuned.protocols import Fact


class Line(NamedTuple):
    """A fact ready to be written: names checked, body as JSON text."""

    stream: str
    kind: str
    key: str | None
    body: str


def to_line(fact: Fact) -> Line:
    """The line a fact becomes; its own ``id`` and ``at`` are left out, for the ledger gives them.

    Raises:
        UsageError: a name is empty or cannot be stored, or the body is no JSON.
    """
    stream = checked_name("stream", fact.stream)
    if stream.endswith("/"):
        raise UsageError(f"stream={stream!r} must not end in a slash, which means 'all streams that begin so'; try {stream.rstrip('/')!r}")
    key = None if fact.key is None else checked_name("key", fact.key)
    return Line(stream, checked_name("kind", fact.kind), key, _body_text(fact))


def to_fact(line: Line, id: int, at: float) -> Fact:
    """The fact as it is read back; every call gives a body of its own."""
    return Fact(line.stream, line.kind, json.loads(line.body), line.key, id, at)


LONGEST_NAME = 1000  # bytes in UTF-8; two of them must fit into a key of an index, which MySQL limits to 3072


def checked_name(role: str, name: object) -> str:
    """The name, if every ledger can store it and tell it from others.

    Raises:
        UsageError: it is no text, empty, longer than 1000 bytes, or holds a NUL or half a character, which databases refuse or cut short.
    """
    if not isinstance(name, str) or not name:
        raise UsageError(f"{role}={name!r} must be a text of at least one character")
    if "\0" in name or (not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name)):
        raise UsageError(f"{role}={name!r} holds a character that cannot be stored (NUL or a lone surrogate); leave it out")
    if 4 * len(name) > LONGEST_NAME and len(name.encode()) > LONGEST_NAME:
        raise UsageError(f"{role}={name[:40]!r}... is {len(name.encode())} bytes long; shorten it to {LONGEST_NAME}")
    return name


def checked_blob(blob: object) -> bytes:
    """The blob as bytes.

    Raises:
        UsageError: it is something else, such as a text.
    """
    if not isinstance(blob, bytes | bytearray | memoryview):
        raise UsageError(f"a blob must be bytes, not {type(blob).__name__}; encode it first")
    return bytes(blob)


def _body_text(fact: Fact) -> str:
    if not isinstance(fact.body, Mapping):
        raise UsageError(f"the body of fact {fact.kind!r} in {fact.stream!r} is a {type(fact.body).__name__}; it must be a mapping such as {{'score': 0.9}}")
    body = dict(fact.body)
    try:
        # Plain ASCII, so that no database has a say in how text is encoded.
        return json.dumps(body, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as problem:
        fault = _first_fault(body) or str(problem)
        raise UsageError(f"the body of fact {fact.kind!r} in {fact.stream!r} is no JSON: {fault}; write numbers, texts, lists and mappings only") from problem


def _first_fault(body: dict[Any, Any]) -> str:
    try:
        return next(_faults(body, ""), "")
    except RecursionError:
        return "it contains itself or is nested too deeply"


def _faults(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str | int | float | None):
                yield f"the key {_shown(key)} at {place or 'the top'}"
            yield from _faults(part, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _faults(part, f"{place}[{index}]")
    elif not _is_json(value):
        yield f"{place} = {_shown(value)}"


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _shown(value: Any) -> str:
    return " ".join(reprlib.repr(value).split())
