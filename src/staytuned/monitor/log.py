"""What was predicted, and what turned out to be true: predictions are logged first, labels join them later by id.

A batch of predictions is one Parquet blob and one fact; so is a batch of labels. A prediction's id is the batch's token and the row's
number in it, so that a label finds its row without a search.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from staytuned.errors import NotFoundError, UsageError
from staytuned.monitor.performance import Prediction
from staytuned.protocols import Fact, Ledger
from staytuned.store.frames import frame_from_bytes, frame_to_bytes

Array: TypeAlias = npt.NDArray[Any]

_LABEL, _SCORE = "staytuned.label", "staytuned.score."  # beside the features in a batch; no table has such columns


@dataclass(frozen=True, eq=False)
class Batch:
    """A logged batch that is not yet written: append its facts, and what comes with them, at once.

    Args:
        ids: of the predictions, in the order of the rows.
        facts: to append.
    """

    ids: list[str]
    facts: list[Fact]


@dataclass(frozen=True)
class Joined:
    """What became of some labels.

    Args:
        rows: labels given.
        relabelled: ids that had one before; the new one counts.
        token: of this batch of labels.
        sentence: the same in words.
    """

    rows: int
    relabelled: tuple[str, ...]
    token: str
    sentence: str


@dataclass(frozen=True)
class Span:
    """Where a batch of labels stands in the order of arrival.

    Args:
        token: of the batch.
        start, stop: positions, counted over all labels ever logged for the model.
        fact: the ledger's id of the batch.
        at: Unix time in seconds.
    """

    token: str
    start: int
    stop: int
    fact: int
    at: float


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Predictions joined with their labels, in the order in which the labels arrived.

    Args:
        ids: of the predictions.
        X: (n, n_features), in the order of the first batch's columns.
        y: (n,) the truth.
        said: (n,) what was predicted.
        versions: (n,) by which version.
        positions: (n,) of the labels, counted over all labels ever logged for the model; superseded ones are missing here.
    """

    ids: tuple[str, ...]
    X: pd.DataFrame
    y: Array
    said: Array
    versions: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Logged:
    """Predictions found again by id.

    Args:
        ids: as asked for.
        X: (n, n_features).
        labels: (n,) what was predicted.
        scores: (n, n_classes) with a column per class; no columns for numbers.
        versions: (n,) by which version.
    """

    ids: tuple[str, ...]
    X: pd.DataFrame
    labels: Array
    scores: pd.DataFrame
    versions: npt.NDArray[np.int64]


def log_predictions(ledger: Ledger, model: str, version: int, X: pd.DataFrame, prediction: Prediction, at: float | None = None) -> list[str]:
    """Log what a version said about some rows; the ids by which labels, when they come, are joined.

    Args:
        at: Unix time of the predictions, where it is not now.
    """
    while True:
        batch = prediction_batch(ledger, model, version, X, prediction, at=at)
        if all(ledger.append(batch.facts)):
            return batch.ids


def log_labelled(ledger: Ledger, model: str, version: int, X: pd.DataFrame, y: npt.ArrayLike, prediction: Prediction, at: float | None = None) -> list[str]:
    """Log rows that came with their labels, and what a version says about them; the ids."""
    while True:
        batch = prediction_batch(ledger, model, version, X, prediction, y=y, at=at)
        if all(ledger.append(batch.facts)):
            return batch.ids


def log_labels(ledger: Ledger, model: str, ids: Sequence[str], y: npt.ArrayLike, at: float | None = None) -> Joined:
    """Join labels to predictions. A second label for an id replaces the first from now on, and that is said.

    Raises:
        NotFoundError: nothing was predicted under one of the ids; none of the labels is logged.
        UsageError: the lengths differ, a label is missing, or an id comes twice.
    """
    joined, facts = label_batch(ledger, model, ids, y, at)
    ledger.append(facts)
    return joined


