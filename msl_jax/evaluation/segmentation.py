"""Evaluation of a segmentation network on prepared records."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.data.labels import IGNORE
from msl_jax.data.prefetch import Batch
from msl_jax.evaluation.confusion import confusion_matrix, summary
from msl_jax.models import DeepLabV2, resize_align_corners
from msl_jax.models.inputs import network_input
from msl_jax.runtime import parallel
from msl_jax.runtime.parallel import AXIS

if TYPE_CHECKING:  # what reads records need not be installed to predict
    from msl_jax.data.prepared.records import Records

Size = tuple[int, int]

# Probabilities in memory at a time in `predict`: 256 MB, or 3.5 million pixels with 19 classes.
STRIP = 2**26


@dataclasses.dataclass(frozen=True)
class Predictor:
    """Class probabilities of images, with optional test-time augmentation.

    Attributes:
        model: the network; its final head predicts.
        flip: average over the mirrored image too.
        scales: average over the image scaled by these factors.
    """

    model: DeepLabV2
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __call__(self, variables: Any, images: Array, size: Size) -> Array:
        """Mean probabilities at `size`.

        Args:
            variables: of the network.
            images: uint8 `[B, H, W, 3]`.
            size: (height, width) of the result.

        Returns:
            float32 `[B, height, width, C]`.
        """
        return mean_probabilities(self.logits(variables, images), size)

    def logits(self, variables: Any, images: Array) -> tuple[Array, ...]:
        """Logits of every view of the images.

        Args:
            variables: of the network.
            images: uint8 `[B, H, W, 3]`.

        Returns:
            float32 `[B, h, w, C]` each, at the network's output size; those of mirrored images
            are mirrored back.
        """
        views = []
        inputs = network_input(self.model, images)
        for scale in self.scales:
            height, width = (max(16, round(side * scale)) for side in images.shape[1:3])
            view = resize_align_corners(inputs, (height, width))
            views.append(self._network(variables, view))
            if self.flip:
                views.append(self._network(variables, view[:, :, ::-1])[:, :, ::-1])
        return tuple(views)

    def _network(self, variables: Any, view: Array) -> Array:
        logits, _ = self.model.apply(variables, view, train=False, low_head=False)
        return logits


def mean_probabilities(
    views: Sequence[Array], size: Size, rows: tuple[ArrayLike, int] | None = None
) -> Array:
    """Mean of the views' probabilities at `size`, as in the official evaluation.

    Logits are upsampled (align-corners) before the softmax, probabilities are averaged after it.

    Args:
        views: logits, each `[B, h, w, C]`; h and w may differ.
        size: (height, width) of the result.
        rows: first row and number of rows to compute; default is all of them.

    Returns:
        `[B, height, width, C]`, or only these rows of it.
    """
    probabilities = [jax.nn.softmax(resize_align_corners(view, size, rows)) for view in views]
    return sum(probabilities[1:], start=probabilities[0]) / len(views)


class Evaluator:
    """Confusion matrix of a predictor over prepared records, computed on all devices."""

    def __init__(
        self,
        predictor: Predictor,
        names: tuple[str, ...],
        batch_size: int,
        evaluated: tuple[str, ...] | None = None,
    ) -> None:
        """Compiles nothing yet.

        Args:
            predictor: computes the probabilities.
            names: class names in the order of the train ids.
            batch_size: images on each device.
            evaluated: see `msl_jax.evaluation.confusion.summary`.
        """
        self._names, self._evaluated = names, evaluated
        self._devices = jax.local_device_count()
        self._batch_size = batch_size * self._devices
        self._logits, self._count = _programs(predictor, len(names))

    def __call__(self, variables: Any, records: Records, label_size: Size | None) -> dict[str, Any]:
        """Metrics over all records, as in `results.json`; all processes take part.

        Args:
            variables: of the network.
            records: labelled; each process evaluates its share.
            label_size: (height, width) at which labels and predictions are compared; None for each
                label's own size, to which logits are upsampled.
        """
        classes = len(self._names)
        total = np.zeros((classes, classes), np.int64)
        for batch in self._batches(records, label_size):
            total += self.confusion(variables, batch)
        return summary(parallel.total(total), self._names, self._evaluated)

    def confusion(self, variables: Any, batch: Batch) -> np.ndarray:
        """Counts int64 `[C, C]` of one batch on this process's devices, row = label.

        Args:
            variables: of the network.
            batch: ``{"image": uint8 [N, H, W, 3], "label": uint8 [N, h, w]}``, N a multiple of the
                number of devices.
        """
        images, labels = (
            batch[key].reshape(self._devices, -1, *batch[key].shape[1:])
            for key in ("image", "label")
        )
        views = self._logits(variables, images)
        return np.asarray(self._count(views, labels), np.int64)

    def _batches(self, records: Records, label_size: Size | None) -> Iterator[Batch]:
        from msl_jax.data.pipeline import evaluation_batches

        if label_size is not None:
            return evaluation_batches(
                records, self._batch_size, label_size, process=parallel.share()
            )
        examples = evaluation_batches(records, 1, process=parallel.share())
        return group_by_label_size(examples, self._batch_size)


def _programs(
    predictor: Predictor, classes: int
) -> tuple[Callable[..., tuple[Array, ...]], Callable[..., Array]]:
    """Logits of images, and counts of logits and labels; compiles nothing yet.

    Two programs, so that labels of another size recompile the second one, not the network. Both on
    this process's devices only: batches of other processes may differ.
    """

    def count(views: tuple[Array, ...], labels: Array) -> Array:
        height, width = labels.shape[1:]
        predictions = mean_probabilities(views, (height, width)).argmax(-1)
        return lax.psum(confusion_matrix(labels, predictions, classes), AXIS)

    devices = jax.local_devices()
    logits = jax.pmap(predictor.logits, in_axes=(None, 0), devices=devices)
    return logits, jax.pmap(count, AXIS, out_axes=None, devices=devices)


def group_by_label_size(examples: Iterable[Batch], batch_size: int) -> Iterator[Batch]:
    """Batches of examples whose labels have the same size, from examples in any order.

    Args:
        examples: batches of one; images have one size, labels may differ in size.
        batch_size: N. Up to N - 1 examples of each size wait for others.

    Yields:
        `{"image": uint8 [N, H, W, 3], "label": uint8 [N, h, w]}`. Incomplete batches are padded
        with images of 0 and labels of 255, which count nowhere.
    """
    waiting: defaultdict[Size, list[Batch]] = defaultdict(list)
    for example in examples:
        size = example["label"].shape[1:]
        waiting[size].append(example)
        if len(waiting[size]) == batch_size:
            yield _joined(waiting.pop(size), batch_size)
    for group in waiting.values():
        yield _joined(group, batch_size)


def _joined(examples: list[Batch], batch_size: int) -> Batch:
    first = examples[0]
    blank = {
        "image": np.zeros_like(first["image"]),
        "label": np.full_like(first["label"], IGNORE),
    }
    rows = examples + [blank] * (batch_size - len(examples))
    return {key: np.concatenate([row[key] for row in rows]) for key in blank}


def predict(
    predictor: Predictor, variables: Any, images: ArrayLike, size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted class and its probability: uint8 and float32 `[B, height, width]`.

    The probabilities of all classes exist only for a strip of rows at a time, so that a photo of
    any size takes little more memory than its own pixels.
    """
    return winners(view_logits(predictor, variables, images), size)


