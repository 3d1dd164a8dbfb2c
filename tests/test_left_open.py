"""What is left open never reaches the sampler, and the rest of the space is searched as if it were all there is."""

import pytest

from staytuned.errors import SpaceExhausted, UsageError
from staytuned.goal import Goal
from staytuned.left_open import LeftOpen, without
from staytuned.samplers.named import METHODS, named
from staytuned.samplers.random import Random
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.study import Study
from staytuned.trial import Alternative, Measurement, Status, Trial

SPACE = Space({"rate": Float(1e-3, 1, log=True), "rounds": Int(1, 5), "kind": Choice(["a", "b"])})


def column_of(trial):
    """Measures all rounds of a config and takes the best: the third."""
    scores = {rounds: (trial.config["rate"] - 0.1) ** 2 + (rounds - 3) ** 2 for rounds in range(1, 6)}
    best = min(scores, key=scores.__getitem__)
    column = tuple(Alternative({"rounds": rounds}, [{"loss": loss}]) for rounds, loss in scores.items())
    return Measurement({"loss": scores[best]}, config=trial.config | {"rounds": best}, column=column)


def test_what_remains_of_a_space() -> None:
    assert without(SPACE, ["rounds"]).names == ("rate", "kind")


@pytest.mark.parametrize("method", [m for m in METHODS if m != "manual"])
def test_no_method_proposes_what_is_left_open_and_every_trial_ends_whole(method: str) -> None:
    study = Study(space=SPACE, sampler=method, seed=1, left_open=["rounds"])
    asked: list[set[str]] = []

    def objective(trial):
        asked.append(set(trial.config))
        return column_of(trial)

    study.optimize(objective, trials=8)
    assert asked == [{"rate", "kind"}] * 8
    assert all(SPACE.contains(t.config) and t.config["rounds"] == 3 and len(t.measurement.column) == 5 for t in study.trials)


def test_it_proposes_what_the_sampler_of_the_rest_proposes() -> None:
    rest = without(SPACE, ["rounds"])
    study, alone = Study(space=SPACE, sampler="bayes", seed=1, left_open=["rounds"]), Study(space=rest, sampler="bayes", seed=1)
    study.optimize(column_of, trials=10)
    alone.optimize(lambda trial: (trial.config["rate"] - 0.1) ** 2, trials=10)
    assert [without_rounds(t) for t in study.trials] == [dict(t.config) for t in alone.trials]


def without_rounds(trial: Trial) -> dict[str, object]:
    return {name: value for name, value in trial.config.items() if name != "rounds"}


def test_a_trial_that_had_its_own_value_is_not_shown_so_that_its_column_is_still_measured() -> None:
    space = Space({"rounds": Int(1, 5)})
    study = Study(space=space, sampler="auto", seed=0, left_open=["rounds"])
    study.enqueue({"rounds": 1}, origin="default")
    study.optimize(lambda trial: 4.0 if "rounds" in trial.config else Measurement({"loss": 0.0}, config={"rounds": 3}, column=_pair()))
    assert [dict(t.config) for t in study.trials] == [{"rounds": 1}, {"rounds": 3}]
    assert study.best.config == {"rounds": 3}
    assert "the only config" in study.why_ended


def _pair() -> tuple[Alternative, ...]:
    return Alternative({"rounds": 3}, [{"loss": 0.0}]), Alternative({"rounds": 4}, [{"loss": 1.0}])


def test_failures_and_trials_under_way_are_shown_and_defaults_as_if_stopped_early() -> None:
    sampler = LeftOpen(lambda space, _past: Random(space, Goal(), 0), SPACE, ["rounds"])
    running, failed = Trial(0, {"rate": 0.1, "kind": "a"}), Trial(1, {"rate": 0.2, "kind": "a"}, measurement=Measurement(status=Status.FAILED))
    own = Trial(2, {"rate": 0.3, "kind": "a", "rounds": 2}, measurement=Measurement({"loss": 1.0}))
    first = sampler.shown([running, failed, own])
    assert list(first[:2]) == [running, failed]
    assert (first[2].config, first[2].scores, first[2].status) == ({"rate": 0.3, "kind": "a"}, {"loss": 1.0}, Status.PRUNED)
    done = running.measured(Measurement({"loss": 0.5}, config={"rate": 0.1, "kind": "a", "rounds": 3}, column=_pair()))
    shown = sampler.shown([done, failed, own])
    assert [(t.config, t.scores, t.status) for t in shown[:2]] == [
        ({"rate": 0.1, "kind": "a"}, {"loss": 0.5}, "done"),
        ({"rate": 0.2, "kind": "a"}, {}, "failed"),
    ]
    assert shown[2] is first[2]
    assert sampler.shown([done, failed, own])[0] is shown[0]
    assert sampler.shown([failed])[0] is failed


def test_a_finite_rest_is_used_up() -> None:
    sampler = LeftOpen(lambda space, _past: named("grid", space, Goal(), 0), Space({"kind": Choice(["a", "b"]), "rounds": Int(1, 9)}), ["rounds"])
    trials = [Trial(i, {"kind": kind, "rounds": 4}, measurement=Measurement({"loss": 1.0}, column=_pair())) for i, kind in enumerate("ab")]
    with pytest.raises(SpaceExhausted, match="all points of the grid"):
        sampler.ask(trials)


def test_lessons_of_earlier_studies_are_cut_to_what_remains() -> None:
    earlier = Study("earlier", space=SPACE, sampler="random", seed=3)
    earlier.optimize(lambda trial: (trial.config["rate"] - 0.1) ** 2, trials=12)
    study = Study(space=SPACE, sampler="auto", seed=0, left_open=["rounds"])
    study.learn_from(earlier, top=2)
    study.optimize(column_of, trials=14)
    assert {t.origin for t in study.trials} >= {"earlier", "bayes"}
    assert all(SPACE.contains(t.config) for t in study.trials)


def test_an_endless_rest_needs_a_limit_and_a_finite_one_does_not() -> None:
    with pytest.raises(UsageError, match="would never end"):
        Study(space=SPACE, left_open=["rounds"]).optimize(column_of)
    study = Study(space={"rounds": Float(0, 1), "kind": Choice(["a", "b"])}, seed=0, left_open=["rounds"])
    study.optimize(lambda trial: Measurement({"loss": 1.0}, config=trial.config | {"rounds": 0.5}, column=_pair()))
    assert len(study.trials) == 2


def test_columns_are_remembered(tmp_path) -> None:
    study = Study("churn", space=SPACE, sampler="random", seed=1, left_open=["rounds"], ledger=tmp_path / "ledger.db")
    study.optimize(column_of, trials=2)
    again = Study("churn", space=SPACE, left_open=["rounds"], ledger=tmp_path / "ledger.db")
    assert again.trials == study.trials
    assert [dict(a.values) for a in again.trials[0].measurement.column] == [{"rounds": r} for r in range(1, 6)]
