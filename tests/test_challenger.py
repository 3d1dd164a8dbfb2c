"""Which rows a challenger learns from, and what it is compared with afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from staytuned.automl import recipe
from staytuned.automl.columns import infer
from staytuned.automl.keep import manifest_of
from staytuned.challenger import Keeper, Training, _widened, best_window, inputs_of
from staytuned.errors import TableError
from staytuned.monitor.drift import drift
from staytuned.monitor.profile import profile
from staytuned.monitor.quality import quality
from staytuned.monitor.watch import reference_of
from staytuned.registry import Lineage, Registry
from staytuned.store.memory import MemoryLedger


def fit(X: pd.DataFrame, y: np.ndarray) -> LogisticRegression:
    return LogisticRegression().fit(X, y)


def drawn(rng: np.random.Generator, n: int, slope: float) -> tuple[pd.DataFrame, np.ndarray]:
    X = pd.DataFrame({"a": rng.normal(size=n)})
    return X, (slope * X["a"].to_numpy() + rng.logistic(size=n) > 0).astype(int)


@pytest.fixture(scope="module")
def keeper() -> Keeper:
    X, y = drawn(np.random.default_rng(0), 300, 2.0)
    _, _, table = infer(X.assign(y=y), "y")
    model = fit(X, y)
    reference = reference_of(X, y, recipe.predict(model, X, table), task=table.task, metric="accuracy", score=0.8)
    manifest = manifest_of(table, reference, "accuracy")
    version = Registry(MemoryLedger()).register("m", model, lineage=Lineage(), manifest=manifest, reason="")
    return Keeper(version, model, table, reference)


def stream(*parts: tuple[int, float]) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(1)
    drawn_parts = [drawn(rng, n, slope) for n, slope in parts]
    return pd.concat([X for X, _ in drawn_parts], ignore_index=True), np.concatenate([y for _, y in drawn_parts])


def test_after_a_turn_only_the_rows_since_are_learned_from(keeper):
    X, y = stream((600, 3.0), (300, -3.0))
    start, name, mean = best_window(Training(X, y, relevant=600, trouble=600), 700, fit, keeper)
    assert (start, name) == (600, "the rows since the change")
    assert mean["the rows since the change"] < mean["all rows"]
    assert set(mean) == {"all rows", "the rows since the change", "the last 700 rows"}


def test_after_a_false_alarm_more_rows_are_better():
    rng = np.random.default_rng(2)
    columns = [f"x{k}" for k in range(25)]
    X = pd.DataFrame(rng.normal(size=(1500, 25)), columns=columns)
    y = (X.to_numpy()[:, :5].sum(axis=1) + rng.logistic(size=1500) > 0).astype(int)
    _, _, table = infer(X.assign(y=y), "y")
    model = fit(X, y)
    reference = reference_of(X, y, recipe.predict(model, X, table), task=table.task, metric="neg_log_loss", score=-0.5)
    version = Registry(MemoryLedger()).register("m", model, lineage=Lineage(), manifest=manifest_of(table, reference, "neg_log_loss"), reason="")
    start, name, _ = best_window(Training(X, y, relevant=1380, trouble=1380), 200, fit, Keeper(version, model, table, reference))
    assert (start, name) == (0, "all rows")


def test_a_window_of_one_class_or_of_a_few_rows_is_not_considered(keeper):
    X, y = stream((200, 1.0), (100, 1.0))
    y[200:] = 1
    assert best_window(Training(X, y, relevant=200, trouble=280), 2000, fit, keeper)[0] == 0


def test_a_model_that_met_only_some_classes_still_has_a_column_for_each(keeper):
    table = replace(keeper.table, classes=(0, 1, 2), task="multiclass")
    X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
    said = recipe.predict(fit(X, np.array([0, 0, 2, 2])), X, table)
    assert said.probabilities.shape == (4, 3)
    assert said.probabilities[:, 1].tolist() == [0.0] * 4
    np.testing.assert_allclose(said.probabilities.sum(axis=1), 1)


def test_a_narrow_window_remembers_the_range_of_all_that_came_before():
    rng = np.random.default_rng(3)
    past = pd.DataFrame({"time": np.linspace(0, 1000, 3000), "few": rng.integers(0, 5, 3000).astype(float), "text": rng.choice(["u", "v"], 3000)})
    window, batch = past.iloc[2990 // 2 : 2990 // 2 + 400], past.iloc[[*range(0, 3000, 10)]]
    narrow = profile(window.assign(time=window["time"] / 1e6))
    wide = _widened(narrow, profile(past))
    assert any(f.kind == "out of range" and f.level == "attention" for f in quality(narrow, batch))
    assert not any(f.level == "attention" for f in quality(wide, batch))
    for column in ("time", "few"):
        same = [{c.name: c for c in drift(of, batch)}[column] for of in (narrow, wide)]
        assert same[0].p == same[1].p


def test_inputs_come_in_the_models_order_and_form(keeper):
    frame = pd.DataFrame({"more": [1, 2], "a": ["1.5", "x"], "y": [0, 1]}, index=[7, 7])
    inputs = inputs_of(frame, keeper.table)
    assert inputs.columns.tolist() == ["a"]
    assert inputs.index.tolist() == [0, 1]
    assert inputs["a"].iloc[0] == 1.5
    assert np.isnan(inputs["a"].iloc[1])
    with pytest.raises(TableError, match="lacks 'a'"):
        inputs_of(frame.drop(columns="a"), keeper.table)
