"""What the data sets that lie in files have in common."""

from __future__ import annotations

import abc
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from msl_jax.data import images
from msl_jax.data.datasets.dataset import FileExample, Kind, choose_label_set, files_fingerprint
from msl_jax.data.labels import LabelSet
from msl_jax.runtime.errors import UserError


class FileDataset(abc.ABC):
    """A `Dataset` of files below a root; a subclass says which files make up a split.

    Attributes:
        name: name in configurations.
        kind: what labels are of.
        title: name in messages.
        layout: the files below the root, for messages.
        folders: folders that the root must have.
        splits: names of the splits.
        expected: number of images of each split, where it is published.
        label_sets: sets of classes that the labels can be read as; the first is the default.
        label_globs: patterns of all label files below the root.
        root: folder of the data set.
        label_set: the set of classes that was chosen.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = "pixels"
    title: ClassVar[str]
    layout: ClassVar[str]
    folders: ClassVar[Sequence[str]] = ()
    splits: tuple[str, ...]
    expected: ClassVar[Mapping[str, int]] = {}
    label_sets: ClassVar[Sequence[LabelSet]]
    label_globs: ClassVar[Sequence[str]] = ()

    def __init__(self, root: str | Path, num_classes: int | None = None) -> None:
        """Checks that the folders are there.

        Args:
            root: folder of the data set, see the module's docstring for what lies in it.
            num_classes: number of classes that the labels are read as; default is the first of
                `label_sets`.

        Raises:
            UserError: `root` is not such a folder, or there is no set of so many classes.
        """
        self.root = Path(root)
        self.label_set = choose_label_set(self.name, self.label_sets, num_classes)
        missing = [folder for folder in self.folders if not (self.root / folder).is_dir()]
        if missing or not self.root.is_dir():
            state = "lacks the folders" if self.root.is_dir() else "is not a folder; wanted in it:"
            raise UserError(
                f"{self.title}: {self.root} {state} {', '.join(missing) or self.layout}."
                f" {self._advice()}"
            )

    @classmethod
    def find_label_set(cls, num_classes: int | None, classes_file: str | Path | None) -> LabelSet:
        """The classes, without any file; `classes_file` is for data sets that name theirs in one.

        Raises:
            UserError: there is no set of so many classes.
        """
        del classes_file
        return choose_label_set(cls.name, cls.label_sets, num_classes)

    @classmethod
    def open(
        cls, root: str | Path, num_classes: int | None, classes_file: str | Path | None
    ) -> FileDataset:
        """Opens the data set; arguments as in `find_label_set`.

        Raises:
            UserError: as the constructor.
        """
        del classes_file
        return cls(root, num_classes)

    @abc.abstractmethod
    def pairs(self, split: str) -> list[FileExample]:
        """Lists the examples of a split as they should be, in a fixed order.

        A file of a pair may be missing, so that a check can report all that are; `examples`
        refuses that.

        Args:
            split: one of `splits`.
        """

    def examples(self, split: str, *, missing_ok: bool = False) -> list[FileExample]:
        """Lists the examples of a split in a fixed order.

        Where less is there than was published, as after a download of some parts, that is what is
        listed, and a line on stderr says so.

        Args:
            split: one of `splits`.
            missing_ok: list pairs that lack a file as well; reading them is an error.

        Raises:
            UserError: unknown split, no example in it, or a file of a pair is missing.
        """
        if split not in self.splits:
            raise UserError(
                f"{self.title} has no split {split!r}; choose one of {list(self.splits)}."
            )
        found = self.pairs(split)
        if not found:
            raise UserError(
                f"{self.title}: no images for {split} below {self.root}. {self._advice()}"
            )
        if not missing_ok:
            self._expect("image", split, [example.image_path for example in found])
            self._expect("label", split, [example.label_path for example in found])
        if len(found) < self.expected.get(split, 0):
            print(
                f"{self.name}/{split}: {len(found)} of the {self.expected[split]} published images"
                " are there; only they are used",
                file=sys.stderr,
            )
        return found

    def labelled(self, split: str) -> bool:
        """Whether any example of a split has a label."""
        return any(example.label_path is not None for example in self.pairs(split))

    def labels_without_image(self) -> list[Path]:
        """Lists the label files that belong to no image of any split."""
        labels = {path for pattern in self.label_globs for path in self.root.glob(pattern)}
        used = {example.label_path for split in self.splits for example in self.pairs(split)}
        return sorted(labels - used)

    @cached_property
    def fingerprint(self) -> str:
        """Name of the label set and digest of the files of all splits."""
        found = [example for split in self.splits for example in self.pairs(split)]
        paths = {path for example in found for path in (example.image_path, example.label_path)}
        there = sorted(path for path in paths if path is not None and path.is_file())
        return f"{self.label_set.name}-{files_fingerprint(self.root, there)}"

    def _expect(self, kind: str, split: str, paths: Sequence[Path | None]) -> None:
        missing = [path for path in paths if path is not None and not path.is_file()]
        if missing:
            raise UserError(
                f"{self.title}: {len(missing)} of {len(paths)} examples of {split} have no {kind};"
                f" the first one missing is {missing[0]}. Fetch what is missing or move its"
                " partners away."
            )

    def _advice(self) -> str:
        """What should be there, and where it may be instead."""
        expected = f"Expected {self.layout}"
        for child in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            if self.folders and all((child / folder).is_dir() for folder in self.folders):
                return f"{expected}; they seem to be in {child}: give that folder instead."
        return (
            f"{expected}; give the folder that holds them as data_root (source_root or target_root"
            " where each domain has its own)."
        )


def pairs_of_one_name(
    image_folder: Path,
    label_folder: Path,
    names: Iterable[str],
    lookup: np.ndarray,
    read_ids: Callable[[Path], np.ndarray] = images.read_label_ids,
) -> list[FileExample]:
    """Lists those of `names` whose image is there, each with the label of the same name.

    Args:
        image_folder: folder of the images.
        label_folder: folder of the labels.
        names: file names of the split, in order.
        lookup: table from ids to train ids, see `labels.id_lookup`.
        read_ids: reads the ids of a label file.
    """
    there = {path.name for path in image_folder.iterdir()}
    return [
        FileExample(Path(name).stem, image_folder / name, label_folder / name, lookup, read_ids)
        for name in names
        if name in there
    ]
