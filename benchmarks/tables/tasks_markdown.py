"""The table of a classification as Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.tables import differences_markdown
from benchmarks.tables.differences import Line, OfSeeds, differences
from benchmarks.tables.format import CSV_SPREAD, cell_text, csv_cells, csv_number, csv_text, table
from benchmarks.tables.paper import Accuracy, published_accuracy
from benchmarks.tables.results import FIGURES
from benchmarks.tables.tasks import MEAN, TaskResults, figure, of_seeds

_NOTE = (
    "In percent, after the last step: mean over n seeds ± standard deviation (n - 1). The column"
    " mean is over the tasks for each seed that all of them have, then over these seeds."
)
_CONTROL = (
    "As above, the difference to target_statistics of each seed. This control makes the same steps"
    " from the same network without a target loss."
)


def files(results: TaskResults) -> dict[str, str]:
    """All tables, by name of their file."""
    texts = {"tables.md": markdown(results), "table.csv": main_csv(results)}
    if lines := _differences(results):
        columns = [*results.tasks, MEAN]
        texts["differences.csv"] = differences_markdown.csv("task", columns, lines)
    return texts


def markdown(results: TaskResults) -> str:
    """Table 1's layout for the accuracy, for what it is over the control's, and for differences."""
    paper = published_accuracy(results.config)
    accuracy, over_control = [], []
    for row in results.rows:
        accuracy.append(_line(results, row, "target"))
        if row in paper:
            published = [_published(paper[row].get(task)) for task in (*results.tasks, MEAN)]
            accuracy.append([f"{row}, paper", "", *published])
        line = _line(results, row, "over_control", signed=True)
        if set(line[2:]) != {"-"}:
            over_control.append(line)
    headings = ["row", "n", *results.tasks.values(), MEAN]
    note = f"{_NOTE} Paper: Office-31, Table 1." if paper else _NOTE
    parts = [f"### {results.config}: target accuracy\n\n{note}\n\n{table(headings, accuracy)}"]
    if over_control:
        title = f"### {results.config}: target accuracy over the control\n\n{_CONTROL}\n\n"
        parts.append(title + table(headings, over_control))
    if lines := _differences(results):
        title = f"{results.config}: differences"
        parts.append(differences_markdown.markdown(title, headings[2:], lines))
    return "\n".join(parts)


def _differences(results: TaskResults) -> list[Line]:
    def column(task: str) -> OfSeeds:
        return lambda row: of_seeds(results, row, task, "target")

    return differences(results.rows, [column(task) for task in (*results.tasks, MEAN)])


def _line(results: TaskResults, row: str, name: str, *, signed: bool = False) -> list[str]:
    count = results.count(row)
    cells = (figure(results, row, task, name) for task in (*results.tasks, MEAN))
    texts = [cell_text(cell, count, signed=signed) for cell in cells]
    return [row, str(count) if count else "-", *texts]


def _published(cell: Accuracy | None) -> str:
    if cell is None:
        return "-"
    mean, deviation = cell
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def main_csv(results: TaskResults) -> str:
    """A line for each row, task and figure."""
    headings = ("row", "task", "figure", *CSV_SPREAD, "paper", "paper_deviation")
    lines: list[Sequence[object]] = [headings]
    published = published_accuracy(results.config)
    for row in results.rows:
        for task in (*results.tasks, MEAN):
            for name in FIGURES:
                paper = published.get(row, {}).get(task) if name == "target" else None
                cells = csv_cells(figure(results, row, task, name))
                lines.append((row, task, name, *cells, *map(csv_number, paper or (None, None))))
    return csv_text(lines)
