"""GTA5 ("Playing for Data"): street scenes of a computer game, about 1914x1052; a source domain.

Layout: `images/NNNNN.png`, `labels/NNNNN.png` (01_images.zip to 10_images.zip, 01_labels.zip to
10_labels.zip). Labels are palette PNGs whose indices are Cityscapes ids. The archives are large:
with only some of the ten parts one trains on those. Not all images have the same size. Some labels
have another size than their image: public loaders skip these pairs, and so does this one.
"""

from __future__ import annotations

import functools
import importlib.resources
import itertools
import json
from pathlib import Path
from typing import ClassVar

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset, pairs_of_one_name
from msl_jax.data.label_files import LabelReader
from msl_jax.data.label_sets import CITYSCAPES_LABELS, LABEL_SETS, cityscapes_ids
from msl_jax.data.labels import IGNORE
from msl_jax.data.listing import children, counted, some_of

# Numbers of pairs of two sizes, as the lists of two public loaders have them.
_FAULTY = frozenset({15188, 17705, *range(20801, 20861)})
_LICENSE_PLATE = 34  # Cityscapes keeps it out of its files, with an id of -1
_COLORS = {
    label.color: tuple(other.id for other in CITYSCAPES_LABELS if other.color == label.color)
    for label in CITYSCAPES_LABELS
    if label.train_id != IGNORE
}
# Those of evaluated classes are Cityscapes' colours; others need not be.
_READ = LabelReader(_COLORS, tolerance=0.5)


class GTA5(FileDataset):
    """Rendered street scenes, read as 19, 16 or 13 classes.

    The paper trains on `train`; others train on `all`. `val_500` is the first 500 of `val`: the
    official code evaluates on 500 source images during training. Published are one more of `train`,
    35 of `val` and 26 of `test`, which are faulty.
    """

    name = "gta5"
    title = "GTA5"
    layout = "images/NNNNN.png and labels/NNNNN.png"
    folders = ("images", "labels")
    expected: ClassVar = {"train": 12402, "val": 6347, "val_500": 500, "test": 6155, "all": 24904}
    splits = tuple(expected)
    repeated_splits = ("val_500", "all")
    unused_splits = ("val", "test", "all")
    default_size = (720, 1280)
    road_id = 7
    label_sets = tuple(LABEL_SETS[f"cityscapes{number}"] for number in (19, 16, 13))
    label_globs = ("labels/*.png",)

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the images of a split by number, each with the label that it should have.

        Args:
            split: one of `splits`.
        """
        part, _, count = split.partition("_")
        numbers = _numbers()[part][: int(count) if count else None]
        return pairs_of_one_name(
            self.path("images"),
            self.path("labels"),
            (f"{number:05}.png" for number in numbers),
            self.lookup({**cityscapes_ids(self.label_set), _LICENSE_PLATE: IGNORE}),
            _READ,
        )

    def remarks(self) -> list[str]:
        """See `FileDataset`."""
        left_out = sorted(path for path in children(self.path("images")) if _is_faulty(path))
        if not left_out:
            return super().remarks()
        return [
            f"gta5: {counted(len(left_out), 'pair')} known to be faulty left out:"
            f" {some_of(left_out, self.root)}",
            *super().remarks(),
        ]

    def labels_without_image(self) -> list[Path]:
        """See `FileDataset`; without those of faulty pairs."""
        return [path for path in super().labels_without_image() if not _is_faulty(path)]


@functools.cache
def _numbers() -> dict[str, list[int]]:
    """Numbers of the images of train, val and test, from the data set's split.mat, and of all."""
    file = importlib.resources.files("msl_jax.data") / "gta5_splits.json"
    ranges = json.loads(file.read_text(encoding="utf-8"))
    found = {
        split: [n for first, last in runs for n in range(first, last + 1) if n not in _FAULTY]
        for split, runs in ranges.items()
    }
    return {**found, "all": sorted(itertools.chain(*found.values()))}


def _is_faulty(path: Path) -> bool:
    return path.stem.isdecimal() and int(path.stem) in _FAULTY
