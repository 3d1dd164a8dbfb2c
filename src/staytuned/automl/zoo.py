"""The model families, their documented default spaces, and the pipelines made of them.

The spaces (log: searched on a logarithmic scale) and, in brackets, the default, which is the library's own but where noted:

======================  ====================================================================================================================
family                  space
======================  ====================================================================================================================
linear                  C 1e-4..1e3 log [1] (ridge: alpha = 1 / C), class_weight none or balanced [none]
knn                     n_neighbors 1..100 log [5], weights uniform or distance [uniform], p 1 or 2 [2]
decision_tree           max_depth 1..32 [32, which stands for no limit], min_samples_leaf 1..64 log [1], min_samples_split 2..64 log [2],
                        max_features 0.3..1 [1]
random_forest           n_estimators 50..300 log [100], max_features sqrt or .35 .5 .75 1 [sqrt; regression 1], min_samples_leaf 1..32 log [1],
                        bootstrap [yes]
extra_trees             the same [bootstrap no]
hist_gradient_boosting  max_iter 50..600 log [100], learning_rate .01...3 log [.1], max_leaf_nodes 4..128 log [31], min_samples_leaf 1..64 log [20],
                        l2_regularization 1e-3..10 log [1e-3, the library has 0], max_features .4..1 [1]; no early stopping
lightgbm                n_estimators 50..600 log [100], learning_rate .01...3 log [.1], num_leaves 4..128 log [31], min_child_samples 1..64 log [20],
                        subsample .5..1 [1], colsample_bytree .4..1 [1], reg_lambda 1e-3..10 log [1e-3, the library has 0], extra_trees [no]
svm                     C 1e-2..1e3 log [1], gamma scale or free [scale], gamma_value 1e-4..1 log where gamma is free, class_weight [none]
mlp                     width 16..256 log [100], depth 1..3 [1], alpha 1e-6..1e-1 log [1e-4], learning_rate_init 3e-4..3e-2 log [1e-3],
                        activation relu or tanh [relu], max_iter 20..200 log [100, the library has 200]
======================  ====================================================================================================================

Trees and rounds are kept low enough for one fit on 5,000 rows to take seconds on one core. SVM and MLP regressors learn a standardised target.
scikit-learn's linear and MLP models may raise ConvergenceWarning in ``fit``; whoever evaluates many configs should ignore it.
HistGradientBoosting has no ``n_jobs``: it follows the OpenMP limit (``threadpoolctl.threadpool_limits``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from staytuned._random import generator
from staytuned.automl.columns import Table, Task
from staytuned.automl.prepare import preparer
from staytuned.automl.read import nearest
from staytuned.automl.written import read_written
from staytuned.errors import SpaceError
from staytuned.space.dims import Choice, Dimension, Float, Int, Ordinal
from staytuned.space.door import as_dimension
from staytuned.space.space import Config, Space

Quality: TypeAlias = Literal["fast", "balanced", "best"]
Build: TypeAlias = Callable[[Mapping[str, Any], Task, int, int], Any]

QUALITIES: tuple[Quality, ...] = ("fast", "balanced", "best")


@dataclass(frozen=True)
class Family:
    """A kind of model with the space it is tuned in.

    Args:
        name: in configs, ``{"model": name}``.
        title: for people.
        view: the view of the table it reads, "tree" or "linear".
        build: (config, task, seed, n_jobs) to an unfitted estimator; the config's names are plain, such as "num_leaves".
        space: dimensions by plain name.
        default: a config inside the space, the baseline.
        regression: what the default has otherwise for regression.
        classification_only: dimensions that mean nothing in regression.
        tasks: that it can do.
        max_rows, max_cells: above which it is too slow to be a candidate (at balanced quality); None for no limit.
        cost: 1 (cheap) to 4 (dear), seconds per fit as a rank.
    """

    name: str
    title: str
    view: Literal["tree", "linear"]
    build: Build
    space: Mapping[str, Dimension]
    default: Mapping[str, Any]
    regression: Mapping[str, Any] = field(default_factory=dict)
    classification_only: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ("binary", "multiclass", "regression")
    max_rows: int | None = None
    max_cells: int | None = None
    cost: int = 1


def for_task(family: Family, task: Task) -> Family:
    """The family with the dimensions and the default that it has for one task."""
    if task != "regression":
        return replace(family, regression={}, classification_only=())
    space = {name: d for name, d in family.space.items() if name not in family.classification_only}
    default = {name: value for name, value in (dict(family.default) | dict(family.regression)).items() if name not in family.classification_only}
    return replace(family, space=space, default=default, regression={}, classification_only=())


def candidates(
    task: Task, n_rows: int, n_columns: int, quality: Quality = "balanced", zoo: Mapping[str, Family] | None = None
) -> tuple[tuple[Family, ...], dict[str, str]]:
    """The families worth trying, cheap ones first, each as it is for the task; and why the others are left out.

    ``fast`` takes the cheap half of the zoo within half the limits of size, ``balanced`` all families within the limits, ``best`` within twice the limits.

    Raises:
        SpaceError: an unknown quality, or no family is left.
    """
    if quality not in QUALITIES:
        raise SpaceError(f"quality={quality!r} is not one of {', '.join(QUALITIES)}")
    stretch = {"fast": 0.5, "balanced": 1.0, "best": 2.0}[quality]
    reasons = {name: _too_much(f, task, n_rows, n_columns, stretch, quality) for name, f in (ZOO if zoo is None else zoo).items()}
    taken = [for_task(f, task) for name, f in (ZOO if zoo is None else zoo).items() if not reasons[name]]
    left_out = {name: reason for name, reason in reasons.items() if reason}
    if not taken:
        raise SpaceError(
            f"no model is left for a table of {n_rows:,} rows: {'; '.join(f'{n}: {r}' for n, r in left_out.items()) or 'the space leaves all out'}"
        )
    return tuple(sorted(taken, key=lambda f: f.cost)), left_out


def pipeline(family: Family, config: Mapping[str, Any], table: Table, *, task: Task | None = None, seed: int = 0, n_jobs: int = 1) -> Pipeline:
    """The unfitted pipeline ("prepare", "model") of a plain config, from a table's rows to predictions.

    Classifiers have ``predict_proba`` and keep the labels as they are.
    """
    estimator = family.build(config, task or table.task, seed, n_jobs)
    return Pipeline([("prepare", preparer(table.columns, family.view)), ("model", estimator)])


def joint_space(families: Sequence[Family]) -> Space:
    """One space over several families: ``model``, and each family's dimensions as ``family.name`` that exist where ``model`` is that family."""
    dimensions: dict[str, Dimension] = {"model": Choice([f.name for f in families])}
    for family in families:
        for name, dimension in family.space.items():
            when = {f"{family.name}.{parent}": values for parent, values in (dimension.when or {}).items()}
            dimensions[f"{family.name}.{name}"] = replace(dimension, when={"model": [family.name]} | when)
    return Space(dimensions)


