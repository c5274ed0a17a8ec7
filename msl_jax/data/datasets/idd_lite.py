"""IDD-Lite: street scenes of India with labels of seven coarse classes, 320x227.

Layout: `leftImg8bit/SPLIT/SEQUENCE/FRAME_image.jpg`, `gtFine/SPLIT/SEQUENCE/FRAME_label.png` (8-bit
ids). The labels of test are not public.
"""

from __future__ import annotations

from typing import ClassVar

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import IGNORE, id_lookup
from msl_jax.data.listing import matching

_IMAGE, _LABEL = "_image.jpg", "_label.png"
_CLASSES = LABEL_SETS["idd_lite"]
_LOOKUP = id_lookup({**{i: i for i in range(_CLASSES.num_classes)}, IGNORE: IGNORE})


class IDDLite(FileDataset):
    """Unstructured traffic, with Cityscapes in seven classes.

    As the target of an adaptation, train needs no labels: without `gtFine/train` it is unlabelled.
    """

    name = "idd_lite"
    title = "IDD-Lite"
    layout = f"leftImg8bit/SPLIT/SEQUENCE/FRAME{_IMAGE} and gtFine/SPLIT/SEQUENCE/FRAME{_LABEL}"
    folders = ("leftImg8bit",)
    expected: ClassVar = {"train": 1403, "val": 204, "test": 404}
    splits = tuple(expected)
    unused_splits = ("test",)
    default_size = (224, 400)
    label_sets = (_CLASSES,)
    # Frames end in digits: files of instances, FRAME_inst_label.png, are no labels.
    label_globs = tuple(f"gtFine/{split}/*/*[0-9]{_LABEL}" for split in ("train", "val"))

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the frames of a split by sequence and name, each with the label it should have.

        Args:
            split: one of `splits`.
        """
        labels = self.path(f"gtFine/{split}")
        labelled = split == "val" or (split == "train" and labels.is_dir())
        found = []
        for image in sorted(matching(self.path(f"leftImg8bit/{split}"), f"*/*{_IMAGE}")):
            frame = f"{image.parent.name}/{image.name.removesuffix(_IMAGE)}"
            label = labels / f"{frame}{_LABEL}" if labelled else None
            found.append(FileExample(frame, image, label, _LOOKUP))
        return found
