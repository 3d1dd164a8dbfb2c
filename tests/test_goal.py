"""What better means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staytuned.errors import UsageError
from staytuned.goal import Budget, Goal, Limit, nondominated, value_of
from staytuned.trial import Cost, Measurement, Status, Trial

losses = st.lists(st.floats() | st.sampled_from([0.0, 1.0]), max_size=12)


def _trial(number: int, score: float, status: Status = Status.DONE) -> Trial:
    return Trial(number, {}, measurement=Measurement({"loss": score}, status))


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("min loss", Goal("loss", "min")),
        ("max roc_auc", Goal("roc_auc", "max")),
        ("min", Goal("loss", "min")),
        ("MAX", Goal("loss", "max")),
        ("  Minimise   rmse  ", Goal("rmse", "min")),
        ("maximize Accuracy", Goal("Accuracy", "max")),
        (Goal("f1", "max"), Goal("f1", "max")),
    ],
)
def test_goals_are_read(text: Any, goal: Goal) -> None:
    assert Goal.parse(text) == goal
    assert Goal.parse(str(goal)) == goal


@pytest.mark.parametrize("text", ["", "loss", "roc_auc max", "max roc auc", "smallest loss", None, 3])
def test_what_is_no_goal_is_quoted(text: Any) -> None:
    with pytest.raises(UsageError, match=f"goal={text!r} must read like"):
        Goal.parse(text)
    with pytest.raises(UsageError, match="direction='up'"):
        Goal("loss", "up")  # type: ignore[arg-type]


words = st.from_regex(r"[^\s<>,]{1,8}", fullmatch=True).filter(lambda word: word.lower() not in ("where", "and"))
bounds = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**6), 10**6)
senses = st.sampled_from(["<=", ">=", "<", ">"])
directions = st.sampled_from(["min", "max"])


@st.composite
def goals(draw: st.DrawFn) -> Goal:
    first, *others = [Goal(metric, draw(directions)) for metric in draw(st.lists(words, min_size=1, max_size=4, unique=True))]
    limits = draw(st.lists(st.builds(Limit, words, senses, bounds), max_size=3))
    return Goal(first.metric, first.direction, tuple(others), tuple(limits))


@given(goals())
def test_a_goal_reads_back_from_its_text(goal: Goal) -> None:
    assert Goal.parse(str(goal)) == goal
    assert str(Goal.parse(str(goal))) == str(goal)
    if not goal.limits:
        assert Goal.parse([str(objective) for objective in goal.objectives]) == goal
        assert Goal.parse(list(goal.objectives)) == goal


TWO = Goal("accuracy", "max", (Goal("latency"),))


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("max accuracy, min latency", TWO),
        (["max accuracy", "min latency"], TWO),
        (("maximise accuracy", " Min  latency "), TWO),
        ("max accuracy,min latency", TWO),
        ("min loss where latency <= 5", Goal(limits=(Limit("latency", "<=", 5.0),))),
        ("min WHERE latency<=5", Goal(limits=(Limit("latency", "<=", 5.0),))),
        ("min loss\n  where peak_memory <= 2e9", Goal(limits=(Limit("peak_memory", "<=", 2e9),))),
        ("min where a > -1.5E-3 AND b >= +.5, c < 0", Goal(limits=(Limit("a", ">", -0.0015), Limit("b", ">=", 0.5), Limit("c", "<", 0.0)))),
        ("min x where x >= 1 and x <= 2", Goal("x", "min", (), (Limit("x", ">=", 1.0), Limit("x", "<=", 2.0)))),
        ("min where", Goal("where")),
    ],
)
def test_objectives_and_limits_are_read(text: Any, goal: Goal) -> None:
    assert Goal.parse(text) == goal


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max roc auc", "a metric's name has no spaces, so write 'roc_auc'"),
        ("max f1 score, min latency", "so write 'f1_score'"),
        ([], "must read like 'min loss'"),
        ("max a, ", "must read like 'min loss'"),
        ("min a, max a", "'a' is named twice"),
        ("min loss where ", "the limit '' of a goal must read like 'latency <= 5'"),
        ("min loss where latency", "the limit 'latency' of a goal"),
        ("min loss where latency == 5", "the limit 'latency == 5' of a goal"),
        ("min loss where latency <= fast", "the limit 'latency <= fast' of a goal"),
        ("min loss where latency <= nan", "the limit 'latency <= nan'"),
        ("min loss where latency <= inf", "the limit 'latency <= inf'"),
        ("min loss where my latency <= 5", "the limit 'my latency <= 5'"),
        ("min loss where 1 <= latency <= 5", "the limit '1 <= latency <= 5'"),
        ("min loss where a <= 1,000", "the limit '000' of a goal"),
        (["max a where a <= 1", "min b"], "the limit 'min b' of a goal"),
    ],
)
def test_what_is_no_goal_is_said_with_the_way_out(text: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Goal.parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Goal("roc auc", "max", (Goal("latency"),)), "the metric 'roc auc' of a goal must have a name without spaces"),
        (lambda: Goal("a", "max", (Goal("b,c"),)), "the metric 'b,c'"),
        (lambda: Limit("a b", "<=", 1), "the metric 'a b'"),
        (lambda: Limit("where", "<=", 1), "other than 'where'"),
        (lambda: Limit("a", "==", 1), "sense='=='"),  # type: ignore[arg-type]
        (lambda: Limit("a", "<=", math.nan), "bound=nan"),
        (lambda: Limit("a", "<=", "1"), "bound='1'"),  # type: ignore[arg-type]
        (lambda: Goal("a", "min", (TWO,)), "has a metric and a direction only"),
    ],
)
def test_a_goal_that_could_not_be_written_down_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert said in str(caught.value)


def test_a_lone_metric_may_have_any_name() -> None:
    assert str(Goal("my score, v2", "max")) == "max my score, v2"


def test_what_a_goal_speaks_of() -> None:
    goal = Goal.parse("max accuracy, min seconds where peak_memory <= 2e9 and recall >= 0.8 and accuracy >= 0.5")
    assert [str(objective) for objective in goal.objectives] == ["max accuracy", "min seconds"]
    assert goal.names == ("accuracy", "seconds", "peak_memory", "recall")
    assert goal.metrics == ("accuracy", "recall")


@given(bounds, senses)
def test_the_excess_is_above_zero_exactly_where_a_limit_is_broken(bound: float, sense: Any) -> None:
    limit = Limit("m", sense, bound)
    holds = {"<=": float.__le__, ">=": float.__ge__, "<": float.__lt__, ">": float.__gt__}[sense]
    for value in (limit.bound, math.nextafter(limit.bound, math.inf), math.nextafter(limit.bound, -math.inf), 0.0, -limit.bound):
        assert (limit.excess(value) <= 0) == holds(value, limit.bound)


def test_the_violation_adds_what_is_above_the_limits_as_a_share_of_each() -> None:
    goal = Goal.parse("min loss where latency <= 20 and recall >= 0.8 and debt <= 0")
    trial = Trial(0, {}, measurement=Measurement({"loss": 1.0, "latency": 30.0, "recall": 0.6, "debt": -5.0}))
    np.testing.assert_allclose(goal.excesses(trial), [0.5, 0.25, -5.0])
    assert goal.violation(trial) == pytest.approx(0.75)
    assert goal.violation(Trial(0, {}, measurement=Measurement({"loss": 1.0, "latency": 1.0}))) == math.inf
    assert goal.violation(Trial(0, {})) == math.inf
    assert Goal().violation(Trial(0, {})) == 0


@pytest.mark.parametrize(
    ("scores", "cost", "metric", "value"),
    [
        ({"loss": 1.0}, Cost(), "loss", 1.0),
        ({"loss": 1.0}, Cost(2.0, 1.0, 3), "seconds", 2.0),
        ({"loss": 1.0}, Cost(2.0, 0.0, 3), "cpu_seconds", 0.0),
        ({"loss": 1.0}, Cost(2.0, 1.0, 3), "peak_memory", 3.0),
        ({"seconds": 9.0}, Cost(2.0, 1.0, 3), "seconds", 9.0),  # what the objective says counts
        ({"loss": 1.0}, Cost(), "seconds", math.nan),  # told without a cost
        ({"loss": 1.0}, Cost(2.0, 1.0, 0), "peak_memory", math.nan),  # unknown on this system
        ({"loss": 1.0}, Cost(2.0, 1.0, 3), "f1", math.nan),
    ],
)
def test_costs_are_metrics_where_they_are_known(scores: Any, cost: Cost, metric: str, value: float) -> None:
    np.testing.assert_equal(value_of(Measurement(scores, cost=cost), metric), value)
    assert math.isnan(value_of(None, metric))


few = st.integers(-2, 2).map(float)


@given(st.integers(1, 4).flatmap(lambda d: st.lists(st.tuples(*[few | st.floats(-2, 2)] * d), max_size=14).map(lambda rows: (d, rows))))
def test_the_nondominated_are_those_that_no_other_dominates(sized: tuple[int, list[tuple[float, ...]]]) -> None:
    d, rows = sized

    def beaten(i: int) -> bool:
        worse_or_later = (all(a <= b for a, b in zip(rows[j], rows[i], strict=True)) and (rows[j] != rows[i] or j < i) for j in range(len(rows)))
        return any(worse_or_later)

    assert nondominated(np.array(rows, dtype=float).reshape(len(rows), d)) == [i for i in range(len(rows)) if not beaten(i)]


def _pair(number: int, a: float, b: float, m: float = 0.0, status: Status = Status.DONE) -> Trial:
    return Trial(number, {}, measurement=Measurement({"a": a, "b": b, "m": m}, status))


@given(st.lists(st.tuples(few | st.just(math.nan), few | st.just(math.inf), few), max_size=10))
def test_the_front_is_of_those_that_keep_the_limits_or_else_the_nearest(values: list[tuple[float, float, float]]) -> None:
    goal = Goal.parse("max a, min b where m <= 0")
    history = [_pair(i, *row) for i, row in enumerate(values)]
    front = goal.front(reversed(history))
    whole = [t for t in history if math.isfinite(t.scores["a"]) and math.isfinite(t.scores["b"])]
    kept = [t for t in whole if t.scores["m"] <= 0]

    def dominates(one: Trial, other: Trial) -> bool:
        better = one.scores["a"] >= other.scores["a"] and one.scores["b"] <= other.scores["b"]
        return better and (dict(one.scores, m=0) != dict(other.scores, m=0) or one.number < other.number)

    if kept:
        assert front == [t for t in kept if not any(dominates(other, t) for other in kept if other is not t)]
    else:
        assert front == sorted(whole, key=lambda t: (t.scores["m"], -t.scores["a"], t.number))[:1]


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.DONE, Status.RUNNING)])
def test_only_finished_trials_are_on_the_front(status: Status) -> None:
    history = [_pair(0, 1.0, 1.0), _pair(1, 9.0, 0.0, status=status), Trial(2, {})]
    assert [t.number for t in Goal.parse("max a, min b").front(history)] == [0]


def test_a_front_of_one_objective_is_its_best() -> None:
    history = [_trial(0, 2.0), _trial(1, 1.0), _trial(2, 1.0), _trial(3, math.nan)]
    assert [t.number for t in Goal().front(history)] == [1]
    assert Goal().front([]) == []


def test_under_limits_the_best_keeps_them_or_breaks_them_least() -> None:
    goal = Goal.parse("max a where m <= 1")
    history = [_pair(0, 5.0, 0, 3.0), _pair(1, 1.0, 0, 2.0), _pair(2, 4.0, 0, 2.0)]
    assert goal.best(history) is history[2]
    history += [_pair(3, -7.0, 0, 1.0), _pair(4, -8.0, 0, 0.0), _pair(5, -7.0, 0, 0.5)]
    assert goal.best(history) is history[3]


@given(losses, st.sampled_from(["min", "max"]))
def test_the_best_is_the_earliest_that_no_finite_score_beats(scores: list[float], direction: Any) -> None:
    goal = Goal("loss", direction)
    history = [_trial(i, score) for i, score in enumerate(scores)]
    finite = [score for score in scores if math.isfinite(score)]
    best = goal.best(reversed(history))
    if not finite:
        assert best is None
    else:
        assert best is not None
        wanted = min(finite) if direction == "min" else max(finite)
        assert best.number == scores.index(wanted)
        assert not any(goal.better(score, goal.score(best)) for score in finite)


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.DONE, Status.RUNNING)])
def test_a_finished_trial_is_best_if_there_is_one(status: Status) -> None:
    history = [_trial(0, 5.0), _trial(1, 0.0, status), Trial(2, {}), Trial(3, {}, measurement=Measurement({"another": -1.0}))]
    best = Goal().best(history)
    assert best is not None
    assert best.number == 0
    second = Goal().best(history[1:])
    assert (None if second is None else second.number) == (1 if status is Status.PRUNED else None), "of those stopped on the way, where nothing finished"


def test_losses_are_lower_is_better_and_nan_where_nothing_was_learned() -> None:
    history = [_trial(0, 2.0), _trial(1, 3.0, Status.PRUNED), _trial(2, 4.0, Status.FAILED), Trial(3, {}), Trial(4, {}, measurement=Measurement({"f1": 1.0}))]
    np.testing.assert_array_equal(Goal("loss", "min").losses(history), [2, 3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(Goal("loss", "max").losses(history), [-2, -3, np.nan, np.nan, np.nan])
    assert Goal().losses([]).shape == (0,)


@pytest.mark.parametrize("trials", [0, -1, 2.5, math.nan, math.inf, "10", True, [3]])
def test_a_budget_of_trials_is_a_whole_number(trials: Any) -> None:
    with pytest.raises(UsageError, match=r"trials=.* whole number of at least 1") as caught:
        Budget(trials=trials)
    assert repr(trials) in str(caught.value)


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, "60", True])
def test_a_budget_of_time_is_positive(seconds: Any) -> None:
    with pytest.raises(UsageError, match="must be a positive number") as caught:
        Budget(seconds=seconds)
    assert repr(seconds) in str(caught.value)


def test_budgets_that_make_sense() -> None:
    assert Budget() == Budget(None, None)
    assert Budget(np.int64(3), np.float64(0.5)) == Budget(3, 0.5)
    assert Budget(seconds=math.inf).seconds == math.inf
