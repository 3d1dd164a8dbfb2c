"""What a piece of work says while it runs: printed, warned, logged. It still reaches the terminal; the end of it is kept.

In a worker process it is also kept where the process does not take it along when it is killed.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from staytuned._last_words import LastWords, of_this_process

KEPT = 4000  # characters, of the output and of the traceback; no more than _last_words.SAFE
_CUT = "[...]\n"


class Output:
    """The last ``KEPT`` characters written so far.

    Args:
        outside: where they are written, too.
    """

    def __init__(self, outside: LastWords | None = None) -> None:
        self._text = ""
        self._cut = False
        self._outside = outside

    def add(self, text: str) -> None:
        if self._outside is not None:
            self._outside.add(text)
        self._text += text
        if len(self._text) > KEPT:
            self._text, self._cut = self._text[-KEPT:], True

    @property
    def text(self) -> str:
        return _CUT + self._text if self._cut else self._text


@contextmanager
def kept_output() -> Iterator[Output]:
    """Keep what this thread writes to ``sys.stdout`` and ``sys.stderr``, and logs as a warning or worse.

    Each of several threads at once keeps its own. Not seen: what native code and child processes write to the terminal themselves, and what
    threads write that the work starts. Of several pieces of work at once, or one inside the other, the first to begin is kept outside the process.
    """
    outside = _outside.taken()
    output = Output(outside)
    before = _current.set(output)
    _listening.begin()
    try:
        yield output
    finally:
        _listening.end()
        _outside.left(outside)
        _current.reset(before)


def shortened(text: str) -> str:
    """The end of a long text, which is where a traceback says most."""
    return text if len(text) <= KEPT else _CUT + text[-KEPT:]


_current: ContextVar[Output | None] = ContextVar("output", default=None)


class _Tee:
    """A stream that passes everything on, and adds what is written to the output that the writing thread keeps."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> Any:
        _keep(text)
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self._stream, name)


class _Log(logging.Handler):
    """Keeps records beside the handlers that the program has set up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if not any(isinstance(getattr(handler, "stream", None), _Tee) for handler in logging.getLogger().handlers):  # else it is kept as it is written
            try:
                _keep(self.format(record) + "\n")
            except Exception:
                self.handleError(record)


class _Listening:
    """The tees and the handler are in place while any thread keeps its output."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._tees: dict[str, _Tee] = {}
        self._log = _Log()

    def begin(self) -> None:
        with self._lock:
            self._threads += 1
            if self._threads > 1:
                return
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, _Tee):
                    self._tees[name] = _Tee(stream)
                    setattr(sys, name, self._tees[name])
            if logging.getLogger().handlers:  # a first handler would silence logging's own last resort, which writes to sys.stderr
                logging.getLogger().addHandler(self._log)

    def end(self) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads:
                return
            for name, tee in self._tees.items():
                if getattr(sys, name) is tee:  # the work may have put another in its place
                    setattr(sys, name, tee._stream)
            self._tees.clear()
            logging.getLogger().removeHandler(self._log)


class _Outside:
    """The file that this process was given for what it says, and who writes to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words: LastWords | None = None
        self._busy = False

    def taken(self) -> LastWords | None:
        """The file, empty; None if there is none, or another piece of work has it."""
        with self._lock:
            if self._words is None or not self._words.own:
                self._words, self._busy = of_this_process(), False
            if self._words is None or self._busy:
                return None
            self._busy = True
            self._words.clear()
            return self._words

    def left(self, words: LastWords | None) -> None:
        """Another may have it."""
        with self._lock:
            if words is not None and words is self._words:
                self._busy = False


def _keep(text: str) -> None:
    output = _current.get()
    if output is not None:
        output.add(text)


_listening = _Listening()
_outside = _Outside()
