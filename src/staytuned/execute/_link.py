"""The parent's side of one worker process: start it, give it a call, watch it, end it."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil

from staytuned import _last_words
from staytuned.errors import TrialOutOfMemory, TrialTimeout, UsageError, WorkerDied
from staytuned.execute import _worker

KEPT = 8  # callables a worker keeps: a study has one, a contest of several models a handful
_LOADING = 120.0  # seconds for a process to start, or to import what a callable needs; not part of any trial's time
_GRACE = 2.0  # seconds an idle worker has for its exit handlers
_GLANCE = 0.05  # seconds between two looks at a worker's memory
_CENSUS = 0.5  # seconds between two counts of a worker's children, which cost a hundred times more, and between two looks at whether it lives
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A callable as bytes under a token that stands for it; holding the callable keeps its id from being given to another."""

    token: int
    function: Callable[..., Any]
    body: bytes


class Link:
    """One worker process and the socket to it. Used by one thread, except for ``kill``, which any thread may call.

    Args:
        threads: how many threads BLAS and OpenMP may use there.
        memory: resident bytes of the process and its children at most; None for no limit.
    """

    def __init__(self, threads: int, memory: int | None = None) -> None:
        self.log = ""  # the end of what the last call said, once the process has been closed
        self._output = _last_words.opened()
        try:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                inherited = [theirs.fileno()] if self._output is None else [theirs.fileno(), self._output]
                numbers = map(str, [inherited[0], os.getpid(), *inherited[1:]])
                self._process = subprocess.Popen(
                    [sys.executable, "-P", *(f"-W{option}" for option in sys.warnoptions), _worker.__file__, *numbers],
                    stdin=subprocess.DEVNULL,
                    pass_fds=inherited,
                    env=os.environ | dict.fromkeys(_THREADS, str(threads)),
                    start_new_session=True,  # a Ctrl-C at the terminal is for the parent alone; and the group can be killed at once
                )
                self._connection: Connection[Any, Any] = Connection(ours.detach())
        except BaseException:
            self._read_output()
            raise
        self._memory = memory
        self._ready = False
        self._known: list[int] = []
        self._family: list[psutil.Process] = []
        self._counted = 0.0

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def call(self, packed: Packed, arguments: bytes, seconds: float | None) -> tuple[Any, BaseException | None]:
        """What came back, and the exception if that is what came.

        Raises:
            TrialKilled: the worker is of no more use: kill and close it.
        """
        if self._output is not None:
            _last_words.emptied(self._output)
        try:
            self._get_ready()
            if packed.token not in self._known:
                problem = self._teach(packed)
                if problem is not None:
                    return None, problem
            self._send("run", packed.token, (), arguments)
            word, body = self._receive(seconds, timeout=True)
        except (EOFError, OSError) as silence:
            raise self._obituary() from silence
        return _opened(word, body)

    def kill(self) -> None:
        """End the process and whatever it started, now."""
        family = self._children()
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        for child in family:
            with suppress(psutil.Error):
                child.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)

    def close(self) -> None:
        """Hang up: an idle worker then leaves by itself, one that does not is killed."""
        family = self._children()
        self._connection.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
        for child in family:
            with suppress(psutil.Error):
                child.kill()
        self._read_output()

    def _read_output(self) -> None:
        if self._output is not None:
            self.log = _last_words.read(self._output)
            os.close(self._output)
            self._output = None

    def _get_ready(self) -> None:
        if not self._ready:
            self._connection.send(sys.path)
            self._wait(_LOADING, timeout=False)
            self._ready = self._connection.recv() == "ready"

    def _teach(self, packed: Packed) -> BaseException | None:
        forgotten = self._known[: -KEPT + 1] if len(self._known) >= KEPT else []
        self._known = [token for token in self._known if token not in forgotten]
        self._send("learn", packed.token, tuple(forgotten), packed.body)
        word, body = self._receive(_LOADING, timeout=False)
        _, problem = _opened(word, body)
        if problem is None:
            self._known.append(packed.token)
            return None
        refusal = UsageError(
            f"{packed.function!r} cannot be loaded in a worker process ({type(problem).__name__}: {problem}); import it from an installed module"
        )
        refusal.__cause__ = problem
        return refusal

    def _send(self, verb: str, token: int, forgotten: tuple[int, ...], body: bytes) -> None:
        self._connection.send((verb, token, forgotten))
        self._connection.send_bytes(body)

    def _receive(self, seconds: float | None, *, timeout: bool) -> tuple[str, bytes]:
        self._wait(seconds, timeout=timeout)
        return self._connection.recv(), self._connection.recv_bytes()

    def _wait(self, seconds: float | None, *, timeout: bool) -> None:
        """Until there is something to read, be it only the end of the stream."""
        begun = time.monotonic()
        while not self._connection.poll(self._patience(begun, seconds)):
            waited = time.monotonic() - begun
            if seconds is not None and waited >= seconds:
                raise TrialTimeout(_too_long(waited, seconds)) if timeout else WorkerDied(f"a worker process did not load within {seconds:g} seconds")
            if self._memory is not None and (used := self._resident()) > self._memory:
                raise TrialOutOfMemory(_too_large(used, self._memory))
            if not self.alive and not self._connection.poll():
                raise EOFError  # a child of the worker may hold the other end open

    def _patience(self, begun: float, seconds: float | None) -> float:
        step = _CENSUS if self._memory is None else _GLANCE
        return step if seconds is None else max(0.0, min(step, begun + seconds - time.monotonic()))

    def _resident(self) -> int:
        now = time.monotonic()
        if now - self._counted > _CENSUS:
            self._family, self._counted = self._children(), now
        return _rss(self._process.pid) + sum(_rss(child.pid) for child in self._family)

    def _children(self) -> list[psutil.Process]:
        if self._process.returncode is not None:
            return []  # the number may be another's by now
        with suppress(psutil.Error):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def _obituary(self) -> WorkerDied:
        self.kill()
        return WorkerDied(_cause_of_death(self._process.returncode))


