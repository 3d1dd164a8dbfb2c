"""What the caller of a tuning run gave: a table, columns of it, configs; made into what the run works with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from staytuned.automl.columns import Table
from staytuned.automl.read import nearest
from staytuned.automl.recipe import Plan
from staytuned.automl.zoo import default_config
from staytuned.errors import UsageError
from staytuned.protocols import Fact, Ledger
from staytuned.space.space import Config


def framed(X: Any, y: Any, target: str | None) -> tuple[Any, str]:
    """A DataFrame that holds the target, and the target's name.

    Raises:
        UsageError: there is no target, or it does not go with the table.
    """
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X)).rename(columns=lambda c: f"x{c}")
    if y is None:
        if target is None:
            raise UsageError("name the target column, fit(table, target='price'), or pass y")
        return frame, target
    if len(np.asarray(y)) != len(frame):
        raise UsageError(f"X has {len(frame):,} rows and y has {len(np.asarray(y)):,}; they must be equally long")
    name = target or str(getattr(y, "name", None) or "target")
    if name in frame.columns:
        raise UsageError(f"X already has a column {name!r}; give the target another name with target=")
    return frame.assign(**{name: np.asarray(y)}), name


def column_values(values: Any, frame: Any, features: Any, table: Table, option: str) -> Any:
    """Values for the rows that are left, from a column's name or an array as long as the table.

    Raises:
        UsageError: there is no such column, or a value is missing.
    """
    if values is None:
        return None
    if isinstance(values, str):
        named = f"{option}={values!r}"
        if values not in frame.columns:
            names = [str(c) for c in frame.columns]
            raise UsageError(f"{named} is not a column{nearest(values, names) or '; the table has ' + ', '.join(names[:12])}")
        is_date = any(column.name == values and column.kind == "date" for column in table.columns)  # text would be sorted by its letters
        left = features[values] if is_date else frame.loc[features.index, values]
    else:
        named = option
        if len(np.asarray(values)) != len(frame):
            raise UsageError(f"{option} has {len(np.asarray(values)):,} values for a table of {len(frame):,} rows")
        left = pd.Series(np.asarray(values)[frame.index.get_indexer(features.index)])
    if missing := int(left.isna().sum()):
        raise UsageError(f"{named} has no value in {missing:,} of {len(left):,} rows; fill them in, or drop those rows")
    return left.to_numpy()


def completed(config: Config, plan: Plan) -> Config:
    """A config given by hand, what it leaves out filled with its model's defaults.

    Raises:
        UsageError: it does not fit the space.
    """
    families = {family.name: family for family in plan.families}
    name = str(config.get("model"))
    if name not in families:
        why = f"{name!r} is left out: {plan.left_out[name]}" if name in plan.left_out else f"model={name!r} is not one of {', '.join(families)}"
        raise UsageError(f"the config {dict(config)!r} cannot be tried: {why}{nearest(name, tuple(families))}")
    if unknown := [key for key in config if key not in plan.space.dimensions]:
        own = tuple(key for key in plan.space.dimensions if key.startswith(f"{name}."))
        raise UsageError(
            f"the config {dict(config)!r} cannot be tried: {unknown[0]!r} is not in the space{nearest(unknown[0], own)}; {name} has {', '.join(own)}"
        )
    full = plan.space.pruned(default_config(families[name]) | dict(config)) | dict(config)
    if problem := plan.space.problem(full):
        raise UsageError(f"the config {dict(config)!r} cannot be tried: {problem}")
    return full


def study_to_continue(ledger: Ledger, name: str, signature: str, seed: int) -> tuple[str, int]:
    """The first study of the name, or the name with a number, that is free or was broken off with the same signature; and its seed."""
    number = 1
    while True:
        study = name if number == 1 else f"{name}-{number}"
        stream = f"study/{study}"
        facts = {fact.kind: fact.body for fact in ledger.read(stream) if fact.kind in ("planned", "founded", "closed")}
        if not facts and ledger.append([Fact(stream, "planned", {"signature": signature, "seed": seed}, key="planned")])[0]:
            return study, seed
        if "closed" not in facts and facts.get("planned", {}).get("signature") == signature:
            return study, int(facts["planned"]["seed"])
        number += 1
