"""A study may stop when little is left to gain: it says so rightly, in words, and only when asked."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale
from sklearn.svm import SVC

from staytuned._random import generator
from staytuned.enough import Enough, left_to_gain, standard_error
from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.samplers._cube import Cube
from staytuned.samplers._evidence import Reader
from staytuned.samplers._gp import features
from staytuned.samplers._regret import Plain, regrets
from staytuned.samplers._surface import Surfaces
from staytuned.search import TuneSearchCV
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.study import Study
from staytuned.trial import Alternative, Measurement, Reading, Status, Trial

SQUARE = Space({"x": Float(0, 1), "y": Float(0, 1)})
COUNTS = (0, 3, 29, 30, 35, 43)


def bowl(config):
    return (config["x"] - 0.3) ** 2 + (config["y"] - 0.6) ** 2


def branin(config):
    x, y = 15 * config["x"] - 5, 15 * config["y"]
    return (y - 5.1 / (4 * np.pi**2) * x * x + 5 / np.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10 - 0.397887


def noisy(f, deviation):
    return lambda trial: f(trial.config) + deviation * generator(trial.seed, "noise").standard_normal()


def in_folds(trial):
    """Five folds whose scores lie a tenth apart, whatever the config."""
    loss = bowl(trial.config)
    readings = tuple(Reading("fold", fold, {"loss": loss + 0.1 * (fold - 2)}) for fold in range(5))
    return Measurement({"loss": loss}, readings=readings)


def history(f, count, space=SQUARE, seed=0):
    rng = generator(seed, "history")
    configs = [space.sample(rng) for _ in range(count)]
    return [Trial(i, config, measurement=Measurement({"loss": f(config)})) for i, config in enumerate(configs)]


# the verdict


def test_a_study_stops_when_little_is_left_and_says_how_much() -> None:
    study = Study(space=SQUARE, seed=1)
    study.optimize(noisy(bowl, 0.001), trials=60, enough=0.02)
    assert 30 <= len(study.trials) < 60
    assert bowl(study.best.config) < 0.02
    assert study.why_ended.startswith("what is left to gain, probably at most 0.0")
    assert study.why_ended.endswith("loss, is below 0.02")


@pytest.mark.slow
def test_what_is_left_at_the_stop_is_below_the_tolerance_in_nine_of_ten_seeds() -> None:
    stopped, kept = 0, 0
    for seed in range(14):
        study = Study(space=SQUARE, seed=seed)
        study.optimize(noisy(branin, 0.5), trials=60, enough=2.0)
        if "left to gain" in study.why_ended:
            stopped += 1
            kept += branin(study.best.config) <= 2.0
    assert stopped >= 7
    assert kept >= 0.9 * stopped


def test_much_is_left_on_a_hard_function_of_eight_dimensions() -> None:
    space = Space({f"x{i}": Float(-5, 5) for i in range(8)})

    def rastrigin(config):
        x = np.array(list(config.values()))
        return float((x * x - 10 * np.cos(2 * np.pi * x) + 10).sum())

    study = Study(space=space, seed=0, sampler="random")
    study.optimize(lambda trial: rastrigin(trial.config), trials=30, enough=1.0)
    assert len(study.trials) == 30
    assert study.why_ended == "all 30 trials asked for were run"
    assert left_to_gain(study.trials, study.goal, space).gain > 10.0


def test_the_more_trials_the_less_is_left() -> None:
    gains = [left_to_gain(history(bowl, count), Goal(), SQUARE).gain for count in (10, 100)]
    assert gains[0] > 2 * gains[1]


def test_it_is_measured_in_the_unit_of_the_metric_and_in_its_direction() -> None:
    small = left_to_gain(history(bowl, 30), Goal(), SQUARE).gain
    large = left_to_gain(history(lambda c: 1000 * bowl(c) + 7, 30), Goal(), SQUARE).gain
    turned = left_to_gain(history(lambda c: -1000 * bowl(c) + 7, 30), Goal("loss", "max"), SQUARE).gain
    assert large == pytest.approx(1000 * small, rel=0.02)
    assert turned == pytest.approx(large, rel=0.02)


def test_a_finite_space_that_was_tried_whole_has_nothing_left() -> None:
    space = Space({"k": Int(1, 30)})
    trials = [Trial(i, {"k": i + 1}, measurement=Measurement({"loss": abs(i - 11) / 10})) for i in range(30)]
    assert left_to_gain(trials, Goal(), space).gain < 0.05


def test_conditions_categories_constraints_and_failures_do_no_harm() -> None:
    space = Space(
        {"kind": Choice(["a", "b"]), "x": Float(0, 1), "y": Float(0, 1, when={"kind": ["b"]})},
        constraints=[lambda c: c["x"] < 0.9],
    )
    trials = history(lambda c: c["x"] + c.get("y", 0.5), 30, space)
    trials[3] = Trial(3, trials[3].config, measurement=Measurement(status=Status.FAILED, cure="none"))
    trials[4] = Trial(4, trials[4].config)
    found = left_to_gain(trials, Goal(), space)
    assert 0 <= found.gain < 1
    assert found.trials == 29


@pytest.mark.parametrize("trials", [[], history(bowl, 2)])
def test_too_little_is_known(trials) -> None:
    assert left_to_gain(trials, Goal(), SQUARE) is None
    assert Enough(Goal(), 0.1).reason(trials, SQUARE) == ""


def test_equal_scores_leave_nothing_to_gain_on_any_evidence() -> None:
    assert left_to_gain(history(lambda _: 3.0, 30), Goal(), SQUARE).gain < 3.0


# the noise


def test_standard_error_of_folds() -> None:
    readings = tuple(Reading("fold", i, {"r2": score}) for i, score in enumerate([0.7, 0.8, 0.9, 0.8, 0.8]))
    error, folds = standard_error(Trial(0, {}, measurement=Measurement({"r2": 0.8}, readings=readings)), "r2")
    assert folds == 5
    assert error == pytest.approx(math.sqrt((1 / 5 + 1 / 4) * 0.005))  # Nadeau and Bengio 2003: a quarter is the test rows over the training rows


def test_steps_are_no_folds() -> None:
    readings = tuple(Reading("step", i, {"loss": i}) for i in range(5))
    error, folds = standard_error(Trial(0, {}, measurement=Measurement({"loss": 0.8}, readings=readings)), "loss")
    assert math.isnan(error)
    assert folds == 0


def test_below_the_noise_of_the_best_score() -> None:
    study = Study(space=SQUARE, seed=0, sampler="random")
    study.optimize(in_folds, trials=60, enough="noise")
    assert len(study.trials) == 30
    assert study.why_ended.endswith("loss, is below the noise of the best score, 0.11 (standard error over 5 folds)")


def test_without_folds_there_is_no_noise_and_a_number_is_asked_for() -> None:
    study = Study(space=SQUARE, seed=0)
    with pytest.raises(UsageError, match=r"trial 0 came back without.*enough=0\.001, in the unit of loss"):
        study.optimize(noisy(bowl, 0.0), trials=60, enough="noise")
    assert [trial.status for trial in study.trials] == [Status.DONE]


# the loop


def test_nothing_stops_unasked() -> None:
    study = Study(space=SQUARE, seed=0, sampler="random")
    study.optimize(in_folds, trials=40)
    assert len(study.trials) == 40


def test_a_study_that_has_enough_ends_at_once_when_it_is_continued() -> None:
    study = Study(space=SQUARE, seed=0, sampler="random")
    study.optimize(in_folds, trials=32)
    study.optimize(in_folds, trials=10, enough="noise")
    assert len(study.trials) == 32
    assert "is below the noise" in study.why_ended


def test_what_was_enqueued_is_run_all_the_same() -> None:
    study = Study(space=SQUARE, seed=0, sampler="random")
    study.optimize(in_folds, trials=30)
    study.enqueue({"x": 0.5, "y": 0.5})
    study.optimize(in_folds, trials=10, enough="noise")
    assert len(study.trials) == 31


def test_several_at_once_are_waited_for() -> None:
    study = Study(space=SQUARE, seed=0, sampler="random")
    with ThreadPoolExecutor(3) as pool:
        study.optimize(in_folds, trials=60, executor=pool, enough=0.5)
    assert 30 <= len(study.trials) <= 35
    assert all(trial.status is Status.DONE for trial in study.trials)
    assert "is below 0.5" in study.why_ended


def test_the_answer_is_a_function_of_the_trials() -> None:
    trials = history(bowl, 43)
    followed = Enough(Goal(), 0.3, seed=5)
    answers = [followed.reason(trials[:count], SQUARE) for count in COUNTS]
    assert answers == [Enough(Goal(), 0.3, seed=5).reason(trials[:count], Space(SQUARE.dimensions)) for count in COUNTS]
    assert any(answers)
    assert not any(answers[: COUNTS.index(30)])


def test_dimensions_left_open_are_not_searched() -> None:
    space = Space({"x": Float(0, 1), "rounds": Int(1, 5)})

    def column(trial):
        scores = {rounds: (trial.config["x"] - 0.3) ** 2 + (rounds - 3) ** 2 for rounds in range(1, 6)}
        alternatives = tuple(Alternative({"rounds": rounds}, [{"loss": loss}]) for rounds, loss in scores.items())
        return Measurement({"loss": scores[3]}, config=dict(trial.config) | {"rounds": 3}, column=alternatives)

    study = Study(space=space, seed=0, left_open=["rounds"])
    study.optimize(column, trials=60, enough=0.01)
    assert len(study.trials) == 30
    assert "is below 0.01" in study.why_ended


def test_only_trials_with_the_whole_effort_count() -> None:
    cheap = [Trial(i, t.config, fidelity=0.1, measurement=Measurement({"loss": -1.0})) for i, t in enumerate(history(bowl, 40))]
    whole = [Trial(40 + i, t.config, fidelity=1.0, measurement=t.measurement) for i, t in enumerate(history(bowl, 29, seed=1))]
    assert Enough(Goal(), 10.0).reason(cheap + whole, SQUARE) == ""
    assert left_to_gain(cheap + whole, Goal(), SQUARE).trials == 29


def test_define_by_run() -> None:
    study = Study(seed=0)
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1) - 0.3) ** 2, trials=60, enough=0.01)
    assert len(study.trials) == 30


def test_the_search_of_an_estimator() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X, y = scale(X)[::3], y[::3]
    search = TuneSearchCV(SVC(), {"C": Float(1e-2, 1e2, log=True), "gamma": Float(1e-3, 1, log=True)}, trials=60, random_state=0, honest=False, enough="noise")
    search.fit(X, y)
    assert len(search.trials_) < 60
    assert "is below the noise of the best score" in search.study_.why_ended


# mistakes


@pytest.mark.parametrize("tolerance", [0, -1.0, math.nan, math.inf, True, "noisy", [0.1]])
def test_a_tolerance_that_makes_no_sense(tolerance) -> None:
    study = Study(space=SQUARE)
    with pytest.raises(UsageError, match=r"enough=.* must be 'noise', a positive number in the unit of loss"):
        study.optimize(in_folds, trials=3, enough=tolerance)
    assert not study.trials


@pytest.mark.parametrize("goal", ["min loss, min seconds", "min loss where seconds <= 3"])
def test_one_objective_without_limits(goal: str) -> None:
    with pytest.raises(UsageError, match=r"one objective without limits.*give trials= or timeout="):
        Study(space=SQUARE, goal=goal).optimize(in_folds, trials=3, enough=0.1)


# the model


def test_joint_moments_agree_with_single_ones() -> None:
    evidence = Reader(Cube(SQUARE), Goal()).read(history(branin, 20))
    model = Surfaces(evidence.cube, 200, 0).posterior(evidence, evidence, Plain())
    x = features(model.plan, generator(0, "points").random((7, 2)))
    mean, covariance = model.joint(x)
    expected_mean, expected_deviation = model.predict(x)
    assert mean == pytest.approx(expected_mean)
    assert np.sqrt(covariance.diagonal()) == pytest.approx(expected_deviation, rel=1e-6)
    both, pairs = model.joint(x[[2, 5]])
    assert pairs == pytest.approx(covariance[np.ix_([2, 5], [2, 5])])
    assert both == pytest.approx(mean[[2, 5]])


def test_a_bad_incumbent_has_the_distance_to_the_best_left() -> None:
    evidence = Reader(Cube(SQUARE), Goal()).read(history(bowl, 60))
    drawn = regrets(Surfaces(evidence.cube, 200, 0), evidence, np.array([0.9, 0.1]), generator(0, "draws"))
    assert np.median(drawn) == pytest.approx(bowl({"x": 0.9, "y": 0.1}), abs=0.02)
    assert (drawn >= 0).all()
