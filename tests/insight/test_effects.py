import numpy as np
import pytest
import scipy.stats

from staytuned.errors import UsageError
from staytuned.goal import Goal
from staytuned.insight.axis import axis
from staytuned.insight.effects import effect, surface, top_pair
from staytuned.space.dims import Choice, Float, Int, Law, Ordinal
from staytuned.space.space import Space
from staytuned.trial import Measurement, Status, Trial

SPACE = Space(
    {
        "model": Choice(["tree", "svm"]),
        "depth": Int(1, 12, when={"model": ["tree"]}),
        "leaf": Int(1, 64, log=True, when={"model": ["tree"]}),
        "C": Float(1e-3, 1e3, log=True, when={"model": ["svm"]}),
        "scale": Choice(["standard", "robust", "quantile"]),
    }
)
GOAL = Goal("acc", "max")


def accuracy(config):
    if config["model"] == "svm":
        return 0.7 - 0.01 * abs(np.log10(config["C"]))
    return 0.9 - 0.01 * abs(config["depth"] - 6) - 0.02 * np.log10(config["leaf"])


def history(n=150, seed=0):
    rng = np.random.default_rng(seed)
    configs = [SPACE.sample(rng) for _ in range(n)]
    return [Trial(i, c, measurement=Measurement({"acc": float(accuracy(c))})) for i, c in enumerate(configs)]


def test_an_effect_follows_the_function_it_was_learnt_from():
    found = effect(history(), GOAL, SPACE, "depth")
    assert found.axis.values == tuple(range(1, 13))
    assert found.mean.shape == found.sd.shape == (12,)
    assert 4 <= found.axis.values[int(np.argmax(found.mean))] <= 8
    assert found.mean.max() - found.mean.min() == pytest.approx(0.06, abs=0.03)
    rows = [t for t in history() if "depth" in t.config]
    assert found.values == tuple(t.config["depth"] for t in rows)
    assert list(found.scores) == [t.scores["acc"] for t in rows]


def test_an_effect_is_in_the_metrics_own_direction():
    turned = [Trial(t.number, t.config, measurement=Measurement({"acc": -t.scores["acc"]})) for t in history()]
    np.testing.assert_allclose(effect(turned, Goal("acc", "min"), SPACE, "leaf").mean, -effect(history(), GOAL, SPACE, "leaf").mean)


def test_a_surface_has_x_along_its_columns_and_looks_only_where_both_exist():
    found = surface(history(), GOAL, SPACE, "depth", "leaf")
    assert found.mean.shape == (len(found.y.values), len(found.x.values)) == (48, 12)
    tree = [t for t in history() if t.config["model"] == "tree"]
    assert found.places.shape == (len(tree), 2)
    assert found.mean[:, 5].mean() > found.mean[:, 0].mean()
    assert found.mean[0].mean() > found.mean[-1].mean()
    best = GOAL.best(tree)
    assert found.best == pytest.approx((SPACE["depth"].to_unit(best.config["depth"]), SPACE["leaf"].to_unit(best.config["leaf"])))


def test_a_parents_values_that_rule_the_child_out_stay_blank():
    found = surface(history(), GOAL, SPACE, "model", "C")
    assert np.isnan(found.mean[:, 0]).all()
    assert np.isfinite(found.mean[:, 1]).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_trials_give_the_axes_and_no_prediction(n):
    found = surface(history(n), GOAL, SPACE, "scale", "model")
    assert found.mean.shape == (0, 0)
    assert found.places.shape == (n, 2)
    assert effect(history(n), GOAL, SPACE, "scale").mean.shape == (0,)
    assert top_pair(history(n), GOAL, SPACE) is None


def test_wrong_names_are_quoted():
    with pytest.raises(UsageError, match="'deepth' is not in the space"):
        effect(history(5), GOAL, SPACE, "deepth")
    with pytest.raises(UsageError, match="'depth' twice"):
        surface(history(5), GOAL, SPACE, "depth", "depth")


def test_the_top_pair_is_the_winners_own():
    assert set(top_pair(history(), GOAL, SPACE)) == {"depth", "leaf"}


def test_the_top_pair_exists_together_in_enough_trials():
    few_trees = [t for t in history(300) if t.config["model"] == "svm" or t.number % 30 == 0]
    assert 0 < sum(t.config["model"] == "tree" for t in few_trees) < 10
    assert set(top_pair(few_trees, GOAL, SPACE)) == {"model", "scale"}


def test_no_pair_without_a_winner():
    failed = [Trial(t.number, t.config, measurement=Measurement({}, Status.FAILED)) for t in history(30)]
    assert top_pair(failed, GOAL, SPACE) is None


DIMENSIONS = [
    Float(0, 1), Float(-3, 250), Float(1e-7, 1e3, log=True), Float(0.2, 0.9, log=True), Float(0, 1, step=0.25), Float(2, 2), Int(1, 3), Int(0, 1000),
    Int(1, 64, log=True), Int(2, 5000, log=True), Int(10, 200, step=10), Choice(["a"]), Choice([f"choice {i}" for i in range(40)]), Choice([None, True, 0.5]),
    Ordinal([16, 32, 128]), Law(scipy.stats.norm(0, 2)), Law(scipy.stats.poisson(4)),
]  # fmt: skip


@pytest.mark.parametrize("dimension", DIMENSIONS, ids=str)
def test_every_dimension_makes_an_axis(dimension):
    found = axis("x", dimension)
    assert found.edges[0] == 0
    assert found.edges[-1] == 1
    assert (np.diff(found.edges) > 0).all()
    assert len(found.edges) == len(found.units) + 1 == len(found.values) + 1
    assert ((found.edges[:-1] < found.units) & (found.units < found.edges[1:])).all()
    assert 1 <= len(found.ticks) == len(found.labels) <= 12
    assert all(0 <= tick <= 1 for tick in found.ticks)
    assert len(set(found.labels)) == len(found.labels)


def test_a_log_axis_is_marked_at_powers_of_ten():
    found = axis("C", Float(1e-3, 1e3, log=True))
    assert found.scale == "log"
    assert found.labels == ("0.001", "0.01", "0.1", "1", "10", "100", "1000")
    np.testing.assert_allclose(found.ticks, np.arange(7) / 6)
