"""What makes two searches the same one, so that a search run again finds in the ledger what it had done."""

from __future__ import annotations

import json
from typing import Any

import joblib
from sklearn.base import clone

from staytuned.errors import SpaceError, UsageError
from staytuned.evaluate.cv import CrossValidation
from staytuned.protocols import Fact, Ledger
from staytuned.space.codec import space_to_json
from staytuned.space.space import Space


def search_identity(estimator: Any, space: Space, scoring: Any, evaluator: CrossValidation, *more: str) -> str:
    """A hash that is the same for the same search of the same table, in any process.

    Args:
        estimator: unfitted.
        scoring: as ``TuneSearchCV`` takes it.
        evaluator: with the table and the folds.
        more: what else tells it from other searches.
    """
    try:
        dimensions = json.dumps(space_to_json(space))
    except SpaceError:  # it holds objects
        dimensions = ", ".join(space.names)
    named = scoring if not callable(scoring) else getattr(scoring, "__qualname__", repr(scoring))
    parts = (dimensions, str(named), evaluator.X, evaluator.y, list(evaluator.splits), *more)
    try:
        return str(joblib.hash((clone(estimator), *parts)))
    except Exception:  # an estimator that cannot be pickled, say one with a lambda
        return str(joblib.hash((type(estimator).__name__, *parts)))


def claim_identity(ledger: Ledger, study: str, identity: str) -> None:
    """Mark the study of this name as the search of this table and these folds.

    Raises:
        UsageError: it is another search's.
    """
    stream = f"study/{study}"
    if ledger.append([Fact(stream, "search", {"identity": identity}, key="search")])[0]:
        return
    if ledger.read(stream, kind="search")[0].body["identity"] != identity:
        raise UsageError(f"study {study!r} in this ledger searched with another estimator, table, scoring or folds; give this search another name")
