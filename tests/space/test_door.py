"""Everything people write for a space."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from worlds import spaces

from staytuned._random import generator
from staytuned.errors import SpaceError
from staytuned.space.branches import Branches
from staytuned.space.codec import space_to_json
from staytuned.space.dims import Choice, Float, Int, Law, Ordinal
from staytuned.space.door import as_dimension, as_space
from staytuned.space.space import Space

FORMS: dict[str, tuple[Any, Any]] = {
    "uniform": (scipy.stats.uniform(2, 3), Float(2, 5)),
    "loguniform": (scipy.stats.loguniform(1e-4, 1e2), Float(1e-4, 1e2, log=True)),
    "reciprocal": (scipy.stats.reciprocal(1, 10), Float(1, 10, log=True)),
    "randint": (scipy.stats.randint(1, 11), Int(1, 10)),
    "norm": (scipy.stats.norm(0, 1), Law(scipy.stats.norm(0, 1))),
    "gamma": (scipy.stats.gamma(a=2, scale=3), Law(scipy.stats.gamma(a=2, scale=3))),
    "poisson": (scipy.stats.poisson(4), Law(scipy.stats.poisson(4))),
    "increasing numbers": ([0.1, 1, 10], Ordinal([0.1, 1, 10])),
    "two numbers": ([1, 2], Choice([1, 2])),
    "unordered numbers": ([3, 1, 2], Choice([3, 1, 2])),
    "words": (["rbf", "linear"], Choice(["rbf", "linear"])),
    "truths": ((True, False), Choice([True, False])),
    "a mixture": ([1, 10, None], Choice([1, 10, None])),
    "range": (range(3, 6), Ordinal([3, 4, 5])),
    "array": (np.arange(1, 4), Ordinal([1, 2, 3])),
    "list of numpy numbers": (list(np.arange(1, 4)), Ordinal([1, 2, 3])),
    "logspace": (np.logspace(-1, 1, 3), Ordinal([0.1, 1.0, 10.0])),
    "JSON": ({"type": "float", "low": 0.1, "high": 1, "log": True}, Float(0.1, 1, log=True)),
    "JSON with a condition": ({"type": "int", "low": 1, "high": 9, "when": {"a": ["x"]}}, Int(1, 9, when={"a": ["x"]})),
    "itself": (Int(1, 3), Int(1, 3)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_dimension_is_understood(form: str) -> None:
    given_as, meant = FORMS[form]
    dimension = as_dimension(given_as)
    assert dimension == meant
    assert type(dimension) is type(meant)


@given(spaces())
def test_a_space_is_understood_in_each_of_its_forms(space: Space) -> None:
    assert as_space(space) is space
    assert as_space(json.loads(json.dumps(space_to_json(space)))) == space
    assert as_space(dict(space.dimensions)) == space


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        ({"C": 3}, "C=3 is not a dimension"),
        ({"C": "rbf"}, "C='rbf' is not a dimension"),
        ({"C": None}, "C=None"),
        ({"C": {"a", "b"}}, "C={.*} is not a dimension"),
        ({"C": []}, "has no choices"),
        ({"C": {"type": "double"}}, "C: the type 'double'"),
        ({"C": {"low": 1, "high": 2}}, "C: the type None"),
        ({"C": scipy.stats.uniform(0, -1)}, "low=nan"),
        ([1, 2], r"not \[1, 2\]"),
        ("space.json", "not 'space.json'"),
        (None, "not None"),
    ],
)
def test_what_is_no_space_is_quoted(thing: Any, said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        as_space(thing)


def test_several_spaces_become_one() -> None:
    both = Branches.of([{"C": [1, 2]}, {"C": scipy.stats.uniform(0, 1), "n": [5]}])
    rng = generator(3, "branches")
    drawn = [both.config(both.space.sample(rng)) for _ in range(100)]
    assert {tuple(config) for config in drawn} == {("C",), ("C", "n")}
    assert both.config(both.holding({"C": 0.5, "n": 5}) or {}) == {"C": 0.5, "n": 5}
    assert both.holding({"C": 7}) is None
    with pytest.raises(SpaceError, match="holds no branch"):
        Branches.of([])
