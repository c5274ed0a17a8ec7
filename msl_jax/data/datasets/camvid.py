"""CamVid in the SegNet tutorial's layout, split by time of day for adaptation from day to dusk.

Layout: `{train,val,test}/NAME.png` and `{train,val,test}annot/NAME.png` (8-bit ids). The first part
of a name is the drive, and each drive was filmed either by day or at dusk.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.datasets.fingerprint import files_fingerprint
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import IGNORE, id_lookup
from msl_jax.data.listing import matching
from msl_jax.runtime.errors import UserError

_TIME_OF_DRIVE = {"0001TP": "dusk", "0016E5": "day", "0006R0": "day", "Seq05VD": "day"}
_VOID = 11
_LOOKUP = id_lookup({**{i: i for i in range(_VOID)}, _VOID: IGNORE})


class CamVid(FileDataset):
    """Day frames are the source domain, dusk frames the target.

    `train_dusk` has labels as well: the pipeline does not use them for the target, but the oracle
    needs them.
    """

    name = "camvid"
    title = "CamVid"
    layout = (
        "the layout of the SegNet tutorial (train/NAME.png, trainannot/NAME.png, val/, valannot/,"
        " test/, testannot/)"
    )
    folders = ("train", "trainannot", "val", "valannot", "test", "testannot")
    splits = ("train_day", "train_dusk", "val_day", "test_dusk")
    default_size = (360, 480)
    label_sets = (LABEL_SETS["camvid"],)
    label_globs = ("trainannot/*.png", "valannot/*.png", "testannot/*.png")

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files of all splits."""
        return files_fingerprint(self.root, matching(self.root, "*/*.png"))

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the frames of a split by name, each with the label that it should have.

        Args:
            split: one of `splits`.

        Raises:
            UserError: no frames, or a file name with an unknown drive.
        """
        part, time = split.split("_")
        folder = self.path(part)
        images = [path for path in sorted(matching(folder, "*.png")) if _time_of_day(path) == time]
        if not images:
            drives = [drive for drive in _TIME_OF_DRIVE if _TIME_OF_DRIVE[drive] == time]
            raise UserError(
                f"{self._nothing_for(split)} Names of frames of {split} are PNG files in {part}/"
                f" that begin with {' or '.join(drives)}."
            )
        labels = self.path(f"{part}annot")
        return [FileExample(path.stem, path, labels / path.name, _LOOKUP) for path in images]


def _time_of_day(path: Path) -> str:
    drive = path.name.split("_")[0]
    if drive not in _TIME_OF_DRIVE:
        raise UserError(
            f"CamVid: the name of {path} has an unknown drive; expected one that begins with one of"
            f" {', '.join(_TIME_OF_DRIVE)}."
        )
    return _TIME_OF_DRIVE[drive]
