"""Weights noted on the way: bit by bit those of a fit with fewer epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from refits import assert_same_as_refits, framed, known, table
from sklearn.base import clone
from sklearn.linear_model import PassiveAggressiveClassifier, PassiveAggressiveRegressor, Perceptron, SGDClassifier, SGDRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor

from staytuned.evaluate.reuse import epochs

pytestmark = pytest.mark.slow  # a fit of its own for every value compared

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Class PassiveAggressive:FutureWarning"),
]
EPOCHS = [12, 1, 4]  # in any order

LINEAR = [
    SGDClassifier(random_state=0, tol=None),
    SGDClassifier(random_state=0, loss="log_loss", class_weight="balanced"),
    SGDClassifier(random_state=0, loss="modified_huber", learning_rate="invscaling", eta0=0.05, power_t=0.3),
    SGDClassifier(random_state=0, penalty="elasticnet", l1_ratio=0.3, learning_rate="constant", eta0=0.01),
    SGDClassifier(random_state=0, penalty="l1", tol=None, shuffle=False),
    SGDClassifier(random_state=0, penalty=None, tol=None, learning_rate="adaptive", eta0=0.1, fit_intercept=False),
    SGDClassifier(random_state=0, n_jobs=2, loss="squared_error", learning_rate="constant", eta0=1e-3),
    Perceptron(random_state=0),
    Perceptron(random_state=0, penalty="l2", tol=None),
]


@pytest.fixture
def no_refits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick way is the one that is tested."""
    monkeypatch.setattr(epochs, "one_by_one", lambda *args: pytest.fail(f"fitted one by one: {args[0]}"))


@pytest.mark.usefixtures("no_refits")
@pytest.mark.parametrize(("classes", "weighted"), [(2, True), (3, False)])
@pytest.mark.parametrize("model", LINEAR, ids=str)
def test_linear_classifiers(model: Any, classes: int, weighted: bool) -> None:
    X, y, weights = table(classes)
    views = assert_same_as_refits(model, "max_iter", EPOCHS, X, y, {"sample_weight": weights} if weighted else {}, classes)
    for count, view in zip(EPOCHS, views, strict=True):
        alone = type(model)(**{**model.get_params(), "max_iter": count}).fit(X, y, **({"sample_weight": weights} if weighted else {}))
        assert (view.n_iter_, view.t_, view.early_stopping) == (alone.n_iter_, alone.t_, False)
        assert (view.coef_.shape, view.intercept_.shape) == (alone.coef_.shape, alone.intercept_.shape)


@pytest.mark.usefixtures("no_refits")
@pytest.mark.parametrize("classes", [2, 3])
def test_fits_that_stop_when_the_loss_does(classes: int) -> None:
    X, y, _ = table(classes)
    model = SGDClassifier(random_state=0, n_iter_no_change=2)
    views = assert_same_as_refits(model, "max_iter", [3, 300, 8, 200, 20], X, y, classes=classes)
    assert views[1].n_iter_ == views[3].n_iter_ < 200


@pytest.mark.usefixtures("no_refits")
@pytest.mark.parametrize(
    "model",
    [SGDRegressor(random_state=0), SGDRegressor(random_state=0, tol=None, loss="huber", penalty="elasticnet"), SGDRegressor(random_state=0, penalty=None)],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_linear_regressors(model: Any, weighted: bool) -> None:
    X, y, weights = table(None)
    assert_same_as_refits(model, "max_iter", EPOCHS, X, y, {"sample_weight": weights} if weighted else {})


@pytest.mark.usefixtures("no_refits")
def test_passive_aggressive() -> None:
    X, y, _ = table(3)
    assert_same_as_refits(PassiveAggressiveClassifier(random_state=0), "max_iter", EPOCHS, X, y)
    X, y, _ = table(None)
    assert_same_as_refits(PassiveAggressiveRegressor(random_state=0, loss="squared_epsilon_insensitive"), "max_iter", EPOCHS, X, y)


@pytest.mark.usefixtures("no_refits")
@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (3, True), (None, False)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.5, "n_iter_no_change": 1},
        {"solver": "sgd", "learning_rate": "invscaling", "shuffle": False, "hidden_layer_sizes": (4, 3)},
        {"batch_size": 16, "tol": 1.0, "n_iter_no_change": 3},
    ],
    ids=str,
)
def test_networks(options: dict[str, Any], classes: int | None, weighted: bool) -> None:
    X, y, weights = table(classes)
    model = (MLPRegressor if classes is None else MLPClassifier)(random_state=0, **{"hidden_layer_sizes": (5,)} | options)
    for count, view in zip(
        EPOCHS, assert_same_as_refits(model, "max_iter", EPOCHS, X, y, {"sample_weight": weights} if weighted else {}, classes), strict=True
    ):
        assert view.n_iter_ == len(view.loss_curve_) <= count
        assert view.loss_ == view.loss_curve_[-1]
        assert "_update_no_improvement_count" not in vars(view)


