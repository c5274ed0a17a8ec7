"""The tables of segmentation as Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.tables import differences_markdown
from benchmarks.tables.differences import Line, OfSeeds, differences
from benchmarks.tables.format import (
    CSV_SPREAD,
    cell_text,
    csv_cells,
    csv_number,
    csv_text,
    number,
    table,
)
from benchmarks.tables.paper import GTA5, published
from benchmarks.tables.results import (
    FIGURES,
    METRICS,
    Results,
    class_iou,
    classes,
    figure,
    of_seeds,
    sensitivity,
)

_NOTE = (
    "In percent, after the last step: mean over n seeds ± standard deviation (n - 1) [smallest,"
    " largest]. Changes and gap closed, (adapted - source-only) / (oracle - source-only), are of"
    " each seed, then averaged; Multi rows count from their own source-only network of two heads,"
    " and from its control."
    " † the checkpoint that was best on target labels: not for conclusions. The paper's are"
    " chosen so, and its oracle is AdaptSegNet's."
)
_TWO_HEADS_NOTE = (
    "Multi rows begin from a source-only network of their own, of two heads, as does their control,"
    " target_statistics_multi."
)


def files(results: Results) -> dict[str, str]:
    """All tables, by name of their file."""
    texts = {
        "tables.md": markdown(results),
        "table.csv": main_csv(results),
        "classes.csv": class_csv(results),
    }
    if lines := _differences(results):
        texts["differences.csv"] = differences_markdown.csv("metric", results.metrics, lines)
    if sensitivity(results, results.metrics[0]):
        texts["sensitivity.csv"] = sensitivity_csv(results)
    return texts


def markdown(results: Results) -> str:
    """All tables, each with a heading of the third level."""
    parts = [_main(results, metric) for metric in results.metrics]
    if lines := _differences(results):
        title, headings = f"{results.config}: differences", [METRICS[m] for m in results.metrics]
        parts.append(differences_markdown.markdown(title, headings, lines, _TWO_HEADS_NOTE))
    if classes(results):
        parts.append(_by_class(results))
    if sensitivity(results, results.metrics[0]):
        parts.append(_sensitivity(results))
    return "\n".join(parts)


def _main(results: Results, metric: str) -> str:
    paper, name = published(results.config, metric), METRICS[metric]
    headings = ["row", "n", f"target {name}", "best †", "over source-only"]
    headings += ["over the control", "gap closed", f"source {name}", "paper", "paper: gap closed"]
    lines = []
    for row in results.rows:
        cells = {column: figure(results, row, column, metric) for column in FIGURES}
        count = len(results.runs.get(row, {}))
        lines.append(
            [
                row,
                str(count) if count else "-",
                cell_text(cells["target"], count, extremes=True),
                cell_text(cells["best"], count),
                cell_text(cells["over_source_only"], count, signed=True),
                cell_text(cells["over_control"], count, signed=True),
                cell_text(cells["gap_closed"], count),
                cell_text(cells["source"], count),
                number(paper.miou.get(row)),
                number(paper.gap_closed(row)),
            ]
        )
    title = f"### {results.config}: {name}\n\n{_NOTE} Paper: {paper.title}.\n\n"
    return title + table(headings, lines)


def _differences(results: Results) -> list[Line]:
    def column(metric: str) -> OfSeeds:
        return lambda row: of_seeds(results, row, "target", metric)

    return differences(results.rows, [column(metric) for metric in results.metrics])


def _by_class(results: Results) -> str:
    rows = [row for row in results.rows if results.runs.get(row)]
    lines = [["n", *(str(len(results.runs[row])) for row in rows)]]
    for name in classes(results):
        cells = (class_iou(results, row, name) for row in rows)
        lines.append([name, *(number(cell and cell.mean) for cell in cells)])
    cells = (figure(results, row, "target", "miou") for row in rows)
    lines.append(["**mIoU**", *(number(cell and cell.mean) for cell in cells)])
    title = f"### {results.config}: target IoU by class\n\nMean over n seeds, in percent.\n\n"
    return title + table(["class", *rows], lines)


def _sensitivity(results: Results) -> str:
    metric = results.metrics[0]
    lines = []
    for line in sensitivity(results, metric):
        value = "" if line.value is None else f"{line.value:g}"
        cells = [line.parameter.symbol, line.parameter.row]
        cells.append(f"{value} (own)".strip() if line.own else value)
        count = line.target.n if line.target else 0
        cells += [str(count) if count else "-", cell_text(line.target, count, extremes=True)]
        lines.append([*cells, number(line.published)])
    title = f"### {results.config}: sensitivity\n\n"
    title += (
        "As above; measured on target labels, so it chooses nothing. The paper's lambda_T stands"
    )
    title += " at the same multiple of the row's own value, which has the same seeds as the others."
    title += f" Paper: {GTA5.title.partition(',')[0]}, Table 5.\n\n"
    headings = ["parameter", "row", "value", "n", f"target {METRICS[metric]}", "paper"]
    return title + table(headings, lines)


def main_csv(results: Results) -> str:
    """A line for each metric, row and figure."""
    lines: list[Sequence[object]] = [("metric", "row", "figure", *CSV_SPREAD, "paper")]
    for metric in results.metrics:
        paper = published(results.config, metric)
        for row in results.rows:
            for name in FIGURES:
                known = {"target": paper.miou.get(row), "gap_closed": paper.gap_closed(row)}
                cells = csv_cells(figure(results, row, name, metric))
                lines.append((metric, row, name, *cells, csv_number(known.get(name))))
    return csv_text(lines)


def class_csv(results: Results) -> str:
    """A line for each row and class: IoU on the target."""
    lines: list[Sequence[object]] = [("row", "class", *CSV_SPREAD)]
    for row in results.rows:
        for name in classes(results):
            lines.append((row, name, *csv_cells(class_iou(results, row, name))))
    return csv_text(lines)


def sensitivity_csv(results: Results) -> str:
    """A line for each value of each parameter."""
    lines: list[Sequence[object]] = [("parameter", "row", "value", "own", *CSV_SPREAD, "paper")]
    for line in sensitivity(results, results.metrics[0]):
        value = "" if line.value is None else f"{line.value:g}"
        start = (line.parameter.key, line.parameter.row, value, "yes" if line.own else "no")
        lines.append((*start, *csv_cells(line.target), csv_number(line.published)))
    return csv_text(lines)
