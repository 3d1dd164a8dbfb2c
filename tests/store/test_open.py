"""From whatever names a ledger to the ledger."""

import subprocess
import sys

import pytest

from staytuned.errors import LedgerReadOnly, UsageError
from staytuned.protocols import Fact
from staytuned.store.memory import MemoryLedger
from staytuned.store.open import open_ledger
from staytuned.store.sql import SqlLedger


@pytest.mark.parametrize("where", [None, ":memory:", "sqlite://", "sqlite:///:memory:"])
def test_in_memory(where):
    assert isinstance(open_ledger(where), MemoryLedger)


def test_files(tmp_path):
    path = tmp_path / "deep" / "folder" / "ünï code.db"
    for where in (str(path), path, f"sqlite:///{path}"):
        ledger = open_ledger(where)
        assert isinstance(ledger, SqlLedger)
        assert ledger.place == str(path)
        ledger.append([Fact("a", "kind")])
    reader = open_ledger(path, read_only=True)
    assert len(reader.read()) == 3
    with pytest.raises(LedgerReadOnly):
        reader.append([Fact("a", "kind")])


def test_a_ledger_comes_back_as_it_is():
    class Own:
        append = read = claim = put = get = print

    for ledger in (MemoryLedger(), Own()):
        assert open_ledger(ledger) is ledger


@pytest.mark.parametrize(("where", "words"), [("s3://bucket/x", "s3"), ("", "''"), (7, "7"), ([], "append")])
def test_what_names_no_ledger(where, words):
    with pytest.raises(UsageError, match=words):
        open_ledger(where)


def test_memory_needs_no_sqlalchemy():
    code = "import sys; from staytuned.store.open import open_ledger; open_ledger(); sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
