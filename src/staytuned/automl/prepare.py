"""Columns to numbers: a table of mixed kinds becomes the float matrix a model can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from staytuned.automl.columns import UNUSED, Column, as_kind
from staytuned.errors import TableError, UsageError

Matrix: TypeAlias = npt.NDArray[np.float64]
Plan: TypeAlias = dict[str, Any]

VIEWS = ("tree", "linear")

_MOST_LEVELS = {"tree": 1000, "linear": 30}
_TOKENS = {"tree": 32, "linear": 64}
_DATE_PARTS = ("year", "month", "day", "weekday", "hour", "elapsed days")


class TablePreparer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn transformer from a DataFrame to (n_rows, n_features) float64, in one of two views.

    ==============  ===========================================  ====================================================================
    kind            view="tree"                                  view="linear"
    ==============  ===========================================  ====================================================================
    numeric         as it is, missing as NaN                     median imputed, scaled by the quartiles, smoothly clipped; and a flag
    boolean         0, 1, NaN                                    -1, 1, missing 0; and a flag
    categorical     rank by frequency, 0 the most frequent;      one column per level, at most 30, the rare ones pooled; and a flag
                    unseen ranks after the last, missing NaN
    date            year, month, day, weekday, hour, elapsed     the same, treated as numeric
                    days; without the parts that never change
    text            length, words, and which of the 32 (linear: 64) most telling words are in it
    ==============  ===========================================  ====================================================================

    A flag column says where the value was missing; there is one only if something was missing in ``fit``. Scaling and clipping are those of
    Holzmüller 2024 (RealMLP): (x - median) / interquartile range, then z / sqrt(1 + (z / 3)²), so that everything lies within (-3, 3).

    ``transform`` takes columns in any order, other columns besides, numbers as text, unseen levels and no rows at all. After ``fit``,
    everything is held in plain dicts, lists, strings and numbers, so that the model can be saved without pickle.

    Args:
        kinds: column name to kind; identifiers and constants are ignored.
        view: "tree" for models that cut single features, "linear" for those that add or measure distances.
        formats: how dates are written that come as text, as in ``Column.format``.

    Raises:
        TableError: by ``transform``, if columns are missing from the table; they are named.
    """

    def __init__(self, kinds: Mapping[str, str], view: str = "tree", formats: Mapping[str, str] | None = None) -> None:
        self.kinds = kinds
        self.view = view
        self.formats = formats

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:  # noqa: ARG002 - the target plays no part
        if self.view not in VIEWS:
            raise UsageError(f"view={self.view!r} is not one of {', '.join(VIEWS)}")
        used = {name: kind for name, kind in self.kinds.items() if kind not in UNUSED}
        _check_columns(X, used)
        formats = self.formats or {}
        self.plans_ = [_plan(X[name], name, kind, self.view, formats.get(name, "")) for name, kind in used.items()]
        return self

    def transform(self, X: pd.DataFrame) -> Matrix:
        _check_columns(X, [plan["column"] for plan in self.plans_])
        blocks = [_applied(plan, X[str(plan["column"])]) for plan in self.plans_]
        return np.column_stack(blocks) if blocks else np.empty((len(X), 0))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:  # noqa: ARG002 - the names were learned in fit
        """(n_features,) such as ``Age``, ``Sex = male``, ``when: month``, ``Name has 'mrs'``, ``Age missing``."""
        return np.array([name for plan in self.plans_ for name in plan["features"]], dtype=object)

    @property
    def sources(self) -> list[str]:
        """(n_features,) the column each feature was made from."""
        return [plan["column"] for plan in self.plans_ for _ in plan["features"]]


def preparer(columns: Sequence[Column], view: str) -> TablePreparer:
    """The transformer for a table's columns."""
    used = [c for c in columns if c.kind not in UNUSED]
    return TablePreparer({c.name: c.kind for c in used}, view, {c.name: c.format for c in used if c.format})


def _check_columns(X: Any, names: Sequence[str] | Mapping[str, str]) -> None:
    if not isinstance(X, pd.DataFrame):
        raise TableError(f"a pandas DataFrame with the columns {', '.join(map(repr, list(names)[:6]))} is needed, not {type(X).__name__}")
    present = set(X.columns)
    if absent := [name for name in names if name not in present]:
        these = ", ".join(map(repr, absent[:8])) + (", ..." if len(absent) > 8 else "")
        raise TableError(f"the table lacks {'a column' if len(absent) == 1 else f'{len(absent)} columns'} the model was made with: {these}")


def _plan(series: pd.Series[Any], name: str, kind: str, view: str, format: str) -> Plan:
    values = as_kind(series, kind, format)
    plans = {"numeric": _plan_numeric, "boolean": _plan_boolean, "categorical": _plan_categorical, "date": _plan_date, "text": _plan_text}
    plan = {"column": name, "kind": kind, "format": format, "view": view} | plans[kind](values, name, view)
    plan["flag"] = view == "linear" and kind != "text" and bool(values.isna().any())
    if plan["flag"]:
        plan["features"] = [*plan["features"], f"{name} missing"]
    return plan


def _applied(plan: Plan, series: pd.Series[Any]) -> Matrix:
    values = as_kind(series, plan["kind"], plan["format"])
    makers = {"numeric": _numeric, "boolean": _boolean, "categorical": _categorical, "date": _date, "text": _text}
    block = makers[plan["kind"]](plan, values)
    return np.column_stack([block, values.isna().to_numpy(dtype=float)]) if plan["flag"] else block


def _plan_numeric(values: pd.Series[Any], name: str, view: str) -> Plan:
    return {"features": [name], "scales": [_scale(values.to_numpy())] if view == "linear" else []}


