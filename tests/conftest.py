"""What several tests share: where the real data sets lie, and an empty ledger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from staytuned.protocols import Ledger
from staytuned.store.memory import MemoryLedger
from staytuned.store.open import open_ledger

settings.register_profile("fast", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

_DEFAULT = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real data sets; skips where there is none."""
    folder = Path(os.environ.get("STAYTUNED_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"no real data sets at {folder}; set STAYTUNED_DATA to the folder that holds them")
    return folder


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """An empty one, in memory and in a file."""
    return MemoryLedger() if request.param == "memory" else open_ledger(tmp_path / "study.db")
