"""Figures and tables as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from benchmarks.tables.results import Spread

# Headings of what `csv_cells` gives.
CSV_SPREAD = ("n", "mean", "deviation", "low", "high")


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def number(value: float | None) -> str:
    """With one decimal, for Markdown."""
    return "-" if value is None else f"{value:.1f}"


def cell_text(
    cell: Spread | None, count: int, *, signed: bool = False, extremes: bool = False
) -> str:
    """A figure; it says of how many seeds it is where these are not `count`."""
    if cell is None:
        return "-"
    text = f"{cell.mean:+.1f}" if signed else f"{cell.mean:.1f}"
    if cell.deviation is not None:
        text += f" ± {cell.deviation:.1f}"
        text += f" [{cell.low:.1f}, {cell.high:.1f}]" if extremes else ""
    return text if cell.n == count else f"{text} (n={cell.n})"


def csv_text(lines: Iterable[Sequence[object]]) -> str:
    """Lines of cells as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def csv_cells(cell: Spread | None) -> list[str]:
    """The cells of a figure, see `CSV_SPREAD`."""
    if cell is None:
        return ["0", "", "", "", ""]
    return [str(cell.n), *map(csv_number, cell[1:])]


def csv_number(value: float | None) -> str:
    """With three decimals."""
    return "" if value is None else f"{value:.3f}"
