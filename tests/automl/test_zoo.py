import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.svm import SVC

from staytuned._random import generator
from staytuned.automl.columns import infer
from staytuned.automl.metrics import metric_for, score_of
from staytuned.automl.zoo import (
    ZOO,
    MarginClassifier,
    candidates,
    default_config,
    for_task,
    joint_space,
    load_space,
    pipeline,
    split_config,
    with_changes,
)
from staytuned.errors import SpaceError, UsageError
from staytuned.space.codec import space_from_json, space_to_json
from staytuned.space.dims import Float, Ordinal
from staytuned.space.space import Space

REAL = Path(os.environ.get("STAYTUNED_DATA", Path(__file__).parents[3] / "shared" / "data"))
TASKS = ("binary", "multiclass", "regression")
NEAR = {"max_depth", "reg_lambda", "l2_regularization", "max_iter"}  # where the documented default is not the library's own

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # as whoever evaluates configs does


def table_for(task, n=150):
    rng = generator(0, "zoo")
    df = pd.DataFrame({"x": rng.normal(size=n), "z": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)), "c": rng.choice(["u", "v", "w"], n)})
    signal = df["x"] + (df["c"] == "u") + 0.2 * rng.normal(size=n)
    df["y"] = {
        "binary": np.where(signal > 0, "yes", "no"),
        "multiclass": pd.cut(signal, 3, labels=["a", "b", "c"]).astype(str),
        "regression": 1e4 + 100 * signal,
    }[task]
    return infer(df, "y")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ZOO)
def test_the_default_is_inside_the_space_and_learns(name, task):
    X, y, table = table_for(task)
    family = for_task(ZOO[name], task)
    assert Space(family.space).problem(family.default) is None
    fitted = pipeline(family, family.default, table, seed=3).fit(X[:100], y[:100])
    labels = fitted.predict(X[100:])
    if task == "regression":
        assert np.corrcoef(labels, y[100:])[0, 1] > 0.6
        assert abs(labels.mean() - 1e4) < 200
    else:
        probabilities = fitted.predict_proba(X[100:])
        assert fitted.classes_.tolist() == list(table.classes)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert np.mean(labels == y[100:]) > 0.6


@pytest.mark.parametrize("name", ZOO)
def test_the_same_seed_gives_the_same_predictions(name):
    X, y, table = table_for("binary")
    config = {"subsample": 0.7, "colsample_bytree": 0.7, "extra_trees": True, "n_estimators": 50} if name == "lightgbm" else {}
    one, other = (pipeline(ZOO[name], {**ZOO[name].default, **config}, table, seed=3).fit(X, y).predict_proba(X) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ZOO)
def test_the_default_is_the_librarys(name, task):
    family = for_task(ZOO[name], task)
    built = family.build(family.default, task, 0, 1)
    built = getattr(built, "regressor", None) or getattr(built, "machine", None) or built
    library = type(built)().get_params()
    library |= {"max_features": library["max_features"] or 1.0} if "max_features" in library else {}  # None stands for all
    shared = {p: v for p, v in family.default.items() if p in library and p not in NEAR}
    assert {p: library[p] for p in shared} == shared
    if name == "mlp":
        assert built.hidden_layer_sizes == library["hidden_layer_sizes"]


@pytest.mark.parametrize("task", TASKS)
def test_any_config_of_the_joint_space_can_be_built(task):
    families = [for_task(f, task) for f in ZOO.values()]
    space = joint_space(families)
    assert space_from_json(json.loads(json.dumps(space_to_json(space)))) == space
    by_name = {f.name: f for f in families}
    rng, seen = generator(0, "joint"), set()
    for _ in range(200):
        config = space.sample(rng)
        name, params = split_config(config)
        assert Space(by_name[name].space).problem(params) is None
        by_name[name].build(params, task, 0, 1)
        seen.add(name)
    assert seen == set(ZOO)
    for family in families:
        assert space.problem(default_config(family)) is None
        assert split_config(default_config(family)) == (family.name, dict(family.default))
        assert default_config(ZOO[family.name], task) == default_config(family)


