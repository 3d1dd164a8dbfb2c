"""What a blob is called: the SHA-256 of its bytes, in hex."""

from __future__ import annotations

import hashlib
import re

from staytuned.errors import BlobMissing


def digest_of(blob: bytes) -> str:
    """The name of a blob.

    >>> digest_of(b"model")[:8]
    '9372c470'
    """
    return hashlib.sha256(blob).hexdigest()


def is_digest(name: str) -> bool:
    """Whether a blob can be called so."""
    return re.fullmatch("[0-9a-f]{64}", name) is not None


def checked_digest(name: str) -> str:
    """The name, if a blob can be called so; what else a path is made of could lead anywhere.

    Raises:
        BlobMissing: no blob can.
    """
    if not is_digest(name):
        raise BlobMissing(f"no blob {name!r}: a blob is named by the 64 hex digits that put() returned")
    return name
