"""From a config to an unfitted estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sklearn.base import clone

from staytuned.errors import UsageError
from staytuned.space.branches import Branches
from staytuned.space.space import Config


@dataclass(frozen=True)
class Build:
    """Builds the estimator of a config. The trial's seed is not used: randomness is the estimator's own ``random_state``.

    Args:
        estimator: as it was passed; it is cloned, never changed.
        plain: from the names in configs to the estimator's own (see :class:`~staytuned.space.branches.Branches`); others are left out.
    """

    estimator: Any
    plain: Mapping[str, str]

    def __call__(self, config: Config, seed: int) -> Any:  # noqa: ARG002
        return with_params(self.estimator, {self.plain[name]: value for name, value in config.items() if name in self.plain})


def with_params(estimator: Any, params: Mapping[str, Any]) -> Any:
    """A copy of the estimator with these parameters, which are copied too: an estimator may be among them."""
    return clone(estimator).set_params(**{name: clone(value, safe=False) for name, value in params.items()})


def check_names(branches: Branches, estimator: Any) -> None:
    """Whether every dimension is a parameter of the estimator, or of an estimator that is among its values.

    Raises:
        UsageError: one is not.
    """
    known = estimator.get_params(deep=True)
    for part in branches.parts:
        for name in part:
            if name not in known and not any(name.startswith(f"{other}__") for other in part):
                near = [n for n in known if n.lower() == name.lower()] or get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise UsageError(f"{name!r} is not a parameter of {type(estimator).__name__}; {hint}It has {', '.join(sorted(known))}")
