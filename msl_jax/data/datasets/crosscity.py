"""NTHU CrossCity: street views of four cities, 2048x1024; targets of Cityscapes with 13 classes.

Layout, for each of Rio, Rome, Tokyo and Taipei: `CITY/Images/{Train,Test}/NAME.jpg` (or .png),
`CITY/Labels/Test/NAME_eval.png` and, with one name a line, `CITY/List/{train,test}.txt`. Where
there is no list, a split is what lies in the folder. Train is unlabelled.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.images import UnknownIds, read_label_ids
from msl_jax.data.labels import IGNORE, LABEL_SETS, cityscapes_ids, id_lookup
from msl_jax.runtime.errors import UserError

_CITIES = ("Rome", "Rio", "Tokyo", "Taipei")
_LABELS = LABEL_SETS["cityscapes13"]
_TRAIN_IDS = frozenset(range(_LABELS.num_classes))
# Labels are Cityscapes ids, but copies with train ids 0-12 go round, and read as Cityscapes ids
# those would be wrong without an error. So the ids below 13 that none of the 13 classes has, which
# Cityscapes would ignore, are unknown here; 0 ("unlabeled") remains ignored.
_IDS = {
    label_id: train_id
    for label_id, train_id in cityscapes_ids(_LABELS).items()
    if label_id == 0 or label_id not in _TRAIN_IDS or train_id != IGNORE
} | {IGNORE: IGNORE}


class CrossCity(FileDataset):
    """Real street scenes of four cities: `Rome_train` is unlabelled, `Rome_test` labelled."""

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
    label_sets = (_LABELS,)
    label_globs = ("*/Labels/Test/*_eval.png",)

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the images of a split in the order of its list, of their names without one.

        Args:
            split: one of `splits`.

        Raises:
            UserError: the list cannot be read.
        """
        city, part = split.split("_")
        folder = self.root / city
        names = folder / "List" / f"{part}.txt"
        images = _images(folder / "Images" / part.title())
        labels = folder / "Labels" / part.title()
        lookup = id_lookup(_IDS)
        return [
            FileExample(
                name,
                # A name of the list without an image: one that does not exist, for the message.
                images.get(name, folder / "Images" / part.title() / f"{name}.jpg"),
                labels / f"{name}_eval.png" if part == "test" else None,
                lookup,
                _read_ids,
            )
            for name in (_read_list(names) if names.is_file() else sorted(images))
        ]


def _images(folder: Path) -> dict[str, Path]:
    """Images of a folder by their name without suffix; none where there is no folder."""
    # Of a name with both, the JPEG counts, as in the official code.
    return {path.stem: path for path in (*folder.glob("*.png"), *folder.glob("*.jpg"))}


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not a readable list of names, one a line ({error}). Fetch it again, or delete"
            " it to use what lies in the folder."
        ) from error
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    paths = [name for name in names if "/" in name or "\\" in name]
    if paths:  # "../x" would leave the folder
        raise UserError(
            f"{path}: names of images expected, one a line, without a folder; found {paths[0]!r}."
        )
    return names


def _read_ids(path: Path) -> np.ndarray:
    """Reads uint8 ids `[H, W]`; `UnknownIds` where they can only be train ids."""
    ids = read_label_ids(path)
    found = set(np.unique(ids).tolist()) - {IGNORE}
    if found <= _TRAIN_IDS and not found <= _IDS.keys():
        raise UnknownIds(
            f"{path}: Cityscapes ids expected (7 road, 8 sidewalk, 11 building, ...), found"
            f" {sorted(found)}, which are train ids 0-12. This copy of the labels was converted:"
            " use the original Labels/Test."
        )
    return ids
