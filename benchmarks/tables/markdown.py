"""The tables as Markdown and CSV: Table 4 of segmentation, Table 1 of classification."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from benchmarks.tables import differences, sensitivity
from benchmarks.tables.format import cell_text, csv_text, number, table
from benchmarks.tables.paper import WIDER_ROWS, published
from benchmarks.tables.results import FIGURES, METRICS, Results, Spread

_NOTE = (
    "In percent, after the last step: mean over n seeds ± standard deviation (n - 1) [smallest,"
    " largest]. Changes and gap closed, (adapted - source-only) / (oracle - source-only), are of"
    " each seed, then averaged; Multi rows count from their own source-only network of two heads,"
    " and from its control, which has to have made as many steps."
    " † the checkpoint that was best on target labels: not for conclusions. The paper's are"
    " chosen so, and its oracle is AdaptSegNet's."
)
_TASKS_NOTE = (
    "In percent, after the last step: mean over n seeds ± standard deviation (n - 1). The column"
    " mean is over the tasks for each seed that all of them have, then over these seeds."
)
_CONTROL_NOTE = (
    "As above, the difference to target_statistics of each seed. This control makes the same steps"
    " from the same network without a target loss."
)


def files(results: Results) -> dict[str, str]:
    """All tables, by name of their file."""
    if results.tasks:
        parts, texts = _by_task(results), {"table.csv": _tasks_csv(results)}
    else:
        parts = [_by_figure(results, metric) for metric in results.metrics]
        texts = {"table.csv": _figures_csv(results), "classes.csv": _classes_csv(results)}
    if differences.differences(results):
        parts.append(differences.markdown(results))
        texts["differences.csv"] = differences.csv(results)
    if results.classes:
        parts.append(_by_class(results))
    if sensitivity.sensitivity(results):
        parts.append(sensitivity.markdown(results))
        texts["sensitivity.csv"] = sensitivity.csv(results)
    return {"tables.md": "\n".join(parts), **texts}


def _by_figure(results: Results, metric: str) -> str:
    """Table 4's layout."""
    paper, name = published(results.config, metric), METRICS[metric]
    headings = ["row", "n", f"target {name}", "best †", "over source-only"]
    headings += ["over the control", "gap closed", f"source {name}", "paper", "paper: gap closed"]
    columns = [("", figure, metric) for figure in FIGURES]
    # Those of the paper's table that have not been run come last.
    rows = [*results.rows, *(row for row in paper.cells if paper.same and row not in results.rows)]
    lines = [
        [
            *_line(results, row, columns, extremes=True),
            *(number(paper.cell(row, figure)[0]) for figure in ("target", "gap_closed")),
        ]
        for row in rows
    ]
    alone = ", ".join(f"{system} {miou}" for system, miou in paper.alone.items())
    beside = f" In its table alone: {alone}." if alone else ""
    if wider := " and ".join(row for row in WIDER_ROWS if row in paper.cells and row in rows):
        beside += f" Of a wider ResNet-38: its {wider}."
    title = f"### {results.config}: {name}\n\n{_NOTE} Paper: {paper.title}.{beside}\n\n"
    return title + table(headings, lines)


def _by_task(results: Results) -> list[str]:
    """Table 1's layout, for the metric and for what it is over the control's."""
    metric = results.metrics[0]
    paper = published(results.config, metric)
    target, over_control = [], []
    for row in results.rows:
        ours, over = (
            _line(results, row, [(task, figure, metric) for task, _ in results.columns])
            for figure in ("target", "over_control")
        )
        target.append(ours)
        if row in paper.cells:
            cells = (number(*paper.cell(row, task=task)) for task, _ in results.columns)
            target.append([f"{row}, paper", "", *cells])
        if set(over[2:]) != {"-"}:
            over_control.append(over)
    headings = ["row", "n", *results.columns.values()]
    title = f"### {results.config}: target {METRICS[metric]}"
    note = f"{_TASKS_NOTE} Paper: {paper.title}." if paper.title else _TASKS_NOTE
    parts = [f"{title}\n\n{note}\n\n{table(headings, target)}"]
    if over_control:
        text = table(headings, over_control)
        parts.append(f"{title} over the control\n\n{_CONTROL_NOTE}\n\n{text}")
    return parts


def _line(
    results: Results, row: str, columns: Sequence[tuple[str, str, str]], *, extremes: bool = False
) -> list[str]:
    """Name, number of seeds and cells of a row.

    Args:
        results: of all rows.
        row: its name.
        columns: task, figure and metric of each.
        extremes: whether the target's figures come with their smallest and largest value.
    """
    count = results.count(row)
    cells = (
        cell_text(
            results.cell(row, figure, metric, task),
            count,
            sign="+" if figure.startswith("over_") else "",
            extremes=extremes and figure == "target",
        )
        for task, figure, metric in columns
    )
    return [row, str(count or "-"), *cells]


def _by_class(results: Results) -> str:
    rows = [row for row in results.rows if results.count(row)]
    lines = [["n", *(str(results.count(row)) for row in rows)]]
    for name, metric in {**results.classes, "**mIoU**": "miou"}.items():
        lines.append([name, *(number(results.cell(row, "target", metric).mean) for row in rows)])
    title = f"### {results.config}: target IoU by class\n\nMean over n seeds, in percent.\n\n"
    return title + table(["class", *rows], lines)


def _figures_csv(results: Results) -> str:
    lines = (
        (
            *(metric, row, figure, *results.cell(row, figure, metric)),
            published(results.config, metric).cell(row, figure)[0],
        )
        for metric, row, figure in product(results.metrics, results.rows, FIGURES)
    )
    return csv_text(("metric", "row", "figure", *Spread._fields, "paper"), lines)


def _tasks_csv(results: Results) -> str:
    lines = (
        (
            *(row, task, figure, *results.cell(row, figure, metric, task)),
            *published(results.config, metric).cell(row, figure, task),
        )
        for row, (task, metric), figure in product(results.rows, results.columns, FIGURES)
    )
    headings = ("row", "task", "figure", *Spread._fields, "paper", "paper_deviation")
    return csv_text(headings, lines)


def _classes_csv(results: Results) -> str:
    lines = (
        (row, name, *results.cell(row, "target", metric))
        for row, (name, metric) in product(results.rows, results.classes.items())
    )
    return csv_text(("row", "class", *Spread._fields), lines)
