"""Counting jobs and processors."""

from pathlib import Path

import pytest

from staytuned.errors import UsageError
from staytuned.execute import choose
from staytuned.execute.choose import executor_for, processors
from staytuned.execute.inline import InlineExecutor
from staytuned.execute.processes import ProcessExecutor


@pytest.mark.parametrize("n_jobs", [None, 1])
def test_one_job_without_limits_stays_here(n_jobs: int | None) -> None:
    assert isinstance(executor_for(n_jobs), InlineExecutor)


@pytest.mark.parametrize(("n_jobs", "limits"), [(2, {}), (None, {"timeout": 5.0}), (1, {"memory": 10**9}), (3, {"timeout": 1.0, "memory": 10**9})])
def test_several_jobs_or_a_limit_need_processes(n_jobs: int | None, limits: dict[str, float]) -> None:
    with executor_for(n_jobs, **limits) as executor:  # type: ignore[arg-type]
        assert isinstance(executor, ProcessExecutor)


@pytest.mark.parametrize(("n_jobs", "workers"), [(-1, 8), (-2, 7), (-8, 1), (-20, 1), (5, 5), (12, 12)])
def test_negative_counts_are_from_the_processors(monkeypatch: pytest.MonkeyPatch, n_jobs: int, workers: int) -> None:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(choose, "processors", lambda: 8)
    monkeypatch.setattr(choose, "ProcessExecutor", lambda n, **settings: made.append((n, settings["threads_per_worker"])))
    executor_for(n_jobs, timeout=1.0)
    assert made == [(workers, max(1, 8 // workers))]


@pytest.mark.parametrize("n_jobs", [0, 1.5, -0.5])
def test_no_jobs_at_all_is_a_mistake(n_jobs: float) -> None:
    with pytest.raises(UsageError, match=f"n_jobs={n_jobs}"):
        executor_for(n_jobs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("group", "quotas", "expected"),
    [
        ("0::/\n", {"": "250000 100000"}, 3),
        ("0::/\n", {"": "max 100000"}, 64),
        ("0::/\n", {"": "10000 100000"}, 1),
        ("0::/batch/job7\n", {"batch": "400000 100000", "batch/job7": "max 100000"}, 4),
        ("0::/batch/job7\n", {"batch": "400000 100000", "batch/job7": "200000 100000"}, 2),
        ("4:cpu:/old\n", {}, 64),
        (None, {}, 64),
    ],
)
def test_a_control_groups_quota_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group: str | None, quotas: dict[str, str], expected: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    if group is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(group)
    for name, quota in quotas.items():
        folder = tmp_path / "sys/fs/cgroup" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(quota + "\n")
    assert processors(tmp_path) == expected


def test_here_there_is_at_least_one_processor() -> None:
    assert processors() >= 1
