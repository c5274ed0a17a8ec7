"""Confusion matrix and the figures that follow from it.

For the 19 classes of Cityscapes they equal those of the benchmark's own scripts
(`cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling`) to the last digit.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from msl_jax.data.labels import IGNORE, LABEL_SETS

_SYNTHIA_16, _SYNTHIA_13 = LABEL_SETS["cityscapes16"], LABEL_SETS["cityscapes13"]


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> Array:
    """Counts of pixels by label and prediction, exact integers that add up over batches.

    Args:
        labels: integers `[...]`; 255 and anything outside `[0, num_classes)` is not counted.
        predictions: integers `[...]` in `[0, num_classes)` wherever the label counts, as an argmax
            gives them. Maps that leave pixels without a class need one more class for these, C, and
            `iou(...)[:C]`: then they are misses, as in the official scripts.
        num_classes: C.

    Returns:
        int32 `[C, C]`: row = label, column = prediction. Sum batches in int64 on the host: one
        batch may hold up to 2^31 pixels.

    Raises:
        ValueError: a counted pixel is predicted to be of no class. Compiled code cannot raise:
            there such a pixel is not counted.

    >>> import numpy as np
    >>> confusion_matrix(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    labels = jnp.asarray(labels).astype(jnp.int32).ravel()
    predictions = jnp.asarray(predictions).astype(jnp.int32).ravel()
    counted = (labels >= 0) & (labels < num_classes) & (labels != IGNORE)
    unknown = counted & ((predictions < 0) | (predictions >= num_classes))
    if not isinstance(unknown, jax.core.Tracer) and unknown.any():
        found = np.unique(predictions[unknown]).tolist()
        raise ValueError(f"predictions {found} are none of the {num_classes} classes")
    cells = jnp.where(counted & ~unknown, labels * num_classes + predictions, num_classes**2)
    counts = jnp.bincount(cells, length=num_classes**2 + 1)[:-1]
    return counts.astype(jnp.int32).reshape(num_classes, num_classes)


def iou(confusion: ArrayLike) -> np.ndarray:
    """Intersection over union of each class: TP / (TP + FP + FN).

    Args:
        confusion: counts `[C, C]`, row = label, column = prediction.

    Returns:
        float64 `[C]` in [0, 1]; NaN for a class that is neither in labels nor in predictions, 0 for
        one that is only predicted.

    >>> iou([[1, 1, 0], [0, 1, 0], [0, 0, 0]]).tolist()
    [0.5, 0.5, nan]
    """
    counts = np.asarray(confusion, np.int64)
    correct = np.diagonal(counts)
    union = counts.sum(0) + counts.sum(1) - correct
    return np.where(union > 0, correct / np.maximum(union, 1), np.nan)


def class_accuracy(confusion: ArrayLike) -> np.ndarray:
    """Accuracy of each class: the share of what is labelled as the class that is predicted so.

    Args:
        confusion: counts `[C, C]`, row = label, column = prediction.

    Returns:
        float64 `[C]` in [0, 1]; NaN for a class that is not in the labels.

    >>> class_accuracy([[3, 1, 0], [0, 2, 0], [0, 0, 0]]).tolist()
    [0.75, 1.0, nan]
    """
    counts = np.asarray(confusion, np.int64)
    labelled = counts.sum(1)
    return np.where(labelled > 0, np.diagonal(counts) / np.maximum(labelled, 1), np.nan)


def mean_iou(per_class: np.ndarray) -> float:
    """Mean over the classes that occur.

    Args:
        per_class: float64 `[C]`, NaN where a class does not occur.

    Returns:
        In [0, 1]. 0 where no class occurs: JSON has no NaN, which the official scripts give.
    """
    present = per_class[~np.isnan(per_class)]
    # Added one by one, as the official scripts do: np.mean adds in pairs, to another last digit.
    return float(np.cumsum(present)[-1] / len(present)) if len(present) else 0.0


def summary(confusion: ArrayLike, names: tuple[str, ...]) -> dict[str, Any]:
    """The metrics of `results.json`: mIoU over the classes that occur, IoU, pixel accuracy.

    Args:
        confusion: counts `[C, C]`.
        names: class names, in the order of the train ids.

    Returns:
        ``{"miou", "iou": {name: IoU or None}, "pixel_accuracy"}``, Python floats in [0, 1]. The 16
        classes of SYNTHIA have ``"miou_13"`` as well: mIoU*, the mean of 13 of these 16 IoUs,
        without wall, fence and pole.
    """
    counts = np.asarray(confusion, np.int64)
    per_class = iou(counts)
    metrics: dict[str, Any] = {
        "miou": mean_iou(per_class),
        "iou": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(names, per_class, strict=True)
        },
        "pixel_accuracy": float(np.trace(counts) / max(counts.sum(), 1)),
    }
    if names == _SYNTHIA_16.names:
        subset = _SYNTHIA_16.indices(_SYNTHIA_13.names)
        metrics["miou_13"] = mean_iou(per_class[list(subset)])
    return metrics
