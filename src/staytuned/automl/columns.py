"""What a table holds: the kind of each column, the target, the task, and what looks wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api import types
from sklearn.metrics import r2_score, recall_score, roc_auc_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from staytuned._random import generator
from staytuned.automl.read import nearest
from staytuned.errors import TableError

Kind: TypeAlias = Literal["numeric", "categorical", "boolean", "date", "text", "identifier", "constant"]
Task: TypeAlias = Literal["binary", "multiclass", "regression"]
Array: TypeAlias = npt.NDArray[Any]

KINDS: tuple[str, ...] = get_args(Kind)
UNUSED = ("identifier", "constant")  # kinds no model learns from
FEWEST_ROWS = 20
FEW_PER_CLASS = 5  # under this, some fold of five has no row of the class

_LEAK_ROWS, _LEAK_COLUMNS = 5_000, 300
_FEW_INTEGERS, _FEW_NUMERALS = 20, 100  # numbers that someone stored as text are more likely labels
_TRUTH_PAIRS = (("0", "1"), ("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("off", "on"))
_TRUTH = {word: float(value) for pair in _TRUTH_PAIRS for value, word in enumerate(pair)}
_ID_NAME = re.compile(r"^(id|index|idx|key|uuid|guid|unnamed: 0|row.?(id|no|num|number)?|.*[_ .-](id|uuid|guid|key)|.*[a-z]I[dD])$")
_GROUPED = re.compile(r"^[-+]?[$€£]?\s?\d{1,3}(,\d{3})+(\.\d+)?\s?[$€£%]?$|^[-+]?[$€£]\s?\d+(\.\d+)?$|^[-+]?\d+(\.\d+)?\s?[$€£%]$")
_DATE_LIKE = re.compile(r"^\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{4}-\d{2}$|\d{1,2}[ -][^\W\d]{3,9}[ -]+\d{2,4}|[^\W\d]{3,9} \d{1,2},? \d{4})")
_DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y",
         "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%b-%y")  # fmt: skip
_DATE_FORMATS = ("ISO8601", *(day + clock for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p") for day in _DAYS))


@dataclass(frozen=True, slots=True)
class Column:
    """One column, the target excluded.

    Args:
        name: as in the table.
        kind: numeric, categorical, boolean, date, text, identifier or constant; the last two are left out of every model.
        missing: cells without a value; infinities count as such in numeric columns.
        distinct: different values.
        note: anything unusual, in words.
        format: for dates read from text, how they are written, in ``strftime`` letters or "ISO8601".
    """

    name: str
    kind: Kind
    missing: int
    distinct: int
    note: str = ""
    format: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """What was found out about a table.

    Args:
        columns: in the table's order, the target excluded.
        task: binary, multiclass or regression.
        target: the target's name as it stands in the table.
        classes: the labels in sorted order, plain Python values; empty for regression. Of two, the last counts as positive.
        rows: how many have a target.
        dropped_rows: how many had none and were dropped.
        warnings: one sentence each.
    """

    columns: tuple[Column, ...]
    task: Task
    target: str
    classes: tuple[Any, ...]
    rows: int
    dropped_rows: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[Column, ...]:
        """The columns a model learns from."""
        return tuple(c for c in self.columns if c.kind not in UNUSED)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists; :func:`table_from_json` reads them."""
        body = asdict(self)
        return body | {"columns": [asdict(c) for c in self.columns], "classes": list(self.classes), "warnings": list(self.warnings)}


def table_from_json(body: Mapping[str, Any]) -> Table:
    """The table that was written by :meth:`Table.to_json`."""
    lists = {"columns": tuple(Column(**c) for c in body["columns"]), "classes": tuple(body["classes"]), "warnings": tuple(body["warnings"])}
    return Table(**{**body, **lists})


