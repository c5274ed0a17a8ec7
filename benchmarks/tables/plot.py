"""The tables as pictures, PNG and SVG. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tables.paper import GTA5, published, published_accuracy
from benchmarks.tables.results import METRICS, Results, Spread, figure, of_seeds, sensitivity
from benchmarks.tables.runs import PARAMETERS
from benchmarks.tables.tasks import TaskResults
from msl_jax.analysis.saving import save

_OURS: dict[str, Any] = {"color": "tab:blue", "marker": "o", "markersize": 6, "capsize": 3}
_SEED: dict[str, Any] = {"color": "tab:blue", "marker": ".", "linestyle": "none", "alpha": 0.5}
_PAPER: dict[str, Any] = {
    "color": "tab:orange",
    "marker": "D",
    "markerfacecolor": "none",
    "linestyle": "none",
}


def write(results: Results | TaskResults, output: Path) -> None:
    """Writes ``table`` and, where parameters were varied, ``sensitivity``."""
    for name, picture in pictures(results):
        save(picture, output, name)


def pictures(results: Results | TaskResults) -> Iterator[tuple[str, Figure]]:
    """Each picture with the name of its file."""
    if isinstance(results, TaskResults):
        yield "table", _tasks(results)
        return
    rows = results.rows
    picture = Figure(figsize=(11, 1.5 + 0.35 * len(rows)), layout="constrained")
    left, right = picture.subplots(1, 2, sharey=True)
    name = METRICS[results.metrics[0]]
    paper = published(results.config, results.metrics[0])
    _by_row(left, results, rows, "target")
    _by_row(right, results, rows, "gap_closed")
    label = f"paper ({paper.title})"
    if paper.same:
        _of_paper(left, [paper.miou.get(row) for row in rows], label)
    _of_paper(right, [paper.gap_closed(row) for row in rows], label)
    left.set_yticks(range(len(rows)), rows)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set(
        xlabel=f"target {name}, %", title=f"{results.config}: mean ± deviation; below it the seeds"
    )
    right.axvline(0, color="0.5", linewidth=0.8)
    right.set(xlabel="gap to the oracle closed, %")
    yield "table", picture
    if sensitivity(results, results.metrics[0]):
        yield "sensitivity", _sensitivity(results)


def _by_row(axes: Axes, results: Results, rows: list[str], column: str) -> None:
    metric = results.metrics[0]
    for place, row in enumerate(rows):
        cell = figure(results, row, column, metric)
        if cell is not None:
            axes.errorbar(cell.mean, place, xerr=_bar(cell), **_OURS)
            seeds = of_seeds(results, row, column, metric).values()
            values = [100 * value for value in seeds if value is not None]
            axes.plot(values, [place + 0.3] * len(values), **_SEED)
    axes.grid(axis="x", alpha=0.3)


def _of_paper(axes: Axes, values: Sequence[float | None], label: str) -> None:
    """The paper's figures of the rows, from above to below."""
    places = [(value, place) for place, value in enumerate(values) if value is not None]
    if places:
        axes.plot(*zip(*places, strict=True), label=label, **_PAPER)
        axes.legend(fontsize=8)


def _tasks(results: TaskResults) -> Figure:
    """A panel for each task."""
    rows, paper = results.rows, published_accuracy(results.config)
    size = (2 + 3 * len(results.tasks), 1.5 + 0.35 * len(rows))
    picture = Figure(figsize=size, layout="constrained")
    panels = picture.subplots(1, len(results.tasks), sharey=True, squeeze=False)[0]
    for axes, (task, heading) in zip(panels, results.tasks.items(), strict=True):
        if task in results.found:
            _by_row(axes, results.found[task], rows, "target")
        places = [(paper[row][task][0], rows.index(row)) for row in rows if row in paper]
        if places:
            axes.plot(*zip(*places, strict=True), label="paper (Table 1)", **_PAPER)
        axes.set(title=heading, xlabel="target accuracy, %")
    if paper:
        handles, labels = panels[0].get_legend_handles_labels()
        picture.legend(handles, labels, loc="outside right upper", fontsize=8)
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    picture.suptitle(f"{results.config}: mean ± deviation; below it the seeds")
    return picture


def _sensitivity(results: Results) -> Figure:
    """A panel for each parameter that was varied; another experiment's scale is on the right."""
    metric = results.metrics[0]
    lines = sensitivity(results, metric)
    varied = [p for p in PARAMETERS if any(line.parameter == p for line in lines)]
    picture = Figure(figsize=(4 * len(varied), 3.5), layout="constrained")
    panels = picture.subplots(1, len(varied), sharey=True, squeeze=False)[0]
    same = published(results.config, metric) is GTA5
    papers = [axes if same else axes.twinx() for axes in panels]
    for axes, paper, parameter in zip(panels, papers, varied, strict=True):
        tried = [line for line in lines if line.parameter == parameter and line.value is not None]
        for line in tried:
            if line.target is not None:
                style = {**_OURS, "marker": "s"} if line.own else _OURS
                axes.errorbar(line.value, line.target.mean, yerr=_bar(line.target), **style)
            if line.published is not None:
                paper.plot(line.value, line.published, **_PAPER, label="paper")
        if parameter.relative_to is not None:
            axes.set_xscale("log")
        values = [line.value for line in tried]
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.set(xlabel=f"{parameter.symbol} ({parameter.row}; square: its own)")
        axes.grid(alpha=0.3)
    panels[0].set(ylabel=f"target {METRICS[metric]}, %")
    if same:
        handles, labels = panels[0].get_legend_handles_labels()
        panels[0].legend(handles[-1:], labels[-1:], fontsize=8)
    else:
        told = [line.published for line in lines if line.published is not None] or [0]
        for paper in papers:
            paper.set_ylim(min(told) - 0.5, max(told) + 0.5)
            paper.tick_params(labelright=paper is papers[-1], right=paper is papers[-1])
        title = f"paper ({GTA5.title.partition(',')[0]}), %"
        papers[-1].set_ylabel(title, color=_PAPER["color"])
    return picture


def _bar(cell: Spread) -> float:
    return cell.deviation or 0.0
