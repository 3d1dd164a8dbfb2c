"""A figure on its way out: into a page as SVG, into a file as PNG."""

from __future__ import annotations

import io
import re
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from staytuned.plots._axes import shown
from staytuned.plots._style import style


def figure_svg(fig: Figure, alt: str = "") -> str:
    """The figure as an ``<svg>`` element to put into a page: the same bytes for the same figure, its text kept as text.

    Args:
        fig: any matplotlib figure.
        alt: what a screen reader says.
    """
    page = io.StringIO()
    with style():
        fig.savefig(page, format="svg", dpi=144, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = page.getvalue()
    return _slimmed(text[text.index("<svg") :], alt)


def figure_png(fig: Figure, path: str | Path, dpi: int = 150) -> Path:
    """Write the figure as a PNG file; its path."""
    with style():
        fig.savefig(path, format="png", dpi=dpi, metadata={"Software": None})
    return Path(path)


def _slimmed(svg: str, alt: str) -> str:
    """Without what a page does not need: ids that other figures have too, a style sheet that would leak out, fonts named at every word."""
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>\s*", "", svg, count=1)
    svg = re.sub(r"(<text style=\"[^\"]*?)font-family: [^;\"]*;? ?", r"\1", svg)
    svg = re.sub(r" transform=\"rotate\(-0 [^)]*\)\"", "", svg)
    look = "stroke-linejoin: round; stroke-linecap: butt; font-family: 'DejaVu Sans', Verdana, sans-serif; max-width: 100%; height: auto"
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(shown(alt, 300))}" style="{look}" ', 1)
