"""What the bodies of facts refer to: blobs by their hash, and other facts by their id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from staytuned.store.digest import is_digest
from staytuned.store.keeping import Row
from staytuned.store.lines import Line

_DIGEST = re.compile(r'"([0-9a-f]{64})"')
_NAMES = ("rows_at", "digest", "blob", "table")  # under which bodies keep the hash of a blob


def may_use(row: Row) -> set[str]:
    """Every text of a body that could be the hash of a blob: a blob that is none of them has no use."""
    return set(_DIGEST.findall(row.line.body))


def uses(body: Any) -> Iterator[str]:
    """The hashes of the blobs that a body means: those under the names by which blobs are kept."""
    if isinstance(body, dict):
        for name, value in body.items():
            if name in _NAMES and isinstance(value, str) and is_digest(value):
                yield value
            else:
                yield from uses(value)
    elif isinstance(body, list):
        for part in body:
            yield from uses(part)


def may_be_meant(row: Row) -> bool:
    """Whether another fact may speak of this one by its id: a trial of what was enqueued, a steward of what put a version in service."""
    return row.line.kind == "enqueued" or row.line.stream.startswith("model/")


def renumbered(line: Line, ids: Mapping[int, int]) -> Line:
    """The line after its ledger's ids have become others.

    Args:
        ids: the new id of each fact that may be meant, by its old one.
    """
    if line.kind == "asked" and ids:
        body = json.loads(line.body)
        if isinstance(body.get("queued"), int) and body["queued"] in ids:
            return line._replace(body=_text(body | {"queued": ids[body["queued"]]}))
    if not line.stream.startswith("steward/"):
        return line
    body = json.loads(line.body)
    if isinstance(body.get("era"), int) and body["era"] in ids:
        old, body = body["era"], body | {"era": ids[body["era"]]}
        key = line.key and re.sub(rf"^watched/{old}/", f"watched/{body['era']}/", line.key)
        return line._replace(body=_text(body), key=key)
    if isinstance(body.get("duel"), str) and (found := re.fullmatch("predecessor/([0-9]+)", body["duel"])) and int(found[1]) in ids:
        duel = f"predecessor/{ids[int(found[1])]}"
        return line._replace(body=_text(body | {"duel": duel}), key=line.key and line.key.replace(body["duel"], duel))
    return line


def _text(body: Any) -> str:
    return json.dumps(body, allow_nan=False, separators=(",", ":"))
