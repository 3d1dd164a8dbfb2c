"""What exists when: conditions, constraints, sizes, samples."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import finite_dimensions, spaces

from staytuned._random import generator
from staytuned.errors import SpaceError
from staytuned.space.codec import config_from_json, config_to_json, from_unit, phenotype, space_from_json, space_to_json, to_unit, to_units
from staytuned.space.dims import Choice, Float, Int, Ordinal
from staytuned.space.space import Config, Space

SVM = Space(
    {
        "gamma": Float(1e-4, 1, log=True, when={"kernel": ["rbf", "poly"]}),
        "model": Choice(["svm", "tree"]),
        "kernel": Choice(["linear", "rbf", "poly"], when={"model": ["svm"]}),
        "degree": Int(2, 5, when={"kernel": ["poly"]}),
        "min_leaf": Int(1, 20, when={"model": ["tree"]}),
        "min_split": Int(2, 40, when={"model": ["tree"]}),
    },
    ["min_leaf <= min_split"],
)


def below_ten(config: Config) -> bool:
    return bool(config["n"] < 10)


seeds = st.integers(0, 2**31)


@given(spaces(), seeds)
def test_a_sample_lies_in_the_space(space: Space, seed: int) -> None:
    config = space.sample(generator(seed))
    assert space.problem(config) is None
    assert list(config) == [name for name in space.names if name in config]


@given(spaces(), st.data())
def test_every_point_of_the_cube_lies_in_the_space(space: Space, data: st.DataObject) -> None:
    point = np.array(data.draw(st.lists(st.floats(-0.5, 1.5) | st.just(float("nan")), min_size=len(space), max_size=len(space))))
    config = from_unit(space, point)
    assert space.problem(config) is None


@given(spaces(), seeds)
def test_a_config_survives_the_cube(space: Space, seed: int) -> None:
    config = space.sample(generator(seed))
    unit = to_unit(space, config)
    assert unit.shape == (len(space),)
    assert [name for name, u in zip(space.names, unit, strict=True) if not np.isnan(u)] == list(config)
    assert np.all((unit[~np.isnan(unit)] >= 0) & (unit[~np.isnan(unit)] <= 1))
    again = from_unit(space, unit)
    assert phenotype(space, again) == phenotype(space, config)
    assert list(again) == list(config)


@given(spaces())
def test_a_space_survives_json(space: Space) -> None:
    again = space_from_json(json.loads(json.dumps(space_to_json(space), allow_nan=False)))
    assert again == space
    assert hash(again) == hash(space)
    assert again.names == space.names


@given(spaces(), seeds)
def test_a_config_survives_json(space: Space, seed: int) -> None:
    config = space.sample(generator(seed))
    assert config_from_json(json.loads(json.dumps(config_to_json(config, space), allow_nan=False)), space) == config


@given(spaces(), seeds)
def test_pruning_twice_prunes_no_more(space: Space, seed: int) -> None:
    everything = {name: space[name].from_unit(u) for name, u in zip(space.names, generator(seed).random(len(space)), strict=True)}
    pruned = space.pruned(everything)
    assert space.contains(pruned)
    assert space.pruned(pruned) == pruned
    assert space.active(pruned) == space.active(everything) == tuple(pruned)


@given(spaces(finite_dimensions))
def test_the_size_is_the_number_of_configs(space: Space) -> None:
    levels = [[dimension.from_unit((i + 0.5) / dimension.size) for i in range(dimension.size)] for dimension in space.dimensions.values()]
    configs = {phenotype(space, space.pruned(dict(zip(space.names, values, strict=True)))) for values in product(*levels)}
    assert space.size == len(configs)


@pytest.mark.parametrize("space", [SVM, Space({})], ids=["svm", "empty"])
def test_a_space_survives_pickling_and_copying(space: Space) -> None:
    assert pickle.loads(pickle.dumps(space)) == space
    assert copy.deepcopy(space) == space


def test_constraints_travel_with_the_space() -> None:
    assert not pickle.loads(pickle.dumps(SVM)).satisfied({"min_leaf": 3, "min_split": 2})


def test_an_empty_space_has_one_config() -> None:
    assert Space({}).size == 1
    assert Space({}).sample(generator(0)) == {}
    assert to_units(Space({}), [{}, {}]).shape == (2, 0)


def test_conditions_reach_down_the_generations() -> None:
    assert SVM.active({"model": "tree", "kernel": "poly", "degree": 3}) == ("model", "min_leaf", "min_split")
    assert SVM.active({"model": "svm", "kernel": "rbf"}) == ("gamma", "model", "kernel")
    assert SVM.parents_first.index("model") < SVM.parents_first.index("kernel") < SVM.parents_first.index("gamma")
    assert SVM.size is None


def test_a_condition_does_not_shift_the_draws_of_others() -> None:
    free = Space({"a": Choice(["x", "y"]), "b": Float(0, 1), "c": Float(0, 1)})
    bound = Space({"a": Choice(["x", "y"]), "b": Float(0, 1, when={"a": ["x"]}), "c": Float(0, 1)})
    for seed in range(20):
        one, other = free.sample(generator(seed)), bound.sample(generator(seed))
        assert one["c"] == other["c"]
        assert other.get("b", one["b"]) == one["b"]


def test_samples_are_even_over_a_finite_space() -> None:
    space = Space({"a": Int(0, 3), "b": Choice(["x", "y"])})
    rng = generator(1, "even")
    counts = Counter(phenotype(space, space.sample(rng)) for _ in range(4000))
    # Each of 8 cells expects 500 with standard deviation 21; six of them are crossed once in 60 million runs.
    assert len(counts) == 8
    assert all(abs(count - 500) < 126 for count in counts.values())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model": "tree", "min_leaf": 3, "min_split": 2}, "the constraint 'min_leaf <= min_split' does not hold"),
        ({"model": "tree", "min_leaf": 3}, "'min_split' is missing; .* needs a value in Int"),
        ({"model": "tree", "min_leaf": 0, "min_split": 2}, r"min_leaf=0 is outside Int\(low=1"),
        ({"model": "svm", "kernel": "linear", "gamma": 0.1}, "'gamma' does not exist in this config: its condition is .*'rbf'"),
        ({"model": "forest"}, "model='forest' is outside Choice"),
        ({"modle": "svm"}, "'modle' is not in the space; it has gamma, model"),
        ({}, "'model' is missing"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(config: Config, said: str) -> None:
    assert not SVM.contains(config)
    assert re.search(said, SVM.problem(config) or "")


@pytest.mark.parametrize(
    ("constraint", "holds", "fails"),
    [
        ("n <= m", {"n": 1, "m": 2}, {"n": 3, "m": 2}),
        ("  n + 2 * m - 1 < 8 and not n == 3", {"n": 1, "m": 2}, {"n": 3, "m": 1}),
        ("n in (1, 2) or m not in [3, 4]", {"n": 5, "m": 1}, {"n": 5, "m": 4}),
        ("0 < n % 3 <= m / 2", {"n": 1, "m": 2}, {"n": 3, "m": 2}),
        ("-n // 2 >= -2", {"n": 4, "m": 1}, {"n": 5, "m": 1}),
        (below_ten, {"n": 9, "m": 1}, {"n": 10, "m": 1}),
    ],
)
def test_constraints_decide(constraint: Any, holds: Config, fails: Config) -> None:
    space = Space({"n": Int(1, 20), "m": Int(1, 20)}, [constraint])
    assert space.contains(holds)
    assert not space.contains(fails)
    rng = generator(2, "constraints")
    assert all(space.satisfied(space.sample(rng)) for _ in range(50))
    again = space_from_json(json.loads(json.dumps(space_to_json(space))))
    assert again == space
    assert not again.contains(fails)


def test_a_single_constraint_may_stand_without_its_list() -> None:
    assert Space({"n": Int(1, 9), "m": Int(1, 9)}, "n < m").constraints == ("n < m",)


def test_a_constraint_holds_where_its_dimension_does_not_exist() -> None:
    space = Space({"a": Choice(["x", "y"]), "b": Int(1, 9, when={"a": ["x"]}), "c": Int(1, 9)}, ["b < c"])
    assert space.contains({"a": "y", "c": 1})
    assert not space.contains({"a": "x", "b": 1, "c": 1})


class Judge:
    def below_ten(self, config: Config) -> bool:
        return below_ten(config)


N = {"n": Int(0, 9), "kernel": Choice(["rbf", "linear"])}

MISTAKES: dict[str, tuple[Any, str]] = {
    "unknown parent": (lambda: Space({"g": Float(0, 1, when={"kernle": ["rbf"]}), **N}), "'g' exists when 'kernle' has some value, but .* it has g, n, kernel"),
    "parent's value outside": (lambda: Space({**N, "g": Float(0, 1, when={"kernel": ["rfb"]})}), "kernel='rfb', which is outside Choice"),
    "own parent": (lambda: Space({"a": Choice([1, 2], when={"a": [1]})}), "circle: a -> a"),
    "circle": (lambda: Space({"a": Choice([1], when={"b": [1]}), "b": Choice([1], when={"c": [1]}), "c": Choice([1], when={"a": [1]})}), "a -> b -> c -> a"),
    "no dimension": (lambda: Space({"a": [1, 2]}), r"a=\[1, 2\] is not a dimension"),
    "name that is no text": (lambda: Space({3: Int(0, 1)}), "the name 3 of a dimension"),
    "attribute access": (lambda: Space(N, ["n.real > 0"]), "'n.real > 0' may only compare and calculate"),
    "a call": (lambda: Space(N, ["__import__('os').remove('x')"]), "may only compare"),
    "a lambda": (lambda: Space(N, ["(lambda: n)()"]), "may only compare"),
    "an index": (lambda: Space(N, ["kernel[0] == 'r'"]), "may only compare"),
    "a power": (lambda: Space(N, ["n ** n ** n > 0"]), "may only compare"),
    "a comprehension": (lambda: Space(N, ["[n for n in (1, 2)]"]), "may only compare"),
    "an f-string": (lambda: Space(N, ["f'{n}' == '1'"]), "may only compare"),
    "an assignment": (lambda: Space(N, ["n = 1"]), "'n = 1' is not an expression"),
    "a walrus": (lambda: Space(N, ["(m := n) > 1"]), "may only compare"),
    "nothing": (lambda: Space(N, [""]), "'' is not an expression"),
    "half an expression": (lambda: Space(N, ["n <"]), "'n <' is not an expression"),
    "an unknown name": (lambda: Space(N, ["n < limit"]), "'n < limit' speaks of 'limit', .* it has n, kernel"),
    "a number": (lambda: Space(N, [5]), "5 is not an expression"),
    "too strict": (lambda: Space(N, ["n > 9"]).sample(generator(0)), r"no draw of 20,000 satisfied the constraints \['n > 9'\]"),
    "different kinds": (lambda: Space(N, ["n < kernel"]).sample(generator(0)), "'n < kernel' cannot be decided for .*TypeError"),
    "division by zero": (lambda: Space(N, ["5 / n > 1"]).contains({"n": 0, "kernel": "rbf"}), "'5 / n > 1' cannot be decided for {'n': 0.*ZeroDivision"),
    "a function that raises": (lambda: Space(N, [lambda c: c["m"] > 1]).sample(generator(0)), "cannot be decided .*KeyError: 'm'"),
    "a lambda in JSON": (lambda: space_to_json(Space(N, [lambda _: True])), "cannot be written as JSON"),
    "a method in JSON": (lambda: space_to_json(Space(N, [Judge().below_ten])), "cannot be written as JSON"),
    "a missing function": (lambda: space_from_json({"dimensions": {}, "constraints": [{"function": "json:lodas"}]}), "'json:lodas' cannot be found"),
    "a missing module": (lambda: space_from_json({"dimensions": {}, "constraints": [{"function": "no_such_module:f"}]}), "'no_such_module:f' cannot be found"),
    "an object without its space": (lambda: config_to_json({"est": (1, 2)}), r"est=\(1, 2\) cannot be written as JSON"),
    "an object's index without its space": (lambda: config_from_json({"est": {"choice": 1}}), "est was stored as choice number 1"),
    "NaN in JSON": (lambda: config_to_json({"x": float("nan")}), "x=nan cannot be written"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_quoted(mistake: str) -> None:
    make, said = MISTAKES[mistake]
    with pytest.raises(SpaceError, match=said):
        make()


def test_objects_are_kept_by_their_place() -> None:
    layers = [(64,), (64, 64), np.arange(3)]
    space = Space({"layers": Choice(layers), "grade": Ordinal([(1,), (2,)])})
    config = {"layers": layers[2], "grade": (2,)}
    body = json.loads(json.dumps(config_to_json(config, space)))
    assert body == {"layers": {"choice": 2}, "grade": {"choice": 1}}
    assert config_from_json(body, space)["layers"] is layers[2]
    assert config_from_json(body, space)["grade"] == (2,)


def test_numpy_values_are_written_as_numbers() -> None:
    assert json.dumps(config_to_json({"a": np.int64(3), "b": np.float32(0.5), "c": np.True_, "d": np.array(2)})) == '{"a": 3, "b": 0.5, "c": true, "d": 2}'


def test_phenotypes_tell_apart_what_a_model_can_tell_apart() -> None:
    space = Space({"a": Choice(["x", "y"]), "b": Int(1, 5, when={"a": ["x"]}), "c": Float(0, 1)})
    assert phenotype(space, {"a": "y", "b": 2, "c": 0.5}) == phenotype(space, {"c": 0.5, "a": "y", "b": 4}) == phenotype(space, {"a": "y", "c": 0.5 + 1e-13})
    kinds = {phenotype(space, {"a": a, "b": b, "c": c}) for a in "xy" for b in (1, 2) for c in (0.5, 0.6)}
    assert len(kinds) == 6
