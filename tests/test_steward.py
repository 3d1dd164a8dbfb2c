"""The second loop, on streams whose truth is known."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from staytuned.automl import recipe
from staytuned.automl.columns import infer
from staytuned.automl.keep import manifest_of
from staytuned.challenger import Keeper, Retuned, inputs_of
from staytuned.errors import LedgerLocked, NotFoundError, TableError, UntrustedModel, UsageError
from staytuned.monitor.log import labelled_rows
from staytuned.monitor.watch import reference_of
from staytuned.policy import Action, PolicySettings
from staytuned.protocols import Ledger
from staytuned.registry import Lineage, Registry
from staytuned.steward import Steward, StewardSettings
from staytuned.store.frames import frame_to_bytes
from staytuned.store.memory import MemoryLedger
from staytuned.store.open import open_ledger

WORLDS = {"old": (2.0, 1.0), "turned": (-2.0, 1.0), "worse": (0.0, 0.0)}


def rows(rng: np.random.Generator, n: int, world: str = "old") -> pd.DataFrame:
    X = rng.normal(size=(n, 2))
    y = np.where(X @ WORLDS[world] + rng.logistic(size=n) > 0, "yes", "no")
    return pd.DataFrame(X, columns=["age", "sum"]).assign(bought=y)


def fit(config: Any, X: pd.DataFrame, y: Any) -> LogisticRegression:
    return LogisticRegression(C=config.get("C", 1.0)).fit(X.to_numpy(), y)


class Plain:
    """A model on plain arrays."""

    def __init__(self, model: Any) -> None:
        self.model, self.classes_ = model, model.classes_

    def predict_proba(self, X: Any) -> Any:
        return self.model.predict_proba(np.nan_to_num(np.asarray(X, dtype=float)))


def retrain(config: Any, X: pd.DataFrame, y: Any, manifest: Any) -> Plain:  # noqa: ARG001 - the shape of the seam
    return Plain(fit(config, X, y))


def retune(X: pd.DataFrame, y: Any, manifest: Any, warm: Any, name: str) -> Retuned:  # noqa: ARG001 - the shape of the seam
    return Retuned({"C": 0.5}, Plain(fit({"C": 0.5}, X, y)), 0.9, name)


def founded(ledger: Ledger) -> Ledger:
    """A ledger with version 1 of a model of the old world in service."""
    rng = np.random.default_rng(1)
    train, held = rows(rng, 500), rows(rng, 400)
    X, y, table = infer(train, "bought")
    model = retrain({}, X, y, None)
    H = inputs_of(held, table)
    reference = reference_of(H, held["bought"].to_numpy(), recipe.predict(model, H, table), task=table.task, metric="accuracy", score=0.8)
    lineage = Lineage(ledger.put(frame_to_bytes(train)), len(train), None, {"C": 1.0})
    Registry(ledger).register("shop", model, lineage=lineage, manifest=manifest_of(table, reference, "accuracy"), reason="tuned")
    return ledger


@pytest.fixture(scope="module")
def start() -> Callable[[], Ledger]:
    ledger = founded(MemoryLedger())
    return lambda: copy.deepcopy(ledger)


def steward(ledger: Ledger, **options: Any) -> Steward:
    return Steward(ledger, "shop", **{"retrain": retrain, "retune": retune, "trust_pickle": True} | options)


def error(model: Keeper, table: pd.DataFrame) -> float:
    return float(np.mean(model.predict(inputs_of(table, model.table)).labels != table["bought"]))


def champion(who: Steward) -> Keeper:
    return who._keeper(who.registry.champion("shop"))


def kinds(who: Steward) -> list[str]:
    return [fact.kind for fact in who.ledger.read("steward/shop") if fact.kind in ("attempted", "settled")]


def in_trouble(ledger: Ledger, batches: int = 2, size: int = 150, world: str = "turned") -> Steward:
    who, rng = steward(ledger), np.random.default_rng(5)
    for _ in range(batches):
        who.watch(rows(rng, size, world))
    return who


def test_a_step_change_is_mended_and_the_story_says_how(start):
    who, rng = steward(start()), np.random.default_rng(2)
    static = champion(who)
    loss: dict[str, list[float]] = {"static": [], "tended": []}
    for block in range(16):
        table = rows(rng, 100, "old" if block < 5 else "turned")
        loss["static"].append(error(static, table))
        loss["tended"].append(error(champion(who), table))
        who.watch(table)
        tended = who.tend()
        assert tended.champion == who.registry.champion("shop").number
        if block < 5:
            assert tended.decision.action is Action.KEEP
    assert np.mean(loss["static"][9:]) > 0.5
    assert np.mean(loss["tended"][9:]) < 0.3
    assert who.registry.champion("shop").lineage.parent == 1
    told = [(event.kind, event.sentence) for event in who.history()]
    assert [kind for kind, _ in told if kind in ("registered", "promoted")] == ["registered", "promoted"] * 2
    story = "\n".join(sentence for _, sentence in told)
    for words in (
        "version 1 went into service: tuned",
        "Performance is confirmed worse",
        "retrain: The promise is confirmed broken",
        "version 2 was promoted: Version 2 beats version 1",
    ):
        assert words in story


@pytest.mark.parametrize("batches", [12, pytest.param(40, marks=pytest.mark.slow)])
def test_a_still_stream_is_left_alone(start, batches):
    who, rng = steward(start()), np.random.default_rng(3)
    for _ in range(batches):
        who.watch(rows(rng, 60))
        assert who.tend().decision.action is Action.KEEP
    assert kinds(who) == []
    assert len(who.registry.versions("shop")) == 1


def test_nothing_is_learned_from_a_batch_whose_input_was_broken(start):
    learned: list[pd.DataFrame] = []

    def noted(config: Any, X: pd.DataFrame, y: Any, manifest: Any) -> Plain:
        learned.append(X)
        return retrain(config, X, y, manifest)

    rng = np.random.default_rng(4)
    who = steward(start(), retrain=noted)
    for _ in range(2):
        who.watch(rows(rng, 100, "turned"))
    broken = rows(rng, 100, "turned").assign(age=np.nan, sum=777.0)
    assert who.watch(broken).harm == "incident"
    tended = who.tend()
    assert (tended.decision.action, learned) == (Action.KEEP, [])
    assert "input is broken" in tended.sentence
    who.watch(rows(rng, 100, "turned"))
    assert who.tend().champion == 2
    assert learned
    assert not any((X["sum"] == 777.0).any() for X in learned)


def test_the_challenger_is_fitted_on_rows_before_those_it_is_judged_on(start):
    who = in_trouble(start())
    who.tend()
    made = who.registry.version("shop", 2)
    attempt = next(fact.body for fact in who.ledger.read("steward/shop", kind="attempted"))
    assert made.manifest["trained_upto"] == attempt["held_from"] == 300 - 90
    assert made.lineage.rows == attempt["held_from"] - attempt["relevant"]
    assert made.manifest["window"] == "the rows since the change"
    duel = next(fact.body for fact in who.ledger.read("steward/shop", kind="dueled"))
    assert (duel["upto"], duel["bet"]["seen"]) == (300, 90)


def test_a_new_version_is_held_to_the_first_promise(start):
    who = in_trouble(start())
    who.tend()
    first, second = (who.registry.version("shop", number).manifest["reference"] for number in (1, 2))
    assert second["promise"] == first["promise"]
    assert second["features"]["rows"] == who.registry.version("shop", 2).lineage.rows < 300
    columns = [{column["name"]: column for column in reference["features"]["columns"]} for reference in (first, second)]
    assert columns[1]["age"]["points"][0] <= columns[0]["age"]["points"][0]  # what was in range once is no incident now
    assert columns[1]["age"]["below"][-1] == second["features"]["rows"]
    health = who.watch(rows(np.random.default_rng(8), 100, "turned"))
    assert health.harm != "confirmed"  # the alarm of the old champion is not the new one's


def test_what_retraining_does_not_mend_is_retuned_from_the_old_best(start):
    asked: list[tuple[Any, str]] = []

    def noted(X: pd.DataFrame, y: Any, manifest: Any, warm: Any, name: str) -> Retuned:
        asked.append((warm, name))
        return retune(X, y, manifest, warm, name)

    def useless(config: Any, X: pd.DataFrame, y: Any, manifest: Any) -> Plain:  # noqa: ARG001 - the shape of the seam
        return Plain(LogisticRegression().fit(np.random.default_rng(0).normal(size=(len(y), 2)), np.where(np.arange(len(y)) % 9 > 0, "no", "yes")))

    rng, acted = np.random.default_rng(6), []
    settings = StewardSettings(policy=PolicySettings(patience=100))
    who = steward(start(), retrain=useless, retune=noted, settings=settings)
    for _ in range(14):
        who.watch(rows(rng, 100, "worse"))
        acted += [step.action for step in who.tend().steps if step.action is not Action.KEEP]
        if Action.RETUNE in acted:
            break
    assert acted.index(Action.RETRAIN) < acted.index(Action.RETUNE)
    assert asked == [([{"C": 1.0}], "shop-retune-2")]


def test_an_undecided_challenger_waits_in_the_shadow_and_then_goes(start):
    def twin(config: Any, X: pd.DataFrame, y: Any, manifest: Any) -> Any:  # noqa: ARG001 - the shape of the seam
        return who.registry.load(who.registry.version("shop", 1), trust_pickle=True)

    rng = np.random.default_rng(7)
    who = steward(start(), retrain=twin, settings=StewardSettings(policy=PolicySettings(patience=250)))
    decisions = []
    for _ in range(6):
        who.watch(rows(rng, 100, "turned"))
        decisions.append(who.tend().decision)
        if decisions[-1].action is Action.DISCARD:
            break
    assert [d.action for d in decisions[-3:]] == [Action.RETRAIN, Action.KEEP, Action.DISCARD]
    assert "cannot be told apart yet" in decisions[-2].reason
    assert who.registry.champion("shop").number == 1
    assert "attempt 1 (retrain) was discarded" in [event.sentence for event in who.history()]


def test_a_bad_promotion_is_rolled_back(start):
    who, rng = steward(start()), np.random.default_rng(9)
    bad = rows(rng, 300, "turned")
    first = who.registry.champion("shop")
    model = retrain({}, bad[["age", "sum"]], bad["bought"], None)
    who.registry.register("shop", model, lineage=Lineage(parent=1, config={"C": 1.0}), manifest=first.manifest, reason="by hand")
    who.registry.promote("shop", 2, "it looked fine")
    tended = None
    for _ in range(3):
        who.watch(rows(rng, 100))
        tended = who.tend()
        if tended.decision.action is Action.ROLL_BACK:
            break
    assert tended.champion == 1
    assert "Version 1, which it replaced, does better" in tended.sentence
    assert [event.kind for event in who.history()][-1] == "rolled back"
    who.watch(rows(rng, 100))
    assert who.tend().decision.action is Action.KEEP


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A ledger whose process dies at one of its appends, before or after it is written."""

    def __init__(self, ledger: Ledger, at: int, written: bool) -> None:
        self.ledger, self.left, self.written = ledger, at, written

    def append(self, facts: Any) -> list[int]:
        self.left -= 1
        if self.left == 0 and not self.written:
            raise Killed
        ids = self.ledger.append(facts)
        if self.left == 0:
            raise Killed
        return ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)


