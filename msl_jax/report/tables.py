"""The tables of a report: shares before and after adaptation, and the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from msl_jax.report.html import element
from msl_jax.report.settings import Setting

Color = tuple[int, int, int]


def percent(value: float | None, missing: str = "-") -> str:
    """A share in percent; `missing` where there is none.

    >>> percent(0.48132), percent(None)
    ('48.1', '-')
    """
    return missing if value is None else f"{100 * value:.1f}"


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


class Row(NamedTuple):
    """A row of a table of shares.

    Attributes:
        name: of the row.
        values: in [0, 1], one for each network; None where there is none.
        best: value of the best network.
        color: of the class, None for other rows.
        images: number of images, None in tables without counts.
        missing: shown where there is no value.
    """

    name: str
    values: Sequence[float | None]
    best: float | None = None
    color: Color | None = None
    images: int | None = None
    missing: str = "-"


def comparison_table(
    caption: str,
    head: str,
    networks: Sequence[str],
    rows: Sequence[Row],
    foot: Sequence[Row] = (),
    best: str | None = None,
    *,
    judged: bool = True,
) -> Element:
    """Shares in percent, with bars: of one network, or of two with the change.

    Args:
        caption: of the table.
        head: of the first column.
        networks: headings of the columns of values, one or two.
        rows: each with a value for each network; all of them with counts, or none.
        foot: rows of means.
        best: heading of the column of the best network, None where there is none.
        judged: whether more is better; changes are then coloured.

    Returns:
        An element ``table``.
    """
    counted = any(row.images is not None for row in (*rows, *foot))
    headings = [head, *(["images"] if counted else []), *networks]
    headings += ["change"] if len(networks) == 2 else []
    headings += [best] if best else []

    def cells(row: Row) -> Element:
        name = element("span", row.name, class_="name")
        mark = swatch(row.color) if any(r.color for r in rows) else None
        content = [element("th", element("div", mark, name, _bars(row.values)), scope="row")]
        if counted:
            content.append(element("td", "" if row.images is None else f"{row.images:,}"))
        content += [element("td", percent(value, row.missing)) for value in row.values]
        if len(row.values) == 2:
            content.append(_change_cell(*row.values, judged=judged))
        if best:
            content.append(element("td", percent(row.best, row.missing), class_="best"))
        return element("tr", *content)

    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *(element("th", h, scope="col") for h in headings))),
        element("tbody", *map(cells, rows)),
        element("tfoot", *map(cells, foot)) if foot else None,
        class_="shares",
    )


def _change_cell(before: float | None, after: float | None, *, judged: bool) -> Element:
    text = change(before, after)
    kind = "" if text[1:] == "0.0" or not judged else {"+": "up", "-": "down"}.get(text[:1], "")
    return element("td", text, class_=kind)


def _bars(values: Sequence[float | None]) -> Element:
    """Bars of 0 to 100 %, before and after or one alone; hidden from screen readers."""
    kinds = ("before", "after")[-len(values) :]
    bars = [
        element("i", class_=kind, style=f"width:{100 * (value or 0):.1f}%")
        for kind, value in zip(kinds, values, strict=True)
    ]
    return element("span", *bars, class_="bars", aria_hidden="true")


def settings_table(group: str, found: Sequence[Setting]) -> Element:
    """Keys and values of a group; those that differ from the default are bold, next to it."""
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