def _opened(word: str, body: bytes) -> tuple[Any, BaseException | None]:
    if word == "raised":
        return None, opened_problem(body)
    if word == "unsendable":
        return None, UsageError(f"the task's result cannot be sent back from its process ({body.decode()}); return plain numbers, arrays or records")
    try:
        return pickle.loads(body), None
    except Exception as problem:
        refusal = UsageError(f"the task's result cannot be read here ({type(problem).__name__}: {problem}); return plain numbers, arrays or records")
        refusal.__cause__ = problem
        return None, refusal


def opened_problem(body: bytes) -> BaseException:
    packed, text = pickle.loads(body)
    problem: BaseException
    try:
        problem = pickle.loads(packed)
    except Exception:
        problem = RuntimeError(text.rstrip().rpartition("\n")[2])
    problem.add_note(f"In the worker process:\n{text.rstrip()}")
    return problem


def _rss(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _too_long(waited: float, seconds: float) -> str:
    return f"ran for {waited:.3g} seconds, longer than its limit of {seconds:.3g}; raise the time limit, or narrow the space to cheaper configs"


def _too_large(used: int, limit: int) -> str:
    return f"its process grew to {used / 1e6:.0f} MB, past its limit of {limit / 1e6:.0f} MB; raise the memory limit, or narrow the space to smaller configs"


def _cause_of_death(code: int | None) -> str:
    if code is None:
        return "its process did not answer and could not be ended"
    if code >= 0:
        return f"its process exited with code {code} before it answered; look for exit() or os._exit() in the task"
    hints = {signal.SIGKILL: "perhaps by the system for lack of memory: set a memory limit, or run fewer at once", signal.SIGSEGV: "a crash in native code"}
    try:
        name, hint = signal.Signals(-code).name, hints.get(signal.Signals(-code), "nothing of staytuned's sends it")
    except ValueError:
        name, hint = "unknown", "nothing of staytuned's sends it"
    return f"its process was ended by signal {-code} ({name}), {hint}"
