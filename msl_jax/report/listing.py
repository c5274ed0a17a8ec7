"""The list of images that can be filtered by class; ``filter.js`` makes the filter work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote
from xml.etree.ElementTree import Element

from msl_jax.data.labels import LabelSet
from msl_jax.report.html import element
from msl_jax.report.tables import Color, swatch


class Place(NamedTuple):
    """An image in the list of one class.

    Attributes:
        weight: images with a larger weight come first.
        note: shown with the image in that list.
    """

    weight: float
    note: str


class Item(NamedTuple):
    """An image of the list.

    Attributes:
        key: its name.
        classes: its place in the list of each class that it shows, by train id.
        content: what is shown below its name.
    """

    key: str
    classes: Mapping[int, Place]
    content: Sequence[Element]


def listing(
    items: Sequence[Item],
    label_set: LabelSet,
    order: str,
    *,
    legend: bool,
    kind: str,
) -> list[Element]:
    """The filter and the list.

    Args:
        items: in the order in which all of them are shown.
        label_set: classes and their colours.
        order: of the images of one class, in words.
        legend: whether to show the colours of the classes.
        kind: class of the list in the style sheet.
    """
    counts = [
        sum(index in item.classes for item in items) for index in range(label_set.num_classes)
    ]
    links = [_link("", f"all classes ({len(items)})", None)]
    for label, count in zip(label_set.classes, counts, strict=True):
        links.append(_link(label.name, f"{label.name} ({count})", label.color if legend else None))
    ignored = element("span", swatch((0, 0, 0)), "ignored", class_="ignored")
    choice = element(
        "nav", *links, ignored if legend else None, id="filter", aria_label="Filter by class"
    )
    status = element("p", f"{len(items)} images", id="shown", role="status")
    large = element("label", element("input", type="checkbox", id="large"), " large pictures")
    rows = (_row(item, label_set) for item in items)
    listed = element("ol", *rows, id="images", class_=kind, data_order=order)
    return [choice, element("div", status, large, class_="bar"), listed]


def _link(name: str, text: str, color: Color | None) -> Element:
    mark = swatch(color) if color else None
    return element("a", mark, text, href=f"#class={quote(name, safe='')}", data_class=name)


def _row(item: Item, label_set: LabelSet) -> Element:
    classes = {
        label_set.names[index]: [round(place.weight, 6), place.note]
        for index, place in item.classes.items()
    }
    return element(
        "li",
        element("h3", item.key),
        element("p", class_="note", hidden=""),
        *item.content,
        data_classes=json.dumps(classes, ensure_ascii=False),
    )
