"""Batches that the tests of the pipeline read and compare."""

from __future__ import annotations

import jax
import numpy as np

from msl_jax.data.augment import Augmentation
from msl_jax.data.pipeline import TrainingBatches

ALL = Augmentation(scale=(0.5, 2.0), jitter=0.5)


class Indices:
    """Records whose pixels are their index."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, object]:
        image = np.full((2, 2, 3), index, np.uint8)
        return {"key": str(index), "image": image, "label": image[..., 0]}


def prepared_batches(prepared, batch_size=3, seed=0, options=ALL, target=True, **kwargs):
    return TrainingBatches(
        prepared("train_day"),
        prepared("test_dusk") if target else None,
        batch_size=batch_size,
        seed=seed,
        source_augmentation=options,
        target_augmentation=options,
        **kwargs,
    )


def take(iterator, count: int) -> list:
    return [next(iterator) for _ in range(count)]


def equal(first, second) -> bool:
    same = jax.tree.map(np.array_equal, first, second)
    return all(jax.tree.leaves(same))