@pytest.mark.slow
@pytest.mark.parametrize("written", [False, True])
def test_a_steward_killed_anywhere_is_continued_to_the_same_end(start, written):
    ledger = in_trouble(start()).ledger
    whole = copy.deepcopy(ledger)
    assert steward(whole).tend().champion == 2
    appends = 0
    for at in range(1, 20):
        broken = copy.deepcopy(ledger)
        try:
            steward(Mortal(broken, at, written)).tend()
            break
        except Killed:
            appends += 1
        again = steward(broken)
        again.tend()
        assert again.registry.champion("shop").number == 2
        assert again.registry.champion("shop").lineage.table == Registry(whole).champion("shop").lineage.table
        again.tend()
        assert kinds(again) == ["attempted", "settled"]
        assert len(again.registry.versions("shop")) == 2
    assert appends >= 6


def test_a_fit_cut_off_is_done_again_on_the_same_rows(start):
    seen: list[str] = []

    def cut_off(config: Any, X: pd.DataFrame, y: Any, manifest: Any) -> Plain:
        seen.append(frame_to_bytes(X).hex())
        if len(seen) == 1:
            raise KeyboardInterrupt
        return retrain(config, X, y, manifest)

    ledger = in_trouble(start()).ledger
    with pytest.raises(KeyboardInterrupt):
        steward(ledger, retrain=cut_off).tend()
    steward(ledger).watch(rows(np.random.default_rng(10), 40, "turned"))  # the world goes on meanwhile
    assert steward(ledger, retrain=cut_off).tend().champion == 2
    assert seen[0] == seen[1]


