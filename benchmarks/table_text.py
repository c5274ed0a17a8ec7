"""The tables as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from benchmarks.table_paper import GTA5, published
from benchmarks.table_results import (
    FIGURES,
    METRICS,
    Results,
    Spread,
    class_iou,
    classes,
    figure,
    sensitivity,
)

_NOTE = (
    "In percent, after the last step: mean over n seeds ± standard deviation (n - 1) [smallest,"
    " largest]. Changes and gap closed, (adapted - source-only) / (oracle - source-only), are of"
    " each seed, then averaged; Multi rows count from their own source-only network of two heads."
    " † the checkpoint that was best on target labels: not for conclusions. The paper's are"
    " chosen so, and its oracle is AdaptSegNet's."
)
_SPREAD = ("n", "mean", "deviation", "low", "high")


def markdown(results: Results) -> str:
    """All tables, each with a heading of the third level."""
    parts = [_main(results, metric) for metric in results.metrics]
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
                _cell(cells["target"], count, extremes=True),
                _cell(cells["best"], count),
                _cell(cells["over_source_only"], count, signed=True),
                _cell(cells["over_control"], count, signed=True),
                _cell(cells["gap_closed"], count),
                _cell(cells["source"], count),
                _number(paper.miou.get(row)),
                _number(paper.gap_closed(row)),
            ]
        )
    title = f"### {results.config}: {name}\n\n{_NOTE} Paper: {paper.title}.\n\n"
    return title + _table(headings, lines)


def _by_class(results: Results) -> str:
    rows = [row for row in results.rows if results.runs.get(row)]
    lines = [["n", *(str(len(results.runs[row])) for row in rows)]]
    for name in classes(results):
        cells = (class_iou(results, row, name) for row in rows)
        lines.append([name, *(_number(cell and cell.mean) for cell in cells)])
    cells = (figure(results, row, "target", "miou") for row in rows)
    lines.append(["**mIoU**", *(_number(cell and cell.mean) for cell in cells)])
    title = f"### {results.config}: target IoU by class\n\nMean over n seeds, in percent.\n\n"
    return title + _table(["class", *rows], lines)


def _sensitivity(results: Results) -> str:
    metric = results.metrics[0]
    lines = []
    for line in sensitivity(results, metric):
        value = "" if line.value is None else f"{line.value:g}"
        cells = [line.parameter.symbol, line.parameter.row]
        cells.append(f"{value} (own)".strip() if line.own else value)
        count = line.target.n if line.target else 0
        cells += [str(count) if count else "-", _cell(line.target, count, extremes=True)]
        lines.append([*cells, _number(line.published)])
    title = f"### {results.config}: sensitivity\n\n"
    title += (
        "As above; measured on target labels, so it chooses nothing. The paper's lambda_T stands"
    )
    title += " at the same multiple of the row's own."
    title += f" Paper: {GTA5.title.partition(',')[0]}, Table 5.\n\n"
    headings = ["parameter", "row", "value", "n", f"target {METRICS[metric]}", "paper"]
    return title + _table(headings, lines)


def _table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [headings, ["---"] * len(headings), *lines]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _cell(cell: Spread | None, count: int, *, signed: bool = False, extremes: bool = False) -> str:
    """A figure; it says of how many seeds it is where these are not `count`."""
    if cell is None:
        return "-"
    text = f"{cell.mean:+.1f}" if signed else f"{cell.mean:.1f}"
    if cell.deviation is not None:
        text += f" ± {cell.deviation:.1f}"
        text += f" [{cell.low:.1f}, {cell.high:.1f}]" if extremes else ""
    return text if cell.n == count else f"{text} (n={cell.n})"


def main_csv(results: Results) -> str:
    """A line for each metric, row and figure."""
    lines: list[Sequence[object]] = [("metric", "row", "figure", *_SPREAD, "paper")]
    for metric in results.metrics:
        paper = published(results.config, metric)
        for row in results.rows:
            for name in FIGURES:
                known = {"target": paper.miou.get(row), "gap_closed": paper.gap_closed(row)}
                cells = _numbers(figure(results, row, name, metric))
                lines.append((metric, row, name, *cells, _exact(known.get(name))))
    return _csv(lines)


def class_csv(results: Results) -> str:
    """A line for each row and class: IoU on the target."""
    lines: list[Sequence[object]] = [("row", "class", *_SPREAD)]
    for row in results.rows:
        for name in classes(results):
            lines.append((row, name, *_numbers(class_iou(results, row, name))))
    return _csv(lines)


def sensitivity_csv(results: Results) -> str:
    """A line for each value of each parameter."""
    lines: list[Sequence[object]] = [("parameter", "row", "value", "own", *_SPREAD, "paper")]
    for line in sensitivity(results, results.metrics[0]):
        value = "" if line.value is None else f"{line.value:g}"
        start = (line.parameter.key, line.parameter.row, value, "yes" if line.own else "no")
        lines.append((*start, *_numbers(line.target), _exact(line.published)))
    return _csv(lines)


def _csv(lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _numbers(cell: Spread | None) -> list[str]:
    if cell is None:
        return ["0", "", "", "", ""]
    return [str(cell.n), *map(_exact, cell[1:])]


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
