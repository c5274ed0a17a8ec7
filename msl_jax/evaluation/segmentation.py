"""Evaluation of a segmentation network on prepared records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.data.pipeline import evaluation_batches
from msl_jax.data.records import Records
from msl_jax.evaluation.confusion import confusion_matrix, summary
from msl_jax.models import DeepLabV2, resize_align_corners
from msl_jax.tasks.segmentation import InputConvention, network_input
from msl_jax.training.step import AXIS

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Predictor:
    """Class probabilities of images, with optional test-time augmentation.

    Attributes:
        model: the network; its final head predicts.
        convention: how images enter it.
        flip: average over the mirrored image too.
        scales: average over the image at these sizes, 1.0 = as it is.
    """

    model: DeepLabV2
    convention: InputConvention
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __call__(self, variables: Any, images: Array, size: Size) -> Array:
        """Mean probabilities at `size`.

        Logits of every view are up-sampled (align-corners) to `size` before the softmax.

        Args:
            variables: of the network.
            images: uint8 `[B, H, W, 3]`.
            size: (height, width) of the result.

        Returns:
            float32 `[B, height, width, C]`.
        """
        views = []
        inputs = network_input(images, self.convention)
        for scale in self.scales:
            height, width = (max(16, round(side * scale)) for side in images.shape[1:3])
            view = resize_align_corners(inputs, (height, width))
            views.append(self._probabilities(variables, view, size))
            if self.flip:
                mirrored = self._probabilities(variables, view[:, :, ::-1], size)
                views.append(mirrored[:, :, ::-1])
        return sum(views[1:], start=views[0]) / len(views)

    def _probabilities(self, variables: Any, view: Array, size: Size) -> Array:
        logits, _ = self.model.apply(variables, view, train=False, low_head=False)
        return jax.nn.softmax(resize_align_corners(logits, size))


class Evaluator:
    """Confusion matrix of a predictor over prepared records, on all local devices."""

    def __init__(self, predictor: Predictor, names: tuple[str, ...], batch_size: int) -> None:
        """Compiles nothing yet.

        Args:
            predictor: gives the probabilities.
            names: class names in the order of the train ids.
            batch_size: images on each device.
        """
        self._names = names
        self._devices = jax.local_device_count()
        self._batch_size = batch_size * self._devices

        def count(variables: Any, images: Array, labels: Array) -> Array:
            size = (labels.shape[1], labels.shape[2])
            probabilities = predictor(variables, images, size)
            found = confusion_matrix(labels, probabilities.argmax(-1), len(names))
            return lax.psum(found, AXIS)

        self._count: Callable[..., Array] = jax.pmap(
            count, AXIS, in_axes=(None, 0, 0), out_axes=None
        )

    def __call__(self, variables: Any, records: Records, label_size: Size | None) -> dict[str, Any]:
        """Metrics over all records, as in `results.json`.

        Args:
            variables: of the network.
            records: labelled.
            label_size: (height, width) at which labels and predictions are compared; None for the
                labels' own size, to which logits are up-sampled.
        """
        classes = len(self._names)
        total = np.zeros((classes, classes), np.int64)
        for batch in evaluation_batches(records, self._batch_size, label_size):
            images, labels = (
                batch[key].reshape(self._devices, -1, *batch[key].shape[1:])
                for key in ("image", "label")
            )
            total += np.asarray(self._count(variables, images, labels), np.int64)
        return summary(total, self._names)


def predict(
    predictor: Predictor, variables: Any, images: ArrayLike, size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted class and its probability: uint8 and float32 `[B, height, width]`."""
    labels, confidence = _predict(predictor, variables, images, size)
    return np.asarray(labels), np.asarray(confidence)


@jax.jit(static_argnums=(0, 3))
def _predict(predictor: Predictor, variables: Any, images: Array, size: Size):
    probabilities = predictor(variables, images, size)
    return probabilities.argmax(-1).astype(jnp.uint8), probabilities.max(-1)
