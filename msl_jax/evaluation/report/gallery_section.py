"""The gallery as HTML, with the palette as legend and filter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote
from xml.etree.ElementTree import Element

from msl_jax.data.labels import LabelSet
from msl_jax.evaluation.report.elements import data_uri, element
from msl_jax.evaluation.report.gallery import ClassShare, GalleryImage
from msl_jax.evaluation.report.tables import change, percent, swatch

_ALT = {
    "image": "photo {}",
    "label": "label map of {}",
    "confidence": "confidence in {}: white where the network is sure of its class",
}


def gallery_images(images: Sequence[GalleryImage], label_set: LabelSet) -> list[Element]:
    """The filter and the list of images; ``filter.js`` makes the filter work."""
    counts = [
        sum(index in image.classes for image in images) for index in range(label_set.num_classes)
    ]
    links = [_link("", f"all classes ({len(images)})", None)]
    for label, count in zip(label_set.classes, counts, strict=True):
        links.append(_link(label.name, f"{label.name} ({count})", label.color))
    legend = element(
        "nav",
        *links,
        element("span", swatch((0, 0, 0)), "ignored", class_="ignored"),
        id="filter",
        aria_label="Images with a class",
    )
    status = element("p", f"{len(images)} images", id="shown", role="status")
    large = element("label", element("input", type="checkbox", id="large"), " large pictures")
    items = (_item(image, label_set) for image in images)
    measure = images[0].measure if images else ""
    listed = element("ol", *items, id="images", data_measure=measure)
    return [legend, element("div", status, large, class_="bar"), listed]


def _link(name: str, text: str, color: tuple[int, int, int] | None) -> Element:
    mark = swatch(color) if color else None
    return element("a", mark, text, href=f"#class={quote(name, safe='')}", data_class=name)


def _item(image: GalleryImage, label_set: LabelSet) -> Element:
    classes = {
        label_set.names[index]: [round(share.pixels, 6), _note(share, image.measure)]
        for index, share in image.classes.items()
    }
    pictures = []
    for title, content, kind in image.pictures:
        alt = _ALT.get(title, f"prediction of the {title} network for {{}}").format(image.key)
        picture = element("img", src=data_uri(content, kind), alt=alt, loading="lazy")
        pictures.append(element("figure", picture, element("figcaption", title)))
    return element(
        "li",
        element("h3", image.key),
        element("p", class_="note", hidden=""),
        element("div", *pictures, class_="pictures"),
        data_classes=json.dumps(classes, ensure_ascii=False),
    )


def _note(share: ClassShare, measure: str) -> str:
    """What is said of an image where its class is chosen."""
    pixels = f"{percent(share.pixels)} % of the pixels {measure}"
    if share.after is None:
        return pixels
    if share.before is None:
        return f"IoU {percent(share.after)} %, {pixels}"
    moved = change(share.before, share.after)
    return f"IoU {percent(share.before)} → {percent(share.after)} % ({moved}), {pixels}"
