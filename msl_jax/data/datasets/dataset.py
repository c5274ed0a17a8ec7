"""What a data set is: the interface between files on disk and prepared records."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np

from msl_jax.data import images
from msl_jax.data.labels import LabelSet
from msl_jax.runtime.errors import UserError

# What labels are of: "pixels" have maps of labels, "classes" one label an image.
Kind = Literal["pixels", "classes"]


class Example(Protocol):
    """One image with or without labels; picklable, and cheap until it is read."""

    @property
    def key(self) -> str:
        """Readable name, unique in the split."""
        ...

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns image uint8 `[H, W, 3]` and label uint8 `[H, W]` of train ids, or None.

        Where the data set's kind is "classes" the label is uint8 `()`.
        """
        ...


class Dataset(Protocol):
    """Named splits of examples with one label set."""

    @property
    def name(self) -> str:
        """Name in configurations, e.g. "camvid"; letters, digits and underscores."""
        ...

    @property
    def kind(self) -> Kind:
        """What its labels are of."""
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

    def examples(self, split: str, *, missing_ok: bool = False) -> Sequence[Example]:
        """Returns the examples of a split in a fixed order.

        Args:
            split: one of `splits`.
            missing_ok: give out examples that lack a file as well; reading them is an error.
        """
        ...

    def labelled(self, split: str) -> bool:
        """Whether any example of a split has a label."""
        ...


class BuiltIn:
    """What data sets without files of the user's have in common.

    Attributes:
        name: name in configurations.
        label_sets: sets of classes that labels can be read as; the first one is the default.
    """

    name: ClassVar[str]
    label_sets: ClassVar[Sequence[LabelSet]]

    @classmethod
    def find_label_set(cls, num_classes: int | None, classes_file: object = None) -> LabelSet:
        """The classes; no file names them."""
        del classes_file
        return choose_label_set(cls.name, cls.label_sets, num_classes)

    def labelled(self, split: str) -> bool:
        """All examples are, those of the target for evaluation only."""
        del split
        return True


@dataclass(frozen=True)
class FileExample:
    """An image file and, where there is one, its label file.

    Attributes:
        key: readable name, unique in the split.
        image_path: image file.
        label_path: label file; None where the split is unlabelled.
        lookup: table from ids to train ids, see `labels.id_lookup`.
        read_ids: reads the ids `[H, W]` of a label file; of a module, so that it can be pickled.
    """

    key: str
    image_path: Path
    label_path: Path | None
    lookup: np.ndarray = field(repr=False, compare=False)
    read_ids: Callable[[Path], np.ndarray] = field(
        default=images.read_label_ids, repr=False, compare=False
    )

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Reads and checks both files.

        Returns:
            Image uint8 `[H, W, 3]` and label uint8 `[H, W]` of train ids with 255 ignored, or None.

        Raises:
            UserError: a file is missing, damaged or of another kind, the sizes differ, or an id is
                unknown.
        """
        if self.label_path is None:
            # A label map belongs to the pixels as they are stored; without one, as they are seen.
            return images.read_image(self.image_path, upright=True), None
        image = images.read_image(self.image_path)
        ids = self.read_ids(self.label_path)
        images.check_pair(image, ids, self.image_path, self.label_path)
        return image, images.map_ids(ids, self.lookup, self.label_path)


def choose_label_set(
    name: str, label_sets: Sequence[LabelSet], num_classes: int | None
) -> LabelSet:
    """Returns the label set of `num_classes` classes, the first one where that is None.

    Args:
        name: the data set's name, for the message.
        label_sets: the sets of classes that its labels can be read as.
        num_classes: number of classes wanted.

    Raises:
        UserError: there is no set of so many classes.
    """
    for label_set in label_sets:
        if num_classes in (None, label_set.num_classes):
            return label_set
    choices = "; ".join(f"{s.num_classes} ({', '.join(s.names)})" for s in label_sets)
    raise UserError(
        f"{name} cannot be read with {num_classes} classes; set config.num_classes to one of:"
        f" {choices}."
    )


def files_fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """Returns a digest of where files lie, how large they are and when they last changed.

    Records made of them are found again only while nothing has changed, so a mended label or an
    added frame never leaves stale records behind.

    Args:
        root: folder of the data set.
        paths: its files, in a fixed order.
    """
    digest = hashlib.sha256(os.fsencode(root.resolve()))
    for path in paths:
        status = path.stat()
        # Not every name is valid UTF-8.
        digest.update(os.fsencode(f"\n{path}\t{status.st_size}\t{status.st_mtime_ns}"))
    return digest.hexdigest()[:16]
