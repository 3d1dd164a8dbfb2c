"""A ledger, or some of its studies, as a file of JSON lines: written whole or not at all, and checked to its end before anything of it is taken in."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from staytuned.errors import BlobMissing, NotFoundError, UsageError
from staytuned.protocols import Fact, Ledger
from staytuned.store.digest import digest_of
from staytuned.store.keeping import Row
from staytuned.store.lines import to_line
from staytuned.store.move import Moved, called_in, chosen, graft, renamed, rows_of
from staytuned.store.references import uses
from staytuned.store.trouble import file_trouble

FORMAT = 1


def export_ledger(ledger: Ledger, path: str | Path, studies: Sequence[str] | None = None) -> Moved:
    """Write all streams, or some studies, with their blobs into a file of JSON lines, packed if its name ends in .gz. It appears whole or not at all.

    The first line names the format, the last one counts the others. In between stand facts, and before the first fact that needs it each blob in base64.

    Raises:
        NotFoundError: there is no such study.
        UsageError: the file exists and is something else than such an export.
        LedgerError: it cannot be written.
    """
    path = Path(path)
    if path.exists() and not _is_export(path):
        raise UsageError(f"{str(path)!r} exists and is no export of staytuned; choose another name")
    called = called_in(ledger, studies, None)
    facts, streams, blobs, missing = 0, set[str](), set[str](), set[str]()
    with _writing(path) as write:
        write({"staytuned": "export", "format": FORMAT, "made": time.time()})
        for row in rows_of(ledger, called):
            fact = row.fact()
            for digest in sorted(set(uses(fact.body)) - blobs - missing):
                try:
                    write({"blob": digest, "base64": base64.b64encode(ledger.get(digest)).decode()})
                    blobs.add(digest)
                except BlobMissing:
                    missing.add(digest)
            write({"id": fact.id, "at": fact.at, "stream": fact.stream, "kind": fact.kind, "key": fact.key, "body": fact.body})
            facts += 1
            streams.add(fact.stream)
        write({"end": {"facts": facts, "blobs": len(blobs), "missing": sorted(missing)}})
    return Moved(facts, 0, tuple(sorted(streams)), len(blobs), tuple(sorted(missing)))


def import_ledger(path: str | Path, ledger: Ledger, studies: Sequence[str] | None = None, rename: Mapping[str, str] | None = None) -> Moved:
    """Read a file written by :func:`export_ledger` into a ledger, after the whole file was checked.

    Args:
        studies: their names; None for everything.
        rename: the names of studies in the ledger, by their names in the file.

    Raises:
        UsageError: the file is no export, or damaged (the message names the line), or the ledger has a study of that name with another history.
        NotFoundError: the file holds no such study.
    """
    path = Path(path)
    used_by, missing = _checked(path)
    called = chosen(used_by, studies, rename, f"{str(path)!r}")
    used = {digest for stream in called for digest in used_by[stream]}
    blobs = 0
    for _, _, blob in _parsed(path) if used - missing else ():
        if blob is not None and blob.digest in used:
            ledger.put(blob.bytes)
            blobs += 1
    grafted = graft(ledger, (renamed(row, called) for _, row, _ in _parsed(path) if row is not None and row.line.stream in called))
    return Moved(*grafted, blobs, tuple(sorted(used & missing)))


def is_export(path: Path) -> bool:
    """Whether a file begins as :func:`export_ledger` begins it."""
    return path.is_file() and _is_export(path)


def _is_header(line: bytes) -> bool:
    """Whether a line is the first one of an export, of whatever version."""
    try:
        header = json.loads(line)
    except ValueError:
        return False
    return isinstance(header, dict) and header.get("staytuned") == "export"


class _Blob(NamedTuple):
    digest: str
    bytes: bytes


@contextmanager
def _writing(path: Path) -> Iterator[Callable[[Any], None]]:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) if path.suffix == ".gz" else file
            yield lambda line: cast(None, packed.write(json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n"))
            packed.close() if packed is not file else None
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as problem:
        raise file_trouble(problem, path) from problem
    finally:
        with suppress(OSError):
            part.unlink()


def _opened(path: Path) -> IO[bytes]:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")
    except FileNotFoundError as problem:
        raise NotFoundError(f"no such file: {str(path)!r}") from problem
    except OSError as problem:
        raise file_trouble(problem, path) from problem


def _is_export(path: Path) -> bool:
    try:
        with _opened(path) as file:
            return _is_header(file.readline(10_000))
    except (OSError, EOFError, zlib.error):
        return False


def _checked(path: Path) -> tuple[dict[str, set[str]], set[str]]:
    """Read the whole file; the hashes of the blobs that each stream uses, and of those that were missing when it was written."""
    facts, blobs, last = 0, 0, 0
    used: dict[str, set[str]] = {}
    keys: set[tuple[str, str]] = set()
    end: dict[str, Any] | None = None
    number = 0
    for number, line in _numbered(path):
        if end is not None:
            raise UsageError(f"{str(path)!r}, line {number}: something follows the last line; it was written to after it was finished, nothing was imported")
        if number == 1:
            _check_header(path, line)
        elif "end" in line:
            end = line["end"]
        elif "blob" in line:
            _blob(path, number, line)
            blobs += 1
        else:
            row = _row(path, number, line)
            if row.id <= last or (row.line.stream, row.line.key) in keys:
                raise _damaged(path, number, "its id or key was there before")
            last = row.id
            if row.line.key is not None:
                keys.add((row.line.stream, row.line.key))
            facts += 1
            used.setdefault(row.line.stream, set()).update(uses(line["body"]))
    if number == 0:
        raise UsageError(f"{str(path)!r} is empty; export the ledger again")
    if not isinstance(end, dict) or (end.get("facts"), end.get("blobs")) != (facts, blobs):
        raise _damaged(path, number, "the file is cut off here" if end is None else f"it counts {end}, but there are {facts} facts and {blobs} blobs")
    return used, set(end.get("missing", ()))


def _parsed(path: Path) -> Iterator[tuple[int, Row | None, _Blob | None]]:
    """The lines of a file that was checked."""
    for number, line in _numbered(path):
        if number == 1 or "end" in line:
            continue
        if "blob" in line:
            yield number, None, _blob(path, number, line)
        else:
            yield number, _row(path, number, line), None


def _numbered(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    with _opened(path) as file:
        try:
            for number, text in enumerate(file, 1):
                try:
                    line = json.loads(text, parse_constant=_no_constant)
                except ValueError as problem:
                    if number == 1:
                        raise _no_export(path) from problem
                    raise _damaged(path, number, "the file is cut off here" if not text.endswith(b"\n") else "it is no JSON") from problem
                if not isinstance(line, dict):
                    raise _damaged(path, number, "it is no JSON object")
                yield number, line
        except (OSError, EOFError, zlib.error) as problem:
            raise _damaged(path, number + 1, f"it cannot be unpacked ({problem})") from problem


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _check_header(path: Path, line: dict[str, Any]) -> None:
    if line.get("staytuned") != "export":
        raise _no_export(path)
    if line.get("format") != FORMAT:
        raise UsageError(f"{str(path)!r} has format {line.get('format')!r}, and this staytuned reads {FORMAT}; upgrade it: pip install --upgrade staytuned")


def _row(path: Path, number: int, line: dict[str, Any]) -> Row:
    id, at = line.get("id"), line.get("at")
    if not isinstance(id, int) or isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
        raise _damaged(path, number, "it is neither a fact nor a blob")
    try:
        fact = Fact(line["stream"], line["kind"], line["body"], line["key"])
        return Row(id, to_line(fact), float(at))
    except KeyError as problem:
        raise _damaged(path, number, f"it has no {problem}") from problem
    except UsageError as problem:
        raise _damaged(path, number, str(problem)) from problem


def _blob(path: Path, number: int, line: dict[str, Any]) -> _Blob:
    try:
        blob = base64.b64decode(line["base64"], validate=True)
    except (KeyError, TypeError, binascii.Error) as problem:
        raise _damaged(path, number, "its blob cannot be decoded") from problem
    if digest_of(blob) != line["blob"]:
        raise _damaged(path, number, f"its blob does not match its hash {line['blob']!r}")
    return _Blob(line["blob"], blob)


def _no_export(path: Path) -> UsageError:
    return UsageError(f"{str(path)!r} is no export of staytuned; name a file that 'staytuned export' wrote")


def _damaged(path: Path, number: int, what: str) -> UsageError:
    return UsageError(f"{str(path)!r}, line {number}: {what}; the file is damaged, nothing was imported: export the ledger again")
