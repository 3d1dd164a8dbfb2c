"""The file that outlives its process: a ring of which the end can be read at any moment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as some

from staytuned import _last_words
from staytuned._last_words import ANNOUNCED, SAFE, LastWords, emptied, of_this_process, opened, read
from staytuned.evaluate.output import KEPT, Output


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = opened()
    assert descriptor is not None
    yield descriptor
    os.close(descriptor)


@given(some.lists(some.one_of(some.text(max_size=9), some.sampled_from(["x" * 3999, "é" * 4001, "\U0001f642" * 4096, "y" * 9000, "-" * 40]))))
def test_of_any_texts_the_end_is_read(texts: list[str]) -> None:
    descriptor = opened()
    assert descriptor is not None
    words, whole = LastWords(descriptor), ""
    for text in texts:
        words.add(text)
        whole += text.encode("utf-8", "replace").decode()
        said = read(descriptor)
        assert said[-SAFE:] == whole[-SAFE:]
        assert (len(said) > SAFE) == (len(whole) > SAFE)
    os.close(descriptor)


def test_what_is_kept_inside_is_kept_outside(file: int) -> None:
    assert KEPT <= SAFE
    kept = Output(LastWords(file))
    for i in range(3000):
        kept.add(f"line {i}\n")
    assert read(file)[-KEPT:] == kept.text[-KEPT:]
    assert os.fstat(file).st_size < 10 * KEPT


def test_a_text_half_written_spoils_nothing_that_is_safe(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words = LastWords(file)
    for _ in range(500):
        words.add("\U0001f642" * 77)
    before = read(file)
    monkeypatch.setattr(words, "_count", lambda _: None)  # it dies before it counts
    words.add("\U0001f643" * 10 * SAFE)
    assert read(file) != before
    assert read(file)[-SAFE:] == before[-SAFE:]


def test_it_is_emptied_from_either_side(file: int) -> None:
    words = LastWords(file)
    words.add("first")
    emptied(file)
    assert read(file) == ""
    words.clear()
    words.add("second")
    assert read(file) == "second"
    words.clear()
    assert read(file) == ""


def test_only_the_process_that_was_meant_takes_it_and_only_this_file(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for announced in ("", "no number", f"{os.getpid()}:", f"{os.getpid()}:99999", f"{os.getppid()}:{file}"):
        monkeypatch.setenv(ANNOUNCED, announced)
        assert of_this_process() is None
    with tempfile.TemporaryFile() as other:  # the task closed all files and opened its own
        other.write(bytes(os.fstat(file).st_size))
        other.flush()
        monkeypatch.setenv(ANNOUNCED, f"{os.getpid()}:{other.fileno()}")
        assert of_this_process() is None
    monkeypatch.setenv(ANNOUNCED, f"{os.getpid()}:{file}")
    words = of_this_process()
    assert words is not None
    words.add("hers")
    monkeypatch.setattr(words, "_process", os.getppid())  # as in a fork
    words.add("its child's")
    words.clear()
    assert read(file) == "hers"


def test_without_memory_files_it_lies_in_a_nameless_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = opened()
    assert descriptor is not None
    LastWords(descriptor).add("still")
    assert read(descriptor) == "still"
    os.close(descriptor)


def test_where_no_file_can_be_had_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert opened() is None
    monkeypatch.setattr(_last_words, "_nameless", full)
    assert opened() is None
    closed = os.open(os.devnull, os.O_RDONLY)
    os.close(closed)
    assert read(closed) == ""
