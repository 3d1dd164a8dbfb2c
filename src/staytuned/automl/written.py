"""What people write in files: YAML and JSON, read with errors that name the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from staytuned.errors import UsageError


class _Loader(yaml.SafeLoader):
    """Takes 1e-3 for the number it is, which YAML 1.1 wants written as 1.0e-3."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+\.?\d*[eE][-+]?\d+$"), list("-+0123456789"))


def read_written(path: str | Path, what: str) -> Any:
    """The content of a YAML or JSON file (the first reads the second as well).

    Args:
        what: the file is, for the errors: "space file".

    Raises:
        UsageError: it cannot be read, or is neither.
    """
    place = Path(path).expanduser()
    try:
        return yaml.load(place.read_text(encoding="utf-8"), Loader=_Loader)  # a safe loader with one more rule
    except OSError as problem:
        raise UsageError(f"the {what} {str(path)!r} cannot be read: {problem.strerror or problem}") from problem
    except (UnicodeDecodeError, yaml.YAMLError) as problem:
        kind = "JSON" if place.suffix.lower() == ".json" else "YAML or JSON"
        raise UsageError(f"the {what} {str(path)!r} is no valid {kind}: {' '.join(str(problem).split())}") from problem
