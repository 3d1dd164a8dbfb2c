"""Which hyperparameters of which estimators come free with a fit, or almost; open to users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from staytuned.errors import UsageError
from staytuned.space.space import Config

_BUILT_IN = (
    "forests",
    "boosting",
    "boosters",
    "trees",
    "epochs",
    "neighbours",
    "linear",
    "kernels",
    "prefixes",
)  # beside this one, read at the first look


class Views(Protocol):
    """Fits once and shows the estimator as it would be with each config."""

    def __call__(self, estimator: Any, configs: Sequence[Config], X: Any, y: Any, fit_params: Mapping[str, Any]) -> Sequence[Any]:
        """One fitted view per config, in their order.

        Args:
            estimator: unfitted, with every other parameter set; it may be fitted or changed, as it is the caller's own copy.
            configs: at least one; each gives a value to the same of the free parameters, those of ``Reuse.params`` that vary.
            X, y: training rows.
            fit_params: for ``fit``, cut to these rows.

        Returns:
            objects that any scikit-learn scorer takes for the fitted estimator: of its class or type, with ``classes_`` where it has them, ``predict``,
            ``predict_proba``, ``decision_function`` and ``score`` where it has them. What they compute for one table is shared between them, so
            that scoring all views costs about as much as scoring the largest.
        """
        ...


@dataclass(frozen=True)
class Reuse:
    """How one kind of estimator gives many values of some of its hyperparameters by one fit.

    Args:
        params: the hyperparameters that come free, each alone or all together.
        views: fits once.
        tolerance: the largest difference of a prediction from that after a fit of its own: 0 for bit by bit the same, small where only rounding or a
            solver's tolerance is between them; None where the two are only equally good, since another random draw breaks a tie.
        applies: whether it holds with the estimator's other settings, such as no early stopping.
        says: for a tolerance of None, in one clause what differs.
        grows: whether the fit costs in proportion to the largest value asked for, as with rounds; such a column can begin short.
        cheap: whether a column of some fifty values costs no more than a few fits; if not, it serves only where all have to be measured, as on a grid.
    """

    params: tuple[str, ...]
    views: Views
    tolerance: float | None = 0.0
    applies: Callable[[Any], bool] = lambda estimator: True  # noqa: ARG005
    says: str = ""
    grows: bool = False
    cheap: bool = True


_ENTRIES: dict[str, list[Reuse]] = {}


def register(kind: type | str | Iterable[str], reuse: Reuse) -> None:
    """Tell every search that this class of estimators can be reused; the latest word on a class and a parameter counts.

    Args:
        kind: the class, or its full name such as ``"lightgbm.LGBMClassifier"`` (by which its module need not be imported), or several names. Subclasses
            are not meant: they may fit in another way.

    Raises:
        UsageError: no parameter is named.
    """
    if not reuse.params:
        raise UsageError(f"a Reuse of {kind!r} must name at least one parameter, not params=()")
    for name in [kind] if isinstance(kind, type | str) else kind:
        _ENTRIES.setdefault(name if isinstance(name, str) else _full_name(name), []).insert(0, reuse)


def reuses(estimator: Any) -> tuple[Reuse, ...]:
    """What is known of this very class that holds with the estimator's settings, the latest word first.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> [reuse.params for reuse in reuses(KNeighborsClassifier())]
    [('n_neighbors', 'weights')]
    """
    for module in _BUILT_IN:
        import_module(f"staytuned.evaluate.reuse.{module}")
    return tuple(reuse for name in _names(type(estimator)) for reuse in _ENTRIES.get(name, ()) if reuse.applies(estimator))


def _names(kind: type) -> tuple[str, ...]:
    """The full name, and the one under which the package shows the class: lightgbm.sklearn.LGBMClassifier is lightgbm.LGBMClassifier."""
    full = _full_name(kind)
    parts = kind.__module__.split(".")
    shown = [".".join([*parts[:depth], kind.__qualname__]) for depth in range(len(parts) - 1, 0, -1)]
    return (full, *shown)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
