"""What the values of options say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from staytuned.automl.written import read_written
from staytuned.errors import UsageError


def configs_in(path: str | None) -> list[dict[str, Any]]:
    """The configs that a file lists; none for no file."""
    if path is None:
        return []
    body = read_written(path, "configs file")
    if not isinstance(body, list) or not body or not all(isinstance(config, dict) for config in body):
        raise UsageError(f"the configs file {path!r} must hold a list of configs such as '- {{model: svm, svm.C: 10}}'")
    return body


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """``column=kind`` as kind by column."""
    found = {}
    for text in texts:
        column, sign, kind = text.rpartition("=")
        if not sign:
            raise UsageError(f"--kind {text!r} must read like column=categorical")
        found[column] = kind
    return found


def size_in_bytes(text: str | None) -> int | None:
    """``2GB`` as a number of bytes."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+\.?\d*)\s*([KMGT]?)(i?B)?\s*", text, flags=re.IGNORECASE)
    if not found or not float(found[1]) > 0:
        raise UsageError(f"--memory {text!r} must read like 500MB or 2GB")
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


def tolerance(text: str | None) -> float | str | None:
    """``0.001`` as a number, a word such as ``noise`` as it is."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def when(at: float) -> str:
    """Unix seconds as a date and time of day here."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
