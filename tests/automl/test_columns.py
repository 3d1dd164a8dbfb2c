import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staytuned._random import generator
from staytuned.automl.columns import KINDS, as_kind, infer, label, table_from_json, target_of
from staytuned.errors import TableError

REAL = Path(os.environ.get("STAYTUNED_DATA", Path(__file__).parents[3] / "shared" / "data"))
N = 200


def frame(**columns):
    rng = generator(0, "frame")
    return pd.DataFrame({"x": rng.normal(size=N), "y": rng.choice(["no", "yes"], N), **columns})


def kind_of(values, name="c"):
    _, _, table = infer(frame(**{name: values}), "y")
    return {c.name: c for c in table.columns}[name]


def cycled(*values):
    return [values[i % len(values)] for i in range(N)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.linspace(0, 1, N), "numeric"),  # all different and sorted, but a measurement
        (np.arange(N) * 3, "numeric"),  # all different whole numbers with gaps
        (np.arange(N) + 7, "identifier"),  # counts up by one
        (cycled(*(f"{v}.5" for v in range(30)), "unknown"), "numeric"),
        ([f"${v:,}" for v in range(1000, 1000 + 7 * N, 7)], "numeric"),
        ([f"{v:05d}" for v in cycled(101, 222, 333)], "categorical"),  # postal codes are no numbers
        (cycled("yes", "No"), "boolean"),
        (cycled("t", "f", None), "boolean"),
        (cycled(0, 1), "boolean"),
        (cycled(0.0, 1.0, np.nan), "boolean"),
        (cycled(True, False), "boolean"),
        (cycled(1, 2), "numeric"),
        (cycled("t", "y"), "categorical"),
        (cycled("a", "b", "c"), "categorical"),
        (cycled("october", "may"), "categorical"),  # months are no dates
        (pd.Categorical(cycled("1", "2", "3")), "categorical"),
        (cycled("a", None), "categorical"),  # whether it is there may tell something
        ([f"key-{i}" for i in range(N)], "identifier"),
        ([f"a longer comment number {i} with words" for i in range(N)], "text"),
        (pd.date_range("2020-01-01", periods=N, tz="Europe/Berlin"), "date"),
        (pd.date_range("2020-01-01", periods=N).strftime("%d.%m.%Y"), "date"),
        (pd.date_range("2020-01-01", periods=N, freq="h").strftime("%m/%d/%Y %H:%M"), "date"),
        (pd.date_range("2020-01-01", periods=N).date, "date"),
        (pd.to_timedelta(np.arange(N) % 17, unit="h"), "numeric"),
        (["same"] * N, "constant"),
        ([None] * N, "constant"),
        (pd.array(cycled(1, 2, 3, None), dtype="Int64"), "numeric"),
        (pd.array(cycled(True, False, None), dtype="boolean"), "boolean"),
        ([[1, 2]] * (N // 2) + [[3]] * (N // 2), "categorical"),  # cells that cannot be hashed
    ],
)
def test_kinds(values, kind):
    assert kind_of(values).kind == kind


def test_a_name_makes_an_identifier_of_whole_numbers_only():
    rng = generator(0, "id")
    assert kind_of(rng.permutation(10_000)[:N], "customer_id").kind == "identifier"
    assert kind_of(rng.permutation(10_000)[:N], "customer").kind == "numeric"
    assert kind_of(rng.random(N), "customer_id").kind == "numeric"
    assert kind_of(rng.permutation(10_000)[:N], "humid").kind == "numeric"


def test_date_formats_are_kept_for_later():
    column = kind_of(pd.date_range("2020-01-01", periods=N).strftime("%d/%m/%Y"))
    assert column.format == "%d/%m/%Y"
    alone = as_kind(pd.Series(["03/04/2021"]), "date", column.format)  # one row could be read either way
    assert alone.tolist() == [pd.Timestamp(2021, 4, 3)]