def winners(views: Sequence[ArrayLike], size: Size) -> tuple[np.ndarray, np.ndarray]:
    """What `predict` gives, from the logits of all views, each `[B, h, w, C]`."""
    # A program of its own, as in Evaluator, because photos come in many sizes.
    (batch, *_, classes), (height, width) = np.shape(views[0]), size
    rows = min(height, max(1, STRIP // (batch * width * classes * len(views))))
    labels, confidence = (np.empty((batch, *size), kind) for kind in (np.uint8, np.float32))
    for top in range(0, height, rows):
        first = min(top, height - rows)  # so that all strips have one shape, and share a program
        strip = slice(first, first + rows)
        labels[:, strip], confidence[:, strip] = _winners(tuple(views), size, np.int32(first), rows)
    return labels, confidence


@jax.jit(static_argnums=0)
def view_logits(predictor: Predictor, variables: Any, images: Array) -> tuple[Array, ...]:
    """`Predictor.logits`, compiled."""
    return predictor.logits(variables, images)


@jax.jit(static_argnums=(1, 3))
def _winners(
    views: tuple[Array, ...], size: Size, first: ArrayLike, rows: int
) -> tuple[Array, Array]:
    probabilities = mean_probabilities(views, size, None if rows == size[0] else (first, rows))
    return probabilities.argmax(-1).astype(jnp.uint8), probabilities.max(-1)
