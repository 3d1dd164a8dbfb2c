"""The process executor: the laws, every way a worker can die, and what may never be left behind."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import psutil
import pytest
import worker_tasks

from staytuned.errors import TrialKilled, TrialOutOfMemory, TrialTimeout, UsageError, WorkerDied
from staytuned.execute._link import KEPT
from staytuned.execute.processes import ProcessExecutor
from staytuned.testing.executor_laws import EXECUTOR_LAWS, Law

FOREVER = 600.0
PATIENCE = 60.0  # of a test: how long it waits for what must come


@pytest.fixture(scope="module")
def executor() -> Iterator[ProcessExecutor]:
    """Shared: what one test does to its worker is no other's affair."""
    with ProcessExecutor(1) as executor:
        yield executor


@pytest.mark.parametrize("law", EXECUTOR_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("limits", [{"timeout": PATIENCE, "memory": 10**10}, pytest.param({}, marks=pytest.mark.slow)], ids=["limited", "free"])
def test_law(law: Law, limits: dict[str, Any]) -> None:
    law(lambda: ProcessExecutor(2, **limits))


# Deaths


def test_a_task_past_its_time_is_ended(executor: ProcessExecutor) -> None:
    problem = executor.submit_within(0.2, time.sleep, FOREVER).exception(PATIENCE)
    assert isinstance(problem, TrialTimeout)
    assert "longer than its limit of 0.2; raise" in str(problem)
    _assert_works(executor)


def test_the_executors_own_time_limit_and_one_that_replaces_it() -> None:
    with ProcessExecutor(1, timeout=0.15) as executor:
        assert isinstance(executor.submit(time.sleep, FOREVER).exception(PATIENCE), TrialTimeout)
        assert executor.submit_within(PATIENCE, time.sleep, 0.3).result(PATIENCE) is None
        assert executor.submit_within(None, time.sleep, 0.3).result(PATIENCE) is None


def test_native_code_that_hears_no_signal_is_ended(executor: ProcessExecutor) -> None:
    assert isinstance(executor.submit_within(0.6, worker_tasks.deaf).exception(PATIENCE), TrialTimeout)
    _assert_works(executor)


def test_what_a_task_started_ends_with_it(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    executor.submit(worker_tasks.parent_of_sleepers, tmp_path)
    _until(lambda: len(list(tmp_path.iterdir())) == 2)
    executor.kill()
    _assert_gone([int(file.name) for file in tmp_path.iterdir()])


def test_a_task_past_its_memory_is_ended() -> None:
    with ProcessExecutor(1) as executor:
        baseline = executor.submit(worker_tasks.resident).result(PATIENCE)
    limit = baseline + 200_000_000
    with ProcessExecutor(1, memory=limit) as executor:
        problem = executor.submit(worker_tasks.eat, 400_000_000).exception(PATIENCE)
        assert isinstance(problem, TrialOutOfMemory)
        assert f"past its limit of {limit / 1e6:.0f} MB; raise" in str(problem)
        grown = float(str(problem).partition("grew to ")[2].partition(" MB")[0])
        assert grown >= round(limit / 1e6)  # the message rounds
        _assert_works(executor)


def test_a_childs_memory_counts_too() -> None:
    with ProcessExecutor(1) as executor:
        baseline = executor.submit(worker_tasks.resident).result(PATIENCE)
    with ProcessExecutor(1, memory=baseline + 200_000_000) as executor:
        eater = [sys.executable, "-c", "x = b'x' * 400_000_000; import time; time.sleep(600)"]
        assert isinstance(executor.submit(subprocess.run, eater).exception(PATIENCE), TrialOutOfMemory)
        _assert_works(executor)


@pytest.mark.parametrize(
    ("death", "said"),
    [
        (lambda: os._exit(3), "exited with code 3 "),
        (lambda: sys.exit(5), "exited with code 5 "),
        (lambda: sys.exit(), "exited with code 0 "),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"signal 9 \(SIGKILL\), perhaps by the system for lack of memory"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), r"signal 11 \(SIGSEGV\), a crash in native code"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), r"signal 15 \(SIGTERM\)"),
    ],
    ids=["os._exit", "sys.exit", "plain exit", "SIGKILL", "SIGSEGV", "SIGTERM"],
)
def test_a_worker_that_dies_is_replaced(executor: ProcessExecutor, death: Callable[[], None], said: str) -> None:
    with pytest.raises(WorkerDied, match=said):
        executor.submit(death).result(PATIENCE)
    _assert_works(executor)


