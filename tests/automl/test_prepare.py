import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from staytuned._random import generator
from staytuned.automl.columns import infer
from staytuned.automl.prepare import VIEWS, TablePreparer, preparer
from staytuned.errors import TableError, UsageError

N = 120


def mixed():
    rng = generator(0, "mixed")
    df = pd.DataFrame(
        {
            "number": np.where(rng.random(N) < 0.1, np.nan, rng.normal(50, 10, N)),
            "skewed": np.where(rng.random(N) < 0.9, 0.0, rng.lognormal(8, 3, N)),
            "flag": rng.choice(["yes", "no"], N),
            "colour": rng.choice(["red", "green", "blue", None], N, p=[0.6, 0.2, 0.1, 0.1]),
            "when": pd.date_range("2021-01-30", periods=N, freq="D").strftime("%d/%m/%Y"),
            "note": [f"{rng.choice(['Mr.', 'Mrs.'])} someone of number {i}" for i in range(N)],
            "id": np.arange(N),
            "y": rng.choice(["a", "b"], N),
        }
    )
    return df, *infer(df, "y")


@pytest.mark.parametrize("view", VIEWS)
def test_the_raw_table_and_the_inferred_one_give_the_same_matrix(view):
    df, X, _, table = mixed()
    fitted = preparer(table.columns, view).fit(X)
    matrix = fitted.transform(X)
    shuffled = df[df.columns[::-1]].assign(other=1, number=df["number"].map(lambda v: None if np.isnan(v) else f" {v!r}"))
    np.testing.assert_array_equal(matrix, fitted.transform(shuffled))
    assert matrix.shape == (N, len(fitted.get_feature_names_out())) == (N, len(fitted.sources))
    assert len(set(fitted.get_feature_names_out())) == matrix.shape[1]
    assert set(fitted.sources) == {"number", "skewed", "flag", "colour", "when", "note"}
    assert fitted.transform(df.iloc[:0]).shape == (0, matrix.shape[1])


def test_the_tree_view():
    df, X, _, table = mixed()
    fitted = preparer(table.columns, "tree").fit(X)
    features = pd.DataFrame(fitted.transform(X), columns=fitted.get_feature_names_out())
    np.testing.assert_array_equal(features["number"], df["number"])
    assert features["flag"].tolist() == (df["flag"] == "yes").tolist()
    assert features["colour"].map({0.0: "red", 1.0: "green", 2.0: "blue"}).fillna("-").tolist() == df["colour"].fillna("-").tolist()
    assert features.loc[2, ["when: month", "when: day", "when: weekday", "when: elapsed days"]].tolist() == [2, 1, 0, 18659]
    assert "when: hour" not in features
    assert "note has 'mr'" in features
    assert features["note has 'mr'"].tolist() == df["note"].str.startswith("Mr.").tolist()


def test_the_linear_view_is_finite_and_small():
    df, X, _, table = mixed()
    fitted = preparer(table.columns, "linear").fit(X)
    features = pd.DataFrame(fitted.transform(X), columns=fitted.get_feature_names_out())
    assert np.isfinite(features.to_numpy()).all()
    assert np.abs(features.to_numpy()).max() <= 3
    assert features["number missing"].tolist() == df["number"].isna().tolist()
    assert (features.loc[df["number"].isna(), "number"] == 0).all()
    assert features[["colour = red", "colour = green", "colour = blue", "colour missing"]].sum(axis=1).eq(1).all()
    assert set(features["flag"]) == {-1, 1}
    far = fitted.transform(df.assign(number=1e300, skewed=-np.inf))
    assert np.isfinite(far).all()
    assert np.abs(far).max() <= 3


def test_scaling_by_hand():
    column = pd.DataFrame({"v": [0.0, 1.0, 2.0, 3.0, 4.0, np.nan]})  # median 2, quartiles 1 and 3
    z = (np.array([0, 1, 2, 3, 4, 2]) - 2) / 2
    expected = z / np.sqrt(1 + (z / 3) ** 2)
    np.testing.assert_allclose(TablePreparer({"v": "numeric"}, "linear").fit_transform(column)[:, 0], expected)


def test_unseen_rare_and_missing_levels():
    column = pd.DataFrame({"c": [f"level {i}" for i in range(50) for _ in range(50 - i)]})
    new = pd.DataFrame({"c": ["level 0", "level 49", "unseen", None]})
    assert np.array_equal(TablePreparer({"c": "categorical"}, "tree").fit(column).transform(new)[:, 0], [0, 49, 50, np.nan], equal_nan=True)
    linear = TablePreparer({"c": "categorical"}, "linear").fit(column)
    matrix = linear.transform(new)
    assert matrix.shape == (4, 30)
    assert linear.get_feature_names_out()[-1] == "c = (rare)"
    assert matrix.argmax(axis=1)[:3].tolist() == [0, 29, 29]
    assert matrix.sum(axis=1).tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("view", VIEWS)
def test_a_fold_in_which_everything_is_missing(view):
    df, _, _, table = mixed()
    empty = df.assign(**dict.fromkeys(["number", "flag", "colour", "when", "note"]))
    fitted = preparer(table.columns, view).fit(empty)
    assert len(fitted.transform(df)) == N
    assert view == "tree" or np.isfinite(fitted.transform(df)).all()


def test_missing_columns_are_named():
    df, X, _, table = mixed()
    fitted = preparer(table.columns, "tree").fit(X)
    with pytest.raises(TableError, match="lacks 2 columns the model was made with: 'number', 'when'"):
        fitted.transform(df.drop(columns=["number", "when"]))
    with pytest.raises(TableError, match=r"DataFrame with the columns 'number'.* is needed, not ndarray"):
        fitted.transform(df.to_numpy())
    with pytest.raises(UsageError, match="view='forest' is not one of tree, linear"):
        TablePreparer({"x": "numeric"}, "forest").fit(df)


def test_it_can_be_cloned_and_holds_only_plain_things():
    _, X, _, table = mixed()
    fitted = clone(preparer(table.columns, "linear")).fit(X)

    def plain(thing):
        if isinstance(thing, dict):
            return all(isinstance(k, str) and plain(v) for k, v in thing.items())
        return all(map(plain, thing)) if type(thing) is list else type(thing) in (str, float, int, bool)

    assert all(plain(getattr(fitted, name)) for name in vars(fitted))


KIND = {"a": "numeric", "b": "categorical", "c": "boolean", "d": "text", "e": "date"}
CELL = st.one_of(st.none(), st.floats(), st.integers(-(10**12), 10**12), st.text(max_size=12), st.booleans(), st.datetimes().map(str))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(*[CELL] * 5), min_size=1, max_size=12),
    st.lists(st.tuples(*[CELL] * 5), max_size=6),
    st.sampled_from(VIEWS),
)
def test_whatever_comes_a_matrix_comes_out(train, new, view):
    fitted = TablePreparer(KIND, view).fit(pd.DataFrame(train, columns=list(KIND)))
    matrix = fitted.transform(pd.DataFrame(new, columns=list(KIND)))
    assert matrix.shape == (len(new), len(fitted.get_feature_names_out()))
    assert not np.isinf(matrix).any()
    assert view == "tree" or np.isfinite(matrix).all()