def test_kinds_and_drop_override():
    df = frame(code=cycled(1, 2, 3), gone=cycled("a", "b"))
    X, _, table = infer(df, "y", kinds={"code": "categorical"}, drop=["gone"])
    assert [(c.name, c.kind) for c in table.columns] == [("x", "numeric"), ("code", "categorical")]
    assert X["code"].tolist() == cycled("1", "2", "3")


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (cycled("no", "yes"), "binary", ("no", "yes")),
        (cycled(True, False), "binary", (False, True)),
        (cycled(0, 1), "binary", (0, 1)),
        (cycled(0.0, 1.0), "binary", (0, 1)),
        (cycled(1.5, 2.5), "binary", ("1.5", "2.5")),
        (cycled(1, 2, 3), "multiclass", (1, 2, 3)),
        (cycled("1", "2", "3"), "multiclass", ("1", "2", "3")),
        (pd.Categorical(cycled(3, 1, 2)), "multiclass", ("1", "2", "3")),
        (np.arange(N) % 50, "regression", ()),
        (np.linspace(0, 1, N), "regression", ()),
        ([f"{v:.2f}" for v in np.linspace(0, 9, N)], "regression", ()),
        (cycled(1.5, 2.5, 3.5), "regression", ()),
    ],
)
def test_the_task_follows_from_the_target(values, task, classes):
    _, y, table = infer(frame(y=values), "y")
    assert (table.task, table.classes) == (task, classes)
    assert y.dtype != object
    assert len(y) == N


def test_the_task_can_be_said():
    assert infer(frame(y=cycled(1, 2, 3)), "y", task="regression")[2].task == "regression"
    assert infer(frame(y=np.arange(N) % 50), "y", task="classification")[2].task == "multiclass"


@pytest.mark.parametrize(
    ("y", "options", "says"),
    [
        (["a"] * N, {}, "only one value, 'a'"),
        ([f"q{i}" for i in range(N)], {}, "all different, such as 'q0'"),
        (np.arange(N), {}, "is an identifier"),
        ([None] * (N - 1) + ["a"], {}, "only 1 row with a value"),
        ([None] * N, {}, "only 0 rows"),
        (cycled("a", "b"), {"task": "regression"}, "'a', which is no number"),
        (np.linspace(0, 1, N), {"task": "classification"}, "all different"),
        (cycled("a", "b"), {"task": "regresion"}, "did you mean 'regression'"),
        (cycled("a", "b", "c"), {"task": "binary"}, "has 3 values"),
        (pd.date_range("2020-01-01", periods=N), {}, "is a date"),
        (cycled("a", "b"), {"drop": ["X"]}, "drop='X' is not a column; did you mean 'x'"),
        (cycled("a", "b"), {"drop": ["y"]}, "is the target itself"),
        (cycled("a", "b"), {"drop": ["x"]}, "no column is left"),
        (cycled("a", "b"), {"kinds": {"x": "numrical"}}, "did you mean 'numeric'"),
        (cycled("a", "b"), {"kinds": {"z": "numeric"}}, "names 'z', which is not a feature"),
    ],
)
def test_bad_tables_are_refused_in_one_line(y, options, says):
    with pytest.raises(TableError, match=says) as caught:
        infer(frame(y=y), "y", **options)
    assert "\n" not in str(caught.value)


def test_columns_that_are_not_there():
    with pytest.raises(TableError, match="no column 'yy'; did you mean 'y'"):
        infer(frame(), "yy")
    with pytest.raises(TableError, match="more than one column is named 'x'"):
        infer(frame(b=1).rename(columns={"b": "x"}), "y")
    with pytest.raises(TableError, match="DataFrame is needed, not list"):
        infer([[1, 2]], "y")


def test_what_happened_is_said():
    rng = generator(0, "said")
    df = frame(inf=np.where(np.arange(N) % 10 == 0, np.inf, rng.normal(size=N)))
    df.loc[:4, "y"] = None
    df.loc[199, "y"] = "rare"
    df = pd.concat([df, df.iloc[[10]]])
    X, y, table = infer(df, "Y")
    assert table.dropped_rows == 5
    assert len(X) == len(y) == table.rows == 196
    assert X.index.tolist() == df.index[df["y"].notna()].tolist()
    said = " | ".join(table.warnings)
    for words in ("'Y' was taken to be 'y'", "5 rows without a value of 'y' dropped", "1 row of 196 repeats", "'inf': 20 infinite values", "'rare' (1 row)"):
        assert words in said
    assert next(c for c in table.columns if c.name == "inf").missing == X["inf"].isna().sum() > 0


