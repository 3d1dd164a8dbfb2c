"""What work says is kept, of each thread its own, and still reaches the terminal."""

from __future__ import annotations

import copy
import io
import logging
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout

import pytest

from staytuned.errors import TrialPruned, UsageError, WorkerDied
from staytuned.evaluate import output
from staytuned.evaluate.guard import failure, measured
from staytuned.evaluate.output import KEPT, kept_output
from staytuned.trial import Measurement, Status, Trial, trial_from_json, trial_to_json


def test_what_is_printed_is_kept_and_still_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> float:
        print("one")
        print("two", file=sys.stderr)
        sys.stdout.writelines(["three", "\n"])
        return 1.0

    assert measured(work, "loss").log == "one\ntwo\nthree\n"
    said = capsys.readouterr()
    assert (said.out, said.err) == ("one\nthree\n", "two\n")


def test_the_streams_are_put_back() -> None:
    before, handlers = (sys.stdout, sys.stderr), list(logging.getLogger().handlers)
    assert measured(lambda: 1 / 0, "loss").status is Status.FAILED
    with pytest.raises(KeyboardInterrupt), kept_output():
        raise KeyboardInterrupt
    assert (sys.stdout, sys.stderr) == before
    assert logging.getLogger().handlers == handlers


def test_a_stream_that_the_work_puts_in_its_place_stays() -> None:
    other, before = io.StringIO(), sys.stdout
    try:
        with kept_output():
            sys.stdout = other
        assert sys.stdout is other
    finally:
        sys.stdout = before


def test_only_the_end_is_kept() -> None:
    def work() -> float:
        for i in range(KEPT):
            print(i)
        return 1.0

    log = measured(work, "loss").log
    assert log.startswith("[...]\n")
    assert log.endswith(f"\n{KEPT - 1}\n")
    assert len(log) == KEPT + len("[...]\n")


def test_each_thread_keeps_its_own() -> None:
    together = threading.Barrier(4)

    def work(i: int) -> float:
        for line in range(20):
            together.wait(60)
            print(f"{i}:{line}")
        return float(i)

    with ThreadPoolExecutor(4) as pool:
        logs = list(pool.map(lambda i: measured(lambda: work(i), "loss").log, range(4)))
    assert logs == ["".join(f"{i}:{line}\n" for line in range(20)) for i in range(4)]
    assert not isinstance(sys.stdout, output._Tee)


def test_work_inside_work_keeps_what_it_says_itself() -> None:
    inner: list[Measurement] = []

    def outer() -> float:
        print("before")
        inner.append(measured(lambda: print("inside") or 1.0, "loss"))  # type: ignore[func-returns-value]
        print("after")
        return 1.0

    assert measured(outer, "loss").log == "before\nafter\n"
    assert inner[0].log == "inside\n"


def test_a_redirection_of_the_works_own_is_its_own_affair() -> None:
    def work() -> float:
        with redirect_stdout(io.StringIO()) as kept:
            print("hidden")
        print(kept.getvalue().strip().upper())
        return 1.0

    assert measured(work, "loss").log == "HIDDEN\n"


def _logs() -> float:
    logging.getLogger("mine").info("not this")
    logging.getLogger("mine").warning("but %s", "this")
    return 1.0


def test_warnings_in_the_log_are_kept_once_whoever_writes_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])  # pytest has put its own there
    assert measured(_logs, "loss").log == "but this\n"  # logging's last resort
    assert capsys.readouterr().err == "but this\n"
    elsewhere = io.StringIO()
    root.addHandler(logging.StreamHandler(elsewhere))
    assert measured(_logs, "loss").log == "WARNING mine: but this\n"
    assert elsewhere.getvalue() == "but this\n"
    root.handlers.clear()

    def sets_up_itself() -> float:
        logging.basicConfig(format="[%(message)s]", force=True)
        return _logs()

    assert measured(sets_up_itself, "loss").log == "[but this]\n"
    assert measured(_logs, "loss").log == "[but this]\n"  # its handler writes to the stream of the first


def test_python_warnings_are_kept() -> None:
    def work() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("rather odd", stacklevel=1)
        return 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "showwarning", lambda message, *_, **__: sys.stderr.write(f"{message}\n"))  # pytest has put its own there
        assert "rather odd" in measured(work, "loss").log


def test_a_tee_is_otherwise_the_stream() -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    tee = output._Tee(Terminal("a\nb\n"))
    assert tee.isatty()
    assert tee.encoding == "utf-8"
    assert list(tee) == ["a\n", "b\n"]
    assert not hasattr(copy.copy(object.__new__(output._Tee)), "anything")


# Tracebacks


def _fails() -> float:
    raise ValueError("boom")


def test_the_traceback_begins_with_the_users_own_code() -> None:
    text = measured(lambda: _fails(), "loss").traceback
    assert text.startswith("Traceback (most recent call last):\n")
    assert "guard.py" not in text
    assert text.endswith('in _fails\n    raise ValueError("boom")\nValueError: boom\n')


def test_a_long_traceback_keeps_its_end() -> None:
    def work() -> float:
        raise ValueError("x" * 10 * KEPT + "the end")

    text = measured(work, "loss").traceback
    assert text.startswith("[...]\n")
    assert text.endswith("the end\n")
    assert len(text) <= KEPT + 10


def test_a_fault_of_this_library_has_a_traceback_too() -> None:
    text = measured(lambda: Measurement(status=Status("no such status")), "loss").traceback
    assert text.endswith("ValueError: 'no such status' is not a valid Status\n")


@pytest.mark.parametrize("problem", [TrialPruned("enough"), WorkerDied("gone")])
def test_what_is_no_error_of_the_work_has_none(problem: Exception) -> None:
    def work() -> float:
        raise problem

    assert measured(work, "loss").traceback == ""
    assert failure(UsageError("never raised")).traceback == ""


def test_both_are_written_to_the_ledger_and_an_older_ledger_has_neither() -> None:
    trial = Trial(0, {"x": 1}, measurement=Measurement(status=Status.FAILED, log="said\n", traceback="Traceback\n"))
    body = trial_to_json(trial)
    assert trial_from_json(body) == trial
    assert (trial.log, trial.traceback) == ("said\n", "Traceback\n")
    del body["measurement"]["log"], body["measurement"]["traceback"]
    old = trial_from_json(body)
    assert (old.log, old.traceback) == ("", "")
    assert (Trial(1, {}).log, Trial(1, {}).traceback) == ("", "")
    assert set(trial_to_json(Trial(0, {}, measurement=Measurement({"loss": 1.0})))["measurement"]) == {"scores", "status", "cost"}
