"""What a sampler reads from a history: the same whether it grew under its eyes or is seen for the first time."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from staytuned.goal import Goal
from staytuned.samplers._columns import Columns
from staytuned.samplers._cube import Cube
from staytuned.samplers._evidence import Evidence, Reader
from staytuned.space.codec import to_unit
from staytuned.space.dims import Choice, Float, Int, Law, Ordinal
from staytuned.space.space import Space
from staytuned.trial import Cost, Measurement, Reading, Status, Trial

SPACE = Space({"x": Float(0, 1), "k": Choice(["a", "b", True, 1]), "n": Int(1, 9, when={"k": ["b"]})})
GOAL = Goal.parse("max score, min seconds where size <= 10 and recall >= 0.5")
CONFIGS: list[dict[str, Any]] = [
    {"x": 0.25, "k": "a"}, {"x": 0.25, "k": "b", "n": 3}, {"x": 1.0, "k": True}, {"x": 0.75, "k": 1}, {"x": 2.0, "k": "a"}, {}, {"k": "b"}, {"x": math.nan},
]  # fmt: skip
FOLDS = tuple(Reading("fold", i, {"score": s}) for i, s in enumerate((0.1, 0.2, 0.6)))
MEASUREMENTS = [
    None,
    None,
    Measurement({"score": 0.5, "size": 4.0, "recall": 0.9}, readings=FOLDS, cost=Cost(2.0)),
    Measurement({"score": 0.5, "size": 14.0, "recall": 0.4}, cost=Cost(1.0)),
    Measurement({"score": 0.7, "size": 14.0}),
    Measurement({"score": 0.1, "size": 3.0, "recall": 0.8}, Status.PRUNED),
    Measurement({"score": math.nan, "size": 1.0}),
    Measurement({"score": math.inf}),
    Measurement({}, Status.FAILED, "raised"),
    Measurement({"other": 1.0}),
]
ARRAYS = ("rows", "losses", "objectives", "violations", "partial", "noise", "folds", "seconds", "pending")


def _trial(number: int, draw: int) -> Trial:
    return Trial(number, CONFIGS[draw % len(CONFIGS)], measurement=MEASUREMENTS[draw // len(CONFIGS) % len(MEASUREMENTS)])


def _assert_same(one: Evidence, other: Evidence) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    keys = [one.cube.key_at(row) for config in CONFIGS if (row := one.cube.place(config)) is not None]
    assert [key in one.taken for key in keys] == [key in other.taken for key in keys]
    assert (one.length, one.scored) == (other.length, other.scored)
    for k in (0, 1, 3, 1000):
        assert one.best(k).tolist() == other.best(k).tolist()


MOVES = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "tell", "tell", "shuffle", "drop", "rewrite", "copy", "low number"]), st.integers(0, 10**6)), max_size=25
)


@given(MOVES)
@settings(max_examples=150, deadline=None)
def test_growing_with_the_history_is_reading_it_from_scratch(moves: list[tuple[str, int]]) -> None:
    reader, history = Reader(Cube(SPACE), GOAL), list[Trial]()
    for move, draw in moves:
        at = draw % len(history) if history else 0
        if move == "add":
            history += [_trial(len(history), draw), _trial(len(history) + 1, draw // 7)][: 1 + draw % 2]
        elif move == "tell":
            for i, trial in enumerate(history):
                if trial.status is Status.RUNNING and (draw >> i % 16) & 1:
                    history[i] = trial.measured(MEASUREMENTS[2 + (draw + i) % 8] or Measurement())
        elif move == "shuffle":
            history = [history[i] for i in np.random.default_rng(draw).permutation(len(history))]
        elif move == "drop":
            history = history[:at]
        elif move == "rewrite" and history:
            history[at] = _trial(history[at].number, draw // 3)
        elif move == "copy":
            history = [replace(t, config=dict(t.config)) for t in history]
        elif move == "low number":
            history.insert(at, _trial(draw % 5, draw // 5))
        _assert_same(reader.read(history), Reader(Cube(SPACE), GOAL).read(tuple(history)))


def test_what_is_read() -> None:
    history = [_trial(i, i) for i in range(len(CONFIGS) * len(MEASUREMENTS))]
    evidence = Reader(Cube(SPACE), GOAL).read(history)
    ended = [t for t in history if t.status is not Status.RUNNING and t.config in CONFIGS[:4] + CONFIGS[6:7] and "other" not in t.scores]
    np.testing.assert_array_equal(evidence.rows, [to_unit(SPACE, t.config) for t in ended])
    assert evidence.length == len(history)
    assert len(evidence.pending) == 2 * 5
    first = next(i for i, t in enumerate(ended) if t.readings)
    assert evidence.losses[first] == -0.5
    assert evidence.objectives[first].tolist() == [-0.5, 2.0]
    assert evidence.violations[first].tolist() == pytest.approx([-0.6, -0.8])
    assert evidence.noise[first] == pytest.approx(np.var([0.1, 0.2, 0.6], ddof=1) / 3)
    assert evidence.seconds[first] == 2.0
    for position, trial in enumerate(ended):
        bad = trial.status.failed or not math.isfinite(trial.scores["score"])
        assert math.isnan(evidence.losses[position]) == bad
        assert evidence.partial[position] == (trial.status is Status.PRUNED)
        assert evidence.feasible[position] == (GOAL.violation(trial) == 0)
    best = evidence.best(1000).tolist()
    ranks = [(GOAL.violation(ended[i]), -ended[i].scores["score"], ended[i].number) for i in best]
    assert ranks == sorted(ranks)
    assert sorted(best) == np.flatnonzero(np.isfinite(evidence.losses)).tolist()
    assert len(best) == evidence.scored


def test_the_first_few_rank_among_themselves() -> None:
    history = [_trial(i, i * 37) for i in range(60)]
    evidence = Reader(Cube(SPACE), GOAL).read(history)
    few = evidence.first(7)
    assert len(few.rows) == len(few.noise) == 7
    assert few.best(50).tolist() == [i for i in evidence.best(1000).tolist() if i < 7]
    assert few.scored == np.isfinite(evidence.losses[:7]).sum()


def test_one_more_under_way() -> None:
    cube = Cube(SPACE)
    evidence = Reader(cube, GOAL).read([_trial(i, i) for i in range(40)])
    config = {"x": 0.125, "k": "b", "n": 7}
    joined = evidence.joined(config)
    assert cube.key(config) in joined.taken
    assert cube.key(config) not in evidence.taken
    np.testing.assert_array_equal(joined.pending, [*evidence.pending, cube.row(config)])
    assert joined.best(5).tolist() == evidence.best(5).tolist()


def test_a_change_of_many_is_read_afresh() -> None:
    reader = Reader(Cube(SPACE), GOAL)
    running = [Trial(i, {"x": (i + 0.5) / 1500, "k": "a"}) for i in range(1500)]
    assert len(reader.read(running).pending) == 1500
    told = [t.measured(Measurement({"score": t.config["x"], "size": 1.0, "recall": 1.0})) for t in running]
    _assert_same(reader.read(told), Reader(Cube(SPACE), GOAL).read(told))


def test_an_interrupted_reading_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, history = Reader(Cube(SPACE), GOAL), [_trial(i, i) for i in range(30)]
    reader.read(history[:12])
    with monkeypatch.context() as patched:
        patched.setattr(Goal, "vector", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reader.read(history)
    _assert_same(reader.read(history), Reader(Cube(SPACE), GOAL).read(history))


def test_a_pickle_leaves_the_history_behind() -> None:
    reader = Reader(Cube(SPACE), GOAL)
    empty = len(pickle.dumps(reader))
    history = [_trial(i, i) for i in range(80)]
    evidence = reader.read(history)
    assert len(pickle.dumps(reader)) == empty
    _assert_same(pickle.loads(pickle.dumps(reader)).read(history), evidence)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=120))
@settings(max_examples=50, deadline=None)
def test_columns_stay_in_order(moves: list[tuple[bool, int]]) -> None:
    columns, held = Columns({"places": (None, np.intp), "twice": (2, float)}), dict[int, int]()
    for adds, place in moves:
        if adds and place not in held:
            columns.insert(place, twice=(place, 2 * place))
            held[place] = 2 * place
        elif not adds and place in held:
            columns.remove(place)
            del held[place]
        assert columns["places"].tolist() == sorted(held)
        assert columns["twice"].tolist() == [[p, held[p]] for p in sorted(held)]
    with pytest.raises(ValueError, match="read-only"):
        columns["places"][:] = 0


DIMENSIONS = {
    "f": Float(-3, 7), "l": Float(1e-5, 10, log=True), "s": Float(0, 1, step=0.3), "one": Float(2, 2), "i": Int(3, 40, step=4), "li": Int(1, 300, log=True),
    "huge": Int(1, 10**6, log=True), "c": Choice(["u", 1, True, None, (1, 2)]), "o": Ordinal([1, 5, 9, math.nan]), "law": Law(scipy.stats.norm(0, 2)),
    "count": Law(scipy.stats.poisson(4)),
}  # fmt: skip
VALUES = [
    0, 1, True, False, 2, 2.0, 5, 5.0, 7, 9, 40, 41, 300, 10**6, 10**400, 0.3, 0.6, 0.30000000000000004, 1e-5, 1e-6, 3.7, -3, -3.1, 7.0000000000001,
    math.nan, math.inf, "u", "v", None, (1, 2), [1], {}, np.float64(0.3), np.int64(7), np.bool_(True),
]  # fmt: skip


@pytest.mark.parametrize("name", DIMENSIONS)
def test_the_quick_encoding_is_the_dimension_s_own(name: str) -> None:
    dimension = DIMENSIONS[name]
    cube = Cube(Space({name: dimension}))
    for value in VALUES:
        row = cube.place({name: value})
        assert cube.fits({name: value}) == (row is not None) == dimension.contains(value), value
        if row is not None:
            assert row.tolist() == [dimension.to_unit(value)], value


@given(st.fixed_dictionaries({}, optional={name: st.sampled_from(VALUES) for name in ("c", "s", "g", "h", "e")}))
@settings(max_examples=200, deadline=None)
def test_quick_conditions_are_the_space_s_own(config: dict[str, Any]) -> None:
    space = Space(
        {
            "c": Choice(["u", 1, True, None]), "g": Choice(VALUES[:2], when={"s": [0.3, 0.6]}), "s": Float(0, 0.9, step=0.3),
            "h": Float(0, 50, when={"c": [True, "u"]}), "e": Int(0, 40, when={"g": [0], "c": ["u"]}),
        }
    )  # fmt: skip
    held = [name for name in space.active(config) if name in config]
    fits = bool(held) and all(space[name].contains(config[name]) for name in held)
    row = Cube(space).place(config)
    assert (row is not None) == fits
    if row is not None:
        np.testing.assert_array_equal(row, to_unit(space, config))


def test_keys_tell_configs_apart() -> None:
    cube = Cube(SPACE)
    keys = [cube.key(config) for config in CONFIGS[:4]]
    assert len(set(keys)) == 4
    rows = np.array([cube.row(config) for config in CONFIGS[:4]])
    assert cube.keys(rows) == keys == [cube.key_at(row) for row in rows]
    assert cube.key({"x": 0.25 + 1e-12, "k": "a"}) == keys[0]