def test_a_fit_that_fails_ends_the_attempt_and_not_the_loop(start):
    def failing(config: Any, X: pd.DataFrame, y: Any, manifest: Any) -> Any:  # noqa: ARG001 - the shape of the seam
        raise ValueError("singular matrix")

    ledger = in_trouble(start()).ledger
    tended = steward(ledger, retrain=failing).tend()
    assert "Attempt 1 failed: ValueError: singular matrix." in tended.sentence
    assert [step.action for step in tended.steps] == [Action.RETRAIN, Action.KEEP]
    assert steward(ledger).tend().decision.action is Action.KEEP  # too few rows since
    who = steward(ledger)
    who.watch(rows(np.random.default_rng(11), 150, "turned"))
    assert who.tend().steps[0].action is Action.RETUNE
    assert who.registry.champion("shop").number == 2


def test_a_table_watched_twice_counts_once(start):
    who, table = steward(start()), rows(np.random.default_rng(12), 100)
    assert who.watch(table) == who.watch(table.sample(frac=1, random_state=0).sort_index())
    assert len(labelled_rows(who.ledger, "shop")) == 100
    assert [fact.kind for fact in who.ledger.read("steward/shop")] == ["watched"]


def test_labels_that_come_later_are_joined_and_watched(start):
    who, rng = steward(start()), np.random.default_rng(13)
    table = rows(rng, 200, "turned")
    said = who.predict(table.drop(columns="bought"))
    assert (said.version, len(set(said.ids)), said.prediction.probabilities.shape) == (1, 200, (200, 2))
    assert who.label(said.ids[:100], table["bought"][:100]).harm == "confirmed"
    assert who.label(said.ids[:2], table["bought"][:2]) is None
    assert who.label(said.ids[98:], table["bought"][98:]).labelled == 100
    with pytest.raises(NotFoundError, match="nobody-0"):
        who.label(["nobody-0"], ["yes"])
    assert who.tend().champion == 2


