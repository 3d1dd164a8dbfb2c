"""A study that is killed and continued tells the same story as one that was left alone.

Run as a script, this file is one life of such a study.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from staytuned._random import generator
from staytuned.open_trial import OpenTrial
from staytuned.protocols import Claim, Fact, Ledger
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.store.open import open_ledger
from staytuned.study import Study
from staytuned.trial import Status

TRIALS = 30
SPACE = Space(
    {
        "kind": Choice(["a", "b"]),
        "x": Float(-1, 1),
        "rate": Float(1e-4, 1, log=True, when={"kind": ["a"]}),
        "n": Int(1, 9, when={"kind": ["b"]}),
    }
)


class Mortal:
    """A ledger whose process is killed at one of its calls, before or after the call took effect."""

    def __init__(self, ledger: Ledger, fatal: int, after: bool) -> None:
        self.ledger, self.fatal, self.after, self.calls = ledger, fatal, after, 0

    def append(self, facts: Sequence[Fact], claims: Sequence[Claim] = ()) -> list[int]:
        return self._survived(lambda: self.ledger.append(facts, claims))

    def claim(self, key: str, owner: str, lease: float, instead_of: str | None = None) -> str:
        return self._survived(lambda: self.ledger.claim(key, owner, lease, instead_of))

    def read(self, stream: str = "", after: int = 0, kind: str | None = None, limit: int | None = None) -> list[Fact]:
        return self.ledger.read(stream, after, kind, limit)

    def put(self, blob: bytes) -> str:
        return self.ledger.put(blob)

    def get(self, digest: str) -> bytes:
        return self.ledger.get(digest)

    def _survived(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self.fatal and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call()
        if self.calls == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def objective(trial: OpenTrial) -> float:
    """A rugged score, with a failure now and then, that depends on the config and on the trial's own seed."""
    if trial.config["x"] < -0.8:
        raise ValueError("too far left")
    noise = float(generator(trial.seed, "noise").normal())
    return float(trial.config["x"] ** 2 + trial.config.get("rate", 0.5) + 0.1 * trial.config.get("n", 0) + 0.01 * noise)


def one_life(path: Path, method: str, fatal: int, after: bool, at_trial: int) -> None:
    """Continue the study until it has all its trials, or until it is killed: at a call of the ledger, or within a trial."""

    def mortal(trial: OpenTrial) -> float:
        if trial.number == at_trial:
            os.kill(os.getpid(), signal.SIGKILL)
        return objective(trial)

    study = Study("s", space=SPACE, sampler=method, ledger=Mortal(open_ledger(path), fatal, after), seed=11, retry=100)
    while (left := TRIALS - sum(trial.status is not Status.RUNNING for trial in study.trials)) > 0:
        study.optimize(mortal, trials=left)


def _live(path: Path, method: str, fatal: int = 0, after: bool = False, at_trial: int = -1) -> int:
    command = [sys.executable, __file__, str(path), method, str(fatal), str(int(after)), str(at_trial)]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300, check=False).returncode


def _story(path: Path) -> list[tuple[Any, ...]]:
    return [(t.number, t.config, dict(t.scores), t.seed, t.origin, t.status, t.cure) for t in Study("s", ledger=path).trials]


def _whole(path: Path, method: str) -> list[tuple[Any, ...]]:
    assert _live(path, method) == 0
    story = _story(path)
    assert [number for number, *_ in story] == list(range(TRIALS))
    assert {story[i][5] for i in range(TRIALS)} == {Status.DONE, Status.FAILED}
    return story


def _facts(path: Path, kind: str) -> list[int]:
    return [fact.body["number"] for fact in open_ledger(path).read("study/s", kind=kind)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "sobol", "evolution", "tpe", "bayes"])
def test_a_study_killed_within_its_trials_repeats_the_one_that_was_not(tmp_path: Path, method: str) -> None:
    whole = _whole(tmp_path / "whole.db", method)
    killed = tmp_path / "killed.db"
    for at_trial in sorted(generator(1, "killed within", method).choice(TRIALS, 2, replace=False)):
        assert _live(killed, method, at_trial=int(at_trial)) == -signal.SIGKILL
        assert len(_story(killed)) == at_trial + 1
        assert _story(killed)[:-1] == whole[:at_trial]
    assert _live(killed, method) == 0
    assert _story(killed) == whole
    assert _facts(killed, "asked") == _facts(killed, "told") == list(range(TRIALS))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "evolution"])
def test_a_study_killed_at_any_call_of_the_ledger_repeats_the_one_that_was_not(tmp_path: Path, method: str) -> None:
    whole = _whole(tmp_path / "whole.db", method)
    killed = tmp_path / "killed.db"
    rng, lives = generator(2, "killed at a call", method), 0
    # A life makes two calls for each trial; one that is not killed in time ends the study.
    while _live(killed, method, fatal=int(rng.integers(1, 18)), after=bool(rng.integers(2))) == -signal.SIGKILL:
        lives += 1
        assert lives < 100
        assert [row for row in _story(killed) if row[5] is not Status.RUNNING] == whole[: len(_facts(killed, "told"))]
    assert lives >= 3
    assert _story(killed) == whole
    assert _facts(killed, "asked") == _facts(killed, "told") == list(range(TRIALS))


if __name__ == "__main__":
    one_life(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1", int(sys.argv[5]))
