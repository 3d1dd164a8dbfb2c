"""The winner of a search is put together from all configs that the trials measured, and its score corrected."""

import math

import numpy as np
import pytest
from sklearn import metrics
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import KFold, TimeSeriesSplit

from staytuned.evaluate.cv import CrossValidation
from staytuned.evaluate.out_of_fold import Kind, RowValues, kind_of
from staytuned.evaluate.winner import honest_of
from staytuned.goal import Goal
from staytuned.store.memory import MemoryLedger
from staytuned.study import Study
from staytuned.trial import Measurement, Reading, Status, Trial

X, y = make_classification(n_samples=90, n_features=6, flip_y=0.2, random_state=0)
U, v = make_regression(n_samples=80, n_features=5, noise=20.0, random_state=0)


def trials_of(splits, n_configs, seed=0, seen=None):
    """A ledger, and trials of configs that are right on 60 % of all rows there are; ``seen``: folds by trial, of those that were stopped."""
    ledger, rng, trials = MemoryLedger(), np.random.default_rng(seed), []
    for number in range(n_configs):
        kept, column = RowValues(), []
        tests = [test for _, test in splits][: seen.get(number) if seen else None]
        for test in tests:
            rows = (rng.random(len(test)) < 0.6).astype(np.int8)
            kept.add(0, rows)
            column.append({"score": float(rows.mean())})
        readings = tuple(Reading("fold", k, scores) for k, scores in enumerate(column))
        status = Status.DONE if len(tests) == len(splits) else Status.PRUNED
        mean = {"score": float(np.mean([s["score"] for s in column]))}
        trials.append(Trial(number, {}, measurement=Measurement(mean, status, readings=readings, rows_at=ledger.put(kept.packed()))))
    return ledger, trials


GOAL = Goal("score", "max")


def test_the_winner_of_equals_is_brought_down_and_stopped_ones_take_part() -> None:
    splits = list(KFold(4).split(X))
    ledger, trials = trials_of(splits, 40, seen=dict.fromkeys(range(30, 40), 2))
    found = honest_of(trials, ledger.get, Kind("accuracy"), GOAL, y, splits, first=5)
    best = max(t.scores["score"] for t in trials[:30])
    assert found.naive == pytest.approx(best, abs=1e-12)
    assert abs(found.corrected - 0.6) < abs(found.naive - 0.6)
    assert found.configs == 40
    assert found.naive_lead == pytest.approx(best - trials[5].scores["score"])


@pytest.mark.parametrize("metric", [metrics.mean_squared_error, metrics.root_mean_squared_error, metrics.mean_absolute_percentage_error])
def test_a_metric_of_which_less_is_better(metric) -> None:
    scorer, splits, ledger = make_scorer(metric), list(KFold(4).split(U)), MemoryLedger()
    evaluator = CrossValidation(lambda config, _seed: Ridge(**config), U, v, splits, {"error": scorer}, keep_rows=True)
    study = Study(space={"alpha": [0.1, 1.0, 10.0, 100.0]}, goal="min error", ledger=ledger, sampler="grid")
    study.optimize(lambda trial: evaluator(trial.config), trials=4)
    found = honest_of(study.trials, ledger.get, kind_of(scorer, Ridge()), study.goal, v, splits, first=3)
    assert found.naive == pytest.approx(study.best.scores["error"], rel=1e-12)
    assert found.direction == "min"
    assert 0 <= found.low <= found.corrected <= found.high


def test_a_row_of_several_folds_is_left_out_of_all() -> None:
    once = list(KFold(3).split(X))
    ledger, trials = trials_of(once * 2, 10)
    alone = honest_of(trials, ledger.get, Kind("accuracy"), GOAL, y, once * 2, groups=np.arange(90))
    assert honest_of(trials, ledger.get, Kind("accuracy"), GOAL, y, once * 2) == alone


def test_blocks_of_time_need_not_hold_every_row() -> None:
    splits = list(TimeSeriesSplit(3).split(X))
    ledger, trials = trials_of(splits, 10)
    assert honest_of(trials, ledger.get, Kind("accuracy"), GOAL, y, splits, ordered=True).error > 0


def test_too_little_is_known() -> None:
    splits = list(KFold(4).split(X))
    ledger, trials = trials_of(splits, 3)
    kind = Kind("accuracy")
    assert honest_of([], ledger.get, kind, GOAL, y, splits) is None
    assert honest_of(trials, ledger.get, kind, GOAL, y, splits, groups=np.zeros(90)) is None
    assert honest_of(trials, MemoryLedger().get, kind, GOAL, y, splits) is None
    assert honest_of([*trials, Trial(3, {}, measurement=Measurement({"score": 0.9}, readings=trials[0].readings))], ledger.get, kind, GOAL, y, splits) is None
    assert honest_of(trials, ledger.get, kind, GOAL, y, list(KFold(5).split(X))[:4]) is None
    failed = Trial(3, {}, measurement=Measurement({}, Status.FAILED))
    assert math.isfinite(honest_of([*trials, failed], ledger.get, kind, GOAL, y, splits).corrected)
