"""NTHU CrossCity: street views of four cities, 2048x1024; targets of Cityscapes with 13 classes.

Layout, for each of Rio, Rome, Tokyo and Taipei: `CITY/Images/{Train,Test}/NAME.jpg` (or .png),
`CITY/Labels/Test/NAME_eval.png` and, with one name per line, `CITY/List/{train,test}.txt`. Without
a list, a split is all that is in the folder. Train is unlabelled.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.label_files import UnknownIds, read_label_ids
from msl_jax.data.label_sets import LABEL_SETS, cityscapes_ids
from msl_jax.data.labels import IGNORE
from msl_jax.data.listing import counted, matching, some_of
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.text import has_controls

_CITIES = ("Rome", "Rio", "Tokyo", "Taipei")
_LABELS = LABEL_SETS["cityscapes13"]
_TRAIN_IDS = frozenset(range(_LABELS.num_classes))
# Labels are Cityscapes ids, but there are copies with train ids 0-12, which would be misread
# without an error. So those ids below 13 that none of the 13 classes has, and that Cityscapes would
# ignore, are unknown here; 0 ("unlabeled") remains ignored.
_IDS = {
    label_id: train_id
    for label_id, train_id in cityscapes_ids(_LABELS).items()
    if label_id == 0 or label_id not in _TRAIN_IDS or train_id != IGNORE
} | {IGNORE: IGNORE}


class CrossCity(FileDataset):
    """Real streets of four cities: CITY_train has no labels."""

    name = "crosscity"
    title = "NTHU CrossCity"
    layout = (
        "{Rome,Rio,Tokyo,Taipei}/Images/{Train,Test}/NAME.jpg (or .png) and"
        " CITY/Labels/Test/NAME_eval.png"
    )
    expected: ClassVar = {
        f"{city}_{part}": number
        for city in _CITIES
        for part, number in (("train", 3200), ("test", 100))
    }
    splits = tuple(expected)
    default_size = (512, 1024)
    road_id = 7
    copies = _LABELS
    label_sets = (_LABELS,)
    label_globs = ("*/Labels/Test/*_eval.png",)

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the images of a split in the order of its list, or else of their names.

        Args:
            split: one of `splits`.

        Raises:
            UserError: the list cannot be read.
        """
        city, part = split.split("_")
        names = self.path(f"{city}/List/{part}.txt")
        folder = self.path(f"{city}/Images/{part.title()}")
        images, labels = _images(folder), self.path(f"{city}/Labels/{part.title()}")
        lookup = self.lookup(_IDS)
        read = _read_ids if self.label_ids == "original" else read_label_ids
        return [
            FileExample(
                name,
                # A listed name without an image gets a path that does not exist, for the message.
                images.get(name, folder / f"{name}.jpg"),
                labels / f"{name}_eval.png" if part == "test" else None,
                lookup,
                read,
            )
            for name in (_read_list(names) if names.is_file() else sorted(images))
        ]

    def remarks(self) -> list[str]:
        """See `FileDataset`; images that no list names, too."""
        used = {example.image_path for split in self.splits for example in self.pairs(split)}
        there = {
            path
            for city in _CITIES
            for part in ("Train", "Test")
            for path in _images(self.path(f"{city}/Images/{part}")).values()
        }
        unlisted = sorted(there - used)
        remarks = super().remarks()
        if unlisted:
            remarks.append(
                f"{self.name}: {counted(len(unlisted), 'image')} in no list below {self.root}:"
                f" {some_of(unlisted, self.root)}"
            )
        return remarks


def _images(folder: Path) -> dict[str, Path]:
    """Images of a folder by their names without suffix; none if there is no folder."""
    # If a name has both, the JPEG counts, as in the official code.
    return {p.stem: p for p in (*matching(folder, "*.png"), *matching(folder, "*.jpg"))}


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not a readable list of names, one per line ({error}). Fetch it again, or"
            " delete it to use all images of the folder."
        ) from error
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    wrong = [name for name in names if "/" in name or "\\" in name or has_controls(name)]
    if wrong:  # "../x" would leave the folder
        raise UserError(
            f"{path}: expected names of images, one per line, without folders; found {wrong[0]!r}."
        )
    return names


def _read_ids(path: Path) -> np.ndarray:
    """Reads uint8 ids `[H, W]`; raises `UnknownIds` if they can only be train ids."""
    ids = read_label_ids(path)
    found = set(np.unique(ids).tolist()) - {IGNORE}
    if found <= _TRAIN_IDS and not found <= _IDS.keys():
        raise UnknownIds(
            f"{path}: expected Cityscapes ids (7 road, 8 sidewalk, 11 building, ...), found"
            f" {sorted(found)}, which are train ids 0-12. These labels have been converted: use the"
            " original Labels/Test, or read them with config.target_label_ids=train (--label_ids"
            " train of the prepare command)."
        )
    return ids
