"""Blobs at a URL: whole or not at all, checked when read, listed and dropped."""

from __future__ import annotations

import hashlib
import pickle
import time

import pytest

from staytuned.errors import BlobMissing, LedgerError, UsageError
from staytuned.store.blobs import FolderBlobs
from staytuned.store.remote import RemoteBlobs, blobs_at
from staytuned.store.sql import SqlLedger

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(params=["memory", "local"])
def blobs(request, tmp_path):
    if request.param == "local":
        return RemoteBlobs(f"local://{tmp_path}/blobs")
    fsspec.filesystem("memory").store.clear()
    return RemoteBlobs("memory://bucket/blobs")


def paths(blobs: RemoteBlobs) -> list[str]:
    return sorted(blobs._store.find(blobs._root))


@pytest.mark.parametrize("blob", [b"", b"\x00\xff" * 1000, bytes(range(256))])
def test_a_blob_lies_under_its_hash_and_comes_back(blobs, blob):
    digest = blobs.put(blob)
    assert digest == hashlib.sha256(blob).hexdigest()
    assert blobs.put(bytearray(blob)) == digest
    assert [path.rpartition("blobs/")[2] for path in paths(blobs)] == [f"{digest[:2]}/{digest[2:4]}/{digest}"]
    assert blobs.get(digest) == blob
    assert pickle.loads(pickle.dumps(blobs)).get(digest) == blob


def test_damage_is_noticed_and_mended(blobs):
    digest = blobs.put(b"model")
    blobs._store.pipe_file(paths(blobs)[0], b"modem")
    with pytest.raises(BlobMissing, match="no longer matches its hash"):
        blobs.get(digest)
    assert blobs.get(blobs.put(b"model")) == b"model"


@pytest.mark.parametrize("digest", ["ab" * 32, "../secret", ""])
def test_what_is_missing(blobs, digest):
    with pytest.raises(BlobMissing, match="no blob"):
        blobs.get(digest)


def test_a_text_is_no_blob(blobs):
    with pytest.raises(UsageError, match="must be bytes"):
        blobs.put("text")


def test_they_are_listed_and_dropped(blobs):
    assert list(blobs.kept()) == []
    one, two = blobs.put(b"one"), blobs.put(b"three")
    assert {(kept.name, kept.size) for kept in blobs.kept()} == {(one, 3), (two, 5)}
    assert all(abs(kept.since - time.time()) < 3600 for kept in blobs.kept())
    blobs.drop(one)
    blobs.drop(one)
    assert [kept.name for kept in blobs.kept()] == [two]


def test_a_write_that_fails_leaves_nothing(blobs, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(type(blobs._store), "mv", fail)
    monkeypatch.setattr(type(blobs._store), "pipe_file", fail) if blobs.url.startswith("memory") else None
    with pytest.raises(LedgerError, match=f"{blobs.place}.*no room"):
        blobs.put(b"model")
    assert paths(blobs) == []


def test_where_blobs_can_be(tmp_path):
    for where in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        assert isinstance(found := blobs_at(where), FolderBlobs)
        assert found.path == tmp_path
    assert isinstance(blobs_at("memory://x"), RemoteBlobs)


def test_a_url_of_no_known_kind_and_secrets_in_urls():
    with pytest.raises(UsageError, match="nope://bucket cannot be opened"):
        RemoteBlobs("nope://user:secret@bucket")
    assert "secret" not in repr(RemoteBlobs("memory://user:secret@bucket/x"))


def test_a_ledger_keeps_its_blobs_at_a_url(tmp_path) -> None:
    ledger = SqlLedger(tmp_path / "ledger.db", blobs="memory://of-a-ledger")
    digest = ledger.put(b"model")
    assert ledger.get(digest) == pickle.loads(pickle.dumps(ledger)).get(digest) == b"model"
    assert not (tmp_path / "ledger.blobs").exists()