def default_config(family: Family, task: Task | None = None) -> Config:
    """The family's default as a config of the joint space."""
    shaped = family if task is None else for_task(family, task)
    return {"model": family.name} | {f"{family.name}.{name}": value for name, value in shaped.default.items()}


def split_config(config: Mapping[str, Any]) -> tuple[str, Config]:
    """A config of the joint space as (family, plain config).

    >>> split_config({"model": "knn", "knn.p": 2})
    ('knn', {'p': 2})
    """
    name = str(config["model"])
    return name, {key.removeprefix(f"{name}."): value for key, value in config.items() if key != "model"}


def load_space(path: str | Path) -> dict[str, Family]:
    """The zoo with the changes a YAML or JSON file asks for; see :func:`with_changes`.

    Raises:
        UsageError: the file cannot be read, or (a SpaceError) names something that is not there; the message names file, family and parameter.
    """
    body = read_written(path, "space file")
    return with_changes(body if body is not None else {}, where=str(path))


def with_changes(changes: Any, zoo: Mapping[str, Family] | None = None, where: str = "space") -> dict[str, Family]:
    """The zoo with some dimensions replaced, added or fixed, or families left out.

    ``{"lightgbm": {"learning_rate": {"type": "float", "low": 0.01, "high": 0.1, "log": True}, "num_leaves": [15, 31], "max_depth": 6}, "svm": False}``:
    a dimension or its JSON, a list of choices, or one value that stays fixed. Any parameter of the library's estimator may be named.
    Where the default falls outside, the nearest value inside takes its place. A zoo that :func:`load_space` gave is taken as it is.

    Raises:
        SpaceError: an unknown family or parameter, or something that describes no dimension.
    """
    known = dict(ZOO if zoo is None else zoo)
    if not isinstance(changes, Mapping):
        raise SpaceError(f"{where}: a space is written as families with their parameters, such as 'lightgbm: {{num_leaves: [15, 31]}}', not {changes!r}")
    if changes and all(isinstance(change, Family) for change in changes.values()):
        return dict(changes)
    for name, change in changes.items():
        if name not in known:
            raise SpaceError(f"{where}: there is no model {name!r}{nearest(str(name), tuple(known)) or '; there are ' + ', '.join(known)}")
        if change is False:
            del known[name]
        elif isinstance(change, Mapping):
            known[name] = _changed(known[name], change, where)
        elif change is not None and change is not True:
            raise SpaceError(f"{where}: {name}: {change!r} is neither false (to leave the model out) nor a table of parameters")
    return known


class MarginClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A support vector classifier with probabilities: a logistic regression on its margins, learned out of fold.

    It is Platt's 1999 idea with three folds, for any number of classes, and unlike scikit-learn's calibration it takes classes of one or two rows.

    Args:
        machine: a classifier with ``decision_function``.
        seed: decides the folds.
    """

    def __init__(self, machine: Any = None, seed: int = 0) -> None:
        self.machine = machine
        self.seed = seed

    def fit(self, X: npt.NDArray[np.float64], y: npt.NDArray[Any]) -> Self:
        self.classes_ = np.unique(y)
        fold = generator(self.seed, "margins").permutation(len(y)) % 3
        margins = np.zeros((len(y), 1 if len(self.classes_) == 2 else len(self.classes_)))
        for k in range(3):
            if len(np.unique(y[fold != k])) > 1 and np.any(fold == k):
                margins[fold == k] = self._margins(clone(self.machine).fit(X[fold != k], y[fold != k]), X[fold == k])
        self.machine_ = clone(self.machine).fit(X, y)
        self.link_ = LogisticRegression(C=1.0, max_iter=1000).fit(margins, y)
        return self

    def predict_proba(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(self.link_.predict_proba(self._margins(self.machine_, X)))

    def predict(self, X: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def _margins(self, fitted: Any, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n, 1) for two classes, otherwise (n, n_classes); a class the machine has not seen is one below its lowest margin."""
        raw = np.asarray(fitted.decision_function(X))
        if len(self.classes_) == 2:
            return raw.reshape(-1, 1)
        seen = np.searchsorted(self.classes_, fitted.classes_)
        raw = raw if raw.ndim == 2 else np.column_stack([-raw, raw])
        margins = np.repeat(raw.min(axis=1, keepdims=True) - 1, len(self.classes_), axis=1)
        margins[:, seen] = raw
        return margins


