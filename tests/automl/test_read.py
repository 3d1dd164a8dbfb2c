import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staytuned.automl.read import SEPARATORS, nearest, read_table
from staytuned.errors import TableError

TEXT = 'a, b ,ünï cödé\n1,"x,y",2.5\n2,,NA\n3,z,?\n'


def written(folder, name, content, encoding="utf-8"):
    place = folder / name
    place.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return place


def zstandard(raw):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(raw)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_every_encoding_gives_the_same_table(tmp_path, encoding):
    table = read_table(written(tmp_path, "a.csv", TEXT, encoding))
    assert list(table.columns) == ["a", "b", "ünï cödé"]
    assert table["b"].isna().tolist() == [False, True, False]
    assert table["ünï cödé"].tolist()[0] == 2.5
    assert table["ünï cödé"].isna().sum() == 2


@pytest.mark.parametrize(("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard)])
def test_every_packing_gives_the_same_table(tmp_path, ending, pack):
    table = read_table(written(tmp_path, "a.csv" + ending, pack(TEXT.encode())))
    assert table.shape == (3, 3)
    assert table["a"].tolist() == [1, 2, 3]


def test_a_zip_must_hold_one_file(tmp_path):
    for name, members in (("one.zip", ["a.csv"]), ("two.zip", ["a.csv", "b.csv"])):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, TEXT)
    assert read_table(tmp_path / "one.zip").shape == (3, 3)
    with pytest.raises(TableError, match=r"holds 2 files \('a.csv', 'b.csv'\)"):
        read_table(tmp_path / "two.zip")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SEPARATORS),
    st.lists(st.tuples(st.integers(-1000, 1000), st.text("abc ,;|é", min_size=1, max_size=8), st.floats(-1e6, 1e6)), min_size=1, max_size=8),
)
def test_what_was_written_is_read_whatever_the_separator(tmp_path_factory, separator, rows):
    frame = pd.DataFrame([(number, f"t{word}t", real) for number, word, real in rows], columns=["number", "word", "real"])
    place = tmp_path_factory.mktemp("csv") / "t.csv"
    frame.to_csv(place, sep=separator, index=False)
    table = read_table(place)
    assert table["number"].tolist() == frame["number"].tolist()
    assert table["word"].tolist() == frame["word"].tolist()
    np.testing.assert_allclose(table["real"], frame["real"], rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("a;b;c\n1,5;x;2\n2,25;y;3\n", [1.5, "x", 2]),  # decimal comma
        ("a;b\n1.234,5;x\n12,0;y\n", [1234.5, "x"]),  # and grouped thousands
        ("a;b\n1,5;2,5\n", [1.5, 2.5]),
        ("a;b\n1.5;x\n", [1.5, "x"]),  # decimal point in spite of the semicolon
        ("a|b\n1|x,y\n", [1, "x,y"]),
        ('a,b\n1,"x; y; z"\n', [1, "x; y; z"]),
    ],
)
def test_separator_and_decimal_sign_are_found(tmp_path, text, first):
    assert read_table(written(tmp_path, "t.csv", text)).iloc[0].tolist() == first


def test_one_column_is_a_table_but_a_hidden_separator_is_said(tmp_path):
    assert read_table(written(tmp_path, "x.csv", "x\n1\n2\n")).shape == (2, 1)
    for sign in "^ ~":
        with pytest.raises(TableError, match="seems to be separated by"):
            read_table(written(tmp_path, "h.csv", "a^b^c\n1^2^3\n4^5^6\n".replace("^", sign)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.jsonl", '{"a": 1, "b": "x"}\n\n{"a": 2, "b": null}\n'),
        ("r.ndjson", '{"a": 1, "b": "x"}\n{"a": 2}\n'),
        ("r.json", '[{"a": 1, "b": "x"}, {"a": 2, "b": null}]'),
        ("c.json", '{"a": [1, 2], "b": ["x", null]}'),
        ("lines.json", '{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n'),
    ],
)
def test_json(tmp_path, name, content):
    table = read_table(written(tmp_path, name, content))
    assert table["a"].tolist() == [1, 2]
    assert table["b"].isna().tolist() == [False, True]


def test_parquet_and_its_index(tmp_path):
    pd.DataFrame({"a": [1, 2], " b ": ["x", None]}, index=pd.Index([7, 8], name="key")).to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert list(table.columns) == ["key", "a", "b"]
    assert table.index.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("e.csv", "", "is empty"),
        ("e.csv", " \n\n", "is empty"),
        ("h.csv", "a,b\n", "no rows"),
        ("d.csv", "a, a,b\n1,2,3\n", "more than one column named 'a'"),
        ("r.csv", "a,b\n1,2\n3,4,5\n", "line 3 has 3 fields where the header has 2"),
        ("s.csv", "a,b,c\n1,2,3\n4,5\n", "line 3 has 2 fields where the header has 3"),
        ("q.csv", 'a,b\n1,"open\n2,3\n', "quote"),
        ("b.csv", b"\x00\x01\x02" * 50, "not a text file"),
        ("x.parquet", b"no parquet", "no readable Parquet"),
        ("x.xlsx", b"PK\x03\x04", "spreadsheet"),
        ("x.csv.gz", gzip.compress(b"a,b\n1,2\n")[:15], "damaged gzip"),
        ("x.jsonl", '{"a": 1}\n{"a":\n', "line 2 is no valid JSON"),
        ("x.json", "[1, 2]", "record 1 is '1'"),
        ("x.json", '{"a": [1, 2], "b": [3]}', "different lengths"),
        ("x.json", '{"a":', "no valid JSON"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, content, says):
    place = written(tmp_path, name, content)
    with pytest.raises(TableError, match=says) as caught:
        read_table(place)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_file_suggests_the_nearest(tmp_path):
    written(tmp_path, "titanic.csv", TEXT)
    with pytest.raises(TableError, match=r"did you mean 'titanic.csv'"):
        read_table(tmp_path / "titanik.csv")
    with pytest.raises(TableError, match="does not exist either"):
        read_table(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(TableError, match=r"is a folder; name a file in it, such as .*titanic.csv"):
        read_table(tmp_path)


def test_nearest_ignores_case():
    assert nearest("SURVIVD", ["age", "Survived"]) == "; did you mean 'Survived'?"
    assert nearest("zzz", ["age"]) == ""
