"""Tables of results for the console."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from msl_jax.runs.metrics import NOT_MEASURED, selection_metric
from msl_jax.runtime.text import one_line

_ROWS = {
    "miou": "mIoU",
    "miou_13": "mIoU* (13 classes)",
    "pixel_accuracy": "pixel accuracy",
    "accuracy": "accuracy",
}


def _percent(value: float | None, missing: str = "-") -> str:
    return missing if value is None else f"{100 * value:.1f}"


def _change(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"{100 * (after - before):+.1f}"


def results_table(results: dict[str, Any]) -> Table:
    """Metrics in percent: source-only compared with the final network, on each domain.

    A domain without labels has no columns.
    """
    final, before = results["final"], results.get("source_only")
    domains = [domain for domain in ("target", "source") if final[domain] is not None]
    measured = final[domains[0]] if domains else {"iou": {}, "miou": None, "pixel_accuracy": None}
    what = "IoU" if "iou" in measured else "accuracy"
    title = f"{results['config']}:{results['variant']}, seed {results['seed']}: {what} in %"
    table = Table(title=Text(one_line(title)), box=box.SIMPLE_HEAD)
    table.add_column("class", overflow="fold")
    for domain in domains:
        headings = ("source-only", "final", "change") if before else ("final",)
        for place, heading in enumerate(headings):
            first = domain if place == 0 else ""
            table.add_column(f"{first}\n{heading}", justify="right", no_wrap=True)

    def add(name: str, pick: Any, missing: str = "-") -> None:
        cells = []
        for domain in domains:
            after = pick(final[domain])
            if before:
                old = pick(before[domain])
                cells += [_percent(old, missing), _percent(after, missing), _change(old, after)]
            else:
                cells.append(_percent(after, missing))
        # As text: square brackets in a name are not markup.
        table.add_row(Text(one_line(name)), *cells)

    for name in measured.get("iou", ()):
        add(name, lambda m, name=name: m["iou"].get(name))
    table.add_section()
    for key, name in _ROWS.items():
        if key in measured:
            add(name, lambda m, key=key: m.get(key), NOT_MEASURED)
    return table


def print_results(results: dict[str, Any], console: Console | None = None) -> None:
    """Prints the table, what its means leave out, and which checkpoint was best on the target."""
    console = console or Console()
    if not any(results["final"].get(domain) for domain in ("target", "source")):
        console.print(f"{NOT_MEASURED}: there are no labels", highlight=False)
        return
    console.print(results_table(results))
    for domain in ("target", "source"):
        of_classes = (results["final"][domain] or {}).get("iou", {})
        if absent := [name for name, value in of_classes.items() if value is None]:
            text = f"{domain}: {NOT_MEASURED} (in no label, never predicted): {', '.join(absent)}"
            console.print(one_line(text), highlight=False, markup=False)
    best = results.get("best")
    if best:
        found = selection_metric(best["target"])
        text = f"Best target {found.title} {found.percent} at step {best['step']}"
        text += " (chosen on target labels: not for conclusions)."
        console.print(one_line(text), highlight=False, markup=False)