def prediction_batch(
    ledger: Ledger,
    model: str,
    version: int,
    X: pd.DataFrame,
    prediction: Prediction,
    *,
    y: npt.ArrayLike | None = None,
    token: str | None = None,
    at: float | None = None,
) -> Batch:
    """What `log_predictions` (or `log_labelled`, with ``y``; NaN and None are no labels) would append, its blobs already kept.

    Args:
        token: names the batch; a fresh random one if None. Facts of a batch whose token was used before are not accepted.
    """
    if len(X) != len(prediction):
        raise UsageError(f"{len(X)} rows do not fit {len(prediction)} predictions; they must be of the same rows in the same order")
    token = token or secrets.token_hex(8)
    ids = [f"{token}-{row}" for row in range(len(X))]
    body: dict[str, Any] = {"token": token, "version": int(version), "rows": len(X), "blob": ledger.put(frame_to_bytes(_beside(X, prediction)))}
    facts = [Fact(_stream(model), "predicted", _timed(body, at), key=f"predicted/{token}")]
    if y is not None:
        known = np.flatnonzero(_known(np.asarray(y)))
        if len(known):
            facts.append(_labels_fact(ledger, model, token, [ids[row] for row in known], np.asarray(y)[known], at))
    return Batch(ids, facts)


def label_batch(ledger: Ledger, model: str, ids: Sequence[str], y: npt.ArrayLike, at: float | None = None) -> tuple[Joined, list[Fact]]:
    """What `log_labels` returns, and the facts it would append."""
    ids, labels = [str(i) for i in ids], np.asarray(y)
    if labels.shape != (len(ids),):
        raise UsageError(f"{len(ids)} ids do not fit labels of shape {labels.shape}; give one label per id")
    if not (known := _known(labels)).all():
        raise UsageError(f"the label of {ids[int(np.argmin(known))]!r} is missing; leave ids without a label out")
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise UsageError(f"id {twice!r} comes twice in one batch of labels; give each id one label")
    _rows_of(ids, _batches(ledger, model), model)
    before = {i for _, some, _ in _label_events(ledger, model, touching={_token(i) for i in ids}) for i in some}
    again = tuple(i for i in ids if i in before)
    token = secrets.token_hex(8)
    said = f"{len(ids):,} labels joined" + (f"; {len(again):,} of them replace an earlier label, such as that of {again[0]!r}" if again else "")
    return Joined(len(ids), again, token, said), [_labels_fact(ledger, model, token, ids, labels, at)] if ids else []


def label_spans(ledger: Ledger, model: str) -> list[Span]:
    """All batches of labels in order of arrival, without reading them."""
    return _spans(ledger.read(_stream(model), kind="labelled"))


def batch_tokens(ledger: Ledger, model: str) -> set[str]:
    """The tokens of all batches of predictions."""
    return set(_batches(ledger, model))


def labelled_rows(ledger: Ledger, model: str, start: int = 0, stop: int | None = None, leave_out: Collection[str] = ()) -> LabelledRows:
    """Rows with their labels, in the order in which these arrived.

    Args:
        start, stop: positions of labels; all from ``start`` to just before ``stop``. Of several labels of one id the last before ``stop`` counts.
        leave_out: tokens of batches, of labels or of predictions, whose rows are not wanted.
    """
    found: dict[str, tuple[int, Any]] = {}
    for span, ids, y in _label_events(ledger, model, start, stop):
        for position, (one, label) in enumerate(zip(ids, y, strict=True), span.start):
            if start <= position and (stop is None or position < stop):
                found.pop(one, None)
                if span.token not in leave_out and _token(one) not in leave_out:
                    found[one] = (position, label)
    logged = find_predictions(ledger, model, list(found))
    places, labels = zip(*found.values(), strict=True) if found else ((), ())
    return LabelledRows(logged.ids, logged.X, _plain_array(labels), logged.labels, logged.versions, np.array(places, dtype=np.int64))


def find_predictions(ledger: Ledger, model: str, ids: Sequence[str]) -> Logged:
    """The predictions with these ids, in this order.

    Raises:
        NotFoundError: nothing was predicted under one of them.
    """
    batches = _batches(ledger, model)
    rows = _rows_of(ids, batches, model)
    parts, order = [], []
    for token in dict.fromkeys(token for token, _ in rows):
        wanted = [(place, row) for place, (of, row) in enumerate(rows) if of == token]
        part = frame_from_bytes(ledger.get(batches[token]["blob"])).iloc[[row for _, row in wanted]]
        parts.append((part, batches[token]["version"]))
        order += [place for place, _ in wanted]
    table = pd.concat([_loosened(part) for part, _ in parts], ignore_index=True) if parts else pd.DataFrame({_LABEL: []})
    back = np.argsort(np.array(order, dtype=int), kind="stable")
    table = table.iloc[back].reset_index(drop=True)
    versions = np.array([version for part, version in parts for _ in range(len(part))], dtype=np.int64)[back]
    scores = [name for name in table.columns if name.startswith(_SCORE)]
    labels = _plain_array(table[_LABEL].tolist())
    shown = table[scores].rename(columns=lambda name: name.removeprefix(_SCORE))
    return Logged(tuple(ids), table.drop(columns=[_LABEL, *scores]), labels, shown, versions)