def test_a_worker_that_dies_with_a_forked_child_is_noticed(executor: ProcessExecutor, tmp_path: Path) -> None:
    with pytest.raises(WorkerDied, match="code 3"):
        executor.submit(worker_tasks.fork_and_leave, tmp_path).result(PATIENCE)
    _assert_gone([int(file.name) for file in tmp_path.iterdir()])
    _assert_works(executor)


def test_a_worker_that_died_idle_costs_no_task(executor: ProcessExecutor) -> None:
    pid = executor.submit(os.getpid).result(PATIENCE)
    psutil.Process(pid).kill()
    _assert_gone([pid])
    assert executor.submit(os.getpid).result(PATIENCE) != pid


def test_deaths_beside_work_lose_nothing_else() -> None:
    with ProcessExecutor(3) as executor:
        futures = [executor.submit(os._exit, 1) if i % 4 == 0 else executor.submit(pow, i, 2) for i in range(16)]
        for i, future in enumerate(futures):
            if i % 4 == 0:
                assert isinstance(future.exception(PATIENCE), WorkerDied)
            else:
                assert future.result(PATIENCE) == i**2


# Ends


def test_kill_ends_everything() -> None:
    executor = ProcessExecutor(2)
    pids = {future.result(PATIENCE) for future in [executor.submit(worker_tasks.pid_after, 0.2) for _ in range(2)]}
    running = [executor.submit(time.sleep, FOREVER) for _ in range(2)]
    waiting = [executor.submit(pow, 2, 3) for _ in range(5)]
    _until(lambda: all(future.running() for future in running))
    executor.kill()
    for future in running:
        with pytest.raises(TrialKilled, match="with its executor"):
            future.result(0)
    assert all(future.cancelled() for future in waiting)
    assert not wait([*running, *waiting], timeout=0).not_done
    _assert_gone(pids)
    executor.kill()
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(pow, 2, 3)


def test_kill_after_shutdown_without_waiting() -> None:
    executor = ProcessExecutor(1)
    future = executor.submit(time.sleep, FOREVER)
    executor.shutdown(wait=False)
    assert not future.done()
    executor.kill()
    assert isinstance(future.exception(0), TrialKilled)


def test_a_callback_may_kill_or_submit() -> None:
    executor = ProcessExecutor(1)
    second: list[Future[int]] = []
    executor.submit(pow, 2, 3).add_done_callback(lambda _: second.append(executor.submit(pow, 3, 3)))
    _until(lambda: bool(second))
    assert second[0].result(PATIENCE) == 27
    third = executor.submit(pow, 2, 5)
    third.add_done_callback(lambda _: executor.kill())
    assert third.result(PATIENCE) == 32
    executor.shutdown()


def test_shutdown_leaves_no_process() -> None:
    with ProcessExecutor(2) as executor:
        pids = {future.result(PATIENCE) for future in [executor.submit(worker_tasks.pid_after, 0.1) for _ in range(4)]}
    assert pids
    _assert_gone(pids)


