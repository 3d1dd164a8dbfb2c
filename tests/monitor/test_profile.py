import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned._random import generator
from staytuned.errors import TableError
from staytuned.monitor.profile import BUCKETS, TableProfile, level, levels, numbers, profile


def again(x):
    return TableProfile.from_json(json.loads(json.dumps(x.to_json(), allow_nan=False)))


def test_every_kind_of_column_survives_json():
    table = pd.DataFrame(
        {
            "int": [1, 2, 2, 3],
            "float": [0.5, math.nan, math.inf, 2.5],
            "nullable": pd.array([1, None, 3, 4], dtype="Int64"),
            "text": ["a", "b", None, "ü 😀"],
            "flag": [True, False, True, True],
            "category": pd.Categorical(["x", "y", "x", "x"]),
            "when": pd.date_range("2024-01-01", periods=4),
            "lists": [[1], [1], [2], None],
            "complex": [1j, 2j, 3j, 4j],
            "nothing": [math.nan] * 4,
            7: [1, 1, 1, 1],
        }
    )
    found = profile(table)
    assert again(found) == found
    kinds = {column.name: column.kind for column in found.columns}
    assert kinds == {
        **dict.fromkeys(("int", "float", "nullable", "nothing", "7"), "numeric"),
        **dict.fromkeys(("text", "flag", "category", "lists", "complex"), "categorical"),
        "when": "time",
    }
    by_name = {column.name: column for column in found.columns}
    assert by_name["float"].missing == 2
    assert (by_name["float"].low, by_name["float"].high) == (0.5, 2.5)
    assert by_name["nullable"].points == (1.0, 3.0, 4.0)
    assert by_name["text"].counts == {"a": 1, "b": 1, "ü 😀": 1}
    assert by_name["nothing"].present == 0
    assert math.isnan(by_name["nothing"].low)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=600))
def test_counts_at_the_points_are_exact(values):
    column = profile(pd.DataFrame({"x": np.array(values, dtype=float)})).columns[0]
    finite = np.array([x for x in values if math.isfinite(x)], dtype=float)
    assert column.missing == len(values) - len(finite)
    assert len(column.points) <= 256
    assert list(column.points) == sorted(set(column.points))
    assert all(np.sum(finite <= point) == n for point, n in zip(column.points, column.below, strict=True))
    if len(finite):
        assert (column.low, column.high) == (finite.min(), finite.max())


def test_too_many_levels_are_counted_in_buckets():
    column = profile(pd.DataFrame({"id": [f"u{i}" for i in range(5000)]})).columns[0]
    assert column.hashed
    assert column.distinct == 5000
    assert len(column.counts) == BUCKETS
    assert sum(column.counts.values()) == 5000
    assert len(json.dumps(column.to_json())) < 2000


def test_a_profile_is_small():
    rng = generator(30, "small")
    table = pd.DataFrame({f"c{i}": rng.normal(size=5000) for i in range(10)})
    assert len(json.dumps(profile(table).to_json())) < 10 * 9000


def test_levels_read_again_from_a_file_are_the_same():
    assert levels(pd.Series([1.0, 2.0, math.nan])) == levels(pd.Series(["1", "2", None])) == {"1": 1, "2": 1}
    assert level(math.inf) == "inf"


def test_numbers_are_found_in_text_but_not_in_dates():
    assert numbers(pd.Series(["1", "x", None, "2.5"]))[[0, 3]].tolist() == [1.0, 2.5]
    assert np.isnan(numbers(pd.Series(pd.date_range("2024-01-01", periods=2)))).all()


def test_an_empty_table_and_one_without_columns():
    assert profile(pd.DataFrame({"a": []})).rows == 0
    assert profile(pd.DataFrame(index=range(3))).columns == ()


def test_repeated_rows_are_counted_even_of_lists():
    assert profile(pd.DataFrame({"a": [1, 1, 2], "b": ["x", "x", "x"]})).duplicates == 1
    assert profile(pd.DataFrame({"a": [[1], [1], [2]]})).duplicates == 1


def test_columns_of_one_name_are_refused():
    with pytest.raises(TableError, match="more than one column named 'a'"):
        profile(pd.DataFrame([[1, 2]], columns=["a", "a"]))
