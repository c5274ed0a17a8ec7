"""The interface of data sets, between files on disk and prepared records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from msl_jax.data import images, label_files
from msl_jax.data.labels import LabelSet
from msl_jax.runtime.errors import UserError

# What is labelled: "pixels" have label maps, "classes" have one label per image.
Kind = Literal["pixels", "classes"]
# What label files hold: the data set's own ids, or train ids, as in copies that others have made.
LabelIds = Literal["original", "train"]
# Where classes are listed: in a file; or what was once read there.
ClassList = str | Path | LabelSet | None
# What else can be done about examples with a fault.
LEFT_OUT = "(config.on_bad_example=skip leaves such examples out and names them)"


class Example(Protocol):
    """One image with or without labels; picklable, and cheap until it is read."""

    @property
    def key(self) -> str:
        """Readable name, unique in the split."""
        ...

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns image uint8 `[H, W, 3]` and label uint8 `[H, W]` of train ids, or None.

        If the data set's kind is "classes", the label is uint8 `()`.
        """
        ...


class Loaded(NamedTuple):
    """An example that has been read.

    Attributes:
        image: uint8 `[H, W, 3]`.
        label: uint8 `[H, W]` of train ids with 255 ignored, `()` if the data set's kind is
            "classes"; None if there is none.
        remarks: on the label, see `label_counts`.
    """

    image: np.ndarray
    label: np.ndarray | None
    remarks: tuple[str, ...] = ()


def load(example: Example) -> Loaded:
    """Reads an example, with remarks if it is one of files.

    Raises:
        UserError: it cannot be read.
    """
    return example.load() if isinstance(example, FileExample) else Loaded(*example.read())


class Dataset(Protocol):
    """Named splits of examples with one label set."""

    @property
    def name(self) -> str:
        """Name in configurations, e.g. "camvid"; letters, digits and underscores."""
        ...

    @property
    def kind(self) -> Kind:
        """What is labelled."""
        ...

    @property
    def label_set(self) -> LabelSet:
        """Classes of the labels."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that differs whenever the examples may differ: another root, other files."""
        ...

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        ...

    def examples(self, split: str, *, missing_ok: bool = False) -> Sequence[Example]:
        """Returns the examples of a split in a fixed order.

        Args:
            split: one of `splits`.
            missing_ok: return examples with missing files as well; reading them is an error.
        """
        ...

    def labelled(self, split: str) -> bool:
        """Whether any example of a split has a label."""
        ...

    def expect_encoding(self, split: str) -> None:
        """Looks at some labels before all are read.

        Raises:
            UserError: they are in an encoding that would be taken for the data set's own.
        """
        ...


class RegisteredDataset(Dataset, Protocol):
    """A data set that configurations can name, with what the prepare command wants to know."""

    @property
    def repeated_splits(self) -> tuple[str, ...]:
        """Splits whose examples are in other splits too: only checked if asked for."""
        ...

    @property
    def unused_splits(self) -> tuple[str, ...]:
        """Splits that no configuration uses: only prepared if asked for."""
        ...

    @property
    def default_size(self) -> tuple[int, int]:
        """(height, width) of records if none is given: that of the recipe without Multi."""
        ...

    @property
    def evaluated(self) -> LabelSet | None:
        """Classes that count where a network that was trained on it tells more apart; None: all."""
        ...

    def remarks(self) -> list[str]:
        """What a user should know of the files, in words; none if there are no files."""
        ...


class BuiltIn:
    """What data sets that need no files of the user have in common.

    Attributes:
        name: name in configurations.
        label_sets: sets of classes that labels can be read as; the first one is the default.
        default_size: see `RegisteredDataset`.
        repeated_splits: likewise.
        unused_splits: likewise.
        evaluated: likewise.
        lists_classes: whether the user lists the classes.
    """

    name: ClassVar[str]
    lists_classes: ClassVar[bool] = False
    label_sets: ClassVar[Sequence[LabelSet]]
    default_size: ClassVar[tuple[int, int]]
    repeated_splits: ClassVar[tuple[str, ...]] = ()
    unused_splits: ClassVar[tuple[str, ...]] = ()
    evaluated: ClassVar[LabelSet | None] = None

    @classmethod
    def find_label_set(cls, num_classes: int | None, classes_file: object = None) -> LabelSet:
        """The classes; `classes_file` is ignored."""
        del classes_file
        return choose_label_set(cls.name, cls.label_sets, num_classes)

    def labelled(self, split: str) -> bool:
        """All examples are; for a target, the labels are only used for evaluation."""
        del split
        return True

    def expect_encoding(self, split: str) -> None:
        """Nothing to look at: there are no files."""

    def remarks(self) -> list[str]:
        """None: there are no files."""
        return []


@dataclass(frozen=True)
class FileExample:
    """An image file and, where there is one, its label file.

    Attributes:
        key: readable name, unique in the split.
        image_path: image file.
        label_path: label file; None if the split is unlabelled.
        lookup: table from ids to train ids, see `labels.id_lookup`.
        read_ids: reads the ids `[H, W]` of a label file; must be picklable.
    """

    key: str
    image_path: Path
    label_path: Path | None
    lookup: np.ndarray = field(repr=False, compare=False)
    read_ids: Callable[[Path], np.ndarray] = field(
        default=label_files.read_label_ids, repr=False, compare=False
    )

    def read_photo(self) -> images.Photo:
        """Reads the image, upright.

        Raises:
            UserError: the file is missing, damaged or of the wrong kind.
        """
        return images.read_photo(self.image_path)

    def load(self) -> Loaded:
        """Reads and checks both files.

        Raises:
            UserError: a file is missing, damaged or of the wrong kind, the sizes differ, or an id
                is unknown.
        """
        photo = self.read_photo()
        if self.label_path is None:
            return Loaded(photo.pixels, None)
        ids = self.read_ids(self.label_path)
        ids, remarks = images.fit_label(photo, ids, self.image_path, self.label_path)
        return Loaded(photo.pixels, label_files.map_ids(ids, self.lookup, self.label_path), remarks)

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Image and label of `load`."""
        return self.load()[:2]


def choose_label_set(
    name: str, label_sets: Sequence[LabelSet], num_classes: int | None
) -> LabelSet:
    """Returns the label set with `num_classes` classes, or the first one if that is None.

    Args:
        name: the data set's name, for the message.
        label_sets: the sets of classes that its labels can be read as.
        num_classes: number of classes.

    Raises:
        UserError: there is no set with this number of classes.
    """
    for label_set in label_sets:
        if num_classes in (None, label_set.num_classes):
            return label_set
    choices = "; ".join(f"{s.num_classes} ({', '.join(s.names)})" for s in label_sets)
    raise UserError(
        f"{name} cannot be read with {num_classes} classes; set config.num_classes to one of:"
        f" {choices}."
    )


def expect_original(name: str, label_ids: LabelIds) -> None:
    """Checks that train ids are not asked for in the label files of a data set without such copies.

    Raises:
        UserError: they are.
    """
    if label_ids != "original":
        raise UserError(
            f"{name}: its labels have ids of one kind alone; leave config.source_label_ids and"
            " config.target_label_ids at 'original' for it"
        )
