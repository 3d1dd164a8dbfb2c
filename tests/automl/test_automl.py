import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from staytuned.automl.automl import AutoML
from staytuned.automl.events import Moved, Said
from staytuned.automl.split import hold_out
from staytuned.errors import TableError, UsageError
from staytuned.registry import Registry
from staytuned.samplers.named import METHODS
from staytuned.store.memory import MemoryLedger
from staytuned.trial import Status

QUICK = {"time": None, "trials": 3, "quality": "fast", "n_jobs": 1, "random_state": 0}


def table(task: str = "binary", n: int = 150) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    signal = x[:, 0] + 0.5 * x[:, 1] + 0.3 * rng.normal(size=n)
    target = {
        "binary": np.where(signal > 0, "yes", "no"),
        "multiclass": np.select([signal < -0.5, signal < 0.5], ["low", "middle"], "high"),
        "regression": 10 * signal,
    }[task]
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": rng.choice(list("uvw"), n), "target": target})


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def fitted(request):
    return AutoML(**QUICK).fit(table(request.param), target="target"), table(request.param)


def test_what_a_fitted_one_knows(fitted):
    model, frame = fitted
    features = frame.drop(columns="target")
    assert model.predict(features).shape == (150,)
    if model.table_.task == "regression":
        assert model.score(features, frame["target"]) < frame["target"].std()
        with pytest.raises(UsageError, match="no classes"):
            model.predict_proba(features)
    else:
        assert list(model.classes_) == sorted(set(frame["target"]))
        np.testing.assert_allclose(model.predict_proba(features).sum(axis=1), 1)
        assert set(model.predict(features)) <= set(model.classes_)
        assert model.score(features, frame["target"]) > 0.7
    assert model.best_.status is Status.DONE
    finished = [t for t in model.result_.tuned.study.trials if t.status is Status.DONE]
    assert sorted(row.trial for row in model.leaderboard().rows) == [t.number for t in finished]
    assert len(model.result_.y_test) == 30
    assert [step for step, _ in model.result_.timeline] == ["read", "baseline", "tune", "test", "learning curve"]


def test_columns_may_come_in_another_order(fitted):
    model, frame = fitted
    features = frame.drop(columns="target")
    np.testing.assert_array_equal(model.predict(features), model.predict(features[["c", "b", "a"]].assign(more=1)))


@pytest.mark.slow
def test_the_same_seed_repeats_the_run_exactly(fitted):
    model, frame = fitted
    again = clone(model).fit(frame, target="target")
    assert [(t.config, dict(t.scores), t.origin) for t in again.result_.tuned.study.trials] == [
        (t.config, dict(t.scores), t.origin) for t in model.result_.tuned.study.trials
    ]
    assert again.result_.test == model.result_.test


def test_arrays_and_a_target_apart():
    frame = table("regression")
    by_arrays = AutoML(**QUICK | {"trials": 1}).fit(frame[["a", "b"]].to_numpy(), frame["target"].to_numpy())
    assert ([c.name for c in by_arrays.table_.columns], by_arrays.table_.target) == (["x0", "x1"], "target")
    apart = AutoML(**QUICK | {"trials": 1}).fit(frame[["a", "b"]], frame["target"].rename("price"))
    assert apart.table_.target == "price"
    assert apart.result_.test == by_arrays.result_.test


def test_it_is_a_scikit_learn_estimator():
    model = AutoML(time=5, metric="f1", drop=["a"])
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(trials=7).trials == 7
    for ask in (model.predict, model.predict_proba, lambda x: model.score(x, x), lambda _: model.report("x"), lambda _: model.keep()):
        with pytest.raises(NotFittedError):
            ask(table())


@pytest.mark.slow
@pytest.mark.parametrize("method", [name if name in ("auto", "manual", "evolution") else pytest.param(name, marks=pytest.mark.slow) for name in METHODS])
def test_every_method_finds_something(method):
    configs = [{"model": "linear", "linear.C": 0.5}, {"model": "knn"}] if method == "manual" else []
    space = {"linear": {"C": [0.1, 1.0, 10.0]}, "knn": {"n_neighbors": [3, 9]}, "decision_tree": False, "lightgbm": False, "hist_gradient_boosting": False}
    model = AutoML(**QUICK | {"trials": None if method == "manual" else 4}, method=method, configs=configs, space=space if method != "manual" else None)
    model.fit(table(), target="target")
    trials = model.result_.tuned.study.trials
    assert all(t.status in (Status.DONE, Status.PRUNED) for t in trials)
    if method == "manual":
        assert [(t.origin, t.config["model"]) for t in trials] == [("warm", "linear"), ("warm", "knn")]
        assert trials[0].config["linear.C"] == 0.5
    else:
        assert len(trials) == 4
        assert {t.origin for t in trials} - {"default"}


def test_rows_without_a_target_go_with_their_groups_and_times():
    frame = table(n=200)
    groups = np.arange(200) // 10
    frame.loc[frame.index % 7 == 0, "target"] = None
    model = AutoML(**QUICK | {"trials": 1}).fit(frame, target="target", groups=groups)
    kept = groups[frame["target"].notna()]
    split = model.result_.split
    assert model.result_.table.dropped_rows == 29
    assert not set(kept[split.train]) & set(kept[split.test])


@pytest.mark.slow
def test_time_order_by_a_column():
    frame = table().assign(day=pd.date_range("2024-01-27", periods=150).strftime("%d/%m/%Y"))
    frame = frame.sample(frac=1, random_state=0)
    when = pd.to_datetime(frame["day"], format="%d/%m/%Y").to_numpy()
    by_name = AutoML(**QUICK | {"trials": 1}).fit(frame, target="target", time_order="day")
    split = by_name.result_.split
    assert when[split.train].max() < when[split.test].min()  # by the calendar, not by the letters


