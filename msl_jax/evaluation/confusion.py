"""Confusion matrix and the figures that follow from it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from msl_jax.data.labels import IGNORE


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> Array:
    """Counts of pixels by label and prediction, exact integers that add up over batches.

    Args:
        labels: integers `[...]`; 255 and anything outside `[0, num_classes)` is not counted.
        predictions: integers `[...]` in `[0, num_classes)`.
        num_classes: C.

    Returns:
        int32 `[C, C]`: row = label, column = prediction. Sum batches in int64 on the host: one
        batch may hold up to 2^31 pixels.

    >>> import numpy as np
    >>> confusion_matrix(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    labels = jnp.asarray(labels).astype(jnp.int32).ravel()
    predictions = jnp.asarray(predictions).astype(jnp.int32).ravel()
    counted = (labels >= 0) & (labels < num_classes) & (labels != IGNORE)
    cells = jnp.where(counted, labels * num_classes + predictions, num_classes**2)
    counts = jnp.bincount(cells, length=num_classes**2 + 1)[:-1]
    return counts.astype(jnp.int32).reshape(num_classes, num_classes)


def iou(confusion: ArrayLike) -> np.ndarray:
    """Intersection over union of each class: TP / (TP + FP + FN).

    Args:
        confusion: counts `[C, C]`, row = label, column = prediction.

    Returns:
        float64 `[C]` in [0, 1]; NaN for a class that is neither in labels nor in predictions.

    >>> iou([[1, 1, 0], [0, 1, 0], [0, 0, 0]]).tolist()
    [0.5, 0.5, nan]
    """
    counts = np.asarray(confusion, np.int64)
    correct = np.diagonal(counts)
    union = counts.sum(0) + counts.sum(1) - correct
    return np.where(union > 0, correct / np.maximum(union, 1), np.nan)


def summary(confusion: ArrayLike, names: tuple[str, ...]) -> dict[str, Any]:
    """The metrics of `results.json`: mIoU over the classes that occur, IoU, pixel accuracy.

    Args:
        confusion: counts `[C, C]`.
        names: class names, in the order of the train ids.

    Returns:
        ``{"miou", "iou": {name: IoU or None}, "pixel_accuracy"}``, Python floats in [0, 1].
    """
    counts = np.asarray(confusion, np.int64)
    per_class = iou(counts)
    present = per_class[~np.isnan(per_class)]
    return {
        "miou": float(present.mean()) if len(present) else 0.0,
        "iou": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(names, per_class, strict=True)
        },
        "pixel_accuracy": float(np.trace(counts) / max(counts.sum(), 1)),
    }
