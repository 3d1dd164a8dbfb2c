"""Tasks for worker processes. They live apart so that a worker need not import pytest to find them."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

FOREVER = 600.0


class Counting:
    packed = 0

    def __init__(self) -> None:
        self.unpacked = 0

    def __getstate__(self) -> dict[str, int]:
        type(self).packed += 1
        return {"unpacked": self.unpacked}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.unpacked = state["unpacked"] + 1

    def __call__(self, i: int) -> tuple[int, int, int]:
        return i, self.unpacked, os.getpid()


class SlowToLoad:
    def __reduce__(self) -> tuple[Any, ...]:
        return load_slowly, ()

    def __call__(self) -> str:
        return "here"


def load_slowly() -> Callable[[], str]:
    time.sleep(0.7)
    return loaded


def loaded() -> str:
    return "loaded"


class LoadsOnlyHere:
    def __reduce__(self) -> tuple[Any, ...]:
        return divide, (1, 0)

    def __call__(self) -> None:
        raise AssertionError("never reached")


class LoadsOnlyThere:
    def __reduce__(self) -> tuple[Any, ...]:
        return refuse, (os.getpid(),)


def refuse(pid: int) -> None:
    if os.getpid() != pid:
        raise RuntimeError("not here")


class Stubborn(Exception):
    def __init__(self, what: object, why: object) -> None:
        super().__init__(f"{what} because {why}")
        self.why = why


def fail_with_a_lock() -> None:
    raise Stubborn("no", threading.Lock())


def fail_with_two_arguments() -> None:
    raise Stubborn("no", "so")


def divide(a: float, b: float) -> float:
    return a / b


def deaf() -> None:
    import numpy as np

    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
    matrix = np.ones((400, 400))
    while True:
        matrix @= np.eye(400)


def parent_of_sleepers(folder: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    for apart in (False, True):
        child = subprocess.Popen(sleeper, start_new_session=apart)
        (folder / str(child.pid)).touch()
    time.sleep(FOREVER)


def fork_and_leave(folder: Path) -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(FOREVER)
    (folder / str(pid)).touch()
    os._exit(3)


def eat(size: int) -> int:
    block = b"x" * size
    time.sleep(FOREVER)
    return len(block)


def resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def chatter() -> str:
    for descriptor in (1, 2):
        os.write(descriptor, b"\x00\x00\x00\x05noise\n")
    print("more noise", flush=True)
    return "answer"


# What trials say; they are given an open trial or, by a guard, nothing


def talks_and_ends(*_: Any) -> float:
    print("all is well")
    return 1.0


def talks_and_hangs(*_: Any) -> float:
    print("begun")
    logging.getLogger("mine").warning("hm")
    time.sleep(FOREVER)
    return 1.0


def talks_and_leaves(*_: Any) -> float:
    print("leaving")
    os._exit(3)


def talks_and_grows() -> float:
    print("growing")
    return float(eat(400_000_000))


def silent_and_leaves() -> float:
    os._exit(3)


def talks_without_end() -> float:
    for i in count():
        print(f"{i} {'é' * 20}")
    return 1.0


def talks_with_children() -> float:
    from staytuned.evaluate.guard import measured

    print("first")
    if os.fork() == 0:
        print("a fork")
        measured(talks_and_ends, "loss")
        os._exit(0)
    os.wait()
    code = "from staytuned.evaluate.guard import measured; print(measured(lambda: print('a program') or 1.0, 'loss').log)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, close_fds=False)
    if said.stdout.count("a program") == 2:
        print("last")
    os._exit(3)


def talks_inside() -> float:
    from staytuned.evaluate.guard import measured

    print("outer begins")
    measured(talks_and_ends, "loss")
    print("outer again")
    os._exit(3)
