"""What a data set is: the interface between files on disk and prepared records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from msl_jax.data import images
from msl_jax.data.labels import LabelSet


class Example(Protocol):
    """One image with or without labels; picklable, and cheap until it is read."""

    @property
    def key(self) -> str:
        """Readable name, unique in the split."""
        ...

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns image uint8 `[H, W, 3]` and label uint8 `[H, W]` of train ids, or None."""
        ...


class Dataset(Protocol):
    """Named splits of examples with one label set."""

    @property
    def name(self) -> str:
        """Name in configurations, e.g. "camvid"; letters, digits and underscores."""
        ...

    @property
    def label_set(self) -> LabelSet:
        """Classes of the labels."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that differs where the examples can differ: another root, other files."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        ...

    def examples(self, split: str) -> Sequence[Example]:
        """Returns the examples of a split in a fixed order."""
        ...


@dataclass(frozen=True)
class FileExample:
    """An image file and, where there is one, its 8-bit label file.

    Attributes:
        key: readable name, unique in the split.
        image_path: image file.
        label_path: label file; None where the split is unlabelled.
        lookup: table from ids to train ids, see `labels.id_lookup`.
    """

    key: str
    image_path: Path
    label_path: Path | None
    lookup: np.ndarray = field(repr=False, compare=False)

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Reads and checks both files.

        Returns:
            Image uint8 `[H, W, 3]` and label uint8 `[H, W]` of train ids with 255 ignored, or None.

        Raises:
            UserError: a file is missing, damaged or of another kind, the sizes differ, or an id is
                unknown.
        """
        image = images.read_image(self.image_path)
        if self.label_path is None:
            return image, None
        ids = images.read_label_ids(self.label_path)
        images.check_pair(image, ids, self.image_path, self.label_path)
        return image, images.map_ids(ids, self.lookup, self.label_path)


def files_fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """Returns a digest of where files lie, how large they are and when they last changed.

    Records made of them are found again only while nothing has changed, so a mended label or an
    added frame never leaves stale records behind.

    Args:
        root: folder of the data set.
        paths: its files, in a fixed order.
    """
    digest = hashlib.sha256(str(root.resolve()).encode())
    for path in paths:
        status = path.stat()
        digest.update(f"\n{path}\t{status.st_size}\t{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
