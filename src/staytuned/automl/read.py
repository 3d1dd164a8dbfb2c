"""Files to tables: CSV, TSV, Parquet, JSON; compressed or not; whatever their separator, encoding and decimal sign."""

from __future__ import annotations

import bz2
import csv
import difflib
import gzip
import io
import json
import lzma
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from staytuned.errors import TableError

SEPARATORS = (",", ";", "\t", "|")

_SAMPLE = 200  # records that are looked at to find separator and decimal sign
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstandard", b"PK\x03\x04": "zip"}
_PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zip", ".zst")
_OFFICE = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
_COMMA_NUMBER = re.compile(r"^\s*[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+\s*$")
_POINT_NUMBER = re.compile(r"^\s*[-+]?\d+\.\d+\s*$")
_GROUPED_NUMBER = re.compile(r"^\s*[-+]?\d{1,3}(\.\d{3})+,\d+\s*$")


def read_table(path: str | Path) -> pd.DataFrame:
    """The table in a file: one row per record, one column per name, names stripped of outer spaces.

    The packing (gzip, bzip2, xz, zip, zstandard) and Parquet are known by the first bytes, JSON and JSON lines by the ending
    (.json, .jsonl, .ndjson), everything else is text: UTF-8 or else Latin-1, separated by comma, semicolon, tab or bar,
    whichever cuts the lines most evenly. Where it is not the comma, a decimal comma is understood. Empty fields, ``NA``,
    ``NaN``, ``null`` and ``?`` are missing.

    Raises:
        TableError: there is no such file, it is empty, or it cannot be taken apart without guessing; the message names the line.
    """
    place = Path(path).expanduser()
    raw = _unpacked(_bytes(place), place)
    if not raw.strip():
        raise TableError(f"{str(place)!r} is empty; it needs a line of column names and at least one row")
    table = _tidy(_reader(place, raw)(raw, place), place)
    if table.empty:
        raise TableError(f"{str(place)!r} has column names ({_listed(table.columns)}) but no rows")
    return table


def nearest(name: str, names: Sequence[str]) -> str:
    """The most similar of some names as ``; did you mean 'x'?``, or an empty string."""
    by_fold = {n.casefold(): n for n in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), list(by_fold), n=1, cutoff=0.5)
    return f"; did you mean {by_fold[close[0]]!r}?" if close else ""


def _bytes(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        folder = place.parent
        if not folder.is_dir():
            raise TableError(f"no such file: {str(place)!r}; the folder {str(folder)!r} does not exist either") from None
        raise TableError(f"no such file: {str(place)!r}{nearest(place.name, sorted(p.name for p in folder.iterdir() if p.is_file()))}") from None
    except IsADirectoryError:
        inside = next((p.name for p in sorted(place.iterdir()) if p.is_file()), None)
        raise TableError(f"{str(place)!r} is a folder; name a file in it" + (f", such as {str(place / inside)!r}" if inside else "")) from None
    except OSError as problem:
        raise TableError(f"{str(place)!r} cannot be read: {problem.strerror or problem}") from problem


def _unpacked(raw: bytes, place: Path) -> bytes:
    packing = next((name for magic, name in _PACKED.items() if raw.startswith(magic)), None)
    if place.suffix.lower() in _OFFICE:
        raise TableError(f"{str(place)!r} is a spreadsheet; save it as CSV and read that")
    openers: dict[str | None, Callable[[bytes], bytes]] = {
        None: bytes,
        "gzip": gzip.decompress,
        "bzip2": bz2.decompress,
        "xz": lzma.decompress,
        "zstandard": lambda packed: pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read(),
        "zip": lambda packed: _only_member(packed, place),
    }
    try:
        return openers[packing](raw)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException) as problem:
        raise TableError(f"{str(place)!r} is a damaged {packing} file ({problem}); get a fresh copy") from problem


