"""The rules that stop trials on the way: ASHA's, Hyperband's, the plateau; each worked by hand."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.protocols import Ration, Scheduler, Verdict
from staytuned.schedulers.asha import AshaRule
from staytuned.schedulers.hyperband import HyperbandRule
from staytuned.schedulers.median import MedianRule
from staytuned.schedulers.named import SCHEDULERS, scheduler_named
from staytuned.schedulers.never import Never
from staytuned.schedulers.plateau import PlateauRule
from staytuned.space.dims import Float
from staytuned.space.space import Space
from staytuned.trial import Measurement, Reading, Status, Trial

LOSS = Goal()
STOP, GO_ON = Verdict.STOP, Verdict.GO_ON


def trial(number: int, losses: Sequence[float], status: Status = Status.DONE, place: str = "step") -> Trial:
    readings = tuple(Reading(place, step, {"loss": loss}) for step, loss in enumerate(losses))
    return Trial(number, {"x": number}, measurement=Measurement({"loss": losses[-1]} if losses else {}, status, readings=readings))


def under_way(losses: Sequence[float], number: int = 99, place: str = "step") -> Trial:
    return trial(number, losses, Status.RUNNING, place)


# losses after epochs 1, 2, 3, ..., 9 of five peers; the rungs are at 1, 3 and 9 epochs
PEERS = [trial(n, [n + 1 - 0.01 * step for step in range(9)]) for n in range(5)]


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ([1.5], GO_ON),  # second of six after one epoch, two go on
        ([2.5], STOP),
        ([2.0], GO_ON),  # a tie
        ([2.5, 0.0], STOP),  # the score at the rung counts
        ([1.5, 9.0], GO_ON),  # no rung at two epochs
        ([1.5, 9.0, 9.0], STOP),
        ([1.5, 9.0, 1.5], GO_ON),
        ([math.nan], STOP),
        ([], GO_ON),
        ([1.5] * 9, GO_ON),
        ([1.5] * 2 + [0.5] + [9.0] * 6, GO_ON),  # nothing is stopped at its end
    ],
)
def test_asha_stops_what_is_not_in_the_top_third(losses: list[float], verdict: Verdict) -> None:
    rule = AshaRule(LOSS)
    assert rule.judge(PEERS, under_way(losses)) is verdict
    assert rule.judge(rule.brief(PEERS), under_way(losses)) is verdict


def test_the_first_ones_go_on() -> None:
    assert AshaRule(LOSS).judge([], under_way([9.0])) is GO_ON
    assert AshaRule(LOSS).judge(PEERS[:1], under_way([0.5])) is GO_ON
    assert AshaRule(LOSS).judge(PEERS[:1], under_way([1.5])) is STOP


def test_stopped_trials_count_where_they_came_to() -> None:
    peers = [*PEERS[:1], *(trial(n, [9.0], Status.PRUNED) for n in range(1, 6))]
    assert AshaRule(LOSS).judge(peers, under_way([1.5])) is GO_ON  # two of seven go on
    assert AshaRule(LOSS).judge(peers, under_way([1.5, 1.5, 1.5])) is STOP  # one of two


def test_rungs_lie_where_they_are_told() -> None:
    late = AshaRule(LOSS, least=4)
    assert late.judge(PEERS, under_way([9.0] * 3)) is GO_ON
    assert late.judge(PEERS, under_way([9.0] * 4)) is STOP
    assert AshaRule(LOSS, most=3).judge(PEERS, under_way([1.5, 1.5, 9.0])) is GO_ON
    sparse = [replace(t, measurement=Measurement({"loss": 0.0}, readings=[Reading("step", 99, {"loss": float(t.number)})])) for t in PEERS]
    for own, verdict in ((1.0, GO_ON), (2.5, STOP)):  # every hundredth round is reported
        read = Measurement(status=Status.RUNNING, readings=[Reading("step", 99, {"loss": own})])
        assert AshaRule(LOSS, most=1000).judge(sparse, Trial(9, {}, measurement=read)) is verdict


def test_over_folds_the_mean_so_far_is_compared() -> None:
    peers = [trial(n, [5.0 * (n == 0), 0.0, n], place="fold") for n in range(3)]  # means after three folds: 5/3, 1/3, 2/3
    rule = AshaRule(LOSS, least=3, most=5)
    for losses, verdict in (([0.0, 0.0, 0.9], GO_ON), ([1.2, 0.0, 0.0], STOP)):
        own = under_way(losses, place="fold")
        assert rule.judge(peers, own) is rule.judge(rule.brief(peers), own) is verdict


def test_the_estimate_moves_as_finished_trials_moved() -> None:
    peers = [trial(0, [4.0, 3.0, 1.0]), trial(1, [5.0, 4.0, 2.5]), trial(2, [5.0, 4.5, 3.5])]  # -3, -2.5, -1.5 after the first epoch
    assert AshaRule(LOSS).estimate(peers, trial(9, [6.0], Status.PRUNED)) == 3.5
    assert AshaRule(LOSS).estimate([], trial(9, [6.0, 5.0, 7.0], Status.PRUNED)) == 5.0
    up = Goal("auc", "max")
    lifted = Trial(0, {}, measurement=Measurement({"auc": 0.9}, readings=[Reading("step", i, {"auc": a}) for i, a in enumerate((0.5, 0.9))]))
    stopped = Trial(1, {}, measurement=Measurement(status=Status.PRUNED, readings=[Reading("step", 0, {"auc": 0.4})]))
    assert AshaRule(up).estimate([lifted], stopped) == pytest.approx(0.8)


def test_hyperband_mixes_its_brackets_in_the_papers_proportions() -> None:
    rule = HyperbandRule(LOSS, most=81)
    brackets = [rule._bracket(number, 81) for number in range(143)]
    assert Counter(brackets) == {4: 81, 3: 34, 2: 15, 1: 8, 0: 5}
    assert [rule._bracket(number, 81) for number in range(143, 286)] == brackets
    assert Counter(brackets[:29])[4] in (16, 17)  # a fifth of a round has about a fifth of each


def test_hyperband_compares_within_a_bracket_at_its_rungs() -> None:
    rule = HyperbandRule(LOSS, most=9)
    by_bracket = {s: [n for n in range(100) if rule._bracket(n, 9) == s][:4] for s in (2, 1, 0)}
    peers = [trial(n, [1.0] * 9) for members in by_bracket.values() for n in members[:3]]
    own = {s: members[3] for s, members in by_bracket.items()}
    assert rule.judge(peers, under_way([2.0], own[2])) is STOP
    assert rule.judge(peers, under_way([2.0] * 2, own[1])) is GO_ON  # its first rung is at three steps
    assert rule.judge(peers, under_way([2.0] * 3, own[1])) is STOP
    assert rule.judge(peers, under_way([2.0] * 8, own[0])) is GO_ON  # this bracket stops nothing
    others = [t for t in peers if t.number not in by_bracket[2]]
    assert rule.judge(others, under_way([2.0], own[2])) is GO_ON


def test_hyperband_learns_the_full_effort() -> None:
    rule = HyperbandRule(LOSS)
    assert rule.judge([], under_way([9.0])) is GO_ON
    pruned = [trial(n, [1.0], Status.PRUNED) for n in range(20)]
    assert rule.judge(pruned, under_way([9.0])) is GO_ON  # none has finished
    peers = [*pruned, trial(20, [1.0] * 9)]
    number = next(n for n in range(21, 99) if rule._bracket(n, 9) == 2)
    assert rule.judge(peers, under_way([9.0], number)) is STOP
    assert rule.judge(rule.brief(peers), under_way([9.0], number)) is STOP


@pytest.mark.parametrize("rule", [AshaRule(LOSS), AshaRule(LOSS, 2, 5, 2), HyperbandRule(LOSS), HyperbandRule(LOSS, 1, 4, 2), MedianRule(LOSS)], ids=repr)
@given(
    reports=st.lists(
        st.tuples(st.lists(st.sampled_from([0.0, 1.0, 2.0, math.nan]), max_size=6), st.sampled_from([Status.DONE, Status.PRUNED, Status.FAILED])), max_size=8
    ),
    own=st.lists(st.sampled_from([0.0, 1.0, 2.0, math.nan]), max_size=6),
)
def test_the_brief_decides_as_the_whole_history(rule: Any, reports: list[tuple[list[float], Status]], own: list[float]) -> None:
    history = [trial(n, losses, status) for n, (losses, status) in enumerate(reports)]
    challenger, brief = under_way(own), rule.brief(history)
    verdict = rule.judge(history, challenger)
    assert rule.judge(brief, challenger) is verdict
    assert rule.judge(rule.brief(brief), challenger) is verdict
    again = pickle.loads(pickle.dumps(rule))
    assert again.judge(pickle.loads(pickle.dumps(brief)), challenger) is verdict
    if any(math.isfinite(loss) for loss in own):
        same = rule.estimate(history, challenger), rule.estimate(brief, challenger)
        assert same[0] == pytest.approx(same[1], nan_ok=True)


def test_the_brief_is_small() -> None:
    peer = AshaRule(LOSS).brief([trial(0, [1.0] * 1000)])[0]
    assert peer.config == {}
    assert len(peer.readings) <= 8


def test_what_nothing_is_stopped_for() -> None:
    two = Goal.parse("min loss, min size")
    for rule in (AshaRule(two), HyperbandRule(two, most=9), PlateauRule(two, patience=1), Never(LOSS)):
        assert rule.judge(PEERS, under_way([9.0] * 5)) is GO_ON
    limited = AshaRule(Goal.parse("min loss where size <= 5"))
    assert limited.judge(PEERS, under_way([9.0])) is GO_ON  # the size of none is known


@pytest.mark.parametrize(
    ("options", "losses", "verdict"),
    [
        ({"patience": 3}, [3, 2, 1], GO_ON),
        ({"patience": 3}, [1, 2, 2], GO_ON),
        ({"patience": 3}, [1, 2, 2, 2], STOP),
        ({"patience": 3}, [1, 2, 2, 0.9], GO_ON),
        ({"patience": 3, "min_delta": 0.2}, [1, 2, 2, 0.9], STOP),
        ({"patience": 2, "min_delta": 0.2}, [1, 0.9, 0.7], GO_ON),  # small improvements add up
        ({"patience": 2}, [1, math.nan, math.nan], STOP),
        ({"patience": 2}, [math.nan, math.nan], STOP),
        ({"patience": 2, "warmup": 3}, [1, 1, 1, 1], GO_ON),
        ({"patience": 2, "warmup": 3}, [1, 1, 1, 1, 1], STOP),
        ({}, [], GO_ON),
    ],
)
def test_the_plateau_rule(options: dict[str, Any], losses: list[float], verdict: Verdict) -> None:
    rule = PlateauRule(LOSS, **options)
    assert rule.judge(PEERS, under_way(losses)) is rule.judge((), under_way(losses)) is verdict
    up = Trial(0, {}, measurement=Measurement(status=Status.RUNNING, readings=[Reading("step", i, {"auc": -x}) for i, x in enumerate(losses)]))
    assert PlateauRule(Goal("auc", "max"), **options).judge((), up) is verdict
    if any(x == x for x in losses):
        assert rule.estimate((), under_way(losses)) == min(x for x in losses if x == x)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_name_has_its_scheduler_which_fits_the_seam(name: str) -> None:
    lowest = 1 / 9 if name in ("halving", "population") else None
    scheduler = scheduler_named(name.upper(), LOSS, lowest, Space({"x": Float(0, 1)}))
    assert isinstance(scheduler, Scheduler)
    assert scheduler.ration([]) == Ration(lowest)
    assert scheduler.judge([], under_way([1.0])) is GO_ON
    assert scheduler.estimate([], trial(0, [2.0, 1.0], Status.PRUNED)) == 1.0
    assert pickle.loads(pickle.dumps(scheduler)) == scheduler


@pytest.mark.parametrize(
    ("name", "lowest", "said"),
    [
        ("ahsa", None, "did you mean 'asha'"),
        ("halving", None, "say the least one, such as fidelity=1/27"),
        ("median", 0.1, "knows no fidelity=0.1"),
        ("asha", 2, "fidelity=2 must be above 0 and below 1"),
        ("population", 0.1, "must be given its space="),
    ],
)
def test_a_name_that_does_not_fit_is_refused(name: str, lowest: float | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        scheduler_named(name, LOSS, lowest)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AshaRule(LOSS, least=0), "least=0"),
        (lambda: AshaRule(LOSS, least=9, most=9), "most=9 must be above least=9"),
        (lambda: HyperbandRule(LOSS, most=math.inf), "most=inf"),
        (lambda: HyperbandRule(LOSS, eta="3"), "eta='3'"),
        (lambda: PlateauRule(LOSS, patience=0), "patience=0 must be a whole number of at least 1 of reports"),
        (lambda: PlateauRule(LOSS, patience=1.5), "patience=1.5"),
        (lambda: PlateauRule(LOSS, min_delta=-1), "min_delta=-1"),
    ],
)
def test_a_nonsensical_setting_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