def _numeric(plan: Plan, values: pd.Series[Any]) -> Matrix:
    return _scaled(values.to_numpy()[:, None], plan["scales"])


def _plan_boolean(values: pd.Series[Any], name: str, view: str) -> Plan:  # noqa: ARG001 - one signature for all kinds
    return {"features": [name]}


def _boolean(plan: Plan, values: pd.Series[Any]) -> Matrix:
    truth = values.to_numpy(dtype=float)[:, None]
    return np.nan_to_num(2 * truth - 1, nan=0.0) if plan["view"] == "linear" else truth


def _plan_categorical(values: pd.Series[Any], name: str, view: str) -> Plan:
    counts = np.bincount(values.cat.codes.to_numpy() + 1, minlength=len(values.cat.categories) + 1)[1:]
    seen = sorted((-int(count), str(level)) for level, count in zip(values.cat.categories, counts, strict=True) if count)
    levels = [level for _, level in seen]
    most = _MOST_LEVELS[view]
    pooled = len(levels) > most
    levels = levels[: most - 1] if pooled else levels
    if view == "tree":
        return {"features": [name], "levels": levels}
    return {"features": [f"{name} = {level}" for level in levels] + [f"{name} = (rare)"] * pooled, "levels": levels, "pooled": pooled}


def _categorical(plan: Plan, values: pd.Series[Any]) -> Matrix:
    rank = {level: float(i) for i, level in enumerate(plan["levels"])}
    beyond = float(len(rank))  # unseen and pooled levels are rarer than all others
    lookup = np.array([rank.get(level, beyond) for level in values.cat.categories] + [np.nan])
    ranks = lookup[values.cat.codes.to_numpy()]
    if plan["view"] == "tree":
        return ranks[:, None]
    columns = np.zeros((len(ranks), len(rank) + plan["pooled"]))
    rows = np.flatnonzero(ranks < columns.shape[1])  # neither missing nor unseen
    columns[rows, ranks[rows].astype(int)] = 1.0
    return columns


def _plan_date(values: pd.Series[Any], name: str, view: str) -> Plan:
    parts = _date_parts(values)
    change = [i for i in range(len(_DATE_PARTS)) if len(np.unique(parts[~np.isnan(parts[:, i]), i])) > 1] or [len(_DATE_PARTS) - 1]
    scales = [_scale(parts[:, i]) for i in change] if view == "linear" else []
    return {"features": [f"{name}: {_DATE_PARTS[i]}" for i in change], "parts": change, "scales": scales}


def _date(plan: Plan, values: pd.Series[Any]) -> Matrix:
    return _scaled(_date_parts(values)[:, plan["parts"]], plan["scales"])


def _date_parts(values: pd.Series[Any]) -> Matrix:
    when = values.dt
    elapsed = (values - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    return np.column_stack([np.asarray(p, dtype=float) for p in (when.year, when.month, when.day, when.day_of_week, when.hour, elapsed)])


def _plan_text(values: pd.Series[Any], name: str, view: str) -> Plan:
    """The words in most rows, but neither in nearly all nor in one only; real words instead of hashes, so that an effect has a name."""
    rows = Counter(token for text in values.dropna() for token in set(_tokens(text)))
    n = max(len(values), 1)
    telling = sorted((-count, token) for token, count in rows.items() if 2 <= count <= 0.95 * n and count >= 0.005 * n)
    vocabulary = [token for _, token in telling[: _TOKENS[view]]]
    sizes = _text_sizes(values)
    scales = [_scale(sizes[:, i]) for i in range(2)] if view == "linear" else []
    return {"features": [f"{name}: length", f"{name}: words", *(f"{name} has {token!r}" for token in vocabulary)], "vocabulary": vocabulary, "scales": scales}


def _text(plan: Plan, values: pd.Series[Any]) -> Matrix:
    place = {token: i for i, token in enumerate(plan["vocabulary"])}
    presence = np.zeros((len(values), len(place)))
    for row, text in enumerate(values):
        if isinstance(text, str):
            presence[row, [place[token] for token in _tokens(text) if token in place]] = 1.0
    return np.column_stack([_scaled(_text_sizes(values), plan["scales"]), presence])


def _text_sizes(values: pd.Series[Any]) -> Matrix:
    return np.array([(len(t), len(t.split())) if isinstance(t, str) else (0, 0) for t in values], dtype=float).reshape(len(values), 2)


def _tokens(text: str) -> list[str]:
    return [token for token in (word.strip(".,;:!?()[]{}\"'").casefold() for word in text.split()) if any(map(str.isalnum, token))]


def _scale(values: Matrix) -> list[float]:
    """[median, factor]; where the quartiles coincide, the factor maps the range to a width of 2, and a constant to 0."""
    present = values[~np.isnan(values)]
    if not len(present):
        return [0.0, 0.0]
    low, q1, median, q3, high = np.quantile(present, [0, 0.25, 0.5, 0.75, 1]).tolist()
    width = q3 - q1 if q3 > q1 else (high - low) / 2
    return [median, 1 / width if width > 1e-300 else 0.0]


def _scaled(values: Matrix, scales: Sequence[Sequence[float]]) -> Matrix:
    if not scales:
        return values
    centre, factor = np.array(scales).T
    with np.errstate(over="ignore"):
        z = np.clip(np.where(np.isnan(values), 0.0, (values - centre) * factor), -1e6, 1e6)
    return z / np.sqrt(1 + (z / 3) ** 2)  # Holzmüller 2024, robust scaling and smooth clipping