def infer(
    df: pd.DataFrame, target: str, *, task: str | None = None, kinds: Mapping[str, str] | None = None, drop: Sequence[str] = ()
) -> tuple[pd.DataFrame, Array, Table]:
    """The features, the target's values and what was found out about them.

    A row without a target is dropped; the others keep their index. Each column of X comes in the form of its kind (see :func:`as_kind`),
    so later transformations need not convert it again. The rules, each of which ``task``, ``kinds`` and ``drop`` override:

    - the task is classification for text, booleans, two values of any sort, and for whole numbers of at most 20 different values (100 if
      stored as text) that come ten times each on average; otherwise regression;
    - **constant**: one value and nothing missing, or no value at all. **boolean**: exactly 0/1, yes/no, y/n, true/false, t/f or on/off.
      **date**: a date type, or text of which 95 % is written in one common format. **numeric**: a number type, or text of which 95 % is
      numbers without leading zeros;
    - **identifier**: whole numbers that are at least 95 % different under a name such as ``id``, or that count up by one; text of up to
      three words that is at least 95 % different. A number with a fraction is a measurement, never an identifier;
    - **text**: three words or more on average, in many variants; any other text is **categorical**;
    - a feature which alone gives a tree (of 8 leaves, two per class or 64 for regression) a cross-validated AUC or balanced accuracy above
      .995 (R² above .999, or as good a straight line) on up to 5,000 rows is kept, but a warning asks whether it leaks the target. The
      first 300 columns are looked at.

    Args:
        df: features and target.
        target: exact name, or up to upper and lower case.
        task: "classification", "binary", "multiclass" or "regression".
        kinds: kinds of columns that were inferred wrongly.
        drop: columns to leave out altogether.

    Returns:
        X: (n_rows, n_columns); y: (n_rows,) float for regression, otherwise int, bool or str as the labels are; and the Table.

    Raises:
        TableError: no such column, no usable row, a target that cannot be learned.
    """
    frame = _checked(df)
    warnings: list[str] = []
    target = _found(target, frame, warnings)
    frame = _without(frame, drop, target)
    known = _known_target(frame[target])
    dropped = int((~known).sum())
    if dropped:
        warnings.append(f"{_count(dropped, 'row')} without a value of {target!r} dropped")
    frame = frame[known]
    y, found_task, classes = _target(frame[target], _plain_task(task))
    if repeated := int(_hashable(frame).duplicated().sum()):
        verb = "repeats" if repeated == 1 else "repeat"
        warnings.append(f"{_count(repeated, 'row')} of {len(frame):,} {verb} an earlier one exactly; scores flatter where copies fall on both sides of a split")
    X, columns = _features(frame.drop(columns=target), kinds or {}, target, warnings)
    table = Table(columns, found_task, target, classes, len(frame), dropped)
    if not table.used:
        raise TableError(f"no column is left to learn {target!r} from: all are constant or identifiers; give a column another kind to use it all the same")
    warnings += _rare(y, table)
    warnings += _leaks(X, y, table)
    return X, y, replace(table, warnings=tuple(warnings))


def target_of(df: pd.DataFrame, table: Table) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The target's values in another table, written as they were when the model was made, and which rows have one.

    Returns:
        y: (n_known,); known: (n_rows,) whether the row has a value.

    Raises:
        TableError: the target is not there, or has a label that was not there before.
    """
    series = _checked(df)[_found(table.target, df, [])]
    if table.task == "regression":
        numbers = _numbers(series).to_numpy()
        known = np.isfinite(numbers)
        return numbers[known], known
    by_label = {label(c): c for c in table.classes}
    labels = _labels(series)
    if unknown := [c for c in labels.cat.categories if c not in by_label]:
        raise TableError(f"{table.target!r} has the label {unknown[0]!r}, unknown to the model; it knows {', '.join(map(repr, table.classes))}")
    known = labels.notna().to_numpy()
    values = np.asarray([by_label[c] for c in labels.cat.categories], dtype=np.asarray(table.classes).dtype)
    return values[labels.cat.codes.to_numpy()[known]] if len(values) else np.asarray(table.classes)[:0], known


def as_kind(values: pd.Series[Any], kind: str, format: str = "") -> pd.Series[Any]:
    """A column in the form of its kind; what does not fit becomes missing.

    numeric and boolean: float64, infinities missing, false and true as 0 and 1. date: datetime64 without time zone (UTC where there was one).
    categorical: pandas' category of strings, whole numbers written without a fraction, blanks missing. text: strings or None.
    """
    makers: dict[str, Callable[[pd.Series[Any]], pd.Series[Any]]] = {
        "numeric": _numbers,
        "boolean": _truths,
        "categorical": _labels,
        "text": lambda s: _labels(s).astype(object),
        "date": lambda s: _dates(s, format),
    }
    return makers[kind](values) if kind in makers else values


def label(value: Any) -> str:
    """How a value is written as a category: 3 and 3.0 are the same one."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _checked(df: Any) -> pd.DataFrame:
    if not isinstance(df, pd.DataFrame):
        raise TableError(f"a pandas DataFrame is needed, not {type(df).__name__}; pass pandas.DataFrame(...) with named columns")
    frame = df.set_axis([str(c) for c in df.columns], axis=1)
    if twice := frame.columns[frame.columns.duplicated()].unique().tolist():
        raise TableError(f"more than one column is named {', '.join(map(repr, twice))}; give each column its own name")
    return frame


