"""The tables of a report: IoU by class, and the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from msl_jax.evaluation.report.elements import element
from msl_jax.evaluation.report.results import Results
from msl_jax.evaluation.report.settings import Setting

Color = tuple[int, int, int]


def percent(value: float | None) -> str:
    """A share in percent; a dash where there is none.

    >>> percent(0.48132), percent(None)
    ('48.1', '-')
    """
    return "-" if value is None else f"{100 * value:.1f}"


def change(before: float | None, after: float | None) -> str:
    """The change in points, with its sign.

    >>> change(0.5, 0.462), change(None, 0.1)
    ('-3.8', '')
    """
    if before is None or after is None:
        return ""
    return f"{round(100 * (after - before), 1) + 0:+.1f}"  # never -0.0


def swatch(color: Color | None) -> Element:
    """A small square in a class's colour."""
    style = "background:rgb({},{},{})".format(*color) if color else "visibility:hidden"
    return element("span", class_="swatch", style=style)


def iou_table(results: Results, domain: str, colors: Mapping[str, Color]) -> Element | None:
    """IoU of each class in percent: source-only, the final network, the change, the best network.

    Args:
        results: of the run.
        domain: "target" or "source".
        colors: of the classes by name; those that are missing are shown without.

    Returns:
        An element ``table``; None where nothing has been measured on the domain.
    """
    columns = [m for m in (results.before, results.after) if m and m.metrics.get(domain)]
    best = results.best if results.best and results.best.metrics.get(domain) else None
    if not columns:
        return None

    def row(name: str, pick: Callable[[Any], float | None], color: Color | None = None) -> Element:
        values = [pick(measured.metrics[domain]) for measured in columns]
        head = element("div", swatch(color), element("span", name, class_="name"), _bars(values))
        cells = [element("td", percent(value)) for value in values]
        if len(values) == 2:
            cells.append(_change_cell(*values))
        if best:
            cells.append(element("td", percent(pick(best.metrics[domain])), class_="best"))
        return element("tr", element("th", head, scope="row"), *cells)

    headings = ["class", *(measured.title for measured in columns)]
    headings += ["change"] if len(columns) == 2 else []
    headings += [f"{best.title}*"] if best else []
    measured = columns[-1].metrics[domain]
    means = [row("mIoU", lambda m: m["miou"])]
    if "miou_13" in measured:
        means.append(row("mIoU* (13 classes)", lambda m: m.get("miou_13")))
    means.append(row("pixel accuracy", lambda m: m["pixel_accuracy"]))
    return element(
        "table",
        element("caption", f"{domain}: IoU in %"),
        element("thead", element("tr", *(element("th", h, scope="col") for h in headings))),
        element(
            "tbody",
            *(
                row(name, lambda m, name=name: m["iou"].get(name), colors.get(name))  # type: ignore[misc]
                for name in measured["iou"]
            ),
        ),
        element("tfoot", *means),
        class_="iou",
    )


def _change_cell(before: float | None, after: float | None) -> Element:
    text = change(before, after)
    kind = "" if text[1:] == "0.0" else {"+": "up", "-": "down"}.get(text[:1], "")
    return element("td", text, class_=kind)


def _bars(values: Sequence[float | None]) -> Element:
    """Bars of 0 to 100 %, before and after or one alone; the numbers stand beside them."""
    kinds = ("before", "after")[-len(values) :]
    bars = [
        element("i", class_=kind, style=f"width:{100 * (value or 0):.1f}%")
        for kind, value in zip(kinds, values, strict=True)
    ]
    return element("span", *bars, class_="bars", aria_hidden="true")


def settings_table(group: str, found: Sequence[Setting]) -> Element:
    """Keys and values of a group; what differs from the defaults is marked and shown with them."""
    rows = []
    for setting in found:
        value = element("td", element("b" if setting.changed else "span", setting.value))
        default = (setting.default or "none") if setting.changed else ""
        name = element("th", element("code", setting.key), scope="row")
        rows.append(element("tr", name, value, element("td", default)))
    headings = (element("th", text, scope="col") for text in ("key", "value", "default"))
    return element(
        "table",
        element("caption", group),
        element("thead", element("tr", *headings)),
        element("tbody", *rows),
        class_="settings",
    )