def test_an_executor_nobody_holds_finishes_and_goes() -> None:
    executor = ProcessExecutor(1)
    futures = [executor.submit(os.getpid) for _ in range(3)]
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    _assert_gone({future.result(PATIENCE) for future in futures})


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)", "sys.exit()"])
def test_a_parent_that_goes_leaves_no_worker(tmp_path: Path, end: str) -> None:
    _run_script(
        tmp_path,
        f"""
        import os, sys, time
        from pathlib import Path
        from staytuned.execute.processes import ProcessExecutor

        def stay(folder):
            (folder / str(os.getpid())).touch()
            import signal
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
            while True:
                pass

        folder = Path(sys.argv[1])
        idle = ProcessExecutor(1)
        (folder / str(idle.submit(os.getpid).result())).touch()
        executor = ProcessExecutor(2)
        executor.submit(stay, folder)
        executor.submit(stay, folder)
        while len(list(folder.iterdir())) < 3:
            time.sleep(0.01)
        {end}
        """,
    )
    pids = [int(file.name) for file in (tmp_path / "out").iterdir()]
    assert len(pids) == 3
    _assert_gone(pids)


# What travels


def test_what_main_defines_travels(tmp_path: Path) -> None:
    said = _run_script(
        tmp_path,
        """
        import sys
        from dataclasses import dataclass
        from staytuned.execute.processes import ProcessExecutor

        print("begun")
        FACTOR = 3

        @dataclass
        class Point:
            x: int

        class Odd(Exception):
            pass

        def scaled(point):
            return Point(point.x * FACTOR)

        def odd(x):
            raise Odd(x)

        executor = ProcessExecutor(1)
        offset = 4
        print(executor.submit(scaled, Point(2)).result() == Point(6))
        print(executor.submit(lambda x: x + offset, 1).result())
        print(type(executor.submit(odd, 1).exception()) is Odd)
        executor.shutdown()
        """,
    )
    assert said.split() == ["begun", "True", "5", "True"]


def test_a_callable_is_packed_once_and_unpacked_once_per_worker() -> None:
    worker_tasks.Counting.packed = 0
    evaluator = worker_tasks.Counting()
    with ProcessExecutor(2) as executor:
        answers = [future.result(PATIENCE) for future in [executor.submit(evaluator, i) for i in range(40)]]
    assert [i for i, _, _ in answers] == list(range(40))
    assert worker_tasks.Counting.packed == 1
    assert {unpacked for _, unpacked, _ in answers} == {1}
    assert 1 <= len({pid for _, _, pid in answers}) <= 2


def test_a_new_worker_is_taught_again(executor: ProcessExecutor) -> None:
    worker_tasks.Counting.packed = 0
    evaluator = worker_tasks.Counting()
    first = executor.submit(evaluator, 0).result(PATIENCE)
    assert isinstance(executor.submit(os._exit, 1).exception(PATIENCE), WorkerDied)
    second = executor.submit(evaluator, 1).result(PATIENCE)
    assert (first[:2], second[:2], worker_tasks.Counting.packed) == ((0, 1), (1, 1), 1)


def test_more_callables_than_are_kept(executor: ProcessExecutor) -> None:
    functions = [lambda x, k=k: x + k for k in range(2 * KEPT + 1)]
    for _ in range(2):
        assert [executor.submit(f, 100).result(PATIENCE) for f in functions] == [100 + k for k in range(len(functions))]
    assert len(executor._shelf) == KEPT


def test_a_callable_is_not_mistaken_for_one_that_is_gone(executor: ProcessExecutor) -> None:
    for k in range(50):
        assert executor.submit(lambda k=k: k).result(PATIENCE) == k


def test_loading_a_callable_is_not_the_trials_time(executor: ProcessExecutor) -> None:
    assert executor.submit_within(0.5, worker_tasks.SlowToLoad()).result(PATIENCE) == "loaded"