def _found(target: str, frame: pd.DataFrame, warnings: list[str]) -> str:
    names = [str(c) for c in frame.columns]
    if target in names:
        return target
    alike = [n for n in names if n.strip().casefold() == str(target).strip().casefold()]
    if len(alike) == 1:
        warnings.append(f"the target {target!r} was taken to be {alike[0]!r}")
        return alike[0]
    raise TableError(f"the table has no column {target!r}{nearest(str(target), names) or '; it has ' + _some(names)}")


def _without(frame: pd.DataFrame, drop: Sequence[str], target: str) -> pd.DataFrame:
    names = [str(c) for c in frame.columns]
    for name in [drop] if isinstance(drop, str) else drop:
        if name not in names:
            raise TableError(f"drop={name!r} is not a column{nearest(name, names) or '; there are ' + _some(names)}")
        if name == target:
            raise TableError(f"drop={name!r} is the target itself; name only features")
    return frame.drop(columns=[drop] if isinstance(drop, str) else list(drop))


def _known_target(series: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    if types.is_float_dtype(series):
        return _numbers(series).notna().to_numpy()
    if types.is_numeric_dtype(series) or types.is_datetime64_any_dtype(series):
        return series.notna().to_numpy()
    return _labels(series).notna().to_numpy()


def _plain_task(task: str | None) -> str | None:
    allowed = ("classification", *get_args(Task))
    if task is not None and task not in allowed:
        raise TableError(f"task={task!r} is not one of {', '.join(allowed)}{nearest(str(task), allowed)}")
    return task


def _target(series: pd.Series[Any], task: str | None) -> tuple[Array, Task, tuple[Any, ...]]:
    name, n = str(series.name), len(series)
    if n < FEWEST_ROWS:
        raise TableError(f"only {_count(n, 'row')} with a value of {name!r}; at least {FEWEST_ROWS} are needed to learn and to check")
    if types.is_datetime64_any_dtype(series):
        raise TableError(f"the target {name!r} is a date, such as {str(series.iloc[0])!r}; name a number or a label as target")
    distinct = int(_hashable(series.to_frame())[series.name].nunique())
    if distinct == 1:
        raise TableError(f"the target {name!r} has only one value, {label(series.iloc[0])!r}: there is nothing to tell apart; name another target")
    numbers = _numbers(series)
    if task == "regression" or (task is None and _wants_regression(series, numbers, distinct)):
        return _regression_target(series, numbers, distinct, task), "regression", ()
    if distinct > n / 2:
        how = "all" if distinct == n else f"{distinct:,} of {n:,}"
        cure = "name another target" if numbers.isna().any() else "name another target, or pass task='regression' (--task regression)"
        raise TableError(f"the values of the target {name!r} are {how} different, such as {label(series.iloc[0])!r}: an identifier cannot be predicted; {cure}")
    if task == "binary" and distinct > 2:
        raise TableError(f"task='binary', but the target {name!r} has {distinct} values; pass task='multiclass' (--task multiclass)")
    y = _class_values(series)
    classes = np.unique(y)
    return y, ("binary" if len(classes) == 2 else "multiclass"), tuple(classes.tolist())


def _wants_regression(series: pd.Series[Any], numbers: pd.Series[Any], distinct: int) -> bool:
    if distinct == 2 or types.is_bool_dtype(series) or isinstance(series.dtype, pd.CategoricalDtype) or numbers.isna().any():
        return False
    most = _FEW_INTEGERS if types.is_numeric_dtype(series) else _FEW_NUMERALS
    return not (_whole(numbers) and distinct <= most and len(series) >= 10 * distinct)


def _regression_target(series: pd.Series[Any], numbers: pd.Series[Any], distinct: int, task: str | None) -> Array:
    if numbers.isna().any():
        odd = series[numbers.isna()].iloc[0]
        raise TableError(
            f"task='regression', but the target {str(series.name)!r} has values such as {odd!r}, which is no number; leave the task out, or name another target"
        )
    if task is None and distinct == len(series) and _is_counter(str(series.name), numbers):
        raise TableError(
            f"the target {str(series.name)!r} is an identifier: whole numbers, all different; name another one, or pass task='regression' (--task regression)"
        )
    return numbers.to_numpy(dtype=float)


def _class_values(series: pd.Series[Any]) -> Array:
    """Whole numbers and booleans as such, everything else as text: scikit-learn takes no fractions for labels."""
    if types.is_bool_dtype(series):
        return series.to_numpy(dtype=bool)
    if types.is_numeric_dtype(series) and _whole(numbers := _numbers(series)):
        return numbers.to_numpy(dtype=np.int64)
    labels = _labels(series)
    return np.asarray(labels.cat.categories, dtype=str)[labels.cat.codes.to_numpy()]


def _features(frame: pd.DataFrame, kinds: Mapping[str, str], target: str, warnings: list[str]) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    names = [str(c) for c in frame.columns]
    for name, kind in kinds.items():
        if name not in names:
            raise TableError(f"kinds names {name!r}, which is {'the target' if name == target else 'not a feature'}{nearest(name, names)}")
        if kind not in KINDS:
            raise TableError(f"kinds[{name!r}]={kind!r} is not one of {', '.join(KINDS)}{nearest(str(kind), KINDS)}")
    made, columns = {}, []
    for name in names:
        column = _column(name, frame[name], kinds.get(name))
        made[name] = as_kind(frame[name], column.kind, column.format)
        if column.kind == "numeric" and (endless := int(np.isinf(_numbers(frame[name], keep_inf=True).to_numpy()).sum())):
            warnings.append(f"{name!r}: {_count(endless, 'infinite value')} taken as missing")
        columns.append(replace(column, missing=int(made[name].isna().sum())))
    return pd.DataFrame(made, index=frame.index), tuple(columns)


def _column(name: str, series: pd.Series[Any], forced: str | None) -> Column:
    labels = series if types.is_numeric_dtype(series) or types.is_datetime64_any_dtype(series) else _labels(series)
    missing, distinct = int(labels.isna().sum()), int(labels.nunique())
    kind, note, format = _kind(name, series, labels, missing, distinct)
    if forced is not None and forced != kind:
        format = _date_format(labels) or "ISO8601" if forced == "date" and isinstance(labels.dtype, pd.CategoricalDtype) else format
        kind, note = forced, f"looked {kind}, taken as {forced} as asked"  # type: ignore[assignment]
    return Column(name, kind, missing, distinct, note, format if kind == "date" else "")


def _kind(name: str, series: pd.Series[Any], labels: pd.Series[Any], missing: int, distinct: int) -> tuple[Kind, str, str]:
    if distinct == 0:
        return "constant", "no value at all", ""
    if distinct == 1:
        return ("categorical", "one value or missing", "") if missing else ("constant", f"always {label(labels.iloc[0])}", "")
    if distinct == 2 and tuple(sorted(label(v).lower() for v in labels.dropna().unique())) in _TRUTH_PAIRS:
        return "boolean", "", ""
    if types.is_datetime64_any_dtype(series):
        return "date", "", ""
    if types.is_numeric_dtype(series) or types.is_timedelta64_dtype(series):
        return _number_kind(name, series, distinct)
    if isinstance(series.dtype, pd.CategoricalDtype):
        return "categorical", "", ""
    return _string_kind(name, labels, distinct)


def _number_kind(name: str, series: pd.Series[Any], distinct: int) -> tuple[Kind, str, str]:
    numbers = _numbers(series).dropna()
    if len(numbers) >= FEWEST_ROWS and distinct >= 0.95 * len(numbers) and _is_counter(name, numbers):
        return "identifier", "whole numbers, (nearly) all different", ""
    return "numeric", "", ""


def _string_kind(name: str, labels: pd.Series[Any], distinct: int) -> tuple[Kind, str, str]:
    present = len(labels) - int(labels.isna().sum())
    some = pd.Series(np.asarray(labels.cat.categories[:1000], dtype=object))
    numbers = _numbers(some)
    if numbers.notna().mean() >= 0.95 and not some.str.match(r"^0\d+$").any():
        kind, note, _ = _number_kind(name, _numbers(labels), distinct)
        odd = some[numbers.isna()].tolist()
        return kind, note or "numbers written as text" + (f"; {odd[0]!r} and the like count as missing" if odd else ""), ""
    if format := _date_format(labels):
        return "date", "" if format == "ISO8601" else f"read as {format}", format
    words = float(np.mean([len(text.split()) for text in some]))
    if words >= 3 and distinct > max(50, 0.2 * present):
        return "text", f"{words:.0f} words on average", ""
    if present >= FEWEST_ROWS and distinct >= 0.95 * present:
        return "identifier", "text, (nearly) all different", ""
    return "categorical", f"{distinct:,} values; the rare ones are pooled" if distinct > 100 else "", ""


def _is_counter(name: str, numbers: pd.Series[Any]) -> bool:
    """Whole numbers under an identifier's name, or that go up by one from row to row."""
    if not _whole(numbers):
        return False
    return bool(_ID_NAME.match(name) or _ID_NAME.match(name.lower())) or bool((numbers.diff().iloc[1:] == 1).all())


def _whole(numbers: pd.Series[Any]) -> bool:
    values = numbers.to_numpy(dtype=float)
    return bool(np.all(values == np.floor(values)))


def _date_format(labels: pd.Series[Any]) -> str:
    """The format in which 95 % of the text can be read as dates; empty if there is none."""
    some = pd.Series(np.asarray(labels.cat.categories[:500], dtype=object))
    if some.empty or np.mean([bool(_DATE_LIKE.match(text)) for text in some]) < 0.95:
        return ""
    return next((f for f in _DATE_FORMATS if pd.to_datetime(some, format=f, errors="coerce", utc=True).notna().mean() >= 0.95), "")


def _numbers(series: pd.Series[Any], keep_inf: bool = False) -> pd.Series[Any]:
    if types.is_timedelta64_dtype(series):
        series = series.dt.total_seconds()
    if types.is_numeric_dtype(series):
        values = series.to_numpy(dtype=float, na_value=np.nan)
    else:
        labels = _labels(series)
        texts = pd.Series(np.asarray(labels.cat.categories, dtype=object), dtype=object)
        lookup = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=float, na_value=np.nan, copy=True)
        grouped = np.isnan(lookup) & texts.map(lambda t: bool(_GROUPED.match(t))).to_numpy(dtype=bool)
        lookup[grouped] = pd.to_numeric(texts[grouped].str.replace(r"[,$€£%\s]", "", regex=True), errors="coerce").to_numpy(dtype=float)
        values = np.append(lookup, np.nan)[labels.cat.codes.to_numpy()]
    return pd.Series(values if keep_inf else np.where(np.isinf(values), np.nan, values), index=series.index, name=series.name)


