"""A network that labels images, class by class: what a round of self-training begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from msl_jax.data.labelled_records import Chosen
from msl_jax.data.pipeline import evaluation_batches
from msl_jax.evaluation.segmentation import Predictor
from msl_jax.losses.arrays import argmax_class
from msl_jax.methods import class_balanced
from msl_jax.methods.labelling import Labelling
from msl_jax.models import DeepLabV2


class Found(NamedTuple):
    """What a network predicts on images, and how sure it is.

    Attributes:
        confidences: of each class, `[N_c]`: probabilities of pixels where it is the most probable.
        pixels: of each class, int64 `[C]`.
    """

    confidences: list[np.ndarray]
    pixels: np.ndarray


class Labeller:
    """Labels images on all devices of this process, as `msl_jax.methods.class_balanced` says.

    Attributes:
        prior: of the classes, float32 `[H, W, C]`; None for none.
    """

    def __init__(
        self,
        model: DeepLabV2,
        labelling: Labelling,
        size: tuple[int, int],
        batch_size: int,
    ) -> None:
        """Compiles nothing yet.

        Args:
            model: the network; its final head predicts.
            labelling: settings.
            size: (height, width) of the images and labels.
            batch_size: images on each device.
        """
        self._classes, self._every = model.num_classes, labelling.threshold_every
        self.prior: np.ndarray | None = None
        devices = jax.local_devices()
        self._devices, self._batch_size = len(devices), batch_size * len(devices)
        predictor = Predictor(model, labelling.label_flip, (labelling.label_scale,))

        def probabilities(variables: Any, images: Array, prior: Array | None) -> Array:
            found = predictor(variables, images, size)
            return found if prior is None else found * prior[None]

        def winners(variables: Any, images: Array, prior: Array | None) -> tuple[Array, Array]:
            p = probabilities(variables, images, prior)
            return argmax_class(p).astype(jnp.uint8), jnp.max(p, axis=-1)

        def labels(
            variables: Any, images: Array, prior: Array | None, thresholds: Array
        ) -> tuple[Array, ...]:
            p = probabilities(variables, images, prior)
            if labelling.alpha is None:
                return (class_balanced.balanced_labels(p, thresholds),)
            layers = class_balanced.packed(
                class_balanced.soft_labels(p, thresholds, labelling.alpha)
            )
            return layers[..., 0], layers

        self._winners = jax.pmap(winners, in_axes=(None, 0, None), devices=devices)
        self._labels = jax.pmap(labels, in_axes=(None, 0, None, None), devices=devices)

    def confidences(self, variables: Any, records: Chosen, step: Callable[[], object]) -> Found:
        """What thresholds are made of.

        Args:
            variables: of the network.
            records: with the images.
            step: called after each image.
        """
        lists: list[list[np.ndarray]] = [[] for _ in range(self._classes)]
        pixels = np.zeros(self._classes, np.int64)
        for winners, sure in self._over(self._winners, variables, records, self.prior):
            of_image = class_balanced.class_confidences(winners, sure, self._classes, self._every)
            for found, values in zip(lists, of_image, strict=True):
                found.append(values)
            pixels += np.bincount(winners.ravel(), minlength=256)[: self._classes]
            step()
        joined = [np.concatenate(lists.pop(0)) for _ in range(self._classes)]  # each freed then
        return Found(joined, pixels)

    def most_sure(
        self, variables: Any, records: Chosen, share: float, step: Callable[[], object]
    ) -> tuple[int, ...]:
        """The places of a share of the records, those of which the network is most sure.

        At least one; in the order of the records. The prior plays no part.
        """
        sure = []
        for winners, confidences in self._over(self._winners, variables, records, None):
            sure.append(class_balanced.image_confidence(winners, confidences))
            step()
        number = max(1, round(share * len(sure)))
        return tuple(sorted(np.argsort(-np.array(sure), kind="stable")[:number].tolist()))

    def labels(
        self, variables: Any, records: Chosen, thresholds: np.ndarray
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Labels uint8 `[H, W]` of each image, and packed soft ones `[H, W, 3]` where there are."""
        return self._over(self._labels, variables, records, self.prior, thresholds)

    def _over(
        self, program: Callable[..., Any], variables: Any, records: Chosen, *arguments: Any
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """What a program gives for each of the images, in order."""
        for batch in evaluation_batches(records, self._batch_size):
            images = batch["image"].reshape(self._devices, -1, *batch["image"].shape[1:])
            found = jax.device_get(program(variables, images, *arguments))
            flat = [array.reshape(-1, *array.shape[2:]) for array in found]
            for number in range(batch["count"]):
                yield tuple(array[number] for array in flat)
