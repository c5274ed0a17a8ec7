"""Confusion matrix and the metrics derived from it.

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

from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import IGNORE

_SYNTHIA_16, _SYNTHIA_13 = LABEL_SETS["cityscapes16"], LABEL_SETS["cityscapes13"]


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> Array:
    """Counts of pixels by label and prediction, exact integers that add up over batches.

    Args:
        labels: integers `[...]`; 255 and anything outside `[0, num_classes)` is not counted.
        predictions: integers `[...]` in `[0, num_classes)` wherever the label counts, as from an
            argmax. Label maps with unpredicted pixels need one more class for these, C, and
            `iou(...)[:C]`: then they are misses, as in the official scripts.
        num_classes: C.

    Returns:
        int32 `[C, C]`: row = label, column = prediction. Sum batches in int64 on the host: one
        batch may have up to 2^31 pixels.

    Raises:
        ValueError: the prediction of a counted pixel is not a class. Compiled code cannot raise:
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
    """Accuracy of each class: the share of its pixels that are predicted as the class.

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


def mean_iou(per_class: np.ndarray) -> float | None:
    """Mean over the classes that occur, in [0, 1]; None if no class does.

    Args:
        per_class: float64 `[C]`, NaN for a class that does not occur.
    """
    present = per_class[~np.isnan(per_class)]
    # Added one by one, as in the official scripts: np.mean adds pairwise, to another last digit.
    return float(np.cumsum(present)[-1] / len(present)) if len(present) else None


def summary(
    confusion: ArrayLike, names: tuple[str, ...], evaluated: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """The metrics of `results.json`: mIoU over the classes that occur, IoU, pixel accuracy.

    Args:
        confusion: counts `[C, C]`.
        names: class names, in the order of the train ids.
        evaluated: names of the classes whose IoU counts; the others are confused with them all the
            same, as in the official evaluation of a 19-class network on SYNTHIA's 16. None: all.

    Returns:
        ``{"miou", "iou": {name: IoU or None}, "pixel_accuracy"}``, Python floats in [0, 1]; None is
        what was not measured, because no pixel counts. For the 16 classes of SYNTHIA also
        ``"miou_13"``: mIoU*, the mean of 13 of the 16 IoUs, without wall, fence and pole.
    """
    counts = np.asarray(confusion, np.int64)
    found = {
        name: value
        for name, value in zip(names, iou(counts), strict=True)
        if evaluated is None or name in evaluated
    }
    per_class = np.array(list(found.values()))
    metrics: dict[str, Any] = {
        "miou": mean_iou(per_class),
        "iou": {n: None if np.isnan(value) else float(value) for n, value in found.items()},
        "pixel_accuracy": float(np.trace(counts) / counts.sum()) if counts.any() else None,
    }
    if tuple(found) == _SYNTHIA_16.names:
        subset = _SYNTHIA_16.indices(_SYNTHIA_13.names)
        metrics["miou_13"] = mean_iou(per_class[list(subset)])
    return metrics
