"""The gallery of label maps as HTML, with the palette as legend."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from msl_jax.data.labels import LabelSet
from msl_jax.report.html import data_uri, element
from msl_jax.report.listing import Item, Place, listing
from msl_jax.report.segmentation_gallery import ClassShare, GalleryImage
from msl_jax.report.tables import change, percent

_ALT = {
    "image": "photo {}",
    "label": "label map of {}",
    "confidence": "confidence in {}: white where the network is sure of its class",
}


def gallery_images(images: Sequence[GalleryImage], label_set: LabelSet) -> list[Element]:
    """The filter and the list of images."""
    order = f"most {images[0].measure} first" if images else ""
    items = [_item(image) for image in images]
    return listing(items, label_set, order, legend=True, kind="maps")


def _item(image: GalleryImage) -> Item:
    classes = {
        index: Place(share.pixels, _note(share, image.measure))
        for index, share in image.classes.items()
    }
    pictures = []
    for title, content, kind in image.pictures:
        alt = _ALT.get(title, f"prediction of the {title} network for {{}}").format(image.key)
        picture = element("img", src=data_uri(content, kind), alt=alt, loading="lazy")
        pictures.append(element("figure", picture, element("figcaption", title)))
    return Item(image.key, classes, [element("div", *pictures, class_="pictures")])


def _note(share: ClassShare, measure: str) -> str:
    """What is said of an image where its class is chosen."""
    pixels = f"{percent(share.pixels)} % of the pixels {measure}"
    if share.after is None:
        return pixels
    if share.before is None:
        return f"IoU {percent(share.after)} %, {pixels}"
    moved = change(share.before, share.after)
    return f"IoU {percent(share.before)} → {percent(share.after)} % ({moved}), {pixels}"
