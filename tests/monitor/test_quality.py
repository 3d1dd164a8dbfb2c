import math

import numpy as np
import pandas as pd
import pytest

from staytuned._random import generator
from staytuned.errors import TableError
from staytuned.monitor.profile import profile
from staytuned.monitor.quality import quality


def table(n=1000, seed=0):
    rng = generator(seed, "quality")
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, n).round(3),
            "fare": np.where(rng.random(n) < 0.02, math.nan, rng.exponential(30, n)),
            "deck": rng.choice(list("ABCDE"), n),
            "month": rng.integers(1, 6, n),
            "id": [f"p{seed}-{i}" for i in range(n)],
            "when": pd.date_range("2024-01-01", periods=n, freq="h"),
        }
    )


REFERENCE = profile(table(2000))


def found(batch, subject=None):
    return {(f.subject, f.kind): f.level for f in quality(REFERENCE, batch) if subject in (None, f.subject)}


def test_a_good_batch_has_nothing_to_report():
    noisy = [found(table(500, seed)) for seed in range(1, 31)]
    assert sum(map(bool, noisy)) <= 1


def test_an_empty_batch_is_an_incident():
    assert found(table().iloc[:0]) == {("table", "empty"): "attention"}


def test_missing_and_new_columns():
    batch = table(200, 1).drop(columns="age").assign(extra=1)
    assert found(batch) == {("age", "missing column"): "attention", ("extra", "extra column"): "note"}


def test_columns_of_one_name_are_refused():
    batch = table(100, 1)
    with pytest.raises(TableError, match="'age'"):
        quality(REFERENCE, pd.concat([batch, batch[["age"]]], axis=1))


@pytest.mark.parametrize("column", ["age", "fare", "deck", "when"])
def test_a_jump_of_missing_values_is_an_incident(column):
    batch = table(500, 2)
    batch[column] = batch[column].where(generator(0, "hole").random(500) > 0.15)
    assert found(batch, column)[column, "missing values"] == "attention"


def test_a_column_of_nothing_is_an_incident_in_any_dtype():
    for nothing in (np.full(300, math.nan), pd.array([None] * 300, dtype="Int64"), np.full(300, None, dtype=object), np.full(300, math.inf)):
        batch = table(300, 3).assign(age=nothing)
        assert found(batch, "age")["age", "missing values"] == "attention"


def test_a_slight_rise_of_missing_values_is_a_note():
    batch = table(2000, 4)
    batch["age"] = batch["age"].where(generator(0, "slight").random(2000) > 0.02)
    assert found(batch, "age") == {("age", "missing values"): "note"}


def test_words_among_numbers_are_an_incident():
    batch = table(300, 5)
    batch["age"] = ["forty", *batch["age"].astype(str)[1:]]
    assert found(batch, "age") == {("age", "type"): "note"}
    batch["age"] = "n/a?"
    assert found(batch, "age")["age", "type"] == "attention"
    assert "no numbers now, such as 'n/a?'" in next(f.message for f in quality(REFERENCE, batch) if f.kind == "type")
    batch["age"] = pd.date_range("2024-01-01", periods=300)
    assert found(batch, "age")["age", "type"] == "attention"


def test_numbers_read_as_text_are_no_fault():
    batch = table(300, 6)
    batch["age"] = batch["age"].astype(str)
    assert found(batch, "age") == {}


def test_dates_that_turned_into_numbers():
    batch = table(100, 7)
    batch["when"] = np.arange(100.0)
    assert found(batch, "when") == {("when", "type"): "attention"}


def test_unseen_levels_are_a_note_and_a_column_of_ids_has_none():
    batch = table(300, 8)
    batch.loc[batch.index[:60], "deck"] = "Z 😀"
    assert found(batch) == {("deck", "unseen values"): "note"}
    assert "20 %" in quality(REFERENCE, batch)[0].message


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (lambda x: x * 10_000, "attention"),  # units
        (lambda x: x.where(np.arange(len(x)) % 20 > 0, -999), "attention"),  # a code for missing
        (lambda x: x + 300, "note"),  # a trend
    ],
)
def test_values_out_of_range(change, level):
    batch = table(500, 9)
    batch["age"] = change(batch["age"])
    assert found(batch, "age") == {("age", "out of range"): level}


def test_a_new_month_is_no_incident():
    batch = table(500, 10).assign(month=9)
    assert "attention" not in found(batch, "month").values()


def test_a_stuck_sensor_is_an_incident_and_a_month_is_not():
    batch = table(200, 11).assign(age=41.5, month=3)
    levels = found(batch)
    assert levels["age", "constant"] == "attention"
    assert levels["month", "constant"] == "note"


def test_a_file_read_twice():
    batch = table(200, 12)
    assert found(pd.concat([batch, batch])) == {("table", "repeated rows"): "attention"}


def test_a_reference_of_nothing_judges_nothing():
    nothing = profile(pd.DataFrame({"a": np.full(50, math.nan), "b": np.full(50, 3.0)}))
    batch = pd.DataFrame({"a": [1.0, 2.0] * 50, "b": np.arange(100.0)})
    assert all(f.level == "note" for f in quality(nothing, batch))
    assert quality(profile(pd.DataFrame({"a": []})), batch[["a"]]) == []
