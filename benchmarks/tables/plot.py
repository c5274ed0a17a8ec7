"""The tables as plots, PNG and SVG. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tables.paper import GTA5, Cell, published
from benchmarks.tables.results import METRICS, Results, spread
from benchmarks.tables.runs import PARAMETERS
from benchmarks.tables.sensitivity import Line, sensitivity
from msl_jax.analysis.plots import save

_OURS: dict[str, Any] = {"color": "tab:blue", "marker": "o", "markersize": 6, "capsize": 3}
_SEED: dict[str, Any] = {"color": "tab:blue", "marker": ".", "linestyle": "none", "alpha": 0.5}
_PAPER: dict[str, Any] = {
    "color": "tab:orange",
    "marker": "D",
    "markerfacecolor": "none",
    "linestyle": "none",
}


def write(results: Results, output: Path) -> None:
    """Writes ``table`` and, where parameters were varied, ``sensitivity``."""
    for name, picture in pictures(results):
        save(picture, output, name)


def pictures(results: Results) -> Iterator[tuple[str, Figure]]:
    """Each plot with the name of its file."""
    yield "table", _by_task(results) if results.tasks else _by_figure(results)
    if lines := sensitivity(results):
        yield "sensitivity", _sensitivity(results, lines)


def _by_figure(results: Results) -> Figure:
    """The target's metric, and the gap closed, of each row."""
    metric, rows = results.metrics[0], results.rows
    picture, (left, right) = _panels(rows, 2, width=11)
    paper = published(results.config, metric)
    _by_row(left, results, "target", metric)
    _by_row(right, results, "gap_closed", metric)
    label = f"paper ({paper.title})"
    if paper.same:
        _of_paper(left, (paper.cell(row) for row in rows), label)
    _of_paper(right, (paper.cell(row, "gap_closed") for row in rows), label)
    for axes in (left, right):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=8)
    left.set(
        xlabel=f"target {METRICS[metric]}, %",
        title=f"{results.config}: mean ± deviation; below it the seeds",
    )
    right.axvline(0, color="0.5", linewidth=0.8)
    right.set(xlabel="gap to the oracle closed, %")
    return picture


def _by_task(results: Results) -> Figure:
    """A panel for each task."""
    metric, rows, tasks = results.metrics[0], results.rows, results.tasks
    paper, found = published(results.config, metric), {value.task for value in results.values}
    picture, panels = _panels(rows, len(tasks), width=2 + 3 * len(tasks))
    for axes, (task, heading) in zip(panels, tasks.items(), strict=True):
        if task in found:
            _by_row(axes, results, "target", metric, task)
        _of_paper(axes, (paper.cell(row, task=task) for row in rows), "paper (Table 1)")
        axes.set(title=heading, xlabel=f"target {METRICS[metric]}, %")
    if paper.cells:
        handles, labels = panels[0].get_legend_handles_labels()
        picture.legend(handles, labels, loc="outside right upper", fontsize=8)
    picture.suptitle(f"{results.config}: mean ± deviation; below it the seeds")
    return picture


def _panels(rows: Sequence[str], count: int, width: float) -> tuple[Figure, Sequence[Axes]]:
    """Panels side by side, with the rows from top to bottom."""
    picture = Figure(figsize=(width, 1.5 + 0.35 * len(rows)), layout="constrained")
    panels = picture.subplots(1, count, sharey=True, squeeze=False)[0]
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    return picture, panels


def _by_row(axes: Axes, results: Results, figure: str, metric: str, task: str = "") -> None:
    """A figure of all rows: the mean, and the seeds below it."""
    for place, row in enumerate(results.rows):
        seeds = results.of_seeds(row, figure, metric, task).values()
        cell = spread(seeds)
        if cell.mean is not None:
            values = [100 * value for value in seeds if value is not None]
            axes.errorbar(cell.mean, place, xerr=cell.deviation or 0.0, **_OURS)
            axes.plot(values, [place + 0.3] * len(values), **_SEED)
    axes.grid(axis="x", alpha=0.3)


def _of_paper(axes: Axes, cells: Iterable[Cell], label: str) -> None:
    """The paper's figures of the rows."""
    places = [(mean, place) for place, (mean, _) in enumerate(cells) if mean is not None]
    if places:
        axes.plot(*zip(*places, strict=True), label=label, **_PAPER)


def _sensitivity(results: Results, lines: Sequence[Line]) -> Figure:
    """A panel for each parameter that was varied; another experiment's scale is on the right."""
    metric = results.metrics[0]
    varied = [p for p in PARAMETERS if any(line.parameter == p for line in lines)]
    picture = Figure(figsize=(4 * len(varied), 3.5), layout="constrained")
    panels = picture.subplots(1, len(varied), sharey=True, squeeze=False)[0]
    same = published(results.config, metric) is GTA5
    papers = [axes if same else axes.twinx() for axes in panels]
    for axes, paper, parameter in zip(panels, papers, varied, strict=True):
        tried = [line for line in lines if line.parameter == parameter and line.value is not None]
        for line in tried:
            if line.target.mean is not None:
                style = {**_OURS, "marker": "s"} if line.own else _OURS
                bar = line.target.deviation or 0.0
                axes.errorbar(line.value, line.target.mean, yerr=bar, **style)
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