def test_a_batch_without_labels_is_watched_too(start):
    who = steward(start())
    health = who.watch(rows(np.random.default_rng(14), 100).drop(columns="bought"))
    assert (health.labelled, health.harm) == (0, "none")
    assert len(labelled_rows(who.ledger, "shop")) == 0
    partly = rows(np.random.default_rng(15), 100)
    partly.loc[:59, "bought"] = None
    assert who.watch(partly).labelled == 40
    assert len(labelled_rows(who.ledger, "shop")) == 40


def test_tables_that_do_not_fit_are_refused_by_name(start):
    who, table = steward(start()), rows(np.random.default_rng(16), 30)
    for look in (who.predict, who.watch):
        with pytest.raises(TableError, match="the table lacks 'age', which the model needs; it has 'sum'"):
            look(table.drop(columns="age"))
    with pytest.raises(TableError, match="'perhaps', unknown to the model"):
        who.watch(table.assign(bought="perhaps"))
    assert who.predict(table[["bought", "sum", "age"]].assign(more=1)).prediction.labels.tolist() == who.predict(table).prediction.labels.tolist()
    assert who.ledger.read("steward/shop") == []


def test_a_model_nobody_watched_is_kept_and_that_is_said(start):
    tended = steward(start()).tend()
    assert (tended.decision.action, tended.health, tended.champion) == (Action.KEEP, None, 1)
    assert "has not been watched" in tended.sentence


