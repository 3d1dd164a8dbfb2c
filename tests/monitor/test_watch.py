import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from staytuned._random import generator
from staytuned.errors import UsageError
from staytuned.monitor.health import Finding, Health
from staytuned.monitor.watch import MonitorState, Prediction, Reference, check, reference_of

DATA = Path(os.environ.get("STAYTUNED_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def world(n, seed, error=0.18, shift=0.0):
    """A model that is wrong in a known share of the rows, and inputs that may have moved."""
    rng = generator(seed, "world")
    X = pd.DataFrame({"age": rng.normal(40 + 10 * shift, 10, n), "fare": rng.exponential(30, n), "deck": rng.choice(list("ABC"), n)})
    y = rng.integers(0, 2, n)
    wrong = rng.random(n) < error
    p = np.clip(np.where(y ^ wrong, 0.8, 0.2) + rng.normal(0, 0.05, n), 0, 1)
    return X, Prediction((p > 0.5).astype(int), np.column_stack([1 - p, p]), (0, 1)), y


def reference(metric="accuracy", labelled=True):
    X, said, y = world(5000, 0)
    return reference_of(X, y if labelled else None, said, task="binary", metric=metric, score=0.82)


REFERENCE = reference()


def again(x):
    return type(x).from_json(json.loads(json.dumps(x.to_json(), allow_nan=False)))


def look(batch, state=None, labels=True, reference=REFERENCE):
    X, said, y = batch
    health, after = check(reference, state or MonitorState.fresh(reference), X, said, y if labels else None)
    assert again(health) == health
    assert again(after).to_json() == after.to_json()
    return health, after


def test_reference_and_fresh_state_survive_json():
    assert again(REFERENCE) == REFERENCE
    assert again(MonitorState.fresh(REFERENCE)).to_json() == MonitorState.fresh(REFERENCE).to_json()
    unlabelled = reference(labelled=False)
    assert unlabelled.promise is None
    assert again(unlabelled) == unlabelled
    assert MonitorState.fresh(unlabelled).risk is None


def test_a_still_world_is_healthy():
    state, ill = MonitorState.fresh(REFERENCE), 0
    for seed in range(1, 31):
        health, state = look(world(400, seed), state, labels=seed % 2 == 0)
        ill += health.verdict == "attention"
    assert ill <= 2
    assert (state.batches, state.rows, state.labelled) == (30, 12_000, 6_000)
    health, _ = look(world(400, 98))
    assert health.sentence.startswith("Nothing worth a word moved in 400 rows. The promise is kept: error rate")
    assert health.scores["accuracy"] == pytest.approx(0.82, abs=0.06)
    assert health.reference_scores == {"accuracy": 0.82}


def test_a_harmful_drop_is_confirmed_and_dated():
    _, state = look(world(1000, 1))
    good, bad = world(300, 2), world(700, 3, error=0.35)
    X = pd.concat([good[0], bad[0]], ignore_index=True)
    said = Prediction(*(np.concatenate(x) for x in ((good[1].labels, bad[1].labels), (good[1].probabilities, bad[1].probabilities))), (0, 1))
    health, after = look((X, said, np.concatenate([good[2], bad[2]])), state)
    assert (health.verdict, health.harm) == ("attention", "confirmed")
    assert abs(health.since - 1300) < 250
    assert health.sentence.startswith("Performance is confirmed worse: error rate 0.3")
    assert "at most one false alarm in 100,000 labels" in health.sentence
    assert f"around row {health.since - 1000} of this batch" in health.sentence
    unlabelled, later = look(world(200, 4), after, labels=False)
    assert unlabelled.harm == "confirmed"
    assert "rows before this batch" in unlabelled.sentence
    assert later.labelled == after.labelled
    better, _ = look(world(400, 5), later)
    assert "was confirmed worse earlier; in this batch it is back" in better.sentence


def test_a_drop_is_found_over_many_small_batches_with_partial_labels():
    state = MonitorState.fresh(REFERENCE)
    for seed in range(1, 200):
        X, said, y = world(50, seed, error=0.18 if seed <= 40 else 0.3)
        partial = pd.Series(y.astype(float)).where(np.arange(50) % 2 == 0)
        health, state = look((X, said, partial), state)
        if health.harm == "confirmed":
            break
    assert 40 < seed < 120
    assert abs(health.since - 2000) < 700


def test_moved_inputs_are_benign_with_labels_and_possible_harm_without():
    benign, _ = look(world(500, 5, shift=0.5))
    assert (benign.verdict, benign.harm) == ("healthy", "benign drift")
    assert benign.sentence.startswith("age moved, without proven harm. The promise is kept")
    assert all(finding.level == "note" for finding in benign.findings)
    possible, _ = look(world(500, 5, shift=0.5), labels=False)
    assert (possible.verdict, possible.harm) == ("attention", "possible")
    assert possible.sentence == "age moved; whether it hurts is unknown, for no labels came."
    assert [f.subject for f in possible.findings if f.level == "attention"] == ["age"]
    X, said, y = world(500, 5, shift=0.5)
    few = pd.Series(y.astype(float)).where(np.arange(500) < 10)
    assert look((X, said, few))[0].harm == "possible"


def test_moved_predictions_are_seen():
    X, said, y = world(500, 6)
    p = np.clip(said.probabilities[:, 1] + 0.15, 0, 1)
    health, _ = look((X, Prediction((p > 0.5).astype(int), np.column_stack([1 - p, p]), (0, 1)), y), labels=False)
    assert health.harm == "possible"
    assert "(probability of 1)" in health.sentence


def test_a_data_incident_blocks_and_is_not_remembered():
    X, said, y = world(600, 7, error=0.5)
    X.loc[:179, "age"] = math.nan
    state = MonitorState.fresh(REFERENCE)
    health, after = look((X, said, y), state)
    assert (health.verdict, health.harm) == ("attention", "incident")
    assert "Column 'age' is missing in 30 % of the rows, against 0 % in the reference" in health.sentence
    assert "Mend the data before retraining on it" in health.sentence
    assert "confirmed worse" in health.sentence
    assert after.risk.to_json() == state.risk.to_json()
    assert after.drift.to_json() == state.drift.to_json()
    assert after.rows == 600


def test_a_missing_column_and_an_empty_batch_are_incidents():
    X, said, y = world(100, 8)
    assert look((X.drop(columns="age"), said, y))[0].harm == "incident"
    empty, _ = look((X.iloc[:0], said[:0], y[:0]))
    assert empty.harm == "incident"
    assert "no rows" in empty.sentence


def test_few_rows_are_not_judged():
    health, _ = look(world(10, 9), labels=False)
    assert health.harm == "none"
    assert health.sentence == "Too few rows to judge drift (10); no labels came, so performance was not judged."
    assert any(finding.kind == "too few rows" for finding in health.findings)


def test_labels_of_one_class_say_nothing_about_the_order_of_pairs():
    X, said, y = world(400, 13, shift=0.5)
    one = pd.Series(y.astype(float)).where(y == 1)
    health, _ = look((X, said, one), reference=reference("roc_auc"))
    assert health.harm == "possible"
    assert health.labelled == int(y.sum())
    assert any("both classes are needed" in finding.message for finding in health.findings)


def test_without_a_promise_nothing_is_promised():
    unlabelled = reference(labelled=False)
    health, _ = look(world(100, 10), reference=unlabelled)
    assert health.harm == "none"
    assert "without a promise" in health.sentence
    assert health.scores["accuracy"] > 0.6


def test_lengths_that_do_not_fit_are_refused():
    X, said, y = world(50, 11)
    state = MonitorState.fresh(REFERENCE)
    with pytest.raises(UsageError, match="50 rows, 49 predictions"):
        check(REFERENCE, state, X, said[:49])
    with pytest.raises(UsageError, match="labels of shape \\(49,\\)"):
        check(REFERENCE, state, X, said, y[:49])


@pytest.mark.parametrize("metric", ["roc_auc", "balanced_accuracy", "neg_log_loss", "average_precision", "f1"])
def test_a_drop_is_confirmed_by_every_metrics_loss(metric):
    known = reference(metric)
    state = MonitorState.fresh(known)
    for seed in range(1, 4):
        health, state = look(world(500, seed), state, reference=known)
        assert health.harm == "none"
    for seed in range(4, 8):
        health, state = look(world(500, seed, error=0.4), state, reference=known)
    assert health.harm == "confirmed"
    assert abs(health.since - 1500) < 200


def test_regression_is_watched_too():
    def numbers(n, seed, noise=1.0):
        rng = generator(seed, "numbers")
        x = rng.normal(size=n)
        y = 3 * x + noise * rng.normal(size=n)
        return pd.DataFrame({"x": x}), Prediction(3 * x), y

    X, said, y = numbers(2000, 0)
    known = reference_of(X, y, said, task="regression", metric="rmse", score=1.0)
    assert again(known) == known
    health, state = look(numbers(500, 1), reference=known)
    assert health.harm == "none"
    assert "root mean squared error" in health.sentence
    health, _ = look(numbers(1000, 2, noise=1.5), state, reference=known)
    assert health.harm == "confirmed"
    with pytest.raises(UsageError, match="must hold numbers"):
        look((X[:3], said[:3], np.array(["a", "b", "c"], dtype=object)), reference=known)


def test_many_classes_and_labels_only():
    rng = generator(12, "many")

    def batch(n, error):
        y = rng.choice(list("abcd"), n)
        said = np.where(rng.random(n) < error, rng.choice(list("abcd"), n), y).astype(object)
        return pd.DataFrame({"x": rng.normal(size=n)}), Prediction(said, None, tuple("abcd")), y

    X, said, y = batch(2000, 0.2)
    known = reference_of(X, y, said, task="multiclass", metric="f1_macro", score=0.85)
    assert look(batch(500, 0.2), reference=known)[0].harm == "none"
    assert look(batch(1000, 0.6), reference=known)[0].harm == "confirmed"


def test_dates_ids_and_odd_types_do_no_harm():
    def odd(n, seed):
        rng = generator(seed, "odd")
        return pd.DataFrame(
            {
                "when": pd.date_range("2024", periods=n, freq="h") + pd.Timedelta(days=seed * 50),
                "id": [f"{seed}-{i}" for i in range(n)],
                "list": [[i] for i in range(n)],
                "complex": rng.normal(size=n) + 1j,
                "nothing": np.full(n, math.nan),
            }
        )

    said = Prediction(generator(1, "odd said").normal(size=400))
    known = reference_of(odd(400, 0), None, said, task="regression", metric="mae", score=math.nan)
    assert again(known).features == known.features
    health, _ = look((odd(400, 1), said, None), labels=False, reference=known)
    assert health.verdict == "healthy", health.sentence


def test_findings_survive_json_without_infinities():
    finding = Finding("drift", "x", "note", "x moved", {"p": 0.1, "worst": math.inf}, "moved")
    assert again(finding).numbers == {"p": 0.1}
    health = Health("healthy", "none", (finding,), 1, 0, {"r2": math.nan}, {}, None, "well")
    assert again(health).scores == {}


@pytest.mark.real
def test_a_real_stream_that_moves_is_no_data_incident():
    path = DATA / "elec2.parquet"
    if not path.exists():
        pytest.skip(f"no {path}; set STAYTUNED_DATA")
    table = pd.read_parquet(path).iloc[:20_000]
    y = table.pop(table.columns[-1]).astype(str).to_numpy(dtype=object)
    said = Prediction(np.roll(y, 1), None, tuple(sorted(set(y))))
    known = reference_of(table[:9000], y[:9000], said[:9000], task="binary", metric="accuracy", score=0.85)
    state = MonitorState.fresh(known)
    for start in range(9000, 20_000, 1000):
        rows = slice(start, start + 1000)
        health, state = look((table[rows], said[rows], y[rows]), state, reference=known)
        assert health.harm != "incident", health.sentence
        assert isinstance(again(known), Reference)