@pytest.mark.slow
def test_extreme_configs_fit():
    X, y, table = table_for("multiclass", 60)
    for family in ZOO.values():
        names = Space(family.space).parents_first
        for corner in (0.0, 1.0):
            config = Space(family.space).pruned({n: family.space[n].from_unit(corner) for n in names})
            config |= {n: 60 for n in ("n_estimators", "max_iter") if config.get(n, 0) > 60}
            config |= {"n_neighbors": 30} if config.get("n_neighbors", 0) > 30 else {}
            assert len(pipeline(family, config, table, seed=0).fit(X, y).predict(X)) == 60


def test_margins_take_classes_of_one_row():
    rng = generator(0, "margins")
    X = rng.normal(size=(61, 3))
    y = np.array(["a"] * 30 + ["b"] * 30 + ["c"])
    X[:30] += 2
    fitted = MarginClassifier(SVC(), 0).fit(X, y)
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (61, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.mean(fitted.predict(X)[:60] == y[:60]) > 0.9


def test_margins_are_calibrated():
    rng = generator(0, "calibrated")
    X = rng.normal(size=(900, 2))
    y = (rng.random(900) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(int)
    p = MarginClassifier(SVC(), 0).fit(X[:600], y[:600]).predict_proba(X[600:])[:, 1]
    low, high = p < 0.3, p > 0.7
    assert abs(p[low].mean() - y[600:][low].mean()) < 0.1
    assert abs(p[high].mean() - y[600:][high].mean()) < 0.1


def test_candidates_say_why_others_are_left_out():
    families, left_out = candidates("binary", 1_000, 10)
    assert {f.name for f in families} == set(ZOO)
    assert [f.cost for f in families] == sorted(f.cost for f in families)
    assert left_out == {}
    families, left_out = candidates("regression", 50_000, 10)
    assert "svm" in left_out
    assert "too slow for 50,000 rows (at most 5,000" in left_out["svm"]
    assert "class_weight" not in families[0].space
    assert {f.name for f in candidates("binary", 1_000, 10, "fast")[0]} == {"linear", "decision_tree", "knn", "lightgbm", "hist_gradient_boosting"}
    assert "svm" in {f.name for f in candidates("binary", 8_000, 10, "best")[0]}
    assert "svm" not in {f.name for f in candidates("binary", 8_000, 10, "balanced")[0]}
    with pytest.raises(SpaceError, match="quality='good' is not one of fast, balanced, best"):
        candidates("binary", 10, 10, "good")
    with pytest.raises(SpaceError, match="no model is left"):
        candidates("binary", 10**9, 10, zoo={"svm": ZOO["svm"]})


def test_a_file_changes_the_space(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "lightgbm: {learning_rate: {type: float, low: 0.01, high: 0.05, log: true}, num_leaves: [15, 31, 63], max_depth: 6}\nsvm: false\nknn:\n"
    )
    zoo = load_space(tmp_path / "s.yaml")
    assert set(zoo) == set(ZOO) - {"svm"}
    assert with_changes(zoo) == zoo
    changed = zoo["lightgbm"]
    assert changed.space["learning_rate"] == Float(0.01, 0.05, log=True)
    assert changed.space["num_leaves"] == Ordinal([15, 31, 63])
    assert changed.space["subsample"] == ZOO["lightgbm"].space["subsample"]
    assert changed.default["learning_rate"] == 0.05  # the nearest to the 0.1 of before
    assert Space(changed.space).problem(changed.default) is None
    assert changed.build(changed.default, "binary", 0, 1).max_depth == 6
    (tmp_path / "s.json").write_text('{"random_forest": {"max_features": ["sqrt", "log2"]}}')
    forest = for_task(load_space(tmp_path / "s.json")["random_forest"], "regression")
    assert Space(forest.space).problem(forest.default) is None


def test_a_condition_goes_with_its_parent():
    free = with_changes({"svm": {"gamma": "free"}})["svm"]
    assert set(free.default) == {"C", "gamma", "gamma_value", "class_weight"}
    assert joint_space([free, ZOO["knn"]]).problem(default_config(free)) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lightbgm: false", "no model 'lightbgm'; did you mean 'lightgbm'"),
        ("lightgbm: {num_leafs: [1, 2]}", "lightgbm has no parameter 'num_leafs'; did you mean 'num_leaves'"),
        ("lightgbm: {num_leaves: {type: integer, low: 1}}", "lightgbm: num_leaves: the type 'integer' is not one of"),
        ("lightgbm: {num_leaves: []}", r"Choice\(\[\]\) has no choices"),
        ("lightgbm: {learning_rate: {type: float, low: 0, high: 1, log: true}}", "a log scale needs a positive low"),
        ("lightgbm: 3", "lightgbm: 3 is neither false"),
        ("[1, 2]", "a space is written as families"),
        ("a: [", "is no valid YAML"),
    ],
)
def test_a_bad_space_file_is_refused_by_name(tmp_path, text, says):
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        load_space(tmp_path / "space.yaml")
    assert "space.yaml" in str(caught.value)
    with pytest.raises(UsageError, match=r"nowhere.yaml' cannot be read: No such file"):
        load_space(tmp_path / "nowhere.yaml")


