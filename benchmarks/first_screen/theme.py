"""Colours of the pictures, on a light page and on a dark one."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Lengths are pixels at this resolution, and so are the sizes of letters.
DPI = 100


class Theme(NamedTuple):
    """Colours as matplotlib names them.

    Attributes:
        name: part of the files' names.
        page: background. The dark picture has none, so that it suits every dark page; the light
            one is also shown where a page does not say which it is, and brings its own.
        text: of what is read first.
        muted: of the rest.
        line: of the grid.
        source_only, control, method, oracle: of the rows of each kind.
    """

    name: str
    page: str
    text: str
    muted: str
    line: str
    source_only: str
    control: str
    method: str
    oracle: str


LIGHT = Theme(
    "light", "#ffffff", "#1f2328", "#59636e", "#d8dee4", "#6e7781", "#bc4c00", "#0969da", "#1a7f37"
)
DARK = Theme(
    "dark", "none", "#f0f6fc", "#9198a1", "#3d444d", "#9198a1", "#f0883e", "#4493f8", "#3fb950"
)


def page(theme: Theme, width: float, height: float) -> tuple[Figure, Axes]:
    """An empty picture of so many pixels, with axes that count them from its upper left corner."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=theme.page)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def letters(size: float, color: str, ha: str = "left", weight: str = "normal") -> dict[str, Any]:
    """Arguments of a text whose letters have `size` pixels, with their middle at its place."""
    place = {"ha": ha, "va": "center_baseline"}
    return {"fontsize": 72 * size / DPI, "color": color, "weight": weight, **place}
