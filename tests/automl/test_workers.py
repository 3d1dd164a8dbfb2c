import pytest

from staytuned.automl.workers import ended, started, started_early
from staytuned.execute.inline import InlineExecutor
from staytuned.execute.processes import ProcessExecutor


def test_a_run_takes_the_workers_that_were_started_early_once():
    with started_early(1, None):
        with started(1, limit=5.0, memory=None) as first:
            assert isinstance(first, ProcessExecutor)
        with pytest.raises(RuntimeError):
            first.submit(len, [])  # they ended with the run
        with started(1, limit=None, memory=None) as second:
            assert isinstance(second, InlineExecutor)


def test_workers_with_other_limits_are_not_taken():
    with started_early(1, None), started(1, limit=5.0, memory=2**33) as other:
        assert other.timeout == 5.0
        assert other._pool.memory == 2**33


def test_whatever_happens_the_workers_end():
    with pytest.raises(KeyError), started(1, limit=5.0, memory=None) as executor:
        raise KeyError("table")
    with pytest.raises(RuntimeError):
        executor.submit(len, [])
    ended(executor)  # again is no trouble


def test_a_run_without_limits_on_one_worker_needs_none():
    with started(1, limit=None, memory=None) as executor:
        assert executor.submit(len, [1]).result() == 1
