"""Draws the tables of insight and monitor; nothing else draws.

Every function returns a :class:`matplotlib.figure.Figure` that no window and no global state knows of. The colours are
Okabe and Ito's (2008), which the colour-blind can tell apart; where colour stands for a number, brighter is better.

The names below are loaded when first touched, so that one picture does not wait for what the others need.
"""

import importlib
from typing import Any

_HOME = {
    "plot_progress": "staytuned.plots.trials",
    "plot_front": "staytuned.plots.trials",
    "plot_importance": "staytuned.plots.dimensions",
    "plot_effect": "staytuned.plots.dimensions",
    "plot_surface": "staytuned.plots.dimensions",
    "plot_column": "staytuned.plots.dimensions",
    "plot_comparison": "staytuned.plots.strategies",
    "ScoreBar": "staytuned.plots.scores",
    "plot_scores": "staytuned.plots.scores",
    "plot_folds": "staytuned.plots.scores",
    "plot_curves": "staytuned.plots.scores",
    "RocCurve": "staytuned.plots.predictions",
    "plot_confusion": "staytuned.plots.predictions",
    "plot_roc": "staytuned.plots.predictions",
    "plot_residuals": "staytuned.plots.predictions",
    "plot_risk": "staytuned.plots.risk",
    "figure_svg": "staytuned.plots.export",
    "figure_png": "staytuned.plots.export",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'staytuned.plots' has no attribute {name!r}; it has {', '.join(_HOME)}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
