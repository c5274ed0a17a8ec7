"""Tables of results for the console."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from msl_jax.runs.metrics import deciding

_ROWS = {
    "miou": "mIoU",
    "miou_13": "mIoU* (13 classes)",
    "pixel_accuracy": "pixel accuracy",
    "accuracy": "accuracy",
}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _change(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"{100 * (after - before):+.1f}"


def results_table(results: dict[str, Any]) -> Table:
    """Metrics in percent: source-only beside the final network, on each domain.

    A domain without labels has no columns.
    """
    final, before = results["final"], results.get("source_only")
    domains = [domain for domain in ("target", "source") if final[domain] is not None]
    measured = final[domains[0]] if domains else {"iou": {}, "miou": None, "pixel_accuracy": None}
    what = "IoU" if "iou" in measured else "accuracy"
    title = f"{results['config']}:{results['variant']}, seed {results['seed']}: {what} in %"
    table = Table(title=title, box=box.SIMPLE_HEAD)
    table.add_column("class", no_wrap=True)
    for domain in domains:
        headings = ("source-only", "final", "change") if before else ("final",)
        for place, heading in enumerate(headings):
            first = domain if place == 0 else ""
            table.add_column(f"{first}\n{heading}", justify="right", no_wrap=True)

    def add(name: str, pick: Any) -> None:
        cells = []
        for domain in domains:
            after = pick(final[domain])
            if before:
                old = pick(before[domain])
                cells += [_percent(old), _percent(after), _change(old, after)]
            else:
                cells.append(_percent(after))
        table.add_row(name, *cells)

    for name in measured.get("iou", ()):
        add(name, lambda m, name=name: m["iou"][name])
    table.add_section()
    for key, name in _ROWS.items():
        if key in measured:
            add(name, lambda m, key=key: m.get(key))
    return table


def print_results(results: dict[str, Any], console: Console | None = None) -> None:
    """Prints the table and, where it is known, which checkpoint was best on target labels."""
    console = console or Console()
    console.print(results_table(results))
    best = results.get("best")
    if best:
        found = deciding(best["target"])
        console.print(
            f"Best target {found.title} {_percent(found.value)} at step {best['step']}"
            " (chosen on target labels: not for conclusions).",
            highlight=False,
        )
