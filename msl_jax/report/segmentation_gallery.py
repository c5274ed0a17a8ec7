"""The gallery of target images with their label, predictions and confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from msl_jax.data.images import resize_label
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.evaluation.confusion import confusion_matrix, iou
from msl_jax.evaluation.pictures import confidence_map
from msl_jax.report.html import Picture, element, label_map, photo
from msl_jax.report.listing import Item, Place, listing
from msl_jax.report.tables import change, percent

_ALT = {
    "image": "photo {}",
    "label": "label map of {}",
    "confidence": "confidence in {}: white where the network is confident",
}


class ClassShare(NamedTuple):
    """One class in one image.

    Attributes:
        pixels: share of the image's pixels that `GalleryImage.measure` counts, in [0, 1].
        before: IoU of the source-only network in this image, None where there is none.
        after: of the other network.
    """

    pixels: float
    before: float | None
    after: float | None


class GalleryImage(NamedTuple):
    """An image of the gallery.

    Attributes:
        key: its name.
        pictures: the image, its label, the predictions, the confidence.
        classes: by train id, those in the label or in a prediction.
        measure: which pixels of a class are counted; images with more of them come first. With two
            networks, those that the adaptation assigned to the class or took from it: "changed".
            With one and labels, false positives and false negatives: "wrong". Else "predicted".
    """

    key: str
    pictures: list[Picture]
    classes: dict[int, ClassShare]
    measure: str


def gallery_image(
    record: dict[str, Any],
    labelled: bool,
    predicted: Callable[[np.ndarray], dict[str, tuple[np.ndarray, np.ndarray]]],
    label_set: LabelSet,
) -> GalleryImage:
    """Pictures and classes of one image.

    Args:
        record: key, image and label, see `msl_jax.data.prepared.records.Records`.
        labelled: whether the record has a label.
        predicted: gives classes uint8 and their probabilities `[H, W]` of each network, the
            source-only network first where there are two.
        label_set: classes and colours.
    """
    image = record["image"]
    label = resize_label(record["label"], image.shape[:2]) if labelled else None
    predictions = predicted(image)
    *before, (after, confidence) = predictions.values()
    pictures = [photo("image", image)]
    if label is not None:
        pictures.append(label_map("label", label, label_set))
    pictures += [label_map(name, found, label_set) for name, (found, _) in predictions.items()]
    pictures.append(photo("confidence", confidence_map(confidence)))
    classes = class_shares(label, before[0][0] if before else None, after, label_set.num_classes)
    measure = "changed" if before else "predicted" if label is None else "wrong"
    return GalleryImage(record["key"], pictures, classes, measure)


def class_shares(
    label: np.ndarray | None, before: np.ndarray | None, after: np.ndarray, num_classes: int
) -> dict[int, ClassShare]:
    """The classes that are in the label or in a prediction of one image.

    Args:
        label: uint8 `[H, W]`, 255 where ignored.
        before: prediction uint8 `[H, W]` of the source-only network.
        after: of the other network.
        num_classes: C.
    """
    maps = [classes for classes in (label, before, after) if classes is not None]
    present = np.unique(np.concatenate([np.unique(classes) for classes in maps]))
    old, new = (_ious(label, prediction, num_classes) for prediction in (before, after))
    found = {}
    for index in present[present != IGNORE].tolist():
        pixels = after == index
        if before is not None:
            pixels = pixels != (before == index)
        elif label is not None:
            pixels = (pixels != (label == index)) & (label != IGNORE)
        found[index] = ClassShare(float(pixels.mean()), old.get(index), new.get(index))
    return found


def _ious(
    label: np.ndarray | None, prediction: np.ndarray | None, num_classes: int
) -> dict[int, float]:
    """IoU of the classes that are in the label or the prediction."""
    if label is None or prediction is None:
        return {}
    values = iou(np.asarray(confusion_matrix(label, prediction, num_classes)))
    return {index: float(value) for index, value in enumerate(values) if not np.isnan(value)}


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
    for picture in image.pictures:
        title = picture.title
        alt = _ALT.get(title, f"prediction of the {title} network for {{}}").format(image.key)
        shown = element("img", src=picture.uri, alt=alt, loading="lazy")
        pictures.append(element("figure", shown, element("figcaption", title)))
    return Item(image.key, classes, [element("div", *pictures, class_="pictures")])


def _note(share: ClassShare, measure: str) -> str:
    """What is said of an image while the filter shows this class."""
    pixels = f"{percent(share.pixels)} % of the pixels {measure}"
    if share.after is None:
        return pixels
    if share.before is None:
        return f"IoU {percent(share.after)} %, {pixels}"
    moved = change(share.before, share.after)
    return f"IoU {percent(share.before)} → {percent(share.after)} % ({moved}), {pixels}"
