"""How the official PyTorch code loads source examples, in the worker processes of a DataLoader."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.support.work import BGR_MEAN

NUM_CLASSES = 19

Pair = tuple[Path, Path]


class SourceExamples:
    """Opens, flips, resizes, blurs and converts examples, in the order of the official code.

    Args:
        pairs: the files of each image and of its label ids.
        size: (height, width) of the result.
        blur: blur half of the images.
    """

    def __init__(self, pairs: tuple[Pair, ...], size: tuple[int, int], *, blur: bool) -> None:
        self._pairs = pairs
        self._size = size
        self._blur = blur

    def __len__(self) -> int:
        """Number of examples."""
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image float32 `[3, H, W]`, BGR minus the mean, and label float32 `[H, W]`."""
        image_path, label_path = self._pairs[index]
        image: Image.Image = Image.open(image_path).convert("RGB")
        label: Image.Image = Image.open(label_path)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            label = label.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = image.resize(self._size[::-1], Image.Resampling.BICUBIC)
        label = label.resize(self._size[::-1], Image.Resampling.NEAREST)
        if self._blur and random.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(random.random()))
        pixels = np.asarray(image, np.float32)[:, :, ::-1] - BGR_MEAN
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)), _train_ids(label)


def _train_ids(label: Image.Image) -> np.ndarray:
    """One comparison per class, just as the official code loops over its ids."""
    ids = np.asarray(label, np.float32)
    mapped = np.full_like(ids, 255)
    for train_id in range(NUM_CLASSES):
        mapped[ids == train_id] = train_id
    return mapped


def loader(
    pairs: tuple[Pair, ...], size: tuple[int, int], processes: int, *, blur: bool = True
) -> Iterable[object]:
    """PyTorch's loader of shuffled batches of one image, as the official code uses it.

    Args:
        pairs: see `SourceExamples`.
        size: see `SourceExamples`.
        processes: number of worker processes.
        blur: see `SourceExamples`.

    Raises:
        ModuleNotFoundError: PyTorch is not installed.
    """
    from torch.utils.data import DataLoader  # optional: this module is imported without it

    examples: Any = SourceExamples(pairs, size, blur=blur)  # needs no base class
    return DataLoader(
        examples,
        batch_size=1,
        shuffle=True,
        num_workers=processes,
        multiprocessing_context="spawn",  # JAX has threads
        persistent_workers=True,  # so that their startup is not measured
    )
