"""Table 5: other values of the parameters, each varied in the row that introduces it."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.tables.format import cell_text, csv_text, number, table
from benchmarks.tables.paper import GTA5
from benchmarks.tables.results import METRICS, Results, Spread, spread
from benchmarks.tables.runs import PARAMETERS, Parameter

_NOTE = (
    "As above; measured on target labels, so it chooses nothing. The paper's lambda_T stands at the"
    " same multiple of the row's own value, which has the same seeds as the others. Paper:"
    f" {GTA5.title.partition(',')[0]}, Table 5."
)


class Line(NamedTuple):
    """A line of the table.

    Attributes:
        parameter: which.
        value: of it, None where the row's own is not known.
        own: whether it is the row's own.
        target: the main metric on the target.
        published: mIoU in the paper, in percent.
    """

    parameter: Parameter
    value: float | None
    own: bool
    target: Spread
    published: float | None

    @property
    def value_text(self) -> str:
        """The value, "" where it is not known."""
        return "" if self.value is None else f"{self.value:g}"


def sensitivity(results: Results) -> list[Line]:
    """The lines, of all values that were tried; none where there were no such runs.

    The row's own value counts in the seeds in which others were tried: seeds differ by more.
    """
    lines: list[Line] = []
    rows = sorted({value.row for value in results.values if not value.task})
    for parameter in PARAMETERS:
        prefix = f"{parameter.row}-{parameter.key}="
        tried = {row: float(row.removeprefix(prefix)) for row in rows if row.startswith(prefix)}
        targets = {
            row: results.of_seeds(row, "target", results.metrics[0])
            for row in (parameter.row, *tried)
        }
        seeds = {seed for row in tried for seed in targets[row]}
        own = results.own.get(parameter.key)
        found = []
        for row, target in targets.items() if tried else ():
            value = tried.get(row, own)
            cell = spread(figure for seed, figure in target.items() if seed in seeds)
            published = None if value is None else parameter.in_paper(value, own)
            found.append(Line(parameter, value, row not in tried, cell, published))
        lines += sorted(found, key=lambda line: -(line.value or 0))
    return lines


def markdown(results: Results) -> str:
    """The table with its heading."""
    rows = []
    for line in sensitivity(results):
        value = f"{line.value_text} (own)".strip() if line.own else line.value_text
        target = cell_text(line.target, line.target.n, extremes=True)
        names = [line.parameter.symbol, line.parameter.row, value, str(line.target.n or "-")]
        rows.append([*names, target, number(line.published)])
    name = METRICS[results.metrics[0]]
    headings = ["parameter", "row", "value", "n", f"target {name}", "paper"]
    return f"### {results.config}: sensitivity\n\n{_NOTE}\n\n{table(headings, rows)}"


def csv(results: Results) -> str:
    """A line for each value of each parameter."""
    lines = []
    for line in sensitivity(results):
        names = (line.parameter.key, line.parameter.row, line.value_text)
        lines.append((*names, "yes" if line.own else "no", *line.target, line.published))
    return csv_text(("parameter", "row", "value", "own", *Spread._fields, "paper"), lines)
