"""What ``fit`` was given besides the table, and where it goes: to the estimator, the splitter or the scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sklearn
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from staytuned.errors import UsageError
from staytuned.evaluate.cv import Split
from staytuned.evaluate.scoring import Scoring


@dataclass(frozen=True)
class Routed:
    """Where what goes.

    Args:
        fit: to the estimator's ``fit``. split: to the splitter. score: to the scorer.
    """

    fit: Mapping[str, Any]
    split: Mapping[str, Any]
    score: Mapping[str, Any]

    @classmethod
    def of(cls, search: Any, scoring: Scoring, params: Mapping[str, Any]) -> Routed:
        """By scikit-learn's metadata routing where it is enabled; else groups go to the splitter, sample weights to scorers that take them too.

        Args:
            search: the estimator whose ``get_metadata_routing`` decides.
            params: given to its ``fit``.
        """
        if routing_enabled():
            routed = process_routing(search, "fit", **params)
            return cls(dict(routed.estimator.fit), dict(routed.splitter.split), dict(routed.scorer.score))
        fit = {name: value for name, value in params.items() if name != "groups"}
        weight = fit.get("sample_weight")
        return cls(fit, {"groups": params.get("groups")}, {"sample_weight": weight} if weight is not None and scoring.weighted() else {})

    def splits(self, cv: Any, estimator: Any, X: Any, y: Any) -> list[Split]:
        """(training rows, held-out rows) of each fold.

        Args:
            cv: as scikit-learn takes it.
            estimator: whether it is a classifier decides the kind of folds that a number means.

        Raises:
            UsageError: there are none, or not as many as were promised.
        """
        splitter = check_cv(cv, y, classifier=is_classifier(estimator))
        splits = list(splitter.split(X, y, **self.split))
        if not splits or len(splits) != splitter.get_n_splits(X, y, **self.split):
            promised = splitter.get_n_splits(X, y, **self.split)
            raise UsageError(f"cv={cv!r} gave {len(splits)} splits and promised {promised}; at least one is needed, and as many as promised")
        return splits


def router(search: Any, estimator: Any, scorer: Any, splitter: Any) -> MetadataRouter:
    """What asks for metadata in a search: the estimator's fit, the scorer and the splitter."""
    return (
        MetadataRouter(owner=search)
        .add(estimator=estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        .add(scorer=scorer, method_mapping=MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score"))
        .add(splitter=splitter, method_mapping=MethodMapping().add(caller="fit", callee="split"))
    )


def routing_enabled() -> bool:
    """Whether scikit-learn's metadata routing is on."""
    return bool(sklearn.get_config().get("enable_metadata_routing", False))
