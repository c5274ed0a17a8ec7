"""Photos with one label each: a folder for each domain, with one for each class."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from msl_jax.data.datasets.dataset import FileExample, Loaded
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.decoding import PHOTO_SUFFIXES
from msl_jax.data.labels import LabelClass, LabelSet, spaced_color
from msl_jax.data.listing import (
    by_name,
    by_suffix,
    children,
    composed,
    counted,
    inside,
    some_of,
)
from msl_jax.runtime.errors import UserError

# Files of records, whose names have 255 bytes at most, have it in theirs.
_LONGEST_DOMAIN = 150


@dataclass(frozen=True)
class PhotoExample(FileExample):
    """A photo whose folder is its label.

    Attributes:
        class_index: index of its class in the label set; None if it is not labelled.
    """

    label_path: None = None
    lookup: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    class_index: int | None = field(kw_only=True)

    def load(self) -> Loaded:
        """Reads the photo, upright; its label is the index of its class, uint8 `()`.

        Raises:
            UserError: the file is missing, damaged or not a photo.
        """
        pixels, index = self.read_photo().pixels, self.class_index
        return Loaded(pixels, None if index is None else np.array(index, np.uint8))


def class_label_set(name: str, names: Sequence[str]) -> LabelSet:
    """Classes of photos; their colours, evenly spaced hues, are only used in pictures.

    Args:
        name: of the set.
        names: of the classes, in the order of the network's outputs.
    """
    colors = (spaced_color(place, len(names)) for place in range(len(names)))
    return LabelSet(name, tuple(map(LabelClass, names, colors)))


class ClassDataset(FileDataset):
    """A `Dataset` of photos in `ROOT/DOMAIN/images/CLASS/` or `ROOT/DOMAIN/CLASS/`.

    Splits are the domains. In the folder of a class, files with the suffix of a photo are examples;
    all else is counted and named.
    """

    kind: ClassVar[Literal["classes"]] = "classes"
    layout = "DOMAIN/CLASS/PHOTO, the same classes in every domain"
    default_size = (256, 256)  # the paper does not say; crops of 224 are cut out of it

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the photos of a domain by class and name; none if there is no such folder.

        Args:
            split: one of `splits`.
        """
        if unsorted := self.unsorted(split):
            return [PhotoExample(path.name, path, class_index=None) for path in unsorted]
        return [
            PhotoExample(f"{name}/{path.name}", path, class_index=index)
            for index, (name, folder) in enumerate(self.class_folders(split).items())
            for path in photos_in(folder)
        ]

    def examples(self, split: str, *, missing_ok: bool = False) -> list[FileExample]:
        """Lists the photos of a domain in a fixed order.

        Args:
            split: one of `splits`.
            missing_ok: ignored; an entry of a folder that is not a file is an example that cannot
                be read.

        Raises:
            UserError: unknown domain, no photos in it, or a class without photos.
        """
        del missing_ok
        found = super().examples(split, missing_ok=True)
        self.expect_classes(split)
        return found

    def labelled(self, split: str) -> bool:
        """Photos in folders of classes are; a target's labels are only used for evaluation."""
        return not self.unsorted(split)

    def unsorted(self, split: str) -> list[Path]:
        """Photos of a domain that is unlabelled, in no folder of a class; none if it must not be.

        Args:
            split: one of `splits`.
        """
        del split
        return []

    def domain_folder(self, split: str) -> Path:
        """The folder with the classes of a domain."""
        return folder_of_classes(by_name(self.root).get(composed(split), self.root / split))

    def class_folders(self, split: str) -> dict[str, Path]:
        """The folder of each class in a domain, which may be missing."""
        folder = self.domain_folder(split)
        found = by_name(folder)
        return {n: found.get(composed(n), folder / n) for n in self.label_set.names}

    def photos_by_class(self, split: str) -> dict[str, int]:
        """Number of photos of each class in a domain; nothing if it is unlabelled."""
        if self.unsorted(split):
            return {}
        return {n: len(photos_in(folder)) for n, folder in self.class_folders(split).items()}

    def expect_classes(self, split: str) -> None:
        """Checks that a labelled domain has photos of every class, and that records can be named.

        Raises:
            UserError: it does not; names the classes, and folders that may belong to them.
        """
        if not re.fullmatch(r"\w+", split) or len(os.fsencode(split)) > _LONGEST_DOMAIN:
            raise UserError(
                f"{self.title}: the domain {split!r} needs a name of letters, digits and"
                f" underscores, of at most {_LONGEST_DOMAIN} bytes. Rename the folder"
                f" {self.root / split}."
            )
        photos = self.photos_by_class(split)
        empty = [name for name, number in photos.items() if not number]
        if empty:
            folders = self.class_folders(split)
            found = ", ".join(_what_is_wrong(folders[name]) for name in empty)
            others = some_of(self._of_no_class(split), self.domain_folder(split))
            raise UserError(
                f"{self.title}: {split} lacks photos of {len(empty)} of {len(photos)} classes, but"
                f" source and target need the same ones: {found}."
                + (f" What is there and belongs to no class: {others}." if others else "")
                + f" {self._advice_on_classes()}"
            )

    def unused(self) -> list[Path]:
        """Files and folders of the domains that belong to no class."""
        return [path for split in self.splits for path in self._of_no_class(split)]

    def remarks(self) -> list[str]:
        """See `FileDataset`: what belongs to no class, and what in their folders is no photo."""
        found = []
        if alone := self.unused():
            found.append(
                f"{self.name}: {len(alone)} of the files and folders below {self.root} of no class:"
                f" {some_of(alone, self.root)}"
            )
        folders = {f for split in self.splits for f in self.class_folders(split).values()}
        others = [p for f in sorted(folders) for p in sorted({*children(f)} - {*photos_in(f)})]
        if others:
            found.append(
                f"{self.name}: {counted(len(others), 'file or folder', 'files and folders')} in the"
                f" folders of classes not read: {by_suffix(others, self.root)}. Photos are"
                f" {', '.join(PHOTO_SUFFIXES)}."
            )
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Names of the classes and digest of the files of all domains."""
        return f"{'-'.join(self.label_set.names)}-{super().fingerprint}"

    def _nothing_for(self, split: str) -> str:
        """Of a domain that is there, `expect_classes` says more."""
        if self.domain_folder(split).is_dir():
            self.expect_classes(split)
        return super()._nothing_for(split)

    def _of_no_class(self, split: str) -> list[Path]:
        folders, photos = set(self.class_folders(split).values()), set(self.unsorted(split))
        found = children(self.domain_folder(split))
        alone = (path for path in found if path not in photos)
        return [path for path in alone if path not in folders or not path.is_dir()]

    def _advice_on_classes(self) -> str:
        return f"Expected {self.layout}: fetch what is missing, or rename the folders."


def photos_in(folder: Path) -> list[Path]:
    """Photos in a folder, not in its subfolders, sorted; broken links among them."""
    found = (path for path in children(folder) if path.suffix.lower() in PHOTO_SUFFIXES)
    return [path for path in found if not path.is_dir()]


def folder_of_classes(domain: Path) -> Path:
    """The folder with the classes of a domain: its folder `images`, or itself."""
    images = inside(domain, "images")
    return images if images.is_dir() else domain


def _what_is_wrong(folder: Path) -> str:
    others = children(folder)
    found = "no photo in it" if folder.is_dir() else "no such folder"
    return (
        f"{folder.name} ({folder}: {found}{f', but {by_suffix(others, folder)}' if others else ''})"
    )
