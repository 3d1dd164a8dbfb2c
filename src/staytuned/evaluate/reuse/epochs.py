"""Epochs: the weights after few of them are passed on the way to many, so one fit notes them as it goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import _num_features

from staytuned.evaluate.reuse._sharing import counts, cut, plain_fit
from staytuned.evaluate.reuse._tables import one_by_one
from staytuned.evaluate.reuse.registry import Reuse, register
from staytuned.space.space import Config

Array: TypeAlias = npt.NDArray[Any]

_NOTED = 2**28  # bytes of weights that are noted at most
_RESET = 1e-9  # the scale at which stochastic gradient descent multiplies it into the weights and starts again from one


def _stochastic(network: Any) -> bool:
    return network.solver in ("sgd", "adam") and not network.early_stopping and not network.warm_start


def _network(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """MLP. The loss, by which it stops, knows nothing of the epochs to come, so a longer fit stops where a shorter one would, or passes its end."""
    numbers = counts(configs, "max_iter")
    if numbers is None or not plain_fit(fit_params):
        return one_by_one(estimator, configs, X, y, fit_params)
    noted: dict[int, dict[str, Any]] = {}
    estimator._update_no_improvement_count = partial(_note, estimator, set(numbers), noted)  # called at the end of every epoch
    try:
        estimator.set_params(max_iter=max(numbers)).fit(X, y, **fit_params)
    finally:
        del estimator._update_no_improvement_count
    if not all(number in noted or number >= estimator.n_iter_ for number in numbers):
        return one_by_one(estimator, configs, X, y, fit_params)
    return [cut(estimator, config, **(noted[number] if number < estimator.n_iter_ else {})) for config, number in zip(configs, numbers, strict=True)]


def _note(network: Any, wanted: set[int], noted: dict[int, dict[str, Any]], *args: Any) -> None:
    type(network)._update_no_improvement_count(network, *args)
    if network.n_iter_ in wanted:
        copies = {name: [part.copy() for part in getattr(network, name)] for name in ("coefs_", "intercepts_")}
        noted[network.n_iter_] = copies | {name: getattr(network, name) for name in ("n_iter_", "t_", "loss_", "best_loss_", "_no_improvement_count")}
        noted[network.n_iter_] |= {"loss_curve_": list(network.loss_curve_)}


def _unaveraged(linear: Any) -> bool:
    """Nothing that the notes do not hold: an average of weights, held-out rows, or a rate that falls when the loss does not."""
    steady = getattr(linear, "learning_rate", "constant") != "adaptive" or linear.tol is None
    return not linear.early_stopping and not linear.warm_start and not linear.average and steady


def _descent(estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
    """SGD, Perceptron and PassiveAggressive: a fit that notes its weights, after one that stops where it should if there is a tolerance.

    Scikit-learn shows the weights after an epoch only to the function that scores held-out rows. So the noting fit has such a function,
    but holds no row out; nor does it stop, so with a tolerance it must be told how far to go.
    """
    numbers = counts(configs, "max_iter")
    slow = partial(one_by_one, estimator, configs, X, y, fit_params)
    if numbers is None or not plain_fit(fit_params):
        return slow()
    try:
        ended = None if estimator.tol is None else clone(estimator).set_params(max_iter=max(numbers)).fit(X, y, **fit_params)
        epochs = max(numbers) if ended is None else int(ended.n_iter_)
        if epochs * _num_features(X) * (len(np.unique(y)) if is_classifier(estimator) else 1) * 8 > _NOTED:
            return slow()
        noting = clone(estimator).set_params(max_iter=epochs)
        rows, notes = _noted(noting, X, y, fit_params)
    except ValueError:  # weights overflow in a late epoch, which the shorter fits may not reach
        return slow()
    ended = noting if ended is None else ended
    scales = _scales(estimator, rows, epochs) if estimator.penalty in ("l2", "elasticnet") else np.ones(epochs)
    coefs, intercepts = np.atleast_2d(ended.coef_), np.atleast_1d(ended.intercept_)
    if scales is None or len(notes) != len(coefs) or (coefs.dtype != np.float64 and not np.all(scales == 1)):
        return slow()
    paths = [[(weights * scale, intercept) for (weights, intercept), scale in zip(note, scales, strict=False)] for note in notes]
    known = len(paths) == 1 or estimator.tol is None  # otherwise each class stops at its own time
    ends = [_end(path, coef, intercept, known) for path, coef, intercept in zip(paths, coefs, intercepts, strict=True)]
    if any(end is None for end in ends):
        return slow()
    views = []
    for config, number in zip(configs, numbers, strict=True):
        last = [path[min(number, end) - 1] for path, end in zip(paths, ends, strict=True) if end is not None]
        coef = np.stack([weights for weights, _ in last]).reshape(ended.coef_.shape).astype(coefs.dtype, copy=False)
        reached = min(number, epochs)
        intercept = np.array([value for _, value in last]).astype(intercepts.dtype, copy=False)
        views.append(cut(ended, config, coef_=coef, intercept_=intercept, n_iter_=reached, t_=1.0 + reached * rows))
    return views


def _noted(estimator: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> tuple[int, list[list[tuple[Array, float]]]]:
    """The number of rows and, for each class that is learnt against the rest, unscaled weights and intercept after every epoch."""
    notes: list[list[tuple[Array, float]]] = []
    rows = [0]

    def held_out(y: Any, sample_mask: Any) -> Array:  # noqa: ARG001
        rows[0] = len(y)
        return np.zeros(len(y), dtype=np.bool_)

    def scorer(*args: Any, **kwargs: Any) -> Any:  # noqa: ARG001
        note: list[tuple[Array, float]] = []
        notes.append(note)

        def score(weights: Array, intercept: float) -> float:
            note.append((np.array(weights), float(intercept)))
            return 0.0

        return score

    own = {name: value for name, value in estimator.get_params().items() if name in ("tol", "early_stopping", "n_jobs")}
    estimator.set_params(**own | {"tol": None, "early_stopping": True} | dict.fromkeys(own.keys() & {"n_jobs"}, 1))  # one job: the classes in their order
    estimator._make_validation_split, estimator._make_validation_score_cb = held_out, scorer
    estimator.fit(X, y, **fit_params).set_params(**own)
    del estimator._make_validation_split, estimator._make_validation_score_cb
    return rows[0], notes


def _scales(linear: Any, rows: int, epochs: int) -> Array | None:
    """The factor of the weights after every epoch, by which the penalty shrinks them all at once (Bottou 2012, section 5.1); None if it ever became tiny."""
    steps = range(rows * epochs)
    alpha, share = float(linear.alpha), 1.0 - (float(linear.l1_ratio) if linear.penalty == "elasticnet" else 0.0)
    if linear.learning_rate == "optimal":
        start = 1.0 / (float(np.sqrt(1.0 / np.sqrt(alpha))) * alpha)
        rates = 1.0 / (alpha * (start + np.arange(1.0, rows * epochs + 1.0) - 1))
    elif linear.learning_rate == "invscaling":
        rates = float(linear.eta0) / np.fromiter((math.pow(step + 1.0, linear.power_t) for step in steps), float, rows * epochs)
    elif linear.learning_rate in ("constant", "adaptive"):
        rates = np.full(rows * epochs, float(linear.eta0))
    else:
        return None
    scales: Array = np.multiply.accumulate(np.maximum(0.0, 1.0 - share * rates * alpha))
    return scales[rows - 1 :: rows] if scales[-1] >= _RESET else None


def _end(path: Sequence[tuple[Array, float]], coef: Array, intercept: float, known: bool) -> int | None:
    """After how many epochs the noted weights are the fitted ones, bit by bit: after all, if that is known; None if they are not, or come and go."""
    same = [number for number, (weights, value) in enumerate(path, 1) if np.array_equal(weights, coef) and coef.dtype.type(value) == intercept]
    if known:
        return len(path) if len(path) in same else None
    return same[0] if same and same[-1] - same[0] < len(same) else None


register(("sklearn.neural_network.MLPClassifier", "sklearn.neural_network.MLPRegressor"), Reuse(("max_iter",), _network, applies=_stochastic, grows=True))
register(
    (
        "sklearn.linear_model.SGDClassifier",
        "sklearn.linear_model.SGDRegressor",
        "sklearn.linear_model.Perceptron",
        "sklearn.linear_model.PassiveAggressiveClassifier",
        "sklearn.linear_model.PassiveAggressiveRegressor",
    ),
    Reuse(("max_iter",), _descent, applies=_unaveraged, grows=True),
)
