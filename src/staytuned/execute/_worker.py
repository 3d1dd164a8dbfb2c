"""The child's side of a worker process: it learns callables, runs them and answers with what came out.

The parent runs this file by its path, before the parent's import path is known here. So only the standard library is
imported at the top; everything else comes in with the first callable that needs it.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1


def main(descriptor: int, parent: int, output: int | None = None) -> None:
    """Serve the parent at the other end of the inherited socket until it closes or dies.

    Args:
        output: descriptor of the inherited file in which the parent finds what was said, if this process is ended.
    """
    _die_with(parent)
    if output is not None:
        os.set_inheritable(output, False)
        os.environ["STAYTUNED_OUTPUT"] = f"{os.getpid()}:{output}"  # for staytuned._last_words, once that is loaded
    connection = Connection(descriptor)
    os.register_at_fork(after_in_child=connection.close)  # else a forked child would keep the parent from seeing this process end
    functions: dict[int, Callable[..., Any]] = {}
    try:
        sys.path[:] = connection.recv()
        connection.send("ready")
        while True:
            _serve_once(connection, functions)
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        # The kernel's own promise holds even while native code keeps the interpreter lock.
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _serve_once(connection: Connection[Any, Any], functions: dict[int, Callable[..., Any]]) -> None:
    verb, token, forgotten = connection.recv()
    body = connection.recv_bytes()
    for old in forgotten:
        functions.pop(old, None)
    if verb == "learn":
        word, answer = _outcome(lambda: functions.update({token: pickle.loads(body)}))
    else:
        word, answer = _outcome(lambda: _call(functions[token], body))
    _flush()
    connection.send(word)
    connection.send_bytes(answer)


def _call(function: Callable[..., Any], body: bytes) -> Any:
    args, kwargs = pickle.loads(body)
    return function(*args, **kwargs)


def _outcome(work: Callable[[], Any]) -> tuple[str, bytes]:
    import cloudpickle

    try:
        result = work()
    except (SystemExit, KeyboardInterrupt) as farewell:
        _leave(farewell)
    except BaseException as problem:
        return "raised", packed_problem(problem)
    try:
        return "returned", cloudpickle.dumps(result)
    except Exception as problem:
        return "unsendable", f"{type(result).__name__}: {type(problem).__name__}: {problem}".encode()


def _leave(farewell: BaseException) -> NoReturn:
    """Exit as the task asked, without waiting for threads that it left running."""
    code = farewell.code if isinstance(farewell, SystemExit) else 128 + signal.SIGINT
    _flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _flush() -> None:
    """What the task printed is seen when it ends, not when the worker does."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or nobody reads it
            stream.flush()


def packed_problem(problem: BaseException) -> bytes:
    """(the pickled exception, its traceback as text): two steps, so that the parent has the text whatever happens to the first."""
    import cloudpickle

    text = "".join(traceback.format_exception(problem))
    try:
        body = cloudpickle.dumps(problem)
        pickle.loads(body)  # many exceptions can be written and not be read
    except Exception:
        body = pickle.dumps(RuntimeError(repr(problem)))
    return pickle.dumps((body, text))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
