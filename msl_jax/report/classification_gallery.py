"""The gallery of classified images, each with its label and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element

from msl_jax.data.labels import LabelSet
from msl_jax.report.html import Picture, element
from msl_jax.report.listing import Item, Place, listing
from msl_jax.report.tables import percent

_SIGNS = {True: ("✓", "right", "up"), False: ("✗", "wrong", "down")}


class ClassifiedImage(NamedTuple):
    """An image of the gallery.

    Attributes:
        key: its name.
        picture: the image itself.
        label: train id, None where there is none.
        predictions: predicted train id and its probability by the network's title, the source-only
            network first where there are two.
    """

    key: str
    picture: Picture
    label: int | None
    predictions: Mapping[str, tuple[int, float]]

    @property
    def verdict(self) -> str:
        """How the adaptation changed the prediction; empty where it did not."""
        before, after = self._first[0], self._last[0]
        if before == after:
            return ""
        if self.label is None:
            return "changed"
        return {before: "broken", after: "fixed"}.get(self.label, "changed, still wrong")

    @property
    def weight(self) -> float:
        """Images with a larger weight come first; `order_of` says what it is."""
        if len(self.predictions) == 2:
            return float(self.verdict != "")
        found, probability = self._last
        return 1 - probability if self.label is None else float(found != self.label)

    @property
    def _first(self) -> tuple[int, float]:
        return next(iter(self.predictions.values()))

    @property
    def _last(self) -> tuple[int, float]:
        return list(self.predictions.values())[-1]


def order_of(pair: bool, labelled: bool) -> str:
    """What `ClassifiedImage.weight` puts first; `pair`: there are two networks."""
    if pair:
        return "changed predictions first"
    return "wrong predictions first" if labelled else "least confident predictions first"


def class_cards(
    images: Sequence[ClassifiedImage], label_set: LabelSet, order: str
) -> list[Element]:
    """The filter and the list of images, those with the largest weight first."""
    ordered = sorted(images, key=lambda image: -image.weight)
    items = [_item(image, label_set.names) for image in ordered]
    return listing(items, label_set, order, legend=False, kind="cards")


def _item(image: ClassifiedImage, names: Sequence[str]) -> Item:
    # Enlarged images are PNG files and are shown without smoothing.
    style = "pixels" if image.picture.kind == "image/png" else "photo"
    alt = f"image {image.key}"
    picture = element("img", src=image.picture.uri, alt=alt, loading="lazy", class_=style)
    facts = []
    if image.label is not None:
        facts += [element("dt", "label"), element("dd", names[image.label])]
    for title, (found, probability) in image.predictions.items():
        mark = None if image.label is None else _mark(found == image.label)
        text = element("span", f"({percent(probability)} %)", class_="muted")
        facts += [element("dt", title), element("dd", mark, f"{names[found]} ", text)]
    verdict = element("p", image.verdict, class_="verdict") if image.verdict else None
    content_of_card = [picture, element("dl", *facts), verdict]
    return Item(image.key, _places(image), [part for part in content_of_card if part is not None])


def _mark(right: bool) -> Element:
    sign, word, style = _SIGNS[right]
    return element("span", f"{sign} ", class_=style, role="img", aria_label=word, title=word)


def _places(image: ClassifiedImage) -> dict[int, Place]:
    """The classes of the label and of the predictions, with a note of which it is."""
    roles: dict[int, list[str]] = {}
    if image.label is not None:
        roles.setdefault(image.label, []).append("label")
    for title, (found, _) in image.predictions.items():
        roles.setdefault(found, []).append(title)
    return {index: Place(image.weight, ", ".join(titles)) for index, titles in roles.items()}
