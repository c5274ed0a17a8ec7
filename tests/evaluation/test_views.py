"""Evaluation at both sizes, flipped and at several scales, against the same written out.

The reference follows the official evaluation: logits are up-sampled with the corners aligned, then
comes the softmax; a mirrored image's probabilities are mirrored back, and all are averaged. It is
computed in float64, with another interpolation than the library's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from msl_jax.data.labels import IGNORE
from msl_jax.evaluation import summary
from msl_jax.evaluation.segmentation import Evaluator, Predictor
from msl_jax.models.inputs import CAFFE

NAMES = ("road", "car", "pole", "sky")
NETWORK_SIZE = (33, 41)
LABEL_SIZES = [(66, 82), (66, 82), (50, 47), (66, 82), (20, 90)]
BGR_MEAN = np.array([104.00698793, 116.66876762, 122.67891434])  # the official code's

Resize = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def _network(images: Any, weights: Any) -> Any:
    """Logits `[B, h, w, 4]` at 1/8 that know left from right, of numpy and JAX arrays alike."""
    corners = images[:, ::8, ::8]
    beside = images[:, ::8, 3::8][:, :, : corners.shape[2] - 1]
    return corners[:, :, :-1] @ weights[0] + beside @ weights[1]


WEIGHTS = np.random.default_rng(5).normal(size=(2, 3, 4)) / 100


@dataclasses.dataclass(frozen=True)
class Network:
    input_convention = CAFFE

    def apply(self, variables: Any, images: jax.Array, *, train: bool, low_head: bool):
        return _network(images, variables), None


def _numpy_resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    for axis, length in enumerate(size):
        cells = np.arange(array.shape[axis])
        places = np.linspace(0, cells[-1], length)
        array = np.apply_along_axis(
            lambda line, places=places, cells=cells: np.interp(places, cells, line), axis, array
        )
    return array


def _torch_resize(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    torch = pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")
    planes = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)[None]))
    found = torch.nn.functional.interpolate(planes, size, mode="bilinear", align_corners=True)
    return found[0].numpy().transpose(1, 2, 0)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def _probabilities(
    image: np.ndarray,
    size: tuple[int, int],
    resize: Resize,
    flip: bool,
    scales: list[tuple[int, int]],
) -> np.ndarray:
    """Mean over the views of one image uint8 `[H, W, 3]`, `scales` being their sizes."""
    inputs = image[..., ::-1] - BGR_MEAN
    found = []
    for scaled in scales:
        view = resize(inputs, scaled)
        found.append(_softmax(resize(_network(view[None], WEIGHTS)[0], size)))
        if flip:
            mirrored = _network(view[None, :, ::-1], WEIGHTS)[0]
            found.append(_softmax(resize(mirrored, size))[:, ::-1])
    return np.mean(found, axis=0)


class Records:
    """Labelled examples in memory."""

    folder = Path("records")

    def __init__(self, images: np.ndarray, labels: list[np.ndarray]) -> None:
        self.rows = [
            {"key": str(index), "image": image, "label": label}
            for index, (image, label) in enumerate(zip(images, labels, strict=True))
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return self.rows[index]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    shape = (len(LABEL_SIZES), *NETWORK_SIZE, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


VIEWS = [
    pytest.param(False, {1.0: NETWORK_SIZE}, id="plain"),
    pytest.param(True, {1.0: NETWORK_SIZE}, id="flip"),
    pytest.param(False, {0.75: (25, 31), 1.0: NETWORK_SIZE, 1.5: (50, 62)}, id="scales"),
    pytest.param(True, {1.0: NETWORK_SIZE, 1.25: (41, 51)}, id="flip and scales"),
]


@pytest.mark.parametrize(("flip", "scales"), VIEWS)
@pytest.mark.parametrize("resize", [_numpy_resize, _torch_resize])
def test_probabilities(images, resize: Resize, flip: bool, scales: dict):
    predictor = Predictor(Network(), flip, tuple(scales))
    size = LABEL_SIZES[0]
    found = predictor(WEIGHTS.astype(np.float32), images[:2], size)
    expected = [
        _probabilities(image, size, resize, flip, list(scales.values())) for image in images[:2]
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("eval_size", ["network", "full"])
@pytest.mark.parametrize(("flip", "scales"), VIEWS)
def test_metrics(images, flip: bool, scales: dict, eval_size: str):
    """On two devices: labels of three sizes, none of which fills its last batch at full size."""
    assert jax.local_device_count() == 2
    rng = np.random.default_rng(1)
    counts = np.zeros((4, 4), np.int64)
    labels = []
    for image, label_size in zip(images, LABEL_SIZES, strict=True):
        size = NETWORK_SIZE if eval_size == "network" else label_size
        probabilities = _probabilities(image, size, _numpy_resize, flip, list(scales.values()))
        predictions = probabilities.argmax(-1)
        random = rng.integers(0, 4, size)
        label = np.where(rng.random(size) < 0.6, predictions, random).astype(np.uint8)
        # float32 may decide otherwise where two classes are level.
        second, first = np.sort(probabilities, axis=-1)[..., -2:].transpose(2, 0, 1)
        label[(first - second < 1e-4) | (rng.random(size) < 0.1)] = IGNORE
        counted = label != IGNORE
        np.add.at(counts, (label[counted], predictions[counted]), 1)
        # At network size the stored labels are larger: every pixel twice in both directions.
        labels.append(label if eval_size == "full" else label.repeat(2, 0).repeat(2, 1))

    predictor = Predictor(Network(), flip, tuple(scales))
    found = Evaluator(predictor, NAMES, batch_size=2)(
        WEIGHTS.astype(np.float32),
        Records(images, labels),
        NETWORK_SIZE if eval_size == "network" else None,
    )
    assert found == summary(counts, NAMES)
    assert 0.4 < found["miou"] < 0.9
    assert counts.sum(0).all()
