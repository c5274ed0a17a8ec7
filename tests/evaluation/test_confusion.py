"""Confusion matrices and their metrics against loops over pixels."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from msl_jax.data.label_sets import LABEL_SETS
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


@pytest.mark.parametrize("wrong", [-1, C, IGNORE])
def test_prediction_of_no_class(wrong):
    """It must not fall into the cell of another class."""
    labels, predictions = np.array([1, 1, IGNORE]), np.array([1, wrong, wrong])
    with pytest.raises(ValueError, match=rf"predictions \[{wrong}\] are none of the 4 classes"):
        confusion_matrix(labels, predictions, C)
    found = jax.jit(confusion_matrix, static_argnums=2)(labels, predictions, C)
    assert found.sum() == found[1, 1] == 1
    predictions[1] = 2
    assert confusion_matrix(labels, predictions, C).sum() == 2  # an ignored pixel may have any


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


def _iou_loops(labels: np.ndarray, predictions: np.ndarray, train_id: int) -> float | None:
    intersection = union = 0
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if label != IGNORE and train_id in (label, prediction):
            union += 1
            intersection += label == prediction
    return intersection / union if union else None


def _mean_of_present(values: list[float | None]) -> float:
    present = [value for value in values if value is not None]
    return sum(present) / len(present)


@pytest.mark.parametrize(
    ("absent", "only_predicted"),
    [((), ()), (("sidewalk", "wall"), ()), (("sky", "bus", "pole"), ("person", "fence"))],
)
def test_miou_of_16_and_13_classes(absent, only_predicted):
    names = LABEL_SETS["cityscapes16"].names
    rng = np.random.default_rng(3)
    found = [i for i, name in enumerate(names) if name not in (*absent, *only_predicted)]
    predicted = [i for i, name in enumerate(names) if name not in absent]
    labels, predictions = rng.choice(found, (2, 20, 30)), rng.choice(predicted, (2, 20, 30))
    predictions = np.where(rng.random(labels.shape) < 0.5, labels, predictions)
    labels[rng.random(labels.shape) < 0.2] = IGNORE

    metrics = summary(confusion_matrix(labels, predictions, 16), names)
    expected = {name: _iou_loops(labels, predictions, i) for i, name in enumerate(names)}
    assert metrics["iou"] == pytest.approx(expected, abs=1e-12)
    assert {name for name, value in metrics["iou"].items() if value is None} == set(absent)
    assert all(metrics["iou"][name] == 0 for name in only_predicted)

    without = {"wall", "fence", "pole"}
    of_13 = [value for name, value in expected.items() if name not in without]
    assert len(of_13) == 13
    assert metrics["miou"] == pytest.approx(_mean_of_present(list(expected.values())), abs=1e-12)
    assert metrics["miou_13"] == pytest.approx(_mean_of_present(of_13), abs=1e-12)
    assert abs(metrics["miou"] - metrics["miou_13"]) > 1e-3


def test_13_classes_keep_confusions_with_the_other_three():
    """A road misclassified as wall is a miss: the 13 IoUs are those of a 16-class network."""
    names = LABEL_SETS["cityscapes16"].names
    counts = np.zeros((16, 16), int)
    counts[names.index("road"), [names.index("road"), names.index("wall")]] = 3, 1
    metrics = summary(counts, names)
    assert (metrics["miou"], metrics["miou_13"]) == (0.375, 0.75)


def test_19_classes_of_which_16_count():
    """A road misclassified as truck is a miss, and a truck that is found counts nowhere."""
    names, of_16 = LABEL_SETS["cityscapes19"].names, LABEL_SETS["cityscapes16"].names
    counts = np.zeros((19, 19), int)
    counts[names.index("road"), [names.index("road"), names.index("truck")]] = 3, 1
    counts[names.index("truck"), names.index("truck")] = 4
    counts[names.index("wall"), names.index("road")] = 2
    metrics = summary(counts, names, of_16)
    assert tuple(metrics["iou"]) == of_16
    assert metrics["iou"]["road"] == 0.5
    assert (metrics["miou"], metrics["miou_13"]) == (0.25, 0.5)
    of_13 = LABEL_SETS["cityscapes13"].names  # a network of 13 classes has no others
    assert summary(np.eye(13, dtype=int), of_13, of_16) == summary(np.eye(13, dtype=int), of_13)


@pytest.mark.parametrize("name", sorted(set(LABEL_SETS) - {"cityscapes16"}))
def test_no_other_set_has_a_miou_of_13(name):
    names = LABEL_SETS[name].names
    assert "miou_13" not in summary(np.eye(len(names), dtype=int), names)


def test_summary_of_nothing():
    """Unknown is neither 0 nor 100 percent."""
    found = summary(np.zeros((2, 2), int), ("road", "car"))
    assert found == {"miou": None, "iou": {"road": None, "car": None}, "pixel_accuracy": None}
    names = LABEL_SETS["cityscapes16"].names
    counts = np.zeros((16, 16), int)
    assert summary(counts, names)["miou_13"] is None
    counts[names.index("wall"), names.index("wall")] = 1  # of the 16 alone
    assert (summary(counts, names)["miou"], summary(counts, names)["miou_13"]) == (1.0, None)


def test_summary_needs_a_name_for_each_class():
    with pytest.raises(ValueError, match="longer"):
        summary(np.eye(3, dtype=int), ("road", "car"))