def real(name, rows=400):
    place = REAL / f"{name}.parquet"
    if not place.exists():
        pytest.skip(f"{place} is not there; set STAYTUNED_DATA")
    df = pd.read_parquet(place)
    return df.sample(min(rows, len(df)), random_state=0).reset_index(drop=True)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("name", ["lightgbm", "mlp", "svm", "random_forest", "linear", "hist_gradient_boosting"])
def test_a_saved_pipeline_predicts_the_same(name, task):
    X, y, table = infer(real("titanic1309"), "Survived") if task == "binary" else infer(real("boston_housing"), "medv")
    family = for_task(ZOO[name], task)
    fitted = pipeline(family, family.default, table).fit(X[:200], y[:200])
    saved = skops.io.dumps(fitted)
    unknown = skops.io.get_untrusted_types(data=saved)
    assert {t.split(".")[0] for t in unknown} <= {"staytuned", "lightgbm", "sklearn", "collections"}
    loaded = skops.io.loads(saved, trusted=unknown)
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    if task == "binary":
        np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("titanic1309", "Survived"),
        ("boston_housing", "medv"),
        *(pytest.param(*p, marks=pytest.mark.slow) for p in [("adult", "income"), ("diamonds", "price"), ("soybean", "class"), ("credit_g", "class")]),
        *(pytest.param(*p, marks=pytest.mark.slow) for p in [("mushroom", "type"), ("hypothyroid", "Class")]),
    ],
)
def test_every_default_beats_the_dummy_on_real_tables(name, target):
    X, y, table = infer(real(name), target)
    metric = metric_for("auto", table.task, table.classes)
    dummy = np.std(y) if table.task == "regression" else 0.5 if table.task == "binary" else pd.Series(y).value_counts(normalize=True).max() - 0.02
    for family in candidates(table.task, *X.shape)[0]:
        fitted = pipeline(family, family.default, table).fit(X[:300], y[:300])
        score = metric.scorer(fitted, X[300:], y[300:])
        assert score < dummy if metric.direction == "min" else score > dummy, family.name
        classes = fitted.classes_.tolist() if table.classes else None
        probabilities = fitted.predict_proba(X[300:]) if table.classes else None
        assert score_of(metric, y[300:], fitted.predict(X[300:]), probabilities, classes) == pytest.approx(score, abs=1e-12)