def test_time_order_by_values():
    when = np.random.default_rng(0).permutation(150)
    split = AutoML(**QUICK | {"trials": 1}).fit(table(), target="target", time_order=when).result_.split
    assert when[split.train].max() < when[split.test].min()


def test_drop_and_kinds():
    frame = table().assign(zip=np.random.default_rng(1).integers(10000, 10006, 150))
    model = AutoML(**QUICK | {"trials": 1}, drop=["b"], kinds={"zip": "categorical"}).fit(frame, target="target")
    assert {c.name: c.kind for c in model.table_.columns} == {"a": "numeric", "c": "categorical", "zip": "categorical"}


def test_it_says_each_step():
    said = []
    AutoML(**QUICK, on_event=said.append).fit(table(), target="target")
    steps = [event.step for event in said if isinstance(event, Said)]
    assert list(dict.fromkeys(steps)) == ["Read", "Split", "Space", "Baseline", "Tune", "Choose", "Test", "Fit"]
    assert [event.done + event.pruned + event.failed for event in said if isinstance(event, Moved)] == [1, 2, 3]


@pytest.mark.slow
def test_keep_registers_a_version_that_can_be_tended():
    ledger = MemoryLedger()
    version = AutoML(**QUICK, ledger=ledger, name="ok").fit(table(), target="target").keep()
    assert version.number == 1
    assert Registry(ledger).champion("ok").number == 1
    json.dumps(version.manifest, allow_nan=False)


class Stop(Exception):
    pass


def broken_off(ledger, after: int, frame=None, **options):
    def stop(event):
        if isinstance(event, Moved) and event.trial.number + 1 >= after:
            raise Stop

    with pytest.raises(Stop):
        AutoML(**QUICK | {"random_state": None, "trials": 4} | options, ledger=ledger, on_event=stop).fit(table() if frame is None else frame, target="target")


def test_a_run_that_was_broken_off_goes_on_with_the_same_split():
    ledger = MemoryLedger()
    broken_off(ledger, 2)
    [planned] = [fact.body for fact in ledger.read("study/model", kind="planned")]
    model = AutoML(**QUICK | {"random_state": None, "trials": 4}, ledger=ledger).fit(table(), target="target")
    study = model.result_.tuned.study
    assert (study.name, len(study.trials)) == ("model", 4)
    expected = hold_out(table()["target"], "binary", share=0.2, seed=planned["seed"])
    np.testing.assert_array_equal(model.result_.split.test, expected.test)
    broken_off(ledger, 1)  # the same call once more: that study is finished, so a new one begins
    assert len(ledger.read("study/model-2", kind="planned")) == 1


@pytest.mark.parametrize("options", [{"metric": "f1"}, {"test_size": 0.3}, {"random_state": 3}, {"drop": ["a"]}, {"cv": 4}])
def test_another_wish_is_another_study(options):
    ledger = MemoryLedger()
    broken_off(ledger, 1)
    broken_off(ledger, 1, **options)
    assert len(ledger.read("study/model-2", kind="planned")) == 1


def test_other_values_in_the_table_are_another_study():
    ledger = MemoryLedger()
    broken_off(ledger, 1)
    frame = table()
    frame.loc[3, "a"] += 1e-6
    broken_off(ledger, 1, frame=frame)
    assert len(ledger.read("study/model-2", kind="planned")) == 1


BAD = {
    "without either": {"time": None, "trials": None},
    "time=0 ": {"time": 0},
    "time=inf": {"time": float("inf")},
    "trials=0": {"trials": 0},
    "trials=2.5": {"trials": 2.5},
    "trials=True": {"trials": True},
    "random_state=-1": {"random_state": -1},
    "did you mean 'balanced'": {"quality": "balance"},
    "did you mean 'random'": {"method": "randm"},
    "test_size=1": {"test_size": 1},
    "cv=0": {"cv": 0},
    "n_jobs=0": {"n_jobs": 0},
    "memory=-5": {"memory": -5},
    "name='a/b'": {"name": "a/b"},
    "cannot be tried": {"configs": [{"linear.C": 1.0}]},
    "outside Float": {"configs": [{"model": "linear", "linear.C": 1e9}]},
}


@pytest.mark.parametrize("said", BAD)
def test_options_that_make_no_sense(said):
    with pytest.raises(UsageError, match=said):
        AutoML(**QUICK | BAD[said]).fit(table(), target="target")


def test_calls_that_make_no_sense():
    frame = table()
    with pytest.raises(UsageError, match="name the target"):
        AutoML(**QUICK).fit(frame)
    with pytest.raises(UsageError, match="150 rows and y has 3"):
        AutoML(**QUICK).fit(frame, [1, 2, 3])
    with pytest.raises(UsageError, match="already has a column 'a'"):
        AutoML(**QUICK).fit(frame[["a", "b"]], frame["target"].rename("a"))
    with pytest.raises(UsageError, match="groups has 3 values"):
        AutoML(**QUICK).fit(frame, target="target", groups=[1, 2, 3])
    with pytest.raises(UsageError, match=r"time_order='a' has no value in 1 of 150"):
        AutoML(**QUICK).fit(frame.assign(a=frame["a"].where(frame.index > 0)), target="target", time_order="a")
    with pytest.raises(TableError, match="at least 20"):
        AutoML(**QUICK).fit(frame[:5], target="target")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_budget_of_seconds_ends_with_a_model(task):
    model = AutoML(time=8, n_jobs=2, random_state=0).fit(table(task), target="target")
    assert "time" in model.result_.tuned.study.why_ended
    assert model.predict(table(task)).shape == (150,)
