"""Figures and tables as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from benchmarks.tables.results import Spread


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def number(mean: float | None, deviation: float | None = None, sign: str = "") -> str:
    """With one decimal, for Markdown.

    >>> number(1.26), number(1.0, 0.25, sign="+"), number(None)
    ('1.3', '+1.0 ± 0.2', '-')
    """
    if mean is None:
        return "-"
    return f"{mean:{sign}.1f}" if deviation is None else f"{mean:{sign}.1f} ± {deviation:.1f}"


def cell_text(cell: Spread, count: int, *, sign: str = "", extremes: bool = False) -> str:
    """A figure; it says of how many seeds it is where these are not `count`."""
    text = number(cell.mean, cell.deviation, sign)
    if extremes and cell.n > 1:
        text += f" [{number(cell.low)}, {number(cell.high)}]"
    return text if cell.n in (0, count) else f"{text} (n={cell.n})"


def csv_text(headings: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Lines of cells as CSV: floats with three decimals, nothing for None."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    for line in lines:
        writer.writerow(f"{cell:.3f}" if isinstance(cell, float) else cell for cell in line)
    return text.getvalue()
