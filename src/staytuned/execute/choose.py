"""Which executor a number of jobs and two limits ask for."""

from __future__ import annotations

import math
import os
from concurrent.futures import Executor
from pathlib import Path

from staytuned.errors import UsageError
from staytuned.execute.inline import InlineExecutor
from staytuned.execute.processes import ProcessExecutor


def executor_for(n_jobs: int | None, *, timeout: float | None = None, memory: int | None = None) -> Executor:
    """One job without limits runs inline; several jobs, or one that may have to be killed, run in processes.

    The processors are shared out: a worker gets as many threads of BLAS and OpenMP as there are processors per worker.

    Args:
        n_jobs: how many at once; None means 1, -1 all processors, -2 all but one, and so on, as joblib counts.
        timeout: seconds a task may run; None for no limit.
        memory: bytes a task's process may hold; None for no limit.

    Raises:
        UsageError: n_jobs is 0 or no whole number, or a limit is not positive.
    """
    workers = _workers(n_jobs)
    if workers == 1 and timeout is None and memory is None:
        return InlineExecutor()
    return ProcessExecutor(workers, timeout=timeout, memory=memory, threads_per_worker=max(1, processors() // workers))


def processors(root: Path = Path("/")) -> int:
    """How many processors this process may use: its affinity and its control group's quota, whichever is less; at least 1.

    Args:
        root: where ``proc`` and ``sys`` are mounted.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas(root))]))


def _workers(n_jobs: int | None) -> int:
    if n_jobs is None:
        return 1
    if n_jobs == 0 or int(n_jobs) != n_jobs:
        raise UsageError(f"n_jobs={n_jobs!r} must be a whole number other than 0: 1 for one at a time, -1 for all processors")
    return int(n_jobs) if n_jobs > 0 else max(1, processors() + 1 + int(n_jobs))


def _quotas(root: Path) -> list[float]:
    """Processors granted by this process's control group (version 2) and by each one above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), "")
    mount = root / "sys/fs/cgroup"
    folders = [mount / own, *(mount / above for above in Path(own).parents)]
    return [quota for folder in folders if (quota := _quota(folder / "cpu.max")) is not None]


def _quota(file: Path) -> float | None:
    try:
        granted, period = file.read_text().split()
        return int(granted) / int(period)
    except (OSError, ValueError):  # no such file, or "max": no quota
        return None
