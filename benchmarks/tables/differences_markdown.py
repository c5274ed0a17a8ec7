"""Rows compared seed by seed, as Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.tables.differences import Difference, Line
from benchmarks.tables.format import CSV_SPREAD, cell_text, csv_cells, csv_text, table

_NOTE = (
    "In points of percent, of the seeds that both rows have: mean of the differences ± standard"
    " deviation (n - 1), and in how many of n seeds the first row is higher."
)


def markdown(title: str, headings: Sequence[str], lines: Sequence[Line], note: str = "") -> str:
    """The table with its heading.

    Args:
        title: of the table.
        headings: of the columns.
        lines: at least one.
        note: what else is to be said of them.
    """
    text = " ".join(filter(None, (_NOTE, note)))
    cells = ([f"{x.row} - {x.other}", *map(_cell, x.cells)] for x in lines)
    return f"### {title}\n\n{text}\n\n{table(['difference, seed by seed', *headings], cells)}"


def _cell(cell: Difference | None) -> str:
    if cell is None:
        return "-"
    count = cell.spread.n
    return f"{cell_text(cell.spread, count, signed=True)} (higher in {cell.higher} of {count})"


def csv(column: str, names: Sequence[str], lines: Sequence[Line]) -> str:
    """A line for each pair of rows and each column.

    Args:
        column: what the columns are, such as "task".
        names: of the columns.
        lines: of the table.
    """
    found: list[Sequence[object]] = [("row", "minus", column, *CSV_SPREAD, "higher")]
    for line in lines:
        for name, cell in zip(names, line.cells, strict=True):
            higher = "" if cell is None else cell.higher
            spread = csv_cells(cell and cell.spread)
            found.append((line.row, line.other, name, *spread, higher))
    return csv_text(found)