def test_a_leak_is_a_warning_and_an_honest_column_is_not():
    rng = generator(1, "leak")
    two, many, real = rng.choice(["a", "b"], 600), rng.choice([f"class {i}" for i in range(12)], 600), rng.normal(size=600)
    honest = pd.DataFrame({"noise": rng.normal(size=600), "good": real + 0.3 * rng.normal(size=600)})
    for y in (two, many, real):
        copy = pd.Series(y).map({v: f"copy of {v}" for v in set(y)}) if y is not real else 3 * real - 1
        warnings = infer(honest.assign(y=y, copy=copy), "y")[2].warnings
        assert [w.split("'")[1] for w in warnings if w.startswith("leak?")] == ["copy"]
        assert "--drop 'copy'" in warnings[-1]


def test_a_column_of_very_many_categories():
    rng = generator(0, "many")
    df = pd.DataFrame({"code": [f"k{i}" for i in rng.integers(0, 20_000, 40_000)], "x": rng.normal(size=40_000), "y": rng.integers(0, 2, 40_000)})
    column = infer(df, "y")[2].columns[0]
    assert column.kind == "categorical"
    assert column.distinct > 10_000


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.floats(), st.text(max_size=6), st.dates()), max_size=30),
    st.sampled_from(KINDS),
)
def test_any_column_can_be_given_any_kind_twice(values, kind):
    series = pd.Series(values, dtype=object, name="c")
    once = as_kind(series, kind)
    assert len(once) == len(series)
    if kind not in ("identifier", "constant"):
        assert not (once.isna() < series.map(lambda v: v is None)).any()  # a missing cell stays missing
        pd.testing.assert_series_equal(as_kind(once, kind), once)


def test_labels_do_not_depend_on_the_type():
    assert label(3) == label(3.0) == label("3") == label(np.float32(3)) == "3"
    assert as_kind(pd.Series([1.0, np.nan, 2.0]), "categorical").tolist()[::2] == ["1", "2"]


def test_the_target_of_a_later_table():
    df = frame(y=cycled("0", "1"))
    _, y, table = infer(df, "y")
    later, known = target_of(df.assign(y=[None, *cycled(0, 1)[1:]]), table)  # a CSV file turns the labels into numbers, with gaps into floats
    assert later.tolist() == y[1:].tolist()
    assert known.tolist() == [False] + [True] * (N - 1)
    with pytest.raises(TableError, match="label '7', unknown to the model; it knows '0', '1'"):
        target_of(df.assign(y=7), table)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "target", "task", "some"),
    [
        ("titanic1309", "Survived", "binary", {"PassengerId": "identifier", "Name": "text", "Sex": "categorical", "Age": "numeric", "Ticket": "categorical"}),
        ("boston_housing", "medv", "regression", {"chas": "boolean", "rm": "numeric"}),
        pytest.param("adult", "income", "binary", {"education": "categorical", "fnlwgt": "numeric"}, marks=pytest.mark.slow),
        pytest.param("diamonds", "price", "regression", {"cut": "categorical", "carat": "numeric"}, marks=pytest.mark.slow),
        ("soybean", "class", "multiclass", {"date": "categorical", "hail": "boolean"}),
        ("credit_g", "class", "binary", {"foreign_worker": "boolean", "job": "categorical"}),
        ("mushroom", "type", "binary", {"veil_type": "constant", "bruises": "boolean", "odor": "categorical"}),
        ("hypothyroid", "Class", "multiclass", {"TBG": "constant", "age": "numeric"}),
        ("letter", "target", "multiclass", {}),
        pytest.param("nannyml_car_loan", "repaid", "binary", {"id": "identifier", "time": "date"}, marks=pytest.mark.slow),
    ],
)
def test_real_tables(name, target, task, some):
    if not (REAL / f"{name}.parquet").exists():
        pytest.skip(f"{REAL / name}.parquet is not there; set STAYTUNED_DATA")
    df = pd.read_parquet(REAL / f"{name}.parquet")
    _, y, table = infer(df, target)
    assert table.task == task
    assert some.items() <= {c.name: c.kind for c in table.columns}.items()
    assert not any(w.startswith("leak?") for w in table.warnings)
    assert table_from_json(json.loads(json.dumps(table.to_json()))) == table
    assert target_of(df, table)[0].tolist() == y.tolist()
