"""The worker processes of a tuning run: started while its table is still to be read, and ended with the search, whatever they are at.

Light, so that a program can start them before it loads what it needs itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar

from staytuned.execute.choose import executor_for
from staytuned.execute.processes import ProcessExecutor

_NEEDED = "staytuned.automl.recipe"

_early: ContextVar[tuple[int | None, int | None, ProcessExecutor] | None] = ContextVar("_early", default=None)


@contextmanager
def started_early(n_jobs: int | None, memory: int | None) -> Iterator[None]:
    """Workers for the first run in this block that is ``started`` with the same arguments.

    Args:
        n_jobs: how many; None for all processors.
        memory: bytes for a trial; None for no limit.
    """
    executor = executor_for(-1 if n_jobs is None else n_jobs, timeout=1.0, memory=memory)  # a limit, so that they are processes; the run will say which
    assert isinstance(executor, ProcessExecutor)
    _load(executor)
    token = _early.set((n_jobs, memory, executor))
    try:
        yield
    finally:
        _early.reset(token)
        ended(executor)


@contextmanager
def started(n_jobs: int | None, *, limit: float | None, memory: int | None) -> Iterator[Executor]:
    """Workers that load in the meantime what their first trial needs.

    Args:
        n_jobs: how many; None for all processors.
        limit: seconds for a trial, as far as is known; None for none.
        memory: bytes for a trial; None for no limit.
    """
    early = _early.get()
    if limit is not None and early is not None and early[:2] == (n_jobs, memory):
        executor: Executor = early[2]
        _early.set(None)
    else:
        executor = executor_for(-1 if n_jobs is None else n_jobs, timeout=limit, memory=memory)
        if isinstance(executor, ProcessExecutor):
            _load(executor)
    try:
        yield executor
    finally:
        ended(executor)


def ended(executor: Executor) -> None:
    """Let the workers go, whatever they are at; again if need be."""
    if isinstance(executor, ProcessExecutor):
        executor.kill()
    else:
        executor.shutdown()


def loaded(module: str) -> None:
    """Runs in a worker."""
    importlib.import_module(module)


def _load(executor: ProcessExecutor) -> None:
    for _ in range(executor.workers):
        executor.submit_within(None, loaded, _NEEDED)