def _stream(model: str) -> str:
    return f"log/{model}"


def _timed(body: dict[str, Any], at: float | None) -> dict[str, Any]:
    return body if at is None else body | {"at": float(at)}


def _beside(X: pd.DataFrame, prediction: Prediction) -> pd.DataFrame:
    said: dict[str, Any] = {_LABEL: np.asarray(prediction.labels)}
    if prediction.probabilities is not None:
        p = np.asarray(prediction.probabilities)
        said |= {f"{_SCORE}{name}": p[:, k] for k, name in enumerate(prediction.classes)}
    return pd.concat([X.reset_index(drop=True), pd.DataFrame(said)], axis=1)


def _labels_fact(ledger: Ledger, model: str, token: str, ids: Sequence[str], y: Array, at: float | None) -> Fact:
    blob = ledger.put(frame_to_bytes(pd.DataFrame({"id": list(ids), "y": y})))
    body = {"token": token, "rows": len(ids), "blob": blob, "batches": sorted({_token(i) for i in ids})}
    return Fact(_stream(model), "labelled", _timed(body, at), key=f"labelled/{token}")


def _batches(ledger: Ledger, model: str) -> dict[str, Any]:
    return {fact.body["token"]: fact.body for fact in ledger.read(_stream(model), kind="predicted")}


def _label_events(
    ledger: Ledger, model: str, start: int = 0, stop: int | None = None, touching: set[str] | None = None
) -> Iterator[tuple[Span, list[str], list[Any]]]:
    """(where it stands, ids, labels) of every batch of labels that overlaps [start, stop) and, if asked, labels some of these batches of predictions."""
    facts = ledger.read(_stream(model), kind="labelled")
    for span, fact in zip(_spans(facts), facts, strict=True):
        asked = touching is None or not touching.isdisjoint(fact.body["batches"])
        if asked and span.stop > start and (stop is None or span.start < stop):
            table = frame_from_bytes(ledger.get(fact.body["blob"]))
            yield span, table["id"].tolist(), table["y"].tolist()


def _spans(facts: Sequence[Fact]) -> list[Span]:
    spans, start = [], 0
    for fact in facts:
        spans.append(Span(fact.body["token"], start, start + fact.body["rows"], fact.id, fact.at))
        start = spans[-1].stop
    return spans


def _token(prediction_id: str) -> str:
    return prediction_id.rpartition("-")[0]


def _rows_of(ids: Sequence[str], batches: dict[str, Any], model: str) -> list[tuple[str, int]]:
    """(token, row) of each id."""
    rows = []
    for one in ids:
        token, _, row = str(one).rpartition("-")
        if token not in batches or not row.isdecimal() or int(row) >= batches[token]["rows"]:
            known = f"an id looks like {next(iter(batches))}-0" if batches else "nothing has been predicted with it yet"
            raise NotFoundError(f"no prediction of model {model!r} has the id {one!r}; {known}")
        rows.append((token, int(row)))
    return rows


def _loosened(part: pd.DataFrame) -> pd.DataFrame:
    """Categories as plain values: those of one batch need not be those of the next."""
    return part.assign(**{name: part[name].astype(object) for name in part.columns if isinstance(part[name].dtype, pd.CategoricalDtype)})


def _known(y: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(~pd.isna(pd.Series(y, dtype=object)), dtype=bool)


def _plain_array(values: Sequence[Any]) -> Array:
    """Numbers as numbers, text as text, a mixture as objects: never 1 as "1"."""
    kinds = {type(value) for value in values}
    return np.array(list(values)) if kinds <= {int, float} or len(kinds) == 1 else np.array(list(values), dtype=object)
