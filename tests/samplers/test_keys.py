"""The keys of configs that were tried, few and many."""

from __future__ import annotations

import pytest

from staytuned.samplers import _keys
from staytuned.samplers._keys import Keys


def key(number: int) -> bytes:
    return number.to_bytes(8, "little")


@pytest.mark.parametrize("many", [1, 3, 100])
def test_what_ended_stays_and_what_ran_goes(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(_keys, "_MANY", many)
    keys = Keys()
    for number in range(0, 200, 2):
        keys.end(key(number))
    for number in (1, 1, 3):
        keys.begin(key(number))
    assert [number for number in range(210) if key(number) in keys] == sorted([*range(0, 200, 2), 1, 3])
    keys.leave(key(1))
    keys.leave(key(3))
    assert (key(1) in keys, key(3) in keys) == (True, False)
    keys.leave(key(1))
    assert key(1) not in keys
    keys.end(key(3))
    assert key(3) in keys
    assert 3 not in keys
