"""SYNTHIA-RAND-CITYSCAPES: rendered street scenes, 1280x760; a source domain.

Layout: `RGB/NNNNNNN.png`, `GT/LABELS/NNNNNNN.png` (SYNTHIA_RAND_CITYSCAPES.rar). Labels are 16-bit
RGB PNGs: the first channel is the class, the second the instance. Most image readers silently keep
the high byte of such files, which makes every class 0: see `label_files.read_rgb16_ids`.
"""

from __future__ import annotations

from typing import ClassVar

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset, pairs_of_one_name
from msl_jax.data.label_files import read_any_ids, read_rgb16_ids
from msl_jax.data.label_sets import LABEL_SETS, synthia_ids

_NUMBERS = {"train": range(9000), "val": range(9000, 9400), "all": range(9400)}


class SYNTHIA(FileDataset):
    """Rendered street scenes, read as 16, 13 or 19 classes."""

    name = "synthia"
    title = "SYNTHIA"
    layout = "RGB/NNNNNNN.png and GT/LABELS/NNNNNNN.png"
    folders = ("RGB", "GT/LABELS")
    expected: ClassVar = {split: len(numbers) for split, numbers in _NUMBERS.items()}
    splits = tuple(expected)
    repeated_splits = unused_splits = ("all",)
    default_size = (760, 1280)
    road_id = 3
    label_sets = tuple(LABEL_SETS[f"cityscapes{number}"] for number in (16, 13, 19))
    evaluated = LABEL_SETS["cityscapes16"]  # it lacks the other three of Cityscapes' 19
    label_globs = ("GT/LABELS/*.png",)

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the images of a split by number, each with the label that it should have.

        Args:
            split: one of `splits`.
        """
        return pairs_of_one_name(
            self.path("RGB"),
            self.path("GT/LABELS"),
            (f"{number:07}.png" for number in _NUMBERS[split]),
            self.lookup(synthia_ids(self.label_set)),
            read_rgb16_ids if self.label_ids == "original" else read_any_ids,
        )