def _linear(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:  # noqa: ARG001 - one signature for all families
    if task == "regression":
        return Ridge(**_without(config, "C"), alpha=1 / config["C"])
    return LogisticRegression(**{"max_iter": 1000, **config})


def _knn(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:  # noqa: ARG001 - neighbours need no chance
    return (KNeighborsRegressor if task == "regression" else KNeighborsClassifier)(**{"n_jobs": n_jobs, **config})


def _decision_tree(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:  # noqa: ARG001 - a tree grows on one core
    return (DecisionTreeRegressor if task == "regression" else DecisionTreeClassifier)(**{"random_state": seed, **config})


def _random_forest(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:
    return (RandomForestRegressor if task == "regression" else RandomForestClassifier)(**{"random_state": seed, "n_jobs": n_jobs, **config})


def _extra_trees(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:
    return (ExtraTreesRegressor if task == "regression" else ExtraTreesClassifier)(**{"random_state": seed, "n_jobs": n_jobs, **config})


def _hist_gradient_boosting(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:  # noqa: ARG001 - OpenMP decides its threads
    maker = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return maker(**{"random_state": seed, "early_stopping": False, **config})


def _lightgbm(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:
    fixed = {"subsample_freq": 1, "random_state": seed, "n_jobs": n_jobs, "deterministic": True, "force_row_wise": True, "verbosity": -1}
    return (LGBMRegressor if task == "regression" else LGBMClassifier)(**{**fixed, **config})


def _svm(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:  # noqa: ARG001 - libsvm has one thread
    gamma = config.get("gamma_value", "scale") if config.get("gamma") == "free" else config.get("gamma", "scale")
    options = {**_without(config, "gamma_value"), "gamma": gamma}
    if task == "regression":
        return _standardised(SVR(**options))
    return MarginClassifier(SVC(**{"cache_size": 500, **options}), seed)


def _mlp(config: Mapping[str, Any], task: Task, seed: int, n_jobs: int) -> Any:  # noqa: ARG001 - BLAS decides its threads
    layers = (int(config["width"]),) * int(config["depth"])
    options = {"hidden_layer_sizes": layers, "random_state": seed, **_without(config, "width", "depth")}
    return _standardised(MLPRegressor(**options)) if task == "regression" else MLPClassifier(**options)


def _standardised(regressor: Any) -> TransformedTargetRegressor:
    """Penalties, margins and step sizes are meant for a target of unit variance."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def _without(config: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in names}


def _too_much(family: Family, task: Task, n_rows: int, n_columns: int, stretch: float, quality: Quality) -> str:
    if task not in family.tasks:
        return f"does not do {task}"
    if quality == "fast" and family.cost > 2:
        return "too slow for quality='fast'"
    if family.max_rows is not None and n_rows > family.max_rows * stretch:
        return f"too slow for {n_rows:,} rows (at most {int(family.max_rows * stretch):,} at quality={quality!r})"
    if family.max_cells is not None and n_rows * n_columns > family.max_cells * stretch:
        return f"too slow for {n_rows:,} rows of {n_columns:,} columns (at most {int(family.max_cells * stretch):,} cells at quality={quality!r})"
    return ""


def _changed(family: Family, change: Mapping[str, Any], where: str) -> Family:
    space, default, overrides = dict(family.space), dict(family.default), dict(family.regression)
    allowed = set(space) | _parameters(family)
    for name, thing in change.items():
        if name not in allowed:
            known = nearest(str(name), [*space, *sorted(allowed - set(space))]) or "; its space has " + ", ".join(space)
            raise SpaceError(f"{where}: {family.name} has no parameter {name!r}{known}")
        if isinstance(thing, str) and isinstance(space.get(name), Float | Int):
            raise SpaceError(
                f"{where}: {family.name}: {name}: {thing!r} is no number; give one, a list of them, or a dimension such as {space[name].to_json()}"
            )
        try:
            space[name] = as_dimension([thing] if thing is None or isinstance(thing, bool | int | float | str) else thing, name)
        except SpaceError as problem:
            raise SpaceError(f"{where}: {family.name}: {problem}") from problem
        default[name] = _inside(space[name], default.get(name))
        if name in overrides:
            overrides[name] = _inside(space[name], overrides[name])
    pruned = _pruned(space, default)
    return replace(family, space=space, default=pruned, regression=overrides)


def _pruned(space: Mapping[str, Dimension], default: Mapping[str, Any]) -> Config:
    """The default with a value for every dimension that exists in it, and for no other."""
    whole = {name: default[name] if name in default else _inside(d, None) for name, d in space.items()}
    return Space(space).pruned(whole)


def _inside(dimension: Dimension, value: Any) -> Any:
    if value is not None and dimension.contains(value):
        return value
    if isinstance(dimension, Float | Int) and isinstance(value, int | float) and not isinstance(value, bool):
        return dimension.from_unit(dimension.to_unit(min(max(value, dimension.low), dimension.high)))
    if isinstance(dimension, Choice) and dimension.contains(None):
        return None
    return dimension.from_unit(0.0 if isinstance(dimension, Choice) else 0.5)


def _parameters(family: Family) -> set[str]:
    """What the library's estimators take, in every task."""
    inner = [family.build(for_task(family, task).default, task, 0, 1) for task in family.tasks]
    inner = [getattr(e, "regressor", None) or getattr(e, "machine", None) or e for e in inner]
    return set.intersection(*(set(e.get_params(deep=False)) for e in inner))


_BALANCE = Choice([None, "balanced"])
_FOREST: dict[str, Dimension] = {
    "n_estimators": Int(50, 300, log=True),
    "max_features": Ordinal(["sqrt", 0.35, 0.5, 0.75, 1.0]),
    "min_samples_leaf": Int(1, 32, log=True),
    "bootstrap": Choice([True, False]),
}

ZOO: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            name="linear",
            title="Logistic or ridge regression",
            view="linear",
            build=_linear,
            space={"C": Float(1e-4, 1e3, log=True), "class_weight": _BALANCE},
            default={"C": 1.0, "class_weight": None},
            classification_only=("class_weight",),
            max_cells=20_000_000,
            cost=1,
        ),
        Family(
            name="decision_tree",
            title="Decision tree",
            view="tree",
            build=_decision_tree,
            space={
                "max_depth": Int(1, 32),
                "min_samples_leaf": Int(1, 64, log=True),
                "min_samples_split": Int(2, 64, log=True),
                "max_features": Float(0.3, 1.0),
            },
            default={"max_depth": 32, "min_samples_leaf": 1, "min_samples_split": 2, "max_features": 1.0},
            cost=1,
        ),
        Family(
            name="knn",
            title="k-nearest neighbours",
            view="linear",
            build=_knn,
            space={"n_neighbors": Int(1, 100, log=True), "weights": Choice(["uniform", "distance"]), "p": Choice([1, 2])},
            default={"n_neighbors": 5, "weights": "uniform", "p": 2},
            max_rows=20_000,
            max_cells=1_000_000,
            cost=1,
        ),
        Family(
            name="lightgbm",
            title="LightGBM",
            view="tree",
            build=_lightgbm,
            space={
                "n_estimators": Int(50, 600, log=True),
                "learning_rate": Float(0.01, 0.3, log=True),
                "num_leaves": Int(4, 128, log=True),
                "min_child_samples": Int(1, 64, log=True),
                "subsample": Float(0.5, 1.0),
                "colsample_bytree": Float(0.4, 1.0),
                "reg_lambda": Float(1e-3, 10, log=True),
                "extra_trees": Choice([False, True]),
            },
            default={
                "n_estimators": 100,
                "learning_rate": 0.1,
                "num_leaves": 31,
                "min_child_samples": 20,
                "subsample": 1.0,
                "colsample_bytree": 1.0,
                "reg_lambda": 1e-3,
                "extra_trees": False,
            },
            cost=2,
        ),
        Family(
            name="hist_gradient_boosting",
            title="Histogram gradient boosting",
            view="tree",
            build=_hist_gradient_boosting,
            space={
                "max_iter": Int(50, 600, log=True),
                "learning_rate": Float(0.01, 0.3, log=True),
                "max_leaf_nodes": Int(4, 128, log=True),
                "min_samples_leaf": Int(1, 64, log=True),
                "l2_regularization": Float(1e-3, 10, log=True),
                "max_features": Float(0.4, 1.0),
            },
            default={"max_iter": 100, "learning_rate": 0.1, "max_leaf_nodes": 31, "min_samples_leaf": 20, "l2_regularization": 1e-3, "max_features": 1.0},
            cost=2,
        ),
        Family(
            name="random_forest",
            title="Random forest",
            view="tree",
            build=_random_forest,
            space=_FOREST,
            default={"n_estimators": 100, "max_features": "sqrt", "min_samples_leaf": 1, "bootstrap": True},
            regression={"max_features": 1.0},
            max_cells=1_000_000,
            cost=3,
        ),
        Family(
            name="extra_trees",
            title="Extremely randomised trees",
            view="tree",
            build=_extra_trees,
            space=_FOREST,
            default={"n_estimators": 100, "max_features": "sqrt", "min_samples_leaf": 1, "bootstrap": False},
            regression={"max_features": 1.0},
            max_cells=1_000_000,
            cost=3,
        ),
        Family(
            name="mlp",
            title="Neural network (MLP)",
            view="linear",
            build=_mlp,
            space={
                "width": Int(16, 256, log=True),
                "depth": Int(1, 3),
                "alpha": Float(1e-6, 1e-1, log=True),
                "learning_rate_init": Float(3e-4, 3e-2, log=True),
                "activation": Choice(["relu", "tanh"]),
                "max_iter": Int(20, 200, log=True),
            },
            default={"width": 100, "depth": 1, "alpha": 1e-4, "learning_rate_init": 1e-3, "activation": "relu", "max_iter": 100},
            max_rows=20_000,
            max_cells=2_000_000,
            cost=4,
        ),
        Family(
            name="svm",
            title="Support vector machine",
            view="linear",
            build=_svm,
            space={
                "C": Float(1e-2, 1e3, log=True),
                "gamma": Choice(["scale", "free"]),
                "gamma_value": Float(1e-4, 1.0, log=True, when={"gamma": ["free"]}),
                "class_weight": _BALANCE,
            },
            default={"C": 1.0, "gamma": "scale", "class_weight": None},
            classification_only=("class_weight",),
            max_rows=5_000,
            max_cells=500_000,
            cost=4,
        ),
    )
}
