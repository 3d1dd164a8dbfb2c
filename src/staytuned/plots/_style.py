"""How every picture looks: its colours, its paper and what becomes of its legend."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
CYCLE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY)
INK, GREY, FAINT = "#333333", "#8c8c8c", "#e8e8e8"
_STYLE: Any = {  # matplotlib types such keys differently from version to version
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.usetex": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "staytuned",
}
_WIDTH = 6.6  # inches; a page's column


@contextmanager
def style() -> Iterator[None]:
    """The settings that every picture is drawn and saved under; the user's own come back afterwards."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # in a page, the reader's own fonts will have it
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in that style, and settle where everything stands."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            fig = draw(*args, **kwargs)
            if engine := fig.get_layout_engine():
                engine.execute(fig)
            fig.set_layout_engine("none")  # a live layout creeps from one drawing to the next; settled once, every copy is the same
            return fig

    return drawn


def sheet(height: float, width: float = _WIDTH) -> Figure:
    """An empty figure of so many inches."""
    return Figure(figsize=(width, height), layout="constrained")


def canvas(height: float, width: float = _WIDTH) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    fig = sheet(height, width)
    return fig, fig.add_subplot()


def line(place: int) -> tuple[str, str]:
    """Colour and dashes of the line at a place among several."""
    return CYCLE[place % len(CYCLE)], "-" if place < len(CYCLE) else "--"


def finished(fig: Figure, ax: Axes, instead: str = "") -> Figure:
    """The figure with its legend above the axes, where it hides nothing, or with what there is to say instead of a picture."""
    handles, labels = ax.get_legend_handles_labels()
    if instead:
        ax.text(0.5, 0.5, instead, transform=ax.transAxes, ha="center", va="center", color=GREY)
    elif len(handles) > 1:
        fig.legend(handles, labels, loc="outside upper left", ncols=4)
    return fig
