"""The Gaussian process and the acquisition, against calculus, linear algebra and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from staytuned.goal import Goal
from staytuned.samplers._cube import Cube
from staytuned.samplers._gp import Posterior, default_start, features, fit, full, layout, negative_log_posterior, transformed
from staytuned.samplers._worth import log_expected_improvement, log_h, log_h_and_slope
from staytuned.samplers.bayes import Bayes
from staytuned.space.dims import Choice, Float, Int
from staytuned.space.space import Space
from staytuned.trial import Measurement, Status, Trial

SPACE = Space(
    {
        "a": Float(0, 1),
        "n": Int(1, 9),
        "c": Choice(["x", "y", "z"]),
        "only": Int(2, 2),
        "e": Float(1e-3, 1, log=True, when={"c": ["x"]}),
        "k": Choice(["p", "q"], when={"c": ["x", "y"]}),
    }
)
CUBE = Cube(SPACE)
PLAN = layout(CUBE)


def _sample(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    rows = CUBE.snap(rng.random((n, len(SPACE))))
    noise = full(n)
    noise[::4] = 4.0, 0.0
    noise[1::5] = 0.0, 1.0
    return features(PLAN, rows), rng.standard_normal(n), noise


def _theta(seed: int, sigma2: float = 0.05):
    theta = np.random.default_rng(seed).normal(0, 0.4, PLAN.parameters)
    theta[PLAN.groups + 1] = math.log(sigma2)
    theta[-1] = math.log(2 * sigma2)
    return theta


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_gradient_of_the_posterior_density_is_its_derivative(seed: int) -> None:
    x, y, noise = _sample(14, seed)
    theta, step = _theta(seed), 1e-5
    gradient = negative_log_posterior(theta, PLAN, x, y, noise)[1]
    for i in range(len(theta)):
        shift = np.zeros_like(theta)
        shift[i] = step
        up, down = (negative_log_posterior(theta + s * shift, PLAN, x, y, noise)[0] for s in (1, -1))
        assert gradient[i] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)


def test_the_likelihood_is_the_normal_density() -> None:
    x, y, noise = _sample(8)
    theta = np.zeros(PLAN.parameters)
    theta[PLAN.groups + 1], theta[-1] = math.log(0.1), math.log(0.3)
    difference = negative_log_posterior(theta, PLAN, x, y, noise)[0] - negative_log_posterior(theta, PLAN, x, 0 * y, noise)[0]
    distance = math.sqrt(5) * np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=-1))
    covariance = (1 + distance + distance**2 / 3) * np.exp(-distance) + np.diag(noise @ [0.1, 0.3])
    assert difference == pytest.approx(0.5 * y @ np.linalg.solve(covariance, y))


def test_features_measure_categories_by_hamming_and_put_the_absent_at_the_centre() -> None:
    configs = [{"a": 0.5, "n": 5, "c": c, "only": 2} | extra for c, extra in [("x", {"e": 0.1, "k": "p"}), ("y", {"k": "p"}), ("y", {"k": "q"}), ("z", {})]]
    x = features(PLAN, np.array([CUBE.row(c) for c in configs]))
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    in_e = (CUBE.row(configs[0])[4] - 0.5) ** 2
    assert squared[0, 1] == pytest.approx(1 + in_e)
    assert squared[1, 2] == pytest.approx(1)
    assert squared[1, 3] == squared[2, 3] == pytest.approx(2)


def test_the_posterior_meets_what_was_observed_and_forgets_far_away() -> None:
    plan = layout(Cube(Space({"a": Float(0, 1), "b": Float(0, 1)})))
    x = np.random.default_rng(3).random((12, 2))
    y = np.sin(5 * x[:, 0]) + x[:, 1]
    theta = default_start(plan, scale=0.3, noise=1e-6)
    model = Posterior(theta, plan, x, y, full(12))
    mean, deviation = model.predict(x)
    np.testing.assert_allclose(mean, y, atol=1e-3)
    assert deviation.max() < 2e-3
    theta[:2] = math.log(0.02)
    mean, deviation = Posterior(theta, plan, x[:1], y[:1], full(1)).predict(1 - x[:1])
    assert abs(mean[0]) < 1e-6
    assert deviation[0] == pytest.approx(1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_slopes_of_the_posterior_and_of_log_ei_are_derivatives(seed: int) -> None:
    x, y, noise = _sample(14, seed)
    model = Posterior(_theta(seed), PLAN, x, y, noise)
    point = _sample(1, seed + 10)[0][0]
    mean, deviation, by_mean, by_deviation = model.slopes(point)
    assert (mean, deviation) == pytest.approx(tuple(float(v[0]) for v in model.predict(point[None])))
    step = 1e-6
    for j in range(PLAN.warped):
        shift = step * np.eye(len(point))[j]
        (m1, d1), (m2, d2) = (model.predict((point + s * shift)[None]) for s in (1, -1))
        assert by_mean[j] == pytest.approx((m1[0] - m2[0]) / (2 * step), rel=1e-4, abs=1e-6)
        assert by_deviation[j] == pytest.approx((d1[0] - d2[0]) / (2 * step), rel=1e-4, abs=1e-6)


def test_the_fit_finds_what_matters_and_the_noise() -> None:
    space = Space({"matters": Float(0, 1), "idle": Float(0, 1), "kind": Choice(["u", "v"])})
    cube, rng = Cube(space), np.random.default_rng(5)
    plan, rows = layout(cube), cube.snap(rng.random((60, 3)))
    y = transformed(np.sin(6 * rows[:, 0]) + 0.3 * rng.standard_normal(60))
    theta = fit(plan, features(plan, rows), y, full(60), [default_start(plan)])
    scales = np.exp(theta[: plan.groups])
    assert scales[0] < 0.5 * min(scales[1:])
    sigma2 = math.exp(theta[plan.groups + 1])
    assert 0.05 < sigma2 < 0.4  # 0.3^2 over the variance of the whole, about 0.15


def test_the_noise_of_partial_measurements_is_their_own() -> None:
    plan, rng = layout(Cube(Space({"a": Float(0, 1)}))), np.random.default_rng(5)
    x = rng.random((60, 1))
    y, noise = np.sin(6 * x[:, 0]), full(60)
    noise[::2] = 0.0, 1.0
    y[::2] += 0.7 * rng.standard_normal(30)
    theta = fit(plan, x, y, noise, [default_start(plan)])
    assert math.exp(theta[plan.groups + 1]) < 1e-3
    assert 0.2 < math.exp(theta[-1]) < 1.0
    np.testing.assert_allclose(Posterior(theta, plan, x, y, noise).mean(x[1::2]), y[1::2], atol=0.02)


def test_believing_leaves_the_mean_and_removes_the_doubt() -> None:
    x, y, noise = _sample(14)
    model = Posterior(_theta(1, sigma2=1e-4), PLAN, x, y, noise)
    pending, elsewhere = _sample(2, 20)[0], _sample(30, 21)[0]
    after = model.believing(pending)
    np.testing.assert_allclose(after.predict(elsewhere)[0], model.predict(elsewhere)[0], atol=0.02)
    assert (after.predict(pending)[1] < 0.05).all()
    assert (after.predict(elsewhere)[1] <= model.predict(elsewhere)[1] + 1e-9).all()


# h(0) = 1 / sqrt(2 pi); h(-1) and h(-5) from tables of the normal law; the far tail by the asymptotic series
# h(z) = phi(z) / z^2 (1 - 3/z^2 + 15/z^4 - 105/z^6 + ...), Abramowitz and Stegun 26.2.12
def _tail(z: float) -> float:
    terms, term = 0.0, 1.0
    for k in range(1, 12):
        terms += term
        term *= -(2 * k + 1) / z**2
    return -0.5 * z * z - 0.5 * math.log(2 * math.pi) - 2 * math.log(-z) + math.log(terms)


@pytest.mark.parametrize(
    ("z", "expected"),
    [(0.0, -0.9189385332046727), (-1.0, math.log(0.0833154705876863)), (-5.0, math.log(5.346165533833e-08)), (3.0, math.log(3.000382154317172))]
    + [(z, _tail(z)) for z in (-15.0, -38.0, -100.0, -1e4, -9.9e4, -1.1e5, -1e7)],
)
def test_log_h_golden(z: float, expected: float) -> None:
    assert float(log_h(np.array([z]))[0]) == pytest.approx(expected, rel=1e-9)
    assert log_h_and_slope(z)[0] == pytest.approx(expected, rel=1e-9)


@given(st.floats(-1e6, 30), st.floats(1e-3, 10))
@settings(max_examples=200, deadline=None)
def test_log_h_rises_and_its_slope_is_the_slope(z: float, up: float) -> None:
    (low, slope), (high, _) = log_h_and_slope(z), log_h_and_slope(z + up)
    assert high > low
    assert slope > 0
    assert low == pytest.approx(float(log_h(np.array([z]))[0]), rel=1e-9, abs=1e-12)


def test_expected_improvement_is_the_mean_of_the_improvement_and_grows_with_doubt_and_promise() -> None:
    draws = norm.ppf((np.arange(200_000) + 0.5) / 200_000, loc=0.4, scale=0.7)
    expected = np.maximum(0.1 - draws, 0).mean()
    assert math.exp(log_expected_improvement(np.array([0.4]), np.array([0.7]), 0.1)[0]) == pytest.approx(expected, rel=1e-4)
    deviations, means = np.geomspace(1e-4, 10, 50), np.linspace(-3, 3, 50)
    assert (np.diff(log_expected_improvement(np.full(50, 0.4), deviations, 0.1)) > 0).all()
    assert (np.diff(log_expected_improvement(means, np.full(50, 0.01), 0.1)) < 0).all()


def test_transformed_losses_keep_their_order_and_their_failures_are_worst() -> None:
    losses = np.array([0.1, 0.2, 0.15, 1e9, np.nan, 0.3, np.inf])
    y = transformed(losses)
    assert y.mean() == pytest.approx(0)
    assert y.std() == pytest.approx(1)
    assert y[0] < y[2] < y[1] < y[5] < y[3]
    assert y[3] == y[4] == y[6] == y.max()
    assert y[3] - y[5] < 3 * (y[5] - y[0])  # the outlier was pulled in
    assert not transformed(np.array([np.nan, np.nan])).any()
    assert not transformed(np.full(5, 0.7)).any()
    plateau = transformed(np.array([1.0] * 8 + [2.0, 3.0]))
    assert plateau[9] > plateau[8] > plateau[0]  # more than half at the best value


def _told(configs, losses) -> list[Trial]:
    return [Trial(i, c, measurement=Measurement({"loss": v})) for i, (c, v) in enumerate(zip(configs, losses, strict=True))]


def test_bayes_looks_near_the_best_and_away_from_what_is_pending() -> None:
    space = Space({"x": Float(0, 1)})
    xs = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    history = _told([{"x": x} for x in xs], [(x - 0.5) ** 2 for x in xs])
    sampler = Bayes(space, Goal(), 0)
    first = sampler.ask(history)[0]["x"]
    assert 0.42 < first < 0.58
    second = sampler.ask([*history, Trial(6, {"x": first})])[0]["x"]
    assert abs(second - first) > 0.005


def test_bayes_learns_from_trials_stopped_early_and_from_failures() -> None:
    space = Space({"x": Float(0, 1)})
    history = [Trial(i, {"x": i / 11}, measurement=Measurement({"loss": abs(i / 11 - 0.3)}, Status.PRUNED if i % 2 else Status.DONE)) for i in range(12)]
    assert 0.15 < Bayes(space, Goal(), 0).ask(history)[0]["x"] < 0.45
    broken = [Trial(i, {"x": x}, measurement=Measurement({} if x > 0.5 else {"loss": -x}, Status.FAILED if x > 0.5 else Status.DONE)) for i, x in
              enumerate(np.linspace(0, 1, 12).tolist())]  # fmt: skip
    assert Bayes(space, Goal(), 0).ask(broken)[0]["x"] < 0.6  # better and better up to the cliff at 0.5


def test_bayes_bounds_what_it_looks_at() -> None:
    space = Space({"x": Float(0, 1), "y": Float(0, 1)})
    rng = np.random.default_rng(8)
    configs = [{"x": float(a), "y": float(b)} for a, b in rng.random((400, 2))]
    history = _told(configs, [c["x"] + c["y"] for c in configs])
    sampler = Bayes(space, Goal(), 0, limit=60)
    evidence = sampler._reader.read(history)
    kept = sampler._surfaces.kept(evidence)
    assert len(kept) == 60
    assert set(evidence.best(20)) <= set(kept)
    config = sampler.ask(history)[0]
    assert config["x"] + config["y"] < 0.1


def test_answers_do_not_depend_on_the_number_of_threads() -> None:
    space = Space({f"x{i}": Float(0, 1) for i in range(6)})
    rng = np.random.default_rng(9)
    configs = [{f"x{i}": float(v) for i, v in enumerate(row)} for row in rng.random((150, 6))]
    history = _told(configs, [sum(c.values()) for c in configs])
    answers = []
    for threads in (1, 4):
        with threadpool_limits(threads, user_api="blas"):
            answers.append(Bayes(space, Goal(), 0).ask(history))
    assert answers[0] == answers[1]
