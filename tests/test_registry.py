"""Models with lineage: what is kept comes back, and nothing else is loaded."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from staytuned.errors import BlobMissing, NotFoundError, UntrustedModel, UsageError
from staytuned.protocols import Fact
from staytuned.registry import Lineage, Registry, Version, library_changes
from staytuned.store.memory import MemoryLedger
from staytuned.store.open import open_ledger


def keep(registry: Registry, name: str = "churn", model: object = None, **lineage: object) -> Version:
    return registry.register(name, Ridge() if model is None else model, lineage=Lineage(**lineage), manifest={"task": "regression"}, reason="tuned")


def fitted() -> tuple[LogisticRegression, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(60, 3))
    return LogisticRegression().fit(X, X[:, 0] > 0), X


class Homemade:
    """A model of a class that nobody vouches for."""

    def predict(self, X):
        return np.zeros(len(X))


def test_a_version_comes_back_as_it_was_registered():
    registry = Registry(MemoryLedger())
    model, X = fitted()
    config, scores = {"C": 1.0, "penalty": None}, {"test": {"roc_auc": 0.9}, "validation": 0.8}
    lineage = Lineage("ab" * 32, 60, "churn-study", config, scores, parent=None)
    version = registry.register("churn", model, lineage=lineage, manifest={"columns": ["a", "é"], "classes": [0, 1]}, reason="tuned in 60 s")
    again = Registry(registry.ledger).version("churn", 1)
    assert again == version
    assert (again.number, again.format, again.lineage, again.reason) == (1, "skops", lineage, "tuned in 60 s")
    assert again.manifest == {"columns": ["a", "é"], "classes": [0, 1]}
    assert again.lineage.libraries["numpy"] == np.__version__
    np.testing.assert_array_equal(registry.load(again).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("kind", ["logistic", "trees", "lightgbm"])
def test_pipelines_of_the_usual_models_are_stored_without_pickle(kind):
    import lightgbm
    import pandas as pd

    rng = np.random.default_rng(1)
    X = pd.DataFrame({"a": rng.normal(size=80), "b": rng.choice(["x", "y"], 80)})
    last = {
        "logistic": LogisticRegression(),
        "trees": HistGradientBoostingClassifier(max_iter=3),
        "lightgbm": lightgbm.LGBMClassifier(n_estimators=3, verbose=-1),
    }
    columns = make_column_transformer((StandardScaler(), ["a"]), (OneHotEncoder(sparse_output=False), ["b"])).set_output(transform="pandas")
    model = make_pipeline(columns, last[kind]).fit(X, X.a > 0)
    registry = Registry(MemoryLedger())
    version = keep(registry, model=model)
    assert version.format == "skops"
    np.testing.assert_allclose(registry.load(version).predict_proba(X), model.predict_proba(X))


def test_the_first_version_goes_into_service_and_later_ones_wait():
    registry = Registry(MemoryLedger())
    keep(registry)
    keep(registry)
    assert [v.number for v in registry.versions("churn")] == [1, 2]
    assert registry.champion("churn").number == 1
    assert registry.predecessor("churn") is None


def test_promotion_and_rollback_walk_the_line_of_champions():
    registry = Registry(MemoryLedger())
    for _ in range(4):
        keep(registry)
    registry.promote("churn", 2, "better", {"evidence": 30})
    registry.promote("churn", 2, "better", {"evidence": 30})  # said twice, done once
    registry.promote("churn", 4, "better still")
    assert (registry.champion("churn").number, registry.predecessor("churn").number) == (4, 2)
    assert registry.roll_back("churn", "worse after all").number == 2
    assert (registry.champion("churn").number, registry.predecessor("churn").number) == (2, 1)
    registry.promote("churn", 3, "another")
    assert registry.roll_back("churn", "no").number == 2
    assert registry.roll_back("churn", "no").number == 1
    with pytest.raises(NotFoundError, match="version 1 has had no predecessor"):
        registry.roll_back("churn", "further")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 4), st.just("back")), max_size=12))
def test_the_champion_is_that_of_a_stack(moves):
    registry = Registry(MemoryLedger())
    facts = [Fact("model/m", "registered", {"number": n, "digest": "", "format": "skops", "lineage": {}, "manifest": {}, "reason": ""}) for n in range(1, 5)]
    registry.ledger.append([*facts, Fact("model/m", "promoted", {"version": 1}, key="stage/0")])
    stack = [1]
    for move in moves:
        if move == "back":
            if len(stack) > 1 and stack[-1] != stack[-2]:
                registry.roll_back("m", "")
                stack.pop()
        elif move != stack[-1]:
            registry.promote("m", move, "")
            stack.append(move)
        assert registry.champion("m").number == stack[-1]


def test_what_does_not_exist_is_named_with_what_does():
    registry = Registry(MemoryLedger())
    with pytest.raises(NotFoundError, match="'churn'; there are no models in this ledger yet"):
        registry.champion("churn")
    keep(registry)
    keep(registry, "prices")
    with pytest.raises(NotFoundError, match="no model named 'chrun'; did you mean 'churn'"):
        registry.versions("chrun")
    with pytest.raises(NotFoundError, match="model 'churn' has no version 7; it has 1"):
        registry.version("churn", 7)
    with pytest.raises(NotFoundError, match="no version 0"):
        registry.promote("churn", 0, "")
    assert registry.names() == ("churn", "prices")


@pytest.mark.parametrize("name", ["", "a/b"])
def test_names_that_no_stream_can_have_are_refused(name):
    with pytest.raises(UsageError, match="without '/'"):
        keep(Registry(MemoryLedger()), name)


def test_a_manifest_that_is_no_json_is_refused_and_nothing_is_kept():
    registry = Registry(MemoryLedger())
    with pytest.raises(UsageError, match="manifest"):
        registry.register("churn", Ridge(), lineage=Lineage(), manifest={"when": object()}, reason="")
    assert registry.names() == ()


@pytest.mark.parametrize("model", [Homemade(), make_pipeline(FunctionTransformer(eval)), make_pipeline(FunctionTransformer(lambda x: x))])
def test_what_nobody_vouches_for_is_a_pickle_and_needs_trust(model):
    registry = Registry(MemoryLedger())
    version = keep(registry, model=model)
    assert version.format == "pickle"
    with pytest.raises(UntrustedModel, match="trust_pickle=True"):
        registry.load(version)
    assert type(registry.load(version, trust_pickle=True)) is type(model)


def test_a_skops_file_that_smuggles_a_function_is_not_loaded():
    import skops.io

    registry = Registry(MemoryLedger())
    version = keep(registry)
    smuggled = registry.ledger.put(skops.io.dumps(FunctionTransformer(eval)))
    with pytest.raises(UntrustedModel, match=r"builtins\.eval"):
        registry.load(replace(version, digest=smuggled))
    with pytest.raises(UntrustedModel):  # a pickle that calls itself skops is still refused without being run
        registry.load(replace(keep(registry, model=Homemade()), number=9))


def test_a_model_whose_bytes_changed_is_not_loaded(tmp_path: Path):
    registry = Registry(open_ledger(tmp_path / "ledger.db"))
    version = keep(registry)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name.startswith(version.digest)]
    for file in files:
        file.write_bytes(b"something else")
    assert files
    with pytest.raises(BlobMissing, match="no longer matches"):
        registry.load(version)


def test_other_library_versions_are_said_and_nothing_is_refused(caplog):
    registry = Registry(MemoryLedger())
    version = keep(registry, libraries={"numpy": "0.1", "no-such-library": "3"})
    assert library_changes(version) == (
        f"made with numpy 0.1, loaded with {np.__version__}; check a few predictions",
        "made with no-such-library 3, loaded with none; check a few predictions",
    )
    with caplog.at_level(logging.WARNING):
        assert isinstance(registry.load(version), Ridge)
    assert "version 1 of 'churn': made with numpy 0.1" in caplog.text
    assert library_changes(keep(registry)) == ()


@pytest.mark.parametrize(("model", "file"), [(Ridge(), "model.skops"), (Homemade(), "model.pkl")])
def test_export_writes_the_model_and_its_manifest(tmp_path: Path, model, file):
    registry = Registry(MemoryLedger())
    version = keep(registry, model=model, rows=10)
    paths = registry.export(version, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [file, "model.json"]
    assert paths[0].read_bytes() == registry.ledger.get(version.digest)
    told = json.loads(paths[1].read_text())
    assert (told["digest"], told["lineage"]["rows"], told["manifest"]) == (version.digest, 10, {"task": "regression"})


def test_the_story_reads_from_the_first_line_to_the_last():
    registry = Registry(MemoryLedger())
    keep(registry, rows=1234)
    registry.ledger.append([Fact("steward/churn", "decided", {"sentence": "keep: all is well."}) for _ in range(3)])
    registry.ledger.append([Fact("steward/churn", "dueled", {"upto": 5})])
    keep(registry)
    registry.promote("churn", 2, "it won")
    registry.roll_back("churn", "it lost")
    assert [(event.kind, event.sentence) for event in registry.story("churn")] == [
        ("registered", "version 1 was made from 1,234 rows: tuned"),
        ("promoted", "version 1 went into service: tuned"),
        ("decided", "keep: all is well."),
        ("registered", "version 2 was made from 0 rows: tuned"),
        ("promoted", "version 2 was promoted: it won"),
        ("rolled back", "rolled back from version 2 to version 1: it lost"),
    ]
    with pytest.raises(NotFoundError):
        registry.story("nobody")
