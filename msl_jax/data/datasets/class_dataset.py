"""Photos that are classified as a whole: a folder for each domain, in it one for each class."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from msl_jax.data import images
from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.labels import LabelClass, LabelSet
from msl_jax.runtime.errors import UserError

# What viewers and archivers leave behind, beside files whose names begin with a dot.
_LITTER = ("Thumbs.db", "desktop.ini", "__MACOSX")


@dataclass(frozen=True)
class PhotoExample(FileExample):
    """A photo whose folder is its label.

    Attributes:
        class_index: place of its class in the label set.
    """

    label_path: None = None
    lookup: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    class_index: int = field(kw_only=True)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Reads the photo, upright.

        Returns:
            Image uint8 `[H, W, 3]` and the index of its class, uint8 `()`.

        Raises:
            UserError: the file is missing, damaged or no photo.
        """
        image = images.read_image(self.image_path, upright=True)
        return image, np.array(self.class_index, np.uint8)


def class_label_set(name: str, names: Sequence[str]) -> LabelSet:
    """Classes of photos; their colours, hues in turn, are for pictures alone.

    Args:
        name: of the set.
        names: of the classes, in the order of the network's outputs.
    """

    def color(place: int) -> tuple[int, int, int]:
        red, green, blue = colorsys.hsv_to_rgb(place / len(names), 0.65, 0.9)
        return round(255 * red), round(255 * green), round(255 * blue)

    return LabelSet(name, tuple(LabelClass(n, color(i)) for i, n in enumerate(names)))


class ClassDataset(FileDataset):
    """A `Dataset` of photos in `ROOT/DOMAIN/images/CLASS/` or `ROOT/DOMAIN/CLASS/`.

    Splits are the domains. Every file of a class's folder has to be a photo: another one is an
    example that cannot be read, so that it is named and not passed over. Hidden files are not seen.
    """

    kind: ClassVar[Literal["classes"]] = "classes"
    layout = "DOMAIN/CLASS/PHOTO, the same classes in every domain"

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the photos of a domain by class and name; none where there is no such folder.

        Args:
            split: one of `splits`.
        """
        return [
            PhotoExample(f"{name}/{path.name}", path, class_index=index)
            for index, name in enumerate(self.label_set.names)
            for path in visible(self.domain_folder(split) / name)
        ]

    def examples(self, split: str, *, missing_ok: bool = False) -> list[FileExample]:
        """Lists the photos of a domain in a fixed order.

        Args:
            split: one of `splits`.
            missing_ok: of no meaning here: a folder's entry that is no file is an example that
                cannot be read.

        Raises:
            UserError: unknown domain, no photo in it, or a class without one.
        """
        del missing_ok
        found = super().examples(split, missing_ok=True)
        self.expect_classes(split)
        return found

    def labelled(self, split: str) -> bool:
        """All photos are, those of a target for evaluation only."""
        del split
        return True

    def domain_folder(self, split: str) -> Path:
        """The folder that holds the classes of a domain."""
        return folder_of_classes(self.root / split)

    def photos_by_class(self, split: str) -> dict[str, int]:
        """Number of photos of each class in a domain."""
        folder = self.domain_folder(split)
        return {name: len(visible(folder / name)) for name in self.label_set.names}

    def expect_classes(self, split: str) -> None:
        """Checks that a domain has photos of every class, and that records of it can be named.

        Raises:
            UserError: it has not; names the classes, and folders that may be meant.
        """
        if not re.fullmatch(r"\w+", split):
            raise UserError(
                f"{self.title}: the domain {split!r} needs a name of letters, digits and"
                f" underscores. Rename the folder {self.root / split}."
            )
        photos = self.photos_by_class(split)
        empty = [name for name, number in photos.items() if not number]
        if empty:
            folder = self.domain_folder(split)
            found = ", ".join(_what_is_wrong(folder / name) for name in empty)
            others = ", ".join(path.name for path in self._of_no_class(split) if path.is_dir())
            raise UserError(
                f"{self.title}: {split} lacks photos of {len(empty)} of {len(photos)} classes, but"
                f" source and target need the same ones: {found}."
                + (f" Folders of no class there: {others}." if others else "")
                + f" {self._advice_on_classes()}"
            )

    def unused(self) -> list[Path]:
        """Files and folders of the domains that belong to no class."""
        return [path for split in self.splits for path in self._of_no_class(split)]

    @cached_property
    def fingerprint(self) -> str:
        """Names of the classes and digest of the files of all domains."""
        return f"{'-'.join(self.label_set.names)}-{super().fingerprint}"

    def _of_no_class(self, split: str) -> list[Path]:
        names = self.label_set.names
        found = visible(self.domain_folder(split))
        return [path for path in found if path.name not in names or not path.is_dir()]

    def _advice_on_classes(self) -> str:
        return f"Expected {self.layout}: fetch what is missing, or rename the folders."


def folder_of_classes(domain: Path) -> Path:
    """The folder of a domain that holds its classes: `images` in it, or itself."""
    return domain / "images" if (domain / "images").is_dir() else domain


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without hidden files; nothing where there is no folder."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.name not in _LITTER)
    return sorted(path for path in found if not path.name.startswith("."))


def _what_is_wrong(folder: Path) -> str:
    return f"{folder.name} ({folder}: {'no photo in it' if folder.is_dir() else 'no such folder'})"
