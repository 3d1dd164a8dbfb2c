"""What of a search comes free with a fit: of a plain estimator, and of a pipeline, in which it can stand in any step.

A free parameter of the last step is free in the pipeline: what comes before is fitted once and transforms a table once for all views. For a free
parameter of an inner step only what follows is fitted per value. Several are free together, each value of an earlier one with all of a later one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from staytuned.evaluate.reuse._tables import Tables, one_by_one, shown_as
from staytuned.evaluate.reuse.registry import Views, reuses
from staytuned.space.space import Config

Steps: TypeAlias = list[tuple[str, Any]]


@dataclass(frozen=True)
class Free:
    """What of a search comes free with a fit of the estimator.

    Args:
        names: the parameters in full, such as ("clf__n_estimators",).
        tolerance: as in ``Reuse``; that of a pipeline is the largest of its steps'.
        views: of the whole estimator, with configs by those names. In a pipeline an error of one config's fit is one of all.
        says: for a tolerance of None, what differs.
        grows: those names of which the fit costs in proportion to the largest value.
        cheap: as in ``Reuse``; of a pipeline, if all its steps' are, and only the last is fitted anew for each value.
    """

    names: tuple[str, ...]
    tolerance: float | None
    views: Views
    says: str = ""
    grows: tuple[str, ...] = ()
    cheap: bool = True


def free(estimator: Any, names: Iterable[str], *, equivalent: bool = False) -> Free | None:
    """What comes free of these parameters of the estimator; None where nothing does.

    Args:
        estimator: unfitted, with all its other parameters set, as what is free depends on them.
        names: those that vary, in full.
        equivalent: also those of which the views are only equally good (tolerance None).

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> free(make_pipeline(StandardScaler(), KNeighborsClassifier()), ["kneighborsclassifier__n_neighbors"]).names
    ('kneighborsclassifier__n_neighbors',)
    """
    varying = tuple(dict.fromkeys(names))
    if type(estimator) is Pipeline:
        return _free_in_pipeline(estimator, varying, equivalent)
    found = [reuse for reuse in reuses(estimator) if equivalent or reuse.tolerance is not None]
    offers = [(tuple(name for name in varying if name in reuse.params), reuse) for reuse in found]
    free_names, reuse = max(offers, key=lambda offer: (len(offer[0]), offer[1].tolerance is not None), default=((), None))
    if reuse is None or not free_names:
        return None
    return Free(free_names, reuse.tolerance, reuse.views, reuse.says, free_names if reuse.grows else (), reuse.cheap)


def _free_in_pipeline(pipeline: Pipeline, names: Sequence[str], equivalent: bool) -> Free | None:
    if pipeline.transform_input is not None or not isinstance(pipeline.steps, list):
        return None
    parts: dict[str, Free] = {}
    for place, (step, estimator) in enumerate(pipeline.steps):
        own = [name.removeprefix(f"{step}__") for name in names if name.startswith(f"{step}__")]
        inner = place < len(pipeline.steps) - 1
        if not own or not hasattr(estimator, "fit") or (inner and (is_classifier(estimator) or is_regressor(estimator) or isinstance(estimator, Pipeline))):
            continue  # in the middle these may give their training rows something else than new ones
        part = free(estimator, own, equivalent=equivalent)
        if part is not None:
            parts[step] = part
    if not parts:
        return None
    free_names = tuple(name for name in names if name.partition("__")[2] in getattr(parts.get(name.partition("__")[0]), "names", ()))
    grows = tuple(f"{step}__{name}" for step, part in parts.items() for name in part.grows)
    tolerances = [part.tolerance for part in parts.values()]
    tolerance = None if None in tolerances else max(t for t in tolerances if t is not None)
    cheap = set(parts) == {pipeline.steps[-1][0]} and all(part.cheap for part in parts.values())
    return Free(free_names, tolerance, PipelineViews(parts), "; ".join(part.says for part in parts.values() if part.says), grows, cheap)


@dataclass(frozen=True)
class PipelineViews:
    """Views of a pipeline, by those of the steps named."""

    parts: Mapping[str, Free]

    def __call__(self, estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
        if not stepwise(estimator, fit_params):
            return one_by_one(estimator, configs, X, y, fit_params)
        return self.after([], Tables(), estimator, configs, X, y, fit_params)

    def after(self, head: Steps, tables: Any, estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Any]:
        """The views where the first steps are fitted already, and X is the training table as they leave it."""
        rest = Pipeline(estimator.steps[len(head) :], memory=estimator.memory, verbose=estimator.verbose)
        own = params_of(fit_params, {name for name, _ in rest.steps})
        return [view_of(estimator, [*head, *steps], tables) for steps in _fitted(rest, self.parts, configs, X, y, own)]


def stepwise(estimator: Any, fit_params: Mapping[str, Any]) -> bool:
    """Whether it is a pipeline that can be fitted step by step: a plain one, without metadata routing, each of the parameters for one of its steps."""
    if type(estimator) is not Pipeline or estimator.transform_input is not None or sklearn.get_config().get("enable_metadata_routing", False):
        return False
    return all("__" in name and name.partition("__")[0] in dict(estimator.steps) for name in fit_params)


def _fitted(pipeline: Pipeline, parts: Mapping[str, Free], configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> list[Steps]:
    """For every config the fitted steps. What comes before the first step that varies is one and the same object in all of them."""
    varying = {name.partition("__")[0] for name in configs[0]}
    places = [place for place, (step, _) in enumerate(pipeline.steps) if step in varying]
    if not places:
        whole = clone(pipeline)
        whole.fit(X, y, **fit_params)
        return [whole.steps] * len(configs)
    head, (step, estimator), tail = pipeline.steps[: places[0]], pipeline.steps[places[0]], pipeline.steps[places[0] + 1 :]
    if head:
        head, X = fit_head(pipeline, places[0], X, y, params_of(fit_params, {name for name, _ in head}))
    own = {name.removeprefix(f"{step}__"): value for name, value in params_of(fit_params, {step}).items()}
    cut = [{name.removeprefix(f"{step}__"): value for name, value in config.items() if name.startswith(f"{step}__")} for config in configs]
    distinct = _distinct(cut)
    views = list(parts[step].views(clone(estimator), [cut[members[0]] for members in distinct], X, y, own))
    found: dict[int, Steps] = {}
    for view, members in zip(views, distinct, strict=True):
        if not tail:
            found |= {i: [*head, (step, view)] for i in members}
            continue
        rest = clone(Pipeline(tail, memory=pipeline.memory, verbose=pipeline.verbose))
        others = [{name: value for name, value in configs[i].items() if name.partition("__")[0] != step} for i in members]
        tails = _fitted(rest, parts, others, view.transform(X), y, params_of(fit_params, {name for name, _ in tail}))
        found |= {i: [*head, (step, view), *after] for i, after in zip(members, tails, strict=True)}
    return [found[i] for i in range(len(configs))]


def fit_head(pipeline: Pipeline, place: int, X: Any, y: Any, fit_params: Mapping[str, Any]) -> tuple[Steps, Any]:
    """The steps before this place, fitted as the pipeline does it, its ``memory`` included, and the training table as they leave it."""
    last = "x" * (1 + max(len(step) for step, _ in pipeline.steps))  # no step has this name
    head = clone(Pipeline([*pipeline.steps[:place], (last, "passthrough")], memory=pipeline.memory, verbose=pipeline.verbose))
    table = head.fit_transform(X, y, **fit_params)
    return head.steps[:place], table


def params_of(fit_params: Mapping[str, Any], steps: set[str]) -> dict[str, Any]:
    """Those for these steps."""
    return {name: value for name, value in fit_params.items() if name.partition("__")[0] in steps}


def _distinct(configs: Sequence[Config]) -> list[list[int]]:
    """The places of configs that are equal, together, in order of appearance."""
    groups: list[list[int]] = []
    for i, config in enumerate(configs):
        group = next((g for g in groups if _same(configs[g[0]], config)), None)
        groups.append([i]) if group is None else group.append(i)
    return groups


def _same(one: Config, other: Config) -> bool:
    return all(type(one[name]) is type(other[name]) and bool(one[name] == other[name]) for name in one)


class View(Pipeline):  # type: ignore[misc]
    """A fitted pipeline whose steps transform a table once for all views that have them."""

    def _iter(self, with_final: bool = True, filter_passthrough: bool = True) -> Iterator[tuple[int, str, Any]]:
        if not filter_passthrough:  # it is fitted anew, and what is remembered no longer holds
            self.__dict__.pop("tables_", None)
        tables = self.__dict__.get("tables_")
        for place, name, step in super()._iter(with_final=with_final, filter_passthrough=filter_passthrough):
            shared = tables is not None and hasattr(step, "transform") and place < len(self.steps) - 1
            yield place, name, _Once(step, tables) if shared else step


@dataclass(frozen=True)
class _Once:
    """A fitted transformer that remembers the tables it transformed."""

    step: Any
    tables: Any = field(repr=False)

    def transform(self, X: Any, **params: Any) -> Any:
        return self.step.transform(X, **params) if params else self.tables.get(self.step, X, self.step.transform)

    def __getattr__(self, name: str) -> Any:
        if name in ("step", "tables") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.step, name)


def view_of(pipeline: Pipeline, steps: Steps, tables: Any) -> Any:
    """The fitted pipeline of these fitted steps."""
    return shown_as(pipeline, View, steps=list(steps), tables_=tables)
