"""What a verb does with its time."""

import sys
import threading
import time

import psutil
import pytest

from staytuned.automl.events import Said
from staytuned.cli import run
from staytuned.cli.run import age, ahead, left_of, left_to_write


def test_a_budget_counts_from_the_start_of_the_process():
    began = psutil.Process().create_time()
    assert age() == pytest.approx(time.time() - began, abs=1.0)


@pytest.mark.parametrize(
    ("seconds", "spent", "left"),
    [
        (60, 2, 60 - 2 - 0.6 - 1.2),  # what comes afterwards takes more than half a second
        (60, 10, 60 - 10 - 2 - 1.2),  # and more where the start was slow
        (10, 9.5, 2),  # however late it is, there is a search
        (None, 5, None),
        (-1, 5, -1),  # which the search refuses
    ],
)
def test_what_is_left_for_a_search(monkeypatch, seconds, spent, left):
    monkeypatch.setattr(run, "age", lambda: spent)
    assert left_of(seconds) == pytest.approx(left)


def test_what_is_left_to_write(monkeypatch):
    monkeypatch.setattr(run, "age", lambda: 9.0)
    assert left_to_write(None) is None
    assert left_to_write(10) == pytest.approx(0.8)
    assert left_to_write(8) == 0


def test_modules_are_loaded_beside_the_search(monkeypatch):
    heard = []
    listener = ahead(heard.append, "no.such.module", "colorsys")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    listener(Said("Read", "one"))
    listener(Said("Read", "two"))
    for thread in threading.enumerate():
        if thread.name == "staytuned-ahead":
            thread.join()
    assert [event.text for event in heard] == ["one", "two"]
    assert "colorsys" in sys.modules
