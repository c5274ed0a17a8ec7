"""Evaluation of a classifier on prepared records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.data.labels import IGNORE
from msl_jax.data.pipeline import Batch, evaluation_batches
from msl_jax.data.prepared.records import Records
from msl_jax.models.inputs import network_input
from msl_jax.runtime import parallel
from msl_jax.runtime.parallel import AXIS

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Class probabilities of images, from a centre crop of the size of the training's crops.

    Attributes:
        model: network that returns logits `[B, C]` and features.
        crop: (height, width) of the centre; None for the whole image.
        flip: average over the mirrored image too.
    """

    model: Any
    crop: Size | None = None
    flip: bool = False

    def __call__(self, variables: Any, images: Array) -> Array:
        """uint8 `[B, H, W, 3]` -> probabilities float32 `[B, C]`."""
        centre = center_crop(images, self.crop)
        probabilities = jax.nn.softmax(self._network(variables, centre))
        if not self.flip:
            return probabilities
        mirrored = jax.nn.softmax(self._network(variables, centre[:, :, ::-1]))
        return (probabilities + mirrored) / 2

    def logits(self, variables: Any, images: Array) -> Array:
        """uint8 `[B, H, W, 3]` -> logits float32 `[B, C]` of the unmirrored images."""
        return self._network(variables, center_crop(images, self.crop))

    def _network(self, variables: Any, images: Array) -> Array:
        logits, _ = self.model.apply(variables, network_input(self.model, images), train=False)
        return logits


def center_crop(images: Array, size: Size | None) -> Array:
    """The centre `[B, h, w, 3]` of images `[B, H, W, 3]`; a side that is smaller stays as it is."""
    if size is None:
        return images
    (height, width), (rows, columns) = images.shape[1:3], size
    top, left = max(0, (height - rows) // 2), max(0, (width - columns) // 2)
    return images[:, top : top + rows, left : left + columns]


@jax.jit(static_argnums=0)
def classify(classifier: Classifier, variables: Any, images: ArrayLike) -> tuple[Array, Array]:
    """Predicted class and its probability, int32 and float32 `[B]`, of images `[B, H, W, 3]`."""
    probabilities = classifier(variables, jnp.asarray(images))
    return probabilities.argmax(-1).astype(jnp.int32), probabilities.max(-1)


class Prediction(NamedTuple):
    """A network's predictions for N images.

    Attributes:
        classes: predicted class of each, int32 `[N]`.
        probabilities: of these classes, float32 `[N]`.
        logits: of the unmirrored images, as the losses see them, float32 `[N, C]`.
    """

    classes: Any
    probabilities: Any
    logits: Any


class Classified(NamedTuple):
    """The predictions of several networks for the images of a split.

    Attributes:
        keys: names of the N images, in the order of the records.
        labels: uint8 `[N]`, 255 if there is none.
        networks: predictions of each network by its name.
    """

    keys: tuple[str, ...]
    labels: np.ndarray
    networks: dict[str, Prediction]


def classify_all(
    classifier: Classifier, networks: Mapping[str, Any], batches: Iterable[Batch]
) -> Classified:
    """Predicts all images of a split, on one device.

    Args:
        classifier: gives the probabilities.
        networks: variables of each network by its name.
        batches: from `evaluation_batches`, at least one; read once.
    """
    keys: list[str] = []
    labels: list[np.ndarray] = []
    found: dict[str, list[Prediction]] = {name: [] for name in networks}
    for batch in batches:
        count = batch["count"]
        keys += batch["keys"]
        labels.append(batch["label"][:count])
        for name, variables in networks.items():
            arrays = _predicted(classifier, variables, batch["image"])
            found[name].append(Prediction(*(np.asarray(values)[:count] for values in arrays)))
    return Classified(
        tuple(keys),
        np.concatenate(labels),
        {
            name: Prediction(*map(np.concatenate, zip(*parts, strict=True)))
            for name, parts in found.items()
        },
    )


@jax.jit(static_argnums=0)
def _predicted(classifier: Classifier, variables: Any, images: Array) -> Prediction:
    """One program, so that logits and probabilities come from one pass through the network."""
    classes, probabilities = classify(classifier, variables, images)
    return Prediction(classes, probabilities, classifier.logits(variables, images))


class Evaluator:
    """Accuracy of a classifier over prepared records, computed on all devices."""

    def __init__(self, classifier: Classifier, batch_size: int) -> None:
        """Compiles nothing yet.

        Args:
            classifier: gives the probabilities.
            batch_size: images on each device.
        """
        self._devices = jax.local_device_count()
        self._batch_size = batch_size * self._devices

        def count(variables: Any, images: Array, labels: Array) -> Array:
            classes = labels.astype(jnp.int32)
            counted = classes != IGNORE
            right = counted & (classifier(variables, images).argmax(-1) == classes)
            return lax.psum(jnp.stack([right.sum(), counted.sum()]), AXIS)

        self._count = jax.pmap(
            count, AXIS, in_axes=(None, 0, 0), out_axes=None, devices=jax.local_devices()
        )

    def __call__(self, variables: Any, records: Records) -> dict[str, float | None]:
        """``{"accuracy"}`` in [0, 1] over all records, None if none is labelled; all processes."""
        total = np.zeros(2, np.int64)
        for batch in evaluation_batches(records, self._batch_size, process=parallel.share()):
            images, labels = (
                batch[key].reshape(self._devices, -1, *batch[key].shape[1:])
                for key in ("image", "label")
            )
            total += np.asarray(self._count(variables, images, labels), np.int64)
        right, counted = parallel.total(total).tolist()
        return {"accuracy": right / counted if counted else None}
