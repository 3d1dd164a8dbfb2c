"""Predictions first, labels later, joined by id."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.errors import NotFoundError, UsageError
from staytuned.monitor.log import batch_tokens, find_predictions, label_spans, labelled_rows, log_labelled, log_labels, log_predictions, prediction_batch
from staytuned.monitor.performance import Prediction
from staytuned.store.frames import frame_from_bytes, frame_to_bytes
from staytuned.store.memory import MemoryLedger
from staytuned.store.open import open_ledger


def batch(n: int, first: int = 0) -> tuple[pd.DataFrame, Prediction]:
    X = pd.DataFrame({"row": np.arange(first, first + n, dtype=float), "färbe": ["rot", None] * (n // 2) + ["rot"] * (n % 2)})
    p = np.linspace(0.1, 0.9, n)
    return X, Prediction(np.where(p > 0.5, "yes", "no"), np.column_stack([1 - p, p]), ("no", "yes"))


def test_a_prediction_is_found_again_by_its_id():
    ledger = MemoryLedger()
    X, said = batch(5)
    ids = log_predictions(ledger, "m", 2, X, said)
    log_predictions(ledger, "m", 3, *batch(4, first=100))
    found = find_predictions(ledger, "m", [ids[3], ids[0]])
    assert found.X["row"].tolist() == [3.0, 0.0]
    assert found.labels.tolist() == ["yes", "no"]
    assert found.versions.tolist() == [2, 2]
    assert found.scores.columns.tolist() == ["no", "yes"]
    np.testing.assert_allclose(found.scores["yes"], [0.7, 0.1])


def test_the_same_rows_predicted_twice_have_ids_of_their_own():
    ledger = MemoryLedger()
    ids = [i for _ in range(20) for i in log_predictions(ledger, "m", 1, *batch(3))]
    assert len(set(ids)) == 60
    assert len(batch_tokens(ledger, "m")) == 20


def test_labels_join_in_the_order_of_their_arrival():
    ledger = MemoryLedger()
    first, second = (log_predictions(ledger, "m", 1, *batch(4, first=n)) for n in (0, 10))
    log_labels(ledger, "m", [second[1], first[0]], ["yes", "no"])
    log_labels(ledger, "m", [first[3]], ["no"])
    rows = labelled_rows(ledger, "m")
    assert rows.X["row"].tolist() == [11.0, 0.0, 3.0]
    assert rows.y.tolist() == ["yes", "no", "no"]
    assert rows.said.tolist() == ["no", "no", "yes"]
    assert rows.positions.tolist() == [0, 1, 2]
    assert rows.ids == (second[1], first[0], first[3])


def test_a_second_label_counts_and_is_said():
    ledger = MemoryLedger()
    ids = log_predictions(ledger, "m", 1, *batch(3))
    assert log_labels(ledger, "m", ids, [1, 2, 3]).sentence == "3 labels joined"
    again = log_labels(ledger, "m", [ids[0]], [9])
    assert again.relabelled == (ids[0],)
    assert again.sentence == f"1 labels joined; 1 of them replace an earlier label, such as that of {ids[0]!r}"
    rows = labelled_rows(ledger, "m")
    assert rows.ids == (ids[1], ids[2], ids[0])
    assert rows.y.tolist() == [2, 3, 9]
    assert rows.positions.tolist() == [1, 2, 3]
    assert labelled_rows(ledger, "m", stop=3).y.tolist() == [1, 2, 3]  # what was known then does not change


@pytest.mark.parametrize("wrong", ["nonsense", "0123456789abcdef-0", "{token}-7", "{token}-x", "{token}", ""])
def test_a_label_for_nothing_is_quoted_and_none_is_logged(wrong):
    ledger = MemoryLedger()
    ids = log_predictions(ledger, "m", 1, *batch(3))
    unknown = wrong.format(token=ids[0].rpartition("-")[0])
    with pytest.raises(NotFoundError, match=f"has the id '{unknown}'; an id looks like"):
        log_labels(ledger, "m", [ids[0], unknown], ["yes", "no"])
    assert len(labelled_rows(ledger, "m")) == 0
    with pytest.raises(NotFoundError, match="nothing has been predicted with it yet"):
        log_labels(ledger, "other", [ids[0]], ["yes"])


def test_labels_that_cannot_be_joined_are_refused():
    ledger = MemoryLedger()
    ids = log_predictions(ledger, "m", 1, *batch(3))
    with pytest.raises(UsageError, match="2 ids do not fit labels of shape"):
        log_labels(ledger, "m", ids[:2], [1])
    with pytest.raises(UsageError, match="is missing"):
        log_labels(ledger, "m", ids[:2], [1.0, np.nan])
    with pytest.raises(UsageError, match="comes twice"):
        log_labels(ledger, "m", [ids[0], ids[0]], [1, 1])
    with pytest.raises(UsageError, match="2 rows do not fit 3 predictions"):
        log_predictions(ledger, "m", 1, batch(2)[0], batch(3)[1])


def test_labelled_rows_that_were_never_predicted_through_us():
    ledger = MemoryLedger()
    X, said = batch(4)
    log_labelled(ledger, "m", 1, X, np.array(["yes", None, "no", np.nan], dtype=object), said)
    rows = labelled_rows(ledger, "m")
    assert rows.X["row"].tolist() == [0.0, 2.0]
    assert rows.y.tolist() == ["yes", "no"]
    assert find_predictions(ledger, "m", list(rows.ids)).X["row"].tolist() == [0.0, 2.0]


def test_rows_after_a_position_and_without_some_batches():
    ledger = MemoryLedger()
    for n in range(4):
        X, said = batch(3, first=10 * n)
        log_labelled(ledger, "m", n, X, [n] * 3, said)
    spans = label_spans(ledger, "m")
    assert [(span.start, span.stop) for span in spans] == [(0, 3), (3, 6), (6, 9), (9, 12)]
    assert labelled_rows(ledger, "m", 4, 10).y.tolist() == [1, 1, 2, 2, 2, 3]
    assert labelled_rows(ledger, "m", 4, leave_out=[spans[2].token]).y.tolist() == [1, 1, 3, 3, 3]


def test_a_batch_named_twice_is_logged_once():
    ledger = MemoryLedger()
    X, said = batch(3)
    for _ in range(2):
        ledger.append(prediction_batch(ledger, "m", 1, X, said, y=["a", "b", "c"], token="named").facts)
    assert labelled_rows(ledger, "m").y.tolist() == ["a", "b", "c"]


def test_nothing_logged_is_no_rows():
    rows = labelled_rows(MemoryLedger(), "m")
    assert (len(rows), len(rows.X), rows.y.tolist()) == (0, 0, [])
    assert log_predictions(MemoryLedger(), "m", 1, *batch(0)) == []


def test_numbers_stay_numbers_beside_text():
    ledger = MemoryLedger()
    for n, label in enumerate((1, "1", 1.5)):
        log_labelled(ledger, "m", 1, *(lambda X, p, label=label: (X, [label], p))(*batch(1, first=n)))
    assert labelled_rows(ledger, "m").y.tolist() == [1, "1", 1.5]


@cache
def logged():
    """A ledger with three batches, and the ids of their rows."""
    ledger = MemoryLedger()
    return ledger, [log_predictions(ledger, "m", 1, *batch(4, first=10 * n)) for n in range(3)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 9)), max_size=12))
def test_any_order_of_labels_leaves_the_last_one_of_each_row(labels):
    ledger, ids = deepcopy(logged())
    last: dict[float, int] = {}
    for one, row, y in labels:
        log_labels(ledger, "m", [ids[one][row]], [y])
        last.pop(10.0 * one + row, None)
        last[10.0 * one + row] = y
    rows = labelled_rows(ledger, "m")
    assert list(zip(rows.X["row"].tolist() if len(rows) else [], rows.y.tolist(), strict=True)) == list(last.items())


def test_what_was_logged_is_there_in_another_process(tmp_path: Path):
    where = tmp_path / "ledger.db"
    ids = log_predictions(open_ledger(where), "m", 1, *batch(4))
    log_labels(open_ledger(where), "m", ids[:2], ["yes", "no"])
    assert labelled_rows(open_ledger(where), "m").y.tolist() == ["yes", "no"]


def test_any_column_survives_as_parquet():
    frame = pd.DataFrame(
        {
            "mixed": [1, "x", None],
            "category": pd.Categorical(["u", "v", None]),
            "date": pd.to_datetime(["2020-01-01", "2021-06-01", None]),
            "empty": [None, None, None],
            "list": [[1, 2], {"a": 1}, None],
            7: [True, False, True],
        },
        index=[5, 5, 9],
    )
    back = frame_from_bytes(frame_to_bytes(frame))
    assert frame_to_bytes(frame) == frame_to_bytes(frame)
    assert back.columns.tolist() == ["mixed", "category", "date", "empty", "list", "7"]
    assert back["mixed"].iloc[:2].tolist() == ["1", "x"]
    assert back.isna().sum().tolist() == [1, 1, 1, 3, 1, 0]
    assert back["category"].astype(object).tolist()[:2] == ["u", "v"]
    assert back["date"].iloc[1] == pd.Timestamp("2021-06-01")
