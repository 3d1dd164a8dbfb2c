"""A disk that fills up or may no longer be written, a real one: the error says so, nothing is damaged, and work goes on when there is room again."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from staytuned.errors import LedgerFull, LedgerReadOnly
from staytuned.protocols import Fact
from staytuned.space.dims import Float
from staytuned.store.sql import SqlLedger
from staytuned.study import Study
from staytuned.trial import Status


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root and the program mount")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


def check_whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def study(path: Path) -> Study:
    return Study("s", space={"x": Float(-1, 1)}, sampler="random", ledger=path, seed=1)


def test_a_disk_that_fills_up_within_a_study(disk: Path) -> None:
    path = disk / "staytuned.db"
    told: dict[int, float] = {}
    mine = study(path)
    (disk / "ballast").write_bytes(bytes(1_300_000))
    with pytest.raises(LedgerFull, match=r"staytuned\.db: no room left; free some space and run the same command again, nothing recorded is lost"):
        mine.optimize(lambda trial: trial.config["x"], trials=5000, on_trial=lambda trial: told.update({trial.number: trial.scores["loss"]}))
    assert len(told) > 10
    for reader in (mine, study(path)) if shutil.disk_usage(disk).free else (mine,):
        assert {trial.number: trial.scores["loss"] for trial in reader.trials if trial.status is Status.DONE} == told
    with pytest.raises(LedgerFull):
        mine.ledger.put(bytes(3_000_000))
    with pytest.raises(LedgerFull):
        mine.ledger.append([Fact("a", "kind", {"x": "x" * 3_000_000})])
    (disk / "ballast").unlink()
    mine.optimize(lambda trial: trial.config["x"], trials=10)
    assert {trial.status for trial in study(path).trials} == {Status.DONE}
    assert len(mine.trials) == len(told) + 10 or len(mine.trials) == len(told) + 11, "a trial that could not be told is run again or was left out"
    assert [mine.trials[number].scores["loss"] for number in told] == list(told.values())
    ids = [fact.id for fact in mine.ledger.read()]
    assert ids == list(range(1, len(ids) + 1))
    check_whole(path)
    assert not list(disk.glob("**/*.part")), "half a blob is not left behind"


def test_a_disk_that_may_no_longer_be_written(disk: Path) -> None:
    path = disk / "staytuned.db"
    mine = study(path)
    mine.optimize(lambda trial: trial.config["x"], trials=3)
    mine.ledger.close()
    remount(disk, "ro")
    for call in (lambda: mine.ledger.append([Fact("a", "kind")]), lambda: mine.ledger.claim("k", "ann", 60), lambda: mine.ledger.put(b"x"), mine.ask):
        with pytest.raises(LedgerReadOnly, match=r"ask for the right|choose a ledger where you may write|check that you may"):
            call()
    assert len(SqlLedger(path, read_only=True).read("study/s", kind="told")) == 3
    remount(disk, "rw")
    mine.optimize(lambda trial: trial.config["x"], trials=3)
    assert [trial.status for trial in study(path).trials] == [Status.DONE] * 6
    check_whole(path)


def _until_the_limit(path: str) -> None:
    """A worker whose files may not grow beyond 2 MB."""
    mine = study(Path(path))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    try:
        mine.optimize(lambda trial: trial.config["x"], trials=5000)
    except LedgerFull as problem:
        print(len([trial for trial in mine.trials if trial.status is Status.DONE]), problem)


@pytest.mark.slow
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "staytuned.db"
    done = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told, said = done.stdout.split(maxsplit=1)
    assert "no room left" in said
    assert int(told) > 20
    mine = study(path)
    assert len([trial for trial in mine.trials if trial.status is Status.DONE]) == int(told)
    mine.optimize(lambda trial: trial.config["x"], trials=10)
    check_whole(path)


if __name__ == "__main__":
    _until_the_limit(sys.argv[1])