@pytest.mark.usefixtures("no_refits")
@pytest.mark.parametrize("model", [SGDClassifier(random_state=0), MLPClassifier((4,), random_state=0)], ids=str)
def test_frames_and_named_classes(model: Any) -> None:
    X, y, _ = table(3)
    assert_same_as_refits(model, "max_iter", EPOCHS, *framed(X, y), classes=3)


@pytest.mark.parametrize(
    "model",
    [
        SGDClassifier(random_state=0, learning_rate="constant", eta0=0.9, alpha=0.9),  # the scale is multiplied into the weights now and then
        SGDClassifier(loss="log_loss", random_state=np.random.RandomState(3)),
    ],
    ids=["tiny scale", "a generator as random_state"],
)
def test_where_notes_are_not_enough_every_epoch_count_is_fitted(model: Any) -> None:
    X, y, _ = table(2)
    assert_same_as_refits(model, "max_iter", EPOCHS, X, y, classes=2)


def test_single_precision() -> None:
    X, y, _ = table(2)
    for model in (SGDClassifier(random_state=0), Perceptron(random_state=0), MLPClassifier((4,), random_state=0)):
        assert_same_as_refits(model, "max_iter", EPOCHS, X.astype(np.float32), y, classes=2)


def test_overflow_in_a_late_epoch_leaves_early_ones_alone() -> None:
    X, y = np.full((100, 1), 0.1), np.full(100, 1.7e308)
    model = SGDRegressor(random_state=0, learning_rate="constant", eta0=1e294, penalty=None, tol=None, fit_intercept=False)
    reuse = known(model, "max_iter")
    assert reuse is not None
    with pytest.raises(ValueError, match="overflow occurred at epoch #18"):
        reuse.views(clone(model), [{"max_iter": 50}], X, y, {})
    small, _ = reuse.views(clone(model), [{"max_iter": 2}, {"max_iter": 17}], X, y, {})
    assert np.array_equal(small.coef_, model.set_params(max_iter=2).fit(X, y).coef_)


def test_a_scikit_learn_without_the_hook_is_fitted_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, _ = table(2)
    monkeypatch.setattr(epochs, "_note", lambda *args: None)  # noqa: ARG005
    assert_same_as_refits(MLPClassifier((4,), random_state=0, tol=0.0), "max_iter", EPOCHS, X, y)
    monkeypatch.setattr(epochs, "_noted", lambda *args: (len(X), []))  # noqa: ARG005
    assert_same_as_refits(SGDClassifier(random_state=0), "max_iter", EPOCHS, X, y)


@pytest.mark.parametrize(
    "model",
    [
        SGDClassifier(early_stopping=True),
        SGDClassifier(average=True),
        SGDRegressor(warm_start=True),
        SGDClassifier(learning_rate="adaptive", eta0=0.1),
        Perceptron(early_stopping=True),
        MLPClassifier(solver="lbfgs"),
        MLPRegressor(early_stopping=True),
        MLPClassifier(warm_start=True),
    ],
    ids=str,
)
def test_refused(model: Any) -> None:
    assert known(model, "max_iter") is None