def test_what_cannot_be_sent_is_said(executor: ProcessExecutor) -> None:
    pid = executor.submit(os.getpid).result(PATIENCE)
    lock = threading.Lock()
    for future in (executor.submit(repr, lock), executor.submit(lambda: lock)):
        with pytest.raises(UsageError, match=r"cannot be sent to a worker process \(TypeError"):
            future.result(0)
    with pytest.raises(UsageError, match=r"cannot be sent back .* \(lock: TypeError"):
        executor.submit(threading.Lock).result(PATIENCE)
    with pytest.raises(UsageError, match=r"cannot be loaded in a worker process \(ZeroDivisionError"):
        executor.submit(worker_tasks.LoadsOnlyHere()).result(PATIENCE)
    with pytest.raises(UsageError, match=r"cannot be read here \(RuntimeError: not here"):
        executor.submit(worker_tasks.LoadsOnlyThere).result(PATIENCE)
    with pytest.raises(ZeroDivisionError):
        executor.submit(repr, worker_tasks.LoadsOnlyHere()).result(PATIENCE)
    assert executor.submit(os.getpid).result(PATIENCE) == pid


def test_an_exception_brings_its_traceback(executor: ProcessExecutor) -> None:
    problem = executor.submit(worker_tasks.divide, 1, 0).exception(PATIENCE)
    assert isinstance(problem, ZeroDivisionError)
    [note] = problem.__notes__
    assert note.startswith("In the worker process:\nTraceback")
    assert "in divide" in note


@pytest.mark.parametrize("fail", ["fail_with_a_lock", "fail_with_two_arguments"])
def test_exceptions_that_cannot_travel_are_replaced(executor: ProcessExecutor, fail: str) -> None:
    problem = executor.submit(getattr(worker_tasks, fail)).exception(PATIENCE)
    assert type(problem) is RuntimeError
    assert "Stubborn" in str(problem)
    assert f"in {fail}" in problem.__notes__[0]
    _assert_works(executor)


def test_output_does_not_disturb_the_answers(executor: ProcessExecutor) -> None:
    assert executor.submit(worker_tasks.chatter).result(PATIENCE) == "answer"


# The workers' surroundings


def test_a_worker_is_fresh_light_and_apart() -> None:
    with ProcessExecutor(1, threads_per_worker=3) as executor:
        assert executor.submit(os.getenv, "OMP_NUM_THREADS").result(PATIENCE) == "3"
        assert executor.submit(os.getenv, "LOKY_MAX_CPU_COUNT").result(PATIENCE) == "3"
        assert executor.submit(eval, "{'numpy', 'staytuned', 'psutil'} & set(__import__('sys').modules)").result(PATIENCE) == set()
        pid = executor.submit(os.getpid).result(PATIENCE)
        assert executor.submit(os.getsid, 0).result(PATIENCE) == pid != os.getpid()
        assert executor.submit(eval, "__import__('sys').path").result(PATIENCE) == sys.path


def test_workers_start_only_when_needed() -> None:
    before = {child.pid for child in psutil.Process().children()}
    with ProcessExecutor(4) as executor:
        assert {child.pid for child in psutil.Process().children()} == before
        executor.submit(pow, 2, 2).result(PATIENCE)
        assert len({child.pid for child in psutil.Process().children()} - before) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 0}, "workers=0"),
        ({"workers": 1, "threads_per_worker": 0}, "threads_per_worker=0"),
        ({"workers": 1, "timeout": 0}, "timeout=0 "),
        ({"workers": 1, "timeout": float("nan")}, "timeout=nan "),
        ({"workers": 1, "memory": -5}, "memory=-5 "),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ProcessExecutor(**settings)


def test_a_limit_of_no_time_at_all(executor: ProcessExecutor) -> None:
    with pytest.raises(UsageError, match="a time limit=-1"):
        executor.submit_within(-1, pow, 2, 2)


# Witnesses


def _assert_works(executor: ProcessExecutor) -> None:
    assert executor.submit(pow, 7, 2).result(PATIENCE) == 49


def _assert_gone(pids: Any) -> None:
    _until(lambda: not any(_lives(pid) for pid in pids))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def _run_script(folder: Path, text: str) -> str:
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text))
    (folder / "out").mkdir()
    done = subprocess.run([sys.executable, str(script), str(folder / "out")], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout
