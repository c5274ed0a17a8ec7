"""Accuracy, centre crops and contact sheets."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from msl_jax.data.pipeline import evaluation_batches
from msl_jax.evaluation.classification import (
    Classifier,
    Evaluator,
    center_crop,
    classify,
    classify_all,
)
from msl_jax.evaluation.pictures import contact_sheet
from msl_jax.models.inputs import TORCHVISION
from msl_jax.runs.metrics import main_metric, selection_metric


class Leftmost(nn.Module):
    """Logits that follow the grey value of the first column; no parameters."""

    input_convention = TORCHVISION

    @nn.compact
    def __call__(self, images, train: bool = False):
        grey = images[:, :, 0].mean(axis=(1, 2))
        return jnp.stack([jnp.zeros_like(grey), grey], axis=-1), grey[:, None]


class Few:
    """Stands in for records: images of one grey value each, bright ones of class 1."""

    def __init__(self, values: list[int], labels: list[int]) -> None:
        self._values, self._labels = values, labels

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = np.full((4, 4, 3), self._values[index], np.uint8)
        return {"image": image, "label": np.uint8(self._labels[index]), "key": str(index)}


CLASSIFIER = Classifier(Leftmost())


def test_accuracy_over_devices_and_an_incomplete_batch() -> None:
    """Five images in batches of two on two devices; the padding of the last one does not count."""
    records = Few([0, 250, 0, 250, 0], [0, 1, 1, 1, 1])
    assert jax.local_device_count() == 2
    found = Evaluator(CLASSIFIER, batch_size=2)({}, records)  # type: ignore[arg-type]
    assert found == {"accuracy": 3 / 5}
    assert main_metric(found) == selection_metric(found) == ("accuracy", "accuracy", 0.6)


def test_ignored_images_do_not_count() -> None:
    records = Few([0, 250], [0, 255])
    assert Evaluator(CLASSIFIER, 1)({}, records) == {"accuracy": 1.0}  # type: ignore[arg-type]


def test_class_and_probability() -> None:
    images = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (0, 255)])
    classes, shares = classify(CLASSIFIER, {}, images)
    assert classes.tolist() == [0, 1]
    grey = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    assert float(shares[1]) == pytest.approx(1 / (1 + np.exp(-grey.mean())), rel=1e-5)


def test_all_images_of_a_split() -> None:
    """Five images in batches of two; the padding of the last one is dropped."""
    records = Few([0, 250, 0, 250, 40], [0, 1, 1, 255, 1])
    networks: dict[str, Any] = {"a": {}, "b": {}}
    found = classify_all(CLASSIFIER, networks, evaluation_batches(records, 2))  # type: ignore[arg-type]
    assert found.keys == ("0", "1", "2", "3", "4")
    assert found.labels.tolist() == [0, 1, 1, 255, 1]
    assert list(found.networks) == ["a", "b"]
    images = np.stack([records[i]["image"] for i in range(5)])
    classes, shares = classify(CLASSIFIER, {}, images)
    for prediction in found.networks.values():
        np.testing.assert_array_equal(prediction.classes, classes)
        np.testing.assert_allclose(prediction.probabilities, shares, rtol=1e-6)
        logits = CLASSIFIER.logits({}, jnp.asarray(images))
        np.testing.assert_allclose(prediction.logits, logits, rtol=1e-6)


def test_mean_over_the_mirrored_image() -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[:, :, 0] = 255
    plain, mirrored = (
        np.asarray(CLASSIFIER({}, jnp.asarray(view))) for view in (image, image[:, :, ::-1])
    )
    both = Classifier(Leftmost(), flip=True)({}, jnp.asarray(image))
    np.testing.assert_allclose(both, (plain + mirrored) / 2, rtol=1e-6)
    assert abs(plain - mirrored).max() > 0.5


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((2, 3), [2, 3], [2, 3, 4]),
        ((3, 4), [1, 2, 3], [1, 2, 3, 4]),  # of an odd margin the smaller half comes first
        ((6, 7), range(6), range(7)),
        ((8, 3), range(6), [2, 3, 4]),
        ((2, 9), [2, 3], range(7)),
    ],
)
def test_centre_crop(size: tuple[int, int], rows: Any, columns: Any) -> None:
    images = jnp.arange(6 * 7 * 3).reshape(1, 6, 7, 3)
    expected = images[:, list(rows)][:, :, list(columns)]
    np.testing.assert_array_equal(center_crop(images, size), expected, strict=True)


def test_without_a_crop_images_stay() -> None:
    images = jnp.zeros((1, 6, 7, 3))
    assert center_crop(images, None) is images


def test_only_the_centre_is_looked_at() -> None:
    image = np.zeros((1, 6, 6, 3), np.uint8)
    image[:, 2:4, 2:4] = 255
    classifier = Classifier(Leftmost(), crop=(2, 2))
    assert classify(classifier, {}, image)[0].tolist() == [1]
    assert classify(CLASSIFIER, {}, image)[0].tolist() == [0]


def test_contact_sheet() -> None:
    images = [np.full((8, 8, 3), value, np.uint8) for value in (10, 90, 170)]
    sheet = contact_sheet(images, ["a", "b", "c" * 99], [False, True, False], columns=2)
    assert sheet.shape == (2 * (96 + 14 + 4), 2 * 100, 3)
    assert sheet[40, 40].tolist() == [10] * 3
    assert sheet[40, 140].tolist() == [90] * 3
    assert sheet[160, 40].tolist() == [170] * 3
    assert sheet[160, 140].tolist() == [255] * 3
    captions = sheet[96:110].astype(int)
    red = (captions[..., 0] - captions[..., 1] > 100).any(axis=0)
    assert not red[:100].any()
    assert red[100:].any()
    np.testing.assert_array_equal(sheet[210:224, 96:100], 255)  # the long one is cut