def _truths(series: pd.Series[Any]) -> pd.Series[Any]:
    if types.is_bool_dtype(series) and not series.hasnans:
        return series.astype(float)
    labels = _labels(series)
    lookup = np.array([_TRUTH.get(c.lower(), np.nan) for c in labels.cat.categories] + [np.nan])
    return pd.Series(lookup[labels.cat.codes.to_numpy()], index=series.index, name=series.name)


def _labels(series: pd.Series[Any]) -> pd.Series[Any]:
    """Pandas' category of strings; fast where the column is one already."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, values = series.cat.codes.to_numpy(), series.cat.categories
    else:
        codes, values = pd.factorize(_hashable(series.to_frame()).iloc[:, 0])
    names = [label(v) for v in values]
    places: dict[str, int] = {}
    lookup = np.array([places.setdefault(name, len(places)) if name else -1 for name in names] + [-1], dtype=np.int64)
    return pd.Series(pd.Categorical.from_codes(lookup[codes], categories=pd.Index(list(places), dtype=object)), index=series.index, name=series.name)


def _dates(series: pd.Series[Any], format: str) -> pd.Series[Any]:
    if types.is_datetime64_any_dtype(series):
        moments = series
    elif types.is_numeric_dtype(series):
        moments = pd.Series(pd.NaT, index=series.index, dtype="datetime64[us]")
    else:
        labels = _labels(series)
        texts = pd.Series(np.asarray(labels.cat.categories, dtype=object), dtype=object)
        lookup = pd.to_datetime(texts, format=format or _date_format(labels) or "ISO8601", errors="coerce", utc=True)
        moments = pd.Series(lookup.reindex(labels.cat.codes.to_numpy()).array, index=series.index)
    moments = moments.dt.tz_convert("UTC").dt.tz_localize(None) if isinstance(moments.dtype, pd.DatetimeTZDtype) else moments
    return pd.Series(moments.astype("datetime64[us]").array, index=series.index, name=series.name)


def _hashable(frame: pd.DataFrame) -> pd.DataFrame:
    """Lists and dicts in cells as text."""
    loose = [c for c in frame.columns if frame[c].dtype == object and frame[c].map(lambda v: isinstance(v, list | dict | set | np.ndarray)).any()]
    return frame.assign(**{c: frame[c].map(lambda v: str(v) if isinstance(v, list | dict | set | np.ndarray) else v) for c in loose}) if loose else frame


def _rare(y: Array, table: Table) -> list[str]:
    if table.task == "regression":
        return []
    values, counts = np.unique(y, return_counts=True)
    rare = [f"{v!r} ({_count(int(c), 'row')})" for v, c in zip(values.tolist(), counts.tolist(), strict=True) if c < FEW_PER_CLASS]
    these = ", ".join(rare[:6]) + (", ..." if len(rare) > 6 else "")
    return [f"classes with under {FEW_PER_CLASS} rows can hardly be learned or checked: {these}"] if rare else []


def _leaks(X: pd.DataFrame, y: Array, table: Table) -> list[str]:
    rows = generator(0, "leaks").permutation(len(y))[:_LEAK_ROWS]
    truth = np.unique(y[rows], return_inverse=True)[1] if table.task != "regression" else y[rows]
    measure, line = {"binary": ("AUC", 0.995), "multiclass": ("balanced accuracy", 0.995), "regression": ("R²", 0.999)}[table.task]
    warnings = []
    for column in [c for c in table.used if c.kind != "text"][:_LEAK_COLUMNS]:
        score = _alone(_plain_numbers(X[column.name].iloc[rows]), truth, column.kind == "categorical", table.task)
        if score > line:
            cure = f"if it is not known beforehand, leave it out: --drop {column.name!r}"
            warnings.append(f"leak? {column.name!r} alone predicts {table.target!r} ({measure} {score:.4f}); {cure}")
    return warnings


def _plain_numbers(series: pd.Series[Any]) -> Array:
    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.cat.codes.to_numpy(dtype=float)
    return (series.astype("int64") if types.is_datetime64_any_dtype(series) else series).to_numpy(dtype=float)


def _alone(values: Array, y: Array, coded: bool, task: Task) -> float:
    """The cross-validated score of a small tree on one feature; a quick look at 1,000 rows dismisses the many that are far from it."""
    if task == "regression" and not coded and _is_linear(values, y):
        return 1.0
    brief = slice(0, 1_000)
    if _tree_score(values[brief], y[brief], values[brief], y[brief], coded, task) < 0.98:
        return 0.0
    fold = np.arange(len(y)) % 3
    return float(np.mean([_tree_score(values[fold != k], y[fold != k], values[fold == k], y[fold == k], coded, task) for k in range(3)]))


def _is_linear(values: Array, y: Array) -> bool:
    known = np.isfinite(values)
    if known.sum() < 0.9 * len(y) or np.ptp(values[known]) == 0:
        return False
    return bool(np.corrcoef(values[known], y[known])[0, 1] ** 2 > 0.999)


def _tree_score(values: Array, y: Array, held_values: Array, held_y: Array, coded: bool, task: Task) -> float:
    if len(np.unique(y)) < 2 or len(np.unique(held_y)) < 2:
        return 0.0
    if coded:
        values, held_values = _by_target_mean(values, y, held_values)
    leaves = {"binary": 8, "multiclass": 2 * int(y.max() + 1), "regression": 64}[task]
    maker = DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier
    tree = maker(max_leaf_nodes=leaves, min_samples_leaf=2, random_state=0).fit(values[:, None], y)
    if task == "binary":
        return float(roc_auc_score(held_y, tree.predict_proba(held_values[:, None])[:, 1]))
    guess = tree.predict(held_values[:, None])
    if task == "regression":
        return float(r2_score(held_y, guess))
    return float(recall_score(held_y, guess, labels=np.unique(held_y), average="macro", zero_division=0))


def _by_target_mean(values: Array, y: Array, held_values: Array) -> tuple[Array, Array]:
    """Levels replaced by the target's mean in them, so that a small tree can cut between them; unseen ones lie below all."""
    levels, place = np.unique(values, return_inverse=True)
    means = np.bincount(place, weights=y) / np.bincount(place)
    near = np.minimum(np.searchsorted(levels, held_values), len(levels) - 1)
    return means[place], np.where(levels[near] == held_values, means[near], means.min() - 1)


def _count(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'s' * (n != 1)}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
