"""What the data sets that are read from files have in common."""

from __future__ import annotations

import abc
import contextlib
import difflib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from msl_jax.data import label_files
from msl_jax.data.datasets.dataset import (
    LEFT_OUT,
    ClassList,
    FileExample,
    Kind,
    LabelIds,
    choose_label_set,
    expect_original,
)
from msl_jax.data.datasets.fingerprint import files_fingerprint
from msl_jax.data.decoding import PHOTO_SUFFIXES
from msl_jax.data.label_sets import LABEL_SETS, are_train_ids, copied_ids
from msl_jax.data.labels import LabelSet, id_lookup
from msl_jax.data.listing import children, counted, inside, list_files, matching, some_of
from msl_jax.runtime.errors import UserError

_SAMPLE = 25  # labels that are looked at before all are read


class FileDataset(abc.ABC):
    """A `Dataset` of files below a root; a subclass says which files a split has.

    Attributes:
        name: name in configurations.
        kind: what is labelled.
        title: name in messages.
        layout: the files below the root, for messages.
        folders: folders that the root must have.
        splits: names of the splits.
        repeated_splits: see `RegisteredDataset`.
        unused_splits: likewise.
        default_size: likewise.
        evaluated: likewise.
        expected: published number of images of each split.
        lists_classes: whether the user lists the classes.
        label_sets: sets of classes that the labels can be read as; the first is the default.
        label_globs: patterns of all label files below the root.
        road_id: id of road in the label files, if there are copies of them in train ids.
        copies: the classes of those train ids.
        root: folder of the data set.
        label_ids: "original", or "train" if the label files are such a copy.
        label_set: the set of classes that was chosen.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = "pixels"
    title: ClassVar[str]
    layout: ClassVar[str]
    folders: ClassVar[Sequence[str]] = ()
    splits: tuple[str, ...]
    repeated_splits: ClassVar[tuple[str, ...]] = ()
    unused_splits: ClassVar[tuple[str, ...]] = ()
    default_size: ClassVar[tuple[int, int]]
    evaluated: ClassVar[LabelSet | None] = None
    expected: ClassVar[Mapping[str, int]] = {}
    lists_classes: ClassVar[bool] = False
    label_sets: ClassVar[Sequence[LabelSet]]
    label_globs: ClassVar[Sequence[str]] = ()
    road_id: ClassVar[int | None] = None
    copies: ClassVar[LabelSet] = LABEL_SETS["cityscapes19"]
    label_ids: LabelIds = "original"

    def __init__(
        self,
        root: str | Path,
        num_classes: int | None = None,
        label_ids: LabelIds = "original",
    ) -> None:
        """Checks that the folders are there.

        Args:
            root: folder of the data set; its layout is in the docstring of the module.
            num_classes: number of classes that the labels are read as; default is the first of
                `label_sets`.
            label_ids: see the class.

        Raises:
            UserError: `root` is not such a folder, there is no set with this number of classes, or
                the labels have no train ids of their own.
        """
        self.root, self.label_ids = Path(root), label_ids
        if self.road_id is None:
            expect_original(self.name, label_ids)
        self.label_set = choose_label_set(self.name, self.label_sets, num_classes)
        missing = [folder for folder in self.folders if not self.path(folder).is_dir()]
        if missing or not self.root.is_dir():
            state = "lacks the folders" if self.root.is_dir() else "is not a folder; it should have"
            raise UserError(
                f"{self.title}: {self.root} {state} {', '.join(missing) or self.layout}."
                f" {self._advice()}"
            )

    @classmethod
    def find_label_set(cls, num_classes: int | None, classes_file: ClassList) -> LabelSet:
        """The classes; `classes_file` is only used by data sets that list theirs in a file.

        Raises:
            UserError: there is no set with this number of classes.
        """
        del classes_file
        return choose_label_set(cls.name, cls.label_sets, num_classes)

    @classmethod
    def open(
        cls,
        root: str | Path,
        num_classes: int | None,
        classes_file: ClassList,
        label_ids: LabelIds = "original",
    ) -> FileDataset:
        """Opens the data set; arguments as in `find_label_set` and the constructor.

        Raises:
            UserError: as the constructor.
        """
        del classes_file
        return cls(root, num_classes, label_ids)

    def lookup(self, ids: Mapping[int, int]) -> np.ndarray:
        """Table from ids in the label files to train ids, see `labels.id_lookup`.

        Args:
            ids: `{id: train id or IGNORE}` of the original files.
        """
        copied = self.label_ids == "train"
        return id_lookup(copied_ids(self.copies, self.label_set) if copied else ids)

    def expect_encoding(self, split: str) -> None:
        """See `Dataset`: recognises labels in train ids, which would be read as other classes."""
        if self.road_id is None or self.label_ids != "original":
            return
        labels = [e.label_path for e in self.pairs(split) if e.label_path is not None]
        pixels: Counter[int] = Counter()
        for place in np.linspace(0, len(labels) - 1, min(_SAMPLE, len(labels))).astype(int):
            with contextlib.suppress(UserError):  # reported when the pair is read
                pixels.update(label_files.count_ids(label_files.read_any_ids(labels[place])))
        if are_train_ids(pixels, self.road_id, self.copies):
            last = len(self.copies.names) - 1
            raise UserError(
                f"{self.name}/{split}: the labels below {self.root} are train ids (0 road to {last}"
                f" {self.copies.names[-1]}; found {sorted(pixels)}), not the data set's own ids"
                f" (road {self.road_id}). Read them with config.source_label_ids=train, or"
                " config.target_label_ids=train if it is the target (--label_ids train of the"
                " prepare command), or use the original labels."
            )

    def path(self, name: str) -> Path:
        """A file or folder below the root, whatever its capitals."""
        return inside(self.root, name)

    @abc.abstractmethod
    def pairs(self, split: str) -> list[FileExample]:
        """Lists the examples that a split should have, in a fixed order.

        Files of a pair may be missing, so that a check can report all of them; `examples` raises an
        error then.

        Args:
            split: one of `splits`.
        """

    def examples(self, split: str, *, missing_ok: bool = False) -> list[FileExample]:
        """Lists the examples of a split in a fixed order.

        If there are fewer than published, for example after a partial download, those are listed,
        and a line on stderr says so.

        Args:
            split: one of `splits`.
            missing_ok: list pairs with missing files as well; reading them is an error.

        Raises:
            UserError: unknown split, no examples in it, or a file of a pair is missing.
        """
        if split not in self.splits:
            raise UserError(
                f"{self.title} has no split {split!r}; choose one of {list(self.splits)}."
            )
        found = self.pairs(split)
        if not found:
            raise UserError(self._nothing_for(split))
        if not missing_ok:
            self.expect_files("image", split, [example.image_path for example in found])
            self.expect_files("label", split, [example.label_path for example in found])
        if len(found) < self.expected.get(split, 0):
            print(
                f"{self.name}/{split}: {len(found)} of the {self.expected[split]} published images"
                " are there; only these are used",
                file=sys.stderr,
            )
        return found

    def labelled(self, split: str) -> bool:
        """Whether any example of a split has a label."""
        return any(example.label_path is not None for example in self.pairs(split))

    def labels_without_image(self) -> list[Path]:
        """Lists the label files that belong to no image of any split."""
        labels = {path for pattern in self.label_globs for path in matching(self.root, pattern)}
        used = {example.label_path for split in self.splits for example in self.pairs(split)}
        return sorted(labels - used)

    def remarks(self) -> list[str]:
        """What is there and not used, in words, with an example of each kind."""
        alone = self.labels_without_image()
        if not alone:
            return []
        return [
            f"{self.name}: {counted(len(alone), 'label')} without an image below {self.root}:"
            f" {some_of(alone, self.root)}"
        ]

    @cached_property
    def fingerprint(self) -> str:
        """Name of the label set and digest of the files of all splits."""
        found = [example for split in self.splits for example in self.pairs(split)]
        paths = {e.image_path for e in found} | {e.label_path for e in found if e.label_path}
        read_as = self.label_set.name + ("-of-train-ids" * (self.label_ids == "train"))
        return f"{read_as}-{files_fingerprint(self.root, paths)}"

    def expect_files(self, kind: str, split: str, paths: Sequence[Path | None]) -> None:
        """Checks that the images or labels of a split exist.

        Raises:
            UserError: some are missing.
        """
        missing = [path for path in paths if path is not None and not path.is_file()]
        if missing:
            raise UserError(
                f"{self.title}: {len(missing)} of {len(paths)} examples of {split} have no {kind};"
                f" the first one missing is {missing[0]}{self.found_beside(missing[0])}. Fetch what"
                f" is missing, or move the other file of each pair away {LEFT_OUT}."
            )

    def found_beside(self, missing: Path) -> str:
        """The file of the most similar name in the folder of one that is missing, in words."""
        there = [path.name for path in children(missing.parent) if path.is_file()]
        alike = difflib.get_close_matches(missing.name, there, n=1, cutoff=0)
        return f" (found there, for example, {alike[0]})" if alike else ""

    def _nothing_for(self, split: str) -> str:
        """Says that a split has no images, and what is there instead."""
        found = list_files(self.root).files
        if not found:
            return f"{self.title}: no files below {self.root}. {self._advice()}"
        photos = [path for path in found if path.suffix.lower() in PHOTO_SUFFIXES]
        return (
            f"{self.title}: nothing of {split} among {counted(len(found), 'file')} below"
            f" {self.root}; found, for example, {(photos or found)[0].relative_to(self.root)}."
            f" {self._advice()}"
        )

    def _advice(self) -> str:
        """What is expected in the root, and where it may be instead."""
        expected = f"Expected {self.layout}"
        for child in children(self.root):
            if self.folders and all(inside(child, folder).is_dir() for folder in self.folders):
                return f"{expected}; they seem to be in {child}: give that folder instead."
        return (
            f"{expected}; give the folder with these files as data_root (or as source_root and"
            " target_root if each domain has its own)."
        )


def pairs_of_one_name(
    image_folder: Path,
    label_folder: Path,
    names: Iterable[str],
    lookup: np.ndarray,
    read_ids: Callable[[Path], np.ndarray] = label_files.read_label_ids,
) -> list[FileExample]:
    """Lists those of `names` whose image exists, each with the label of the same name.

    Args:
        image_folder: folder of the images.
        label_folder: folder of the labels.
        names: file names of the split, in order.
        lookup: table from ids to train ids, see `labels.id_lookup`.
        read_ids: reads the ids of a label file.
    """
    there = {path.name for path in children(image_folder)}
    return [
        FileExample(Path(name).stem, image_folder / name, label_folder / name, lookup, read_ids)
        for name in names
        if name in there
    ]