def _only_member(packed: bytes, place: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = [m for m in archive.namelist() if not m.endswith("/") and not m.startswith("__MACOSX")]
        if len(members) != 1:
            raise TableError(f"{str(place)!r} holds {len(members)} files ({_listed(members)}); a table is read from a zip of exactly one")
        return archive.read(members[0])


def _reader(place: Path, raw: bytes) -> Callable[[bytes, Path], pd.DataFrame]:
    ending = _ending(place)
    if raw.startswith(b"PAR1") or ending in (".parquet", ".pq"):
        return _parquet
    return {".json": _json, ".jsonl": _json_lines, ".ndjson": _json_lines}.get(ending, _separated)


def _ending(place: Path) -> str:
    endings = [s.lower() for s in place.suffixes]
    while endings and endings[-1] in _PACKED_ENDINGS:
        endings.pop()
    return endings[-1] if endings else ""


def _tidy(table: pd.DataFrame, place: Path) -> pd.DataFrame:
    names = [str(n).strip() for n in table.columns]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise TableError(f"{str(place)!r} has more than one column named {_listed(twice)}; give each column its own name")
    if not names:
        raise TableError(f"{str(place)!r} has no columns")
    return table.set_axis(names, axis=1)


def _parquet(raw: bytes, place: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(raw))
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise TableError(f"{str(place)!r} is no readable Parquet file ({str(problem).splitlines()[0]}); write it again, or save it as CSV") from problem
    kept = [name for name in table.index.names if name is not None and name not in table.columns]
    return table.reset_index(level=kept).reset_index(drop=True) if kept else table.reset_index(drop=True)


def _json(raw: bytes, place: Path) -> pd.DataFrame:
    text = _text(raw, place)
    try:
        body = json.loads(text)
    except json.JSONDecodeError as problem:
        if problem.msg == "Extra data":  # one record per line under the ending .json
            return _json_lines(raw, place)
        raise TableError(f"{str(place)!r} is no valid JSON: line {problem.lineno}: {problem.msg}") from problem
    if isinstance(body, dict) and all(isinstance(v, list) for v in body.values()):
        if len({len(v) for v in body.values()}) > 1:
            raise TableError(f"{str(place)!r} holds columns of different lengths: { {k: len(v) for k, v in body.items()} }")
        return pd.DataFrame({k: [_flat(x) for x in v] for k, v in body.items()})
    return _records(body if isinstance(body, list) else [body], place)


def _json_lines(raw: bytes, place: Path) -> pd.DataFrame:
    records = []
    for number, line in enumerate(_text(raw, place).splitlines(), start=1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as problem:
                raise TableError(f"{str(place)!r}: line {number} is no valid JSON: {problem.msg} at {line.strip()[:40]!r}") from problem
    return _records(records, place)


def _records(records: list[Any], place: Path) -> pd.DataFrame:
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise TableError(f"{str(place)!r}: record {number} is {str(record)[:40]!r}; every record must be an object such as {{'age': 31, 'sex': 'f'}}")
    return pd.DataFrame([{k: _flat(v) for k, v in record.items()} for record in records])


def _flat(value: Any) -> Any:
    """Nested values as text, which a column can hold."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _text(raw: bytes, place: Path) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    if b"\x00" in raw[:4096]:
        raise TableError(f"{str(place)!r} is not a text file; CSV, TSV, Parquet, JSON and JSON lines can be read")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _separated(raw: bytes, place: Path) -> pd.DataFrame:
    text = _text(raw, place)
    separator = _separator(text, place)
    header = _checked_header(text, separator, place)
    sample = [field for record in islice(_records_of(text, separator), 1, _SAMPLE) for field in record]
    commas = separator != "," and sum(bool(_COMMA_NUMBER.match(f)) for f in sample) > sum(bool(_POINT_NUMBER.match(f)) for f in sample)
    grouped = commas and any(_GROUPED_NUMBER.match(f) for f in sample)
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=0,
            names=header,
            index_col=False,
            decimal="," if commas else ".",
            thousands="." if grouped else None,
            skipinitialspace=True,
            na_values=["?"],
            low_memory=False,
        )
    except pd.errors.ParserError as problem:
        raise TableError(f"{str(place)!r} cannot be taken apart: {str(problem).splitlines()[0]}; a quote may be open that is never closed") from problem


def _separator(text: str, place: Path) -> str:
    """The separator under which most records have as many fields as the header, and among such, the most fields."""
    first = next(line for line in io.StringIO(text) if line.strip())
    best, merit = None, (0.0, 0)
    for separator in SEPARATORS:
        widths = [len(record) for record in islice(_records_of(text, separator), _SAMPLE)]
        even = round(sum(w == widths[0] for w in widths) / len(widths), 1)
        if widths[0] > 1 and (even, widths[0]) > merit:
            best, merit = separator, (even, widths[0])
    if best is None:
        _refuse_hidden_separator(first, text, place)
    return best or ","


def _refuse_hidden_separator(header: str, text: str, place: Path) -> None:
    """One column is a table too, unless a sign in the header comes back as often in every line."""
    lines = [line for line in islice(io.StringIO(text), _SAMPLE) if line.strip()][1:]
    for sign in (" ", ":", "^", "~", "#", "\x01"):
        times = header.strip().count(sign)
        if times and lines and all(line.strip().count(sign) == times for line in lines):
            raise TableError(f"{str(place)!r} seems to be separated by {sign!r}: its first line is {header.strip()[:60]!r}; save it with one of , ; tab |")


def _checked_header(text: str, separator: str, place: Path) -> list[str]:
    records = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    header: list[str] = []
    try:
        for record in records:
            if not record:
                continue
            if not header:
                header = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(record)]
            elif len(record) != len(header):
                fields = f"{len(record)} field{'s' * (len(record) != 1)}"
                cure = "quote fields that contain the separator, or repair the line"
                raise TableError(f"{str(place)!r}: line {records.line_num} has {fields} where the header has {len(header)} (separator {separator!r}); {cure}")
    except csv.Error as problem:
        raise TableError(f"{str(place)!r}: line {records.line_num} cannot be taken apart: {problem}") from problem
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise TableError(f"{str(place)!r} has more than one column named {_listed(twice)}; give each column its own name")
    return header


def _records_of(text: str, separator: str) -> Iterator[list[str]]:
    try:
        yield from (record for record in csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True) if record)
    except csv.Error:
        return


def _listed(names: Any) -> str:
    shown = [repr(str(n)) for n in islice(names, 6)]
    return ", ".join(shown) + (", ..." if len(names) > 6 else "")
