"""Derived from the sums over pixels: shares of the gradient, and Fig. 2 and 4 of the paper."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from msl_jax.analysis.pixel_statistics import PixelSums
from msl_jax.evaluation import iou
from msl_jax.evaluation.confusion import class_accuracy


def shares(sums: np.ndarray) -> np.ndarray:
    """Each part's share of the whole, in [0, 1]; all 0 where the whole is 0.

    >>> shares(np.array([1.0, 3.0])).tolist()
    [0.25, 0.75]
    """
    whole = sums.sum()
    return sums / whole if whole else np.zeros(sums.shape)


def coarser(sums: np.ndarray, bins: int) -> np.ndarray:
    """Sums of neighbouring bins.

    >>> coarser(np.array([1, 2, 3, 4]), 2).tolist()
    [3, 7]
    """
    return sums.reshape(bins, -1).sum(axis=1)


class ClassTable(NamedTuple):
    """Statistics of each class, `[C]`; NaN where no pixel counts.

    Attributes:
        iou: intersection over union; 0 for a class that is only predicted, or only labelled.
        accuracy: share of the pixels of the class that are predicted as the class.
        confidence: mean of the largest probability over the pixels predicted as the class.
        frequency: share of the labelled pixels; 0 for a class that has none.
    """

    iou: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray


def class_table(sums: PixelSums) -> ClassTable:
    """The points of Fig. 2 (confidence against IoU) and Fig. 4 (log frequency against IoU).

    The paper does not say over which pixels of a class the mean of Fig. 2 is taken; here it is over
    those predicted as the class, which needs no labels.
    """
    labelled = sums.confusion.sum(axis=1)
    return ClassTable(
        iou=iou(sums.confusion),
        accuracy=class_accuracy(sums.confusion),
        confidence=_ratio(sums.confidence_by_class, sums.pixels_by_class),
        frequency=_ratio(labelled, np.full(labelled.shape, labelled.sum())),
    )


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation over the classes that have both values; NaN for fewer than three.

    >>> correlation(np.array([0.0, 1.0, 2.0, np.nan]), np.array([0.0, 2.0, 4.0, 1.0]))
    1.0
    """
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 3 or np.ptp(x[both]) == 0 or np.ptp(y[both]) == 0:
        return float("nan")
    return float(np.clip(np.corrcoef(x[both], y[both])[0, 1], -1, 1).round(12))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
