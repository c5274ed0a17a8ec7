"""Measured results as one chart: the demo and CamVid, a row for a method, a dot for a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.first_screen.theme import Theme, letters, page
from benchmarks.tables.differences import difference
from benchmarks.tables.files import read_results
from benchmarks.tables.results import CONTROL, CONTROL_MULTI, ORACLE, TWO_HEADS, spread
from msl_jax.analysis.plots import save
from msl_jax.runtime.errors import UserError

_CONTROL = "Control: same steps, no target loss"


class Part(NamedTuple):
    """Rows below a heading, which share a control.

    Attributes:
        results: folder of the results.
        heading: what the data are; none where a part continues the one above it.
        note: of its rows, in smaller letters.
        control: the row that all methods are compared with.
        rows: their names in the results, with what they are called here.
    """

    results: str
    heading: str
    note: str
    control: str
    rows: dict[str, str]


# The demo has one control, which starts from the same network of two heads.
PARTS = (
    Part(
        "demo",
        "Drawn streets, rendered to camera (the demo)",
        "",
        CONTROL,
        {
            TWO_HEADS: "Source only",
            CONTROL: _CONTROL,
            "max_square_iw_multi": "Maximum squares, weighted, guided",
        },
    ),
    Part(
        "camvid_scratch",
        "CamVid, real frames, day to dusk, by a network from scratch",
        "network with one head",
        CONTROL,
        {
            "source": "Source only",
            CONTROL: _CONTROL,
            "minent": "Entropy minimisation",
            "minent_iw": "Entropy minimisation, weighted",
            "max_square": "Maximum squares",
            "max_square_iw": "Maximum squares, weighted",
        },
    ),
    Part(
        "camvid_scratch",
        "",
        "with a second head, for multi-level guidance",
        CONTROL_MULTI,
        {
            TWO_HEADS: "Source only",
            CONTROL_MULTI: _CONTROL,
            "max_square_multi": "Maximum squares, guided",
            "max_square_iw_multi": "Maximum squares, weighted, guided",
        },
    ),
    Part("camvid_scratch", "", "trained on target labels", "", {ORACLE: "Oracle"}),
)


_KINDS = {
    "source": "source_only",
    TWO_HEADS: "source_only",
    CONTROL: "control",
    CONTROL_MULTI: "control",
    ORACLE: "oracle",
}


class Row(NamedTuple):
    """A row of the chart.

    Attributes:
        title: what it is called.
        kind: name of its colour in a `Theme`.
        seeds: mIoU on the target in percent, one for each seed.
        mean: over them.
        over_control: mean difference over the seeds that both have, in points; None for others
            than methods.
    """

    title: str
    kind: str
    seeds: list[float]
    mean: float
    over_control: float | None


def read_rows(results: Path, part: Part) -> Iterator[Row]:
    """The rows of a part.

    Args:
        results: folder of all results, ``docs/results``.
        part: one of `PARTS`.

    Raises:
        UserError: the results are missing or damaged.
    """
    found = read_results(results / part.results)

    def of_seeds(row: str) -> dict[int, float | None]:
        return found.of_seeds(row, "target", "miou")

    for row, title in part.rows.items():
        seeds = of_seeds(row)
        mean = spread(seeds.values()).mean
        if mean is None:
            raise UserError(f"{results / part.results}: no results of {row}, which the chart shows")
        kind = _KINDS.get(row, "method")
        over = spread(difference(seeds, of_seeds(part.control)).values()).mean
        yield Row(
            title,
            kind,
            [100 * value for value in seeds.values() if value is not None],
            mean,
            over if kind == "method" else None,
        )


# In picture points: the width, the ends of the axis, where the columns of figures end.
_WIDTH, _LEFT, _RIGHT = 880, 300, 680
_MEAN, _OVER, _SEEDS = 728, 820, 872
_HEAD, _LINE, _SPACE, _FOOT = 34, 26, 10, 50
_TEXT, _SMALL = 14, 13


def draw(results: Path, theme: Theme) -> Figure:
    """The chart; for `results` see `read_rows`."""
    parts = [(part, list(read_rows(results, part))) for part in PARTS]
    lines = sum(bool(part.heading) + bool(part.note) + len(rows) for part, rows in parts)
    bottom = _HEAD + lines * _LINE + (len(parts) - 1) * _SPACE
    figure, axes = page(theme, _WIDTH, bottom + _FOOT)
    values = [value for _, rows in parts for row in rows for value in row.seeds]
    axis = Axis.around(values)
    _frame(axes, axis, bottom, theme)
    y = _HEAD + _LINE / 2
    for part, rows in parts:
        if part.heading:
            axes.text(8, y, part.heading, **letters(15, theme.text, weight="bold"))
            y += _LINE
        if part.note:
            axes.text(8, y, part.note, style="italic", **letters(_SMALL, theme.muted))
            y += _LINE
        _grid(axes, axis, y - _LINE / 2, y + (len(rows) - 0.5) * _LINE, theme)
        for row in rows:
            _draw_row(axes, axis, row, y, theme)
            y += _LINE
        y += _SPACE
    return figure


class Axis(NamedTuple):
    """The axis of values.

    Attributes:
        ticks: from its left to its right end.
    """

    ticks: range

    @classmethod
    def around(cls, values: Sequence[float], step: int = 5) -> Axis:
        """One on which all values lie."""
        low, high = math.floor(min(values) / step), math.ceil(max(values) / step)
        return cls(range(low * step, high * step + 1, step))

    def place(self, value: float) -> float:
        """Where a value lies, in picture points."""
        first, last = self.ticks[0], self.ticks[-1]
        return _LEFT + (_RIGHT - _LEFT) * (value - first) / (last - first)


def _grid(axes: Axes, axis: Axis, top: float, bottom: float, theme: Theme) -> None:
    for tick in axis.ticks:
        x = axis.place(tick)
        axes.plot([x, x], [top, bottom], color=theme.line, linewidth=0.8, zorder=0)


def _frame(axes: Axes, axis: Axis, bottom: float, theme: Theme) -> None:
    """The figures of the axis below the rows, and the heads of the columns above them."""
    middle, right = (letters(_SMALL, theme.muted, ha) for ha in ("center", "right"))
    for tick in axis.ticks:
        axes.text(axis.place(tick), bottom + 12, str(tick), **middle)
    title = "target mIoU, % (dots: seeds, bar: mean)"
    axes.text((_LEFT + _RIGHT) / 2, bottom + 34, title, **middle)
    for x, title in ((_MEAN, "mean"), (_OVER, "over control"), (_SEEDS, "seeds")):
        axes.text(x, _HEAD / 2, title, **right)


def _draw_row(axes: Axes, axis: Axis, row: Row, y: float, theme: Theme) -> None:
    axes.text(24, y, row.title, **letters(_TEXT, theme.text))
    xs, mean = [axis.place(value) for value in row.seeds], axis.place(row.mean)
    style: dict[str, Any] = {"color": getattr(theme, row.kind), "solid_capstyle": "butt"}
    axes.plot([min(xs), max(xs)], [y, y], **style, linewidth=1.2, alpha=0.5)
    axes.plot(xs, [y] * len(xs), "o", **style, markersize=4.5, alpha=0.6, markeredgewidth=0)
    axes.plot([mean, mean], [y - 8, y + 8], **style, linewidth=2.5)
    over = "" if row.over_control is None else f"{row.over_control:+.1f}"
    over = over.replace("-", "\N{MINUS SIGN}")
    axes.text(_MEAN, y, f"{row.mean:.1f}", **letters(_TEXT, theme.text, "right", "bold"))
    axes.text(_OVER, y, over, **letters(_TEXT, theme.text, "right"))
    axes.text(_SEEDS, y, str(len(row.seeds)), **letters(_TEXT, theme.muted, "right"))


def write(figure: Figure, folder: Path, name: str) -> None:
    """Writes an SVG whose text is text: a quarter of the size of one with drawn letters."""
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        save(figure, folder, name, ("svg",))
