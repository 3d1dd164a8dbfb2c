"""Tune a model, watch it, keep it tuned.

The names below are loaded when first touched, so that ``import staytuned`` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    # what may vary
    "Float": "staytuned.space.dims",
    "Int": "staytuned.space.dims",
    "Choice": "staytuned.space.dims",
    "Ordinal": "staytuned.space.dims",
    "Space": "staytuned.space.space",
    # tune
    "minimize": "staytuned.minimizing",
    "Study": "staytuned.study",
    "TuneSearchCV": "staytuned.search",
    "compare": "staytuned.comparison",
    "Comparison": "staytuned.comparison",
    "AutoML": "staytuned.automl.automl",
    "read_table": "staytuned.automl.read",
    # what travels
    "Trial": "staytuned.trial",
    "Measurement": "staytuned.trial",
    "Status": "staytuned.trial",
    "Goal": "staytuned.goal",
    # keep, watch, tend
    "open_ledger": "staytuned.store.open",
    "Registry": "staytuned.registry",
    "Steward": "staytuned.steward",
    # what can go wrong
    "StayTunedError": "staytuned.errors",
    "UsageError": "staytuned.errors",
    "TrialPruned": "staytuned.errors",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'staytuned' has no attribute {name!r}; it has {', '.join(_HOME)}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
