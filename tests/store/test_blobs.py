"""Blobs in a folder: whole or not at all, and checked when read."""

import errno
import hashlib
import os
import pathlib
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from staytuned.errors import BlobMissing, LedgerError, LedgerFull, LedgerReadOnly
from staytuned.store.blobs import FolderBlobs


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_blob_lies_under_its_hash(tmp_path):
    blobs = FolderBlobs(tmp_path / "größe und mehr" / "b")
    digest = blobs.put(b"model")
    assert files(tmp_path) == [blobs.path / digest[:2] / digest[2:4] / digest]
    assert files(tmp_path)[0].read_bytes() == b"model"
    assert digest == hashlib.sha256(b"model").hexdigest()


def test_putting_again_only_makes_the_file_look_new(tmp_path):
    blobs = FolderBlobs(tmp_path)
    blobs.put(b"model")
    place = files(tmp_path)[0]
    os.utime(place, (1e9, 1e9))
    before = place.stat()
    blobs.put(bytearray(b"model"))
    assert place.stat().st_ino == before.st_ino
    assert place.stat().st_mtime > 1.7e9


@pytest.mark.parametrize("damage", [b"", b"mode", b"modem"])
def test_damage_is_noticed_and_mended(tmp_path, damage):
    blobs = FolderBlobs(tmp_path)
    digest = blobs.put(b"model")
    files(tmp_path)[0].write_bytes(damage)
    with pytest.raises(BlobMissing, match="no longer matches its hash"):
        blobs.get(digest)
    assert blobs.get(blobs.put(b"model")) == b"model"


def test_a_missing_blob_names_its_file(tmp_path):
    with pytest.raises(BlobMissing, match=f"{'ab' * 32} at {tmp_path}"):
        FolderBlobs(tmp_path).get("ab" * 32)


def test_no_path_leads_out_of_the_folder(tmp_path):
    (tmp_path / "secret").write_text("x")
    with pytest.raises(BlobMissing, match="64 hex digits"):
        FolderBlobs(tmp_path / "blobs").get("../secret")


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "blobs").write_text("x")
    with pytest.raises(LedgerError, match="choose another path"):
        FolderBlobs(tmp_path / "blobs").put(b"model")


def test_threads_put_the_same_blob(tmp_path):
    blobs = FolderBlobs(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(blobs.put, [b"model" * 1000] * 40))
    assert len(digests) == len(files(tmp_path)) == 1


def test_no_room_left(tmp_path):
    # A limit on file size, which a process may set for itself, stands in for a full disk.
    code = f"""
import resource
from staytuned.errors import LedgerFull
from staytuned.store.blobs import FolderBlobs
small = FolderBlobs({str(tmp_path)!r}).put(b"small")
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.RLIM_INFINITY}))
try:
    FolderBlobs({str(tmp_path)!r}).put(bytes(100_000))
except LedgerFull as problem:
    print(problem, small)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert "no room left" in result.stdout
    assert "free some space" in result.stdout
    assert [file.name for file in files(tmp_path)] == [result.stdout.split()[-1]], "nothing but the first blob may stay"


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, LedgerFull), (errno.EDQUOT, LedgerFull), (errno.EROFS, LedgerReadOnly), (errno.EIO, LedgerError)])
def test_the_system_says_no(tmp_path, monkeypatch, code, error):
    def refuse(_handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(error, match=os.strerror(code)) as caught:
        FolderBlobs(tmp_path).put(b"model")
    assert type(caught.value) is error
    assert files(tmp_path) == []
    assert str(tmp_path) in str(caught.value)


def test_reading_may_fail_too(tmp_path):
    blobs = FolderBlobs(tmp_path)
    digest = blobs.put(b"model")
    place = files(tmp_path)[0]
    place.unlink()
    pathlib.Path(place).mkdir()
    with pytest.raises(LedgerError, match="path"):
        blobs.get(digest)
