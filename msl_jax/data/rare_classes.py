"""Rare class sampling: images that show rare classes are drawn more often.

Reference: Hoyer et al. "DAFormer: Improving Network Architectures and Training Strategies for
Domain-Adaptive Semantic Segmentation", CVPR 2022, Section 3.3.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from msl_jax.data.prepared.records import Records
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write
from msl_jax.runtime.progress import Bar

COUNTS = "class_pixels.npy"  # beside the records

_THREADS = 8
_STREAM = 2  # of draws with the run's seed: 0 and 1 are the domains' in the pipeline


def class_probabilities(pixels: np.ndarray, temperature: float) -> np.ndarray:
    """P(c) = softmax((1 - f_c) / T), with the share f_c of class c in the labelled pixels.

    Args:
        pixels: `[C]` numbers of pixels.
        temperature: T > 0; the lower, the more often the rarest classes are drawn.

    Returns:
        float64 `[C]`.

    >>> class_probabilities(np.array([90, 10]), 0.5).round(2).tolist()
    [0.17, 0.83]
    """
    share = pixels / max(pixels.sum(), 1)
    exponent = (1 - share) / temperature
    weights = np.exp(exponent - exponent.max())
    return weights / weights.sum()


class Drawn(NamedTuple):
    """An example of a class: number of its record, and the class."""

    record: int
    label: int


class RareClasses:
    """Draws a class by `class_probabilities`, then one of the images that show enough of it.

    Every draw is a function of the seed and its number, so that a run continues where it was.
    """

    def __init__(self, pixels: np.ndarray, temperature: float, least: int, seed: int) -> None:
        """Draws nothing yet.

        Args:
            pixels: `[N, C]` of each class in each image, see `class_pixels`.
            temperature: of `class_probabilities`.
            least: an image with more pixels of a class than that counts as one of it.
            seed: any integer >= 0.

        Attributes:
            never_drawn: classes that occur, but no image shows enough of them.

        Raises:
            UserError: no image shows so much of any class.
        """
        self.least, self._seed = least, seed
        images = [np.flatnonzero(of_class > least) for of_class in pixels.T]
        self._images = {label: found for label, found in enumerate(images) if len(found)}
        if not self._images:
            raise UserError(
                "config.method.rare_class_share: no image of the source has more than"
                f" {least} pixels of one class, the most are {pixels.max()}; give a lower share"
            )
        seen = np.flatnonzero(pixels.sum(axis=0)).tolist()
        self.never_drawn = tuple(label for label in seen if label not in self._images)
        self._labels = np.array(list(self._images))
        probabilities = class_probabilities(pixels.sum(axis=0), temperature)[self._labels]
        self._probabilities = probabilities / probabilities.sum()

    def __call__(self, number: int) -> Drawn:
        """The example of that number, from 0."""
        rng = np.random.default_rng([self._seed, _STREAM, number])
        label = int(rng.choice(self._labels, p=self._probabilities))
        return Drawn(int(rng.choice(self._images[label])), label)

    def enough(self, label: np.ndarray, wanted: int) -> bool:
        """Whether a crop shows enough of a class: half of what an image has to have."""
        return 2 * int(np.count_nonzero(label == wanted)) > self.least


def class_pixels(records: Records, num_classes: int) -> np.ndarray:
    """Pixels of each class in each image; counted once, then kept beside the records.

    Args:
        records: with label maps.
        num_classes: C.

    Returns:
        int64 `[N, C]`; ignored pixels count nowhere.
    """
    path = records.folder / COUNTS
    try:
        found = np.load(path)
    except (OSError, ValueError):
        found = None
    if found is None or found.shape != (len(records), num_classes):
        found = _count(records, num_classes)
        with (
            contextlib.suppress(OSError),
            atomic_write(path) as partial,
            partial.open("wb") as file,
        ):
            np.save(file, found)
    return found


def _count(records: Records, num_classes: int) -> np.ndarray:
    def of_image(number: int) -> np.ndarray:
        label = records[number]["label"]
        return np.bincount(label.ravel(), minlength=256)[:num_classes]

    with (
        ThreadPoolExecutor(_THREADS) as threads,
        Bar("counting the classes of the source", len(records)) as bar,
    ):
        rows = list(bar.each(threads.map(of_image, range(len(records)))))
    return np.stack(rows)
