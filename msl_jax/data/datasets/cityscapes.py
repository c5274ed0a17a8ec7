"""Cityscapes: German street scenes with fine labels, 2048x1024; target of GTA5 and SYNTHIA.

Layout: `leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png`, `gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png`
(leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip). The labels of test are not public.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.label_sets import LABEL_SETS, cityscapes_ids
from msl_jax.data.listing import matching
from msl_jax.runtime.errors import UserError

_IMAGE, _LABEL = "_leftImg8bit.png", "_gtFine_labelIds.png"
_TRAIN_LABEL = "_gtFine_labelTrainIds.png"  # as cityscapesscripts makes them


class Cityscapes(FileDataset):
    """Real street scenes, read as 19, 16, 13 or 7 classes.

    As the target of an adaptation, `train` needs no labels: without `gtFine/train` it is
    unlabelled.
    """

    name = "cityscapes"
    title = "Cityscapes"
    layout = f"leftImg8bit/SPLIT/CITY/NAME{_IMAGE} and gtFine/SPLIT/CITY/NAME{_LABEL}"
    folders = ("leftImg8bit",)
    expected: ClassVar = {"train": 2975, "val": 500, "test": 1525}
    splits = tuple(expected)
    unused_splits = ("test",)
    default_size = (512, 1024)
    road_id = 7
    label_sets = tuple(
        LABEL_SETS[name] for name in ("cityscapes19", "cityscapes16", "cityscapes13", "idd_lite")
    )
    label_globs = tuple(f"gtFine/{split}/*/*{_LABEL}" for split in ("train", "val"))

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the images of a split by city and name, each with the label that it should have.

        Args:
            split: one of `splits`.
        """
        labels = self.path(f"gtFine/{split}")
        labelled = split == "val" or (split == "train" and labels.is_dir())
        lookup = self.lookup(cityscapes_ids(self.label_set))
        suffixes = (_TRAIN_LABEL, _LABEL) if self.label_ids == "train" else (_LABEL,)
        found = []
        for image in sorted(matching(self.path(f"leftImg8bit/{split}"), f"*/*{_IMAGE}")):
            key = image.name.removesuffix(_IMAGE)
            files = [labels / image.parent.name / f"{key}{suffix}" for suffix in suffixes]
            label = next((file for file in files if file.is_file()), files[-1])
            found.append(FileExample(key, image, label if labelled else None, lookup))
        return found

    def expect_encoding(self, split: str) -> None:
        """See `Dataset`; files of train ids alone are recognised by their names."""
        for example in self.pairs(split):
            label = example.label_path
            if label is not None and not label.is_file() and _train_label(label):
                raise UserError(f"{self.title}: {label} is missing{self.found_beside(label)}.")
        super().expect_encoding(split)

    def found_beside(self, missing: Path) -> str:
        """See `FileDataset`; says how train ids are read."""
        found = _train_label(missing)
        if found is None:
            return super().found_beside(missing)
        return (
            f", but {found.name} is there, of train ids: config.target_label_ids=train reads them,"
            " or config.source_label_ids=train if it is the source (--label_ids train of the"
            " prepare command)"
        )


def _train_label(label: Path) -> Path | None:
    """The file of train ids that lies beside a label, if there is one."""
    found = label.with_name(label.name.replace(_LABEL, _TRAIN_LABEL))
    return found if found != label and found.is_file() else None
