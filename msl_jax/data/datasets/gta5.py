"""GTA5 ("Playing for Data"): street scenes of a computer game, about 1914x1052; a source domain.

Layout: `images/NNNNN.png`, `labels/NNNNN.png` (01_images.zip to 10_images.zip, 01_labels.zip to
10_labels.zip). Labels are palette PNGs whose indices are Cityscapes ids. The archives are large:
whoever fetched some of the ten parts trains on those. The images are not all of one size, and a few
labels have another size than their image.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Sequence
from typing import ClassVar

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset, pairs_of_one_name
from msl_jax.data.labels import IGNORE, LABEL_SETS, cityscapes_ids, id_lookup

_LICENSE_PLATE = 34  # Cityscapes keeps it out of its files, with an id of -1


class GTA5(FileDataset):
    """Rendered street scenes, read as 19, 16 or 13 classes.

    The paper trains on `train`; others train on `all`. `val_500` is the first of `val`: the
    official code looks at 500 images of the source during training.
    """

    name = "gta5"
    title = "GTA5"
    layout = "images/NNNNN.png and labels/NNNNN.png"
    folders = ("images", "labels")
    expected: ClassVar = {"train": 12403, "val": 6382, "val_500": 500, "test": 6181, "all": 24966}
    splits = tuple(expected)
    label_sets = tuple(LABEL_SETS[f"cityscapes{number}"] for number in (19, 16, 13))
    label_globs = ("labels/*.png",)

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the images of a split by number, each with the label that it should have.

        Args:
            split: one of `splits`.
        """
        every = range(1, self.expected["all"] + 1)
        part, _, count = split.partition("_")
        numbers: Sequence[int] = every if split == "all" else _numbers()[part]
        numbers = numbers[: int(count) if count else None]
        return pairs_of_one_name(
            self.root / "images",
            self.root / "labels",
            (f"{number:05}.png" for number in numbers),
            id_lookup({**cityscapes_ids(self.label_set), _LICENSE_PLATE: IGNORE}),
        )


@functools.cache
def _numbers() -> dict[str, list[int]]:
    """Numbers of the images of train, val and test, from the data set's split.mat."""
    file = importlib.resources.files("msl_jax.data.datasets") / "gta5_splits.json"
    ranges = json.loads(file.read_text(encoding="utf-8"))
    return {
        split: [number for first, last in runs for number in range(first, last + 1)]
        for split, runs in ranges.items()
    }
