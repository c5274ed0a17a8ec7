"""Images of the gallery, from arrays."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.report.segmentation_gallery import ClassShare, class_shares, gallery_image

CAMVID = LABEL_SETS["camvid"]


def _row(*classes: int) -> np.ndarray:
    return np.array([classes], np.uint8)


def test_two_networks_against_the_label() -> None:
    label, before, after = _row(0, 0, 1, 255), _row(0, 2, 0, 1), _row(0, 0, 0, 3)
    assert class_shares(label, before, after, 5) == {
        0: ClassShare(0.25, 1 / 3, 2 / 3),
        1: ClassShare(0.25, 0, 0),
        2: ClassShare(0.25, 0, None),
        3: ClassShare(0.25, None, None),  # where the label does not count
    }


def test_one_network_against_the_label() -> None:
    assert class_shares(_row(0, 0, 1, 255), None, _row(0, 1, 1, 2), 5) == {
        0: ClassShare(0.25, None, 0.5),
        1: ClassShare(0.25, None, 0.5),
        2: ClassShare(0.0, None, None),
    }


def test_no_label() -> None:
    before, after = _row(0, 1), _row(1, 1)
    assert class_shares(None, before, after, 3) == {
        0: ClassShare(0.5, None, None),
        1: ClassShare(0.5, None, None),
    }
    assert class_shares(None, None, after, 3) == {1: ClassShare(1.0, None, None)}


@pytest.mark.parametrize("labelled", [True, False])
def test_pictures(rng: np.random.Generator, labelled: bool) -> None:
    """Maps keep their exact colours; what is larger than the page needs is made smaller."""
    size = (256, 1024)
    classes = rng.integers(0, 11, (4, 16), np.uint8).repeat(64, 0).repeat(64, 1)
    record = {
        "key": "frame",
        "image": np.full((*size, 3), 50, np.uint8),
        "label": classes[::2, ::2],
    }
    confidence = np.linspace(0, 1, 1024, dtype=np.float32)[None].repeat(256, 0)

    def predicted(image: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        assert image is record["image"]
        return {"source-only": (10 - classes, confidence), "adapted": (classes, confidence)}

    found = gallery_image(record, labelled, predicted, CAMVID)
    assert found.measure == "changed"
    arrays = {}
    for title, content, kind in found.pictures:
        with Image.open(io.BytesIO(content)) as picture:
            assert f"image/{picture.format.lower()}" == kind
            assert picture.size == (512, 128)
            arrays[title] = np.array(picture.convert("RGB"))
    expected = CAMVID.palette[classes[::2, ::2]]
    np.testing.assert_array_equal(arrays["adapted"], expected)
    np.testing.assert_array_equal(arrays["source-only"], CAMVID.palette[10 - classes[::2, ::2]])
    assert ("label" in arrays) == labelled
    if labelled:
        np.testing.assert_array_equal(arrays["label"], expected)
    assert np.abs(arrays["image"].astype(int) - 50).max() <= 3
    assert arrays["confidence"][:, 0].max() < 20
    assert arrays["confidence"][:, -1].min() > 235
    assert sum(len(picture.content) for picture in found.pictures) < 20_000
