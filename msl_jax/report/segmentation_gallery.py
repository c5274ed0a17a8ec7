"""Target images with their label maps and what the networks make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from msl_jax.data.images import resize_label
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.evaluation.confusion import confusion_matrix, iou
from msl_jax.evaluation.pictures import confidence_map
from msl_jax.report.picture import Picture, label_map, photo


class ClassShare(NamedTuple):
    """What an image shows of one class.

    Attributes:
        pixels: share of the pixels, in [0, 1], that are what `GalleryImage.measure` says.
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
        measure: which pixels of a class are counted, and decide which images come first. With two
            networks those that became or ceased to be of the class, "changed"; with one and
            labels, those that are wrongly of the class or wrongly not, "wrong"; else "predicted".
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
        labelled: whether the label means anything.
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
    """What an image shows of the classes that are in its label or in a prediction.

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