def test_a_pickle_is_not_loaded_without_trust(start):
    with pytest.raises(UntrustedModel, match="trust_pickle=True"):
        steward(start(), trust_pickle=False).predict(rows(np.random.default_rng(17), 5))


def test_an_unknown_model_is_said_at_once(start):
    with pytest.raises(NotFoundError, match="did you mean 'shop'"):
        Steward(start(), "shopp")
    with pytest.raises(UsageError, match="hold_back"):
        StewardSettings(hold_back=1.5)


def test_two_do_not_tend_at_once_and_the_dead_are_no_obstacle(start):
    who = in_trouble(start())
    who.ledger.claim("tend/shop", "elsewhere:1:ab", 60)
    with pytest.raises(LedgerLocked, match="about to tend model 'shop'"):
        who.tend()
    who.ledger.claim("tend/shop", "elsewhere:1:ab", 0)
    import socket

    who.ledger.claim("tend/shop", f"{socket.gethostname()}:999999999:1.00:ab", 60)
    assert who.tend().champion == 2


def test_in_a_file_each_step_may_be_another_process(tmp_path: Path):
    where = tmp_path / "ledger.db"
    founded(open_ledger(where))
    rng = np.random.default_rng(18)
    for _ in range(2):
        assert steward(where).watch(rows(rng, 150, "turned")).harm == "confirmed"
    assert steward(where).tend().champion == 2
    assert steward(where).watch(rows(rng, 150, "turned")).harm != "confirmed"
    assert steward(where).tend().decision.action is Action.KEEP
    assert len(steward(where).history()) > 6


def test_with_the_recipe_a_real_pipeline_is_retrained_on_numbers_text_and_gaps():
    from staytuned.automl.recipe import fit_config
    from staytuned.automl.zoo import ZOO, default_config

    def houses(rng: np.random.Generator, n: int, slope: float) -> pd.DataFrame:
        area, town = rng.uniform(20, 200, n), rng.choice(["Köln", "Bonn", None], n)
        price = slope * area + 40.0 * (town == "Köln") + rng.normal(size=n)
        return pd.DataFrame({"area": np.where(rng.random(n) < 0.05, np.nan, area), "town": town, "id": np.arange(n), "price": price})

    rng, ledger = np.random.default_rng(19), MemoryLedger()
    train, held = houses(rng, 400, 1.0), houses(rng, 300, 1.0)
    X, y, table = infer(train, "price")
    config = default_config(ZOO["linear"], "regression")
    model = fit_config(config, X, y, table)
    H = inputs_of(held, table)
    reference = reference_of(H, held["price"].to_numpy(), recipe.predict(model, H, table), task="regression", metric="mae", score=5.0)
    lineage = Lineage(ledger.put(frame_to_bytes(train)), 400, None, config)
    version = Registry(ledger).register("homes", model, lineage=lineage, manifest=manifest_of(table, reference, "mae"), reason="tuned")
    assert version.format == "skops"
    who = Steward(ledger, "homes")
    for _ in range(2):
        assert who.watch(houses(rng, 150, 3.0)).harm == "confirmed"
    assert who.tend().champion == 2
    after = who.watch(houses(rng, 100, 3.0))
    assert after.scores["mae"] < 100
