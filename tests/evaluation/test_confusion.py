"""Confusion matrices and their figures against loops over pixels."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from msl_jax.data.labels import IGNORE
from msl_jax.evaluation import confusion_matrix, iou, summary

C = 4


def _confusion_loops(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    counts = np.zeros((C, C), np.int64)
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if label != IGNORE:
            counts[label, prediction] += 1
    return counts


def _random_maps(seed: int, shape=(2, 9, 11)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, C, shape).astype(np.uint8)
    labels[rng.random(shape) < 0.2] = IGNORE
    return labels, rng.integers(0, C, shape).astype(np.uint8)


@pytest.mark.parametrize("compiled", [False, True])
def test_matches_loops(compiled):
    labels, predictions = _random_maps(0)
    function = jax.jit(confusion_matrix, static_argnums=2) if compiled else confusion_matrix
    found = function(labels, predictions, C)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, _confusion_loops(labels, predictions))


def test_rows_are_labels():
    assert confusion_matrix(np.array([2]), np.array([1]), C)[2, 1] == 1


def test_adds_up_over_batches():
    labels, predictions = _random_maps(1)
    whole = confusion_matrix(labels, predictions, C)
    parts = [confusion_matrix(a, b, C) for a, b in zip(labels, predictions, strict=True)]
    np.testing.assert_array_equal(sum(np.asarray(part, np.int64) for part in parts), whole)


def test_only_classes_are_counted():
    labels = np.array([IGNORE, C, -1, 200, 3])
    found = np.asarray(confusion_matrix(labels, np.array([0, 1, 2, 3, 3]), C))
    assert found.sum() == found[3, 3] == 1


@pytest.mark.parametrize("num_classes", [255, 256])
def test_255_never_counts(num_classes):
    found = confusion_matrix(np.array([IGNORE, 254]), np.array([1, 1]), num_classes)
    assert found.sum() == found[254, 1] == 1


def test_counts_beyond_float32_are_exact():
    """2^24 + 1 is the first integer that float32 lacks."""
    labels = np.zeros(2**24 + 1, np.uint8)
    assert confusion_matrix(labels, labels, 2)[0, 0] == 2**24 + 1


def test_iou_of_large_counts_is_exact():
    assert iou([[2**40, 2**40], [0, 0]])[0] == 0.5


def test_iou_matches_sets_of_pixels():
    labels, predictions = _random_maps(2)
    counted = labels != IGNORE
    expected = [
        (counted & (labels == c) & (predictions == c)).sum()
        / (counted & ((labels == c) | (predictions == c))).sum()
        for c in range(C)
    ]
    np.testing.assert_allclose(iou(_confusion_loops(labels, predictions)), expected, rtol=1e-12)


def test_class_that_is_only_predicted_counts_as_zero():
    np.testing.assert_array_equal(iou([[3, 1], [0, 0]]), [0.75, 0])


def test_summary():
    counts = [[3, 1, 0], [0, 4, 0], [0, 0, 0]]
    found = summary(counts, ("road", "car", "pole"))
    assert found["iou"] == {"road": 0.75, "car": 0.8, "pole": None}
    assert found["miou"] == pytest.approx((0.75 + 0.8) / 2)  # of the classes that occur
    assert found["pixel_accuracy"] == pytest.approx(7 / 8)
    assert {type(found["miou"]), type(found["iou"]["car"]), type(found["pixel_accuracy"])} == {
        float
    }


def test_summary_of_nothing():
    found = summary(np.zeros((2, 2), int), ("road", "car"))
    assert found == {"miou": 0.0, "iou": {"road": None, "car": None}, "pixel_accuracy": 0.0}


def test_summary_needs_a_name_for_each_class():
    with pytest.raises(ValueError, match="longer"):
        summary(np.eye(3, dtype=int), ("road", "car"))
