"""Your own images: a folder of photos, a folder of label maps, and a file that lists the classes.

Layout of a root: `images/` with photos (or the root itself if there is no such folder), `labels/`
with a label map of the same name for those that have one: 8-bit ids or the listed colours, PNG or
another lossless format. Both may have the same subfolders. The classes are listed in
`classes.yaml`, see `class_file.read_classes`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from msl_jax.data.datasets.class_file import listed_colors, listed_ids, read_classes
from msl_jax.data.datasets.dataset import ClassList, FileExample, LabelIds, expect_original
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.label_files import LabelReader
from msl_jax.data.labels import LabelSet, id_lookup
from msl_jax.data.listing import below, counted, pairing_name, some_of
from msl_jax.data.photos import CLASSES_FILE, PhotoFolder, open_photos
from msl_jax.runtime.errors import UserError

_HOLD_OUT = 10  # every tenth labelled image is held out to evaluate the source domain


class Folders(FileDataset):
    """Your own images of one domain, with or without labels.

    `source_train` and `source_eval` share the labelled images, nine to one; a single one is in
    both. `target_train` has all images, `target_eval` those with labels or, if none has, all.
    """

    name = "folders"
    title = "folders"
    layout = "images/ with photos, and labels/ with label maps of the same names"
    splits = ("source_train", "source_eval", "target_train", "target_eval")
    default_size = (270, 360)
    lists_classes = True

    def __init__(self, root: str | Path, classes_file: ClassList) -> None:
        """Checks that there are images.

        Args:
            root: folder of the images.
            classes_file: see `class_file.read_classes`, or what it gave; None for photos without
                labels, which can only be checked.

        Raises:
            UserError: no such folder, or the class file is wrong.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder. {self._advice()}")
        self.label_set = LabelSet(self.name, ())
        if classes_file:
            self.label_set = self.find_label_set(None, classes_file)
        self._lookup = id_lookup(listed_ids(self.label_set))
        self._read = LabelReader(listed_colors(self.label_set), by_color=True)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the files, and of ids and colours, which records have as train ids."""
        listed = (self._lookup.tolist(), sorted(self._read.colors.items()))
        return f"{super().fingerprint}-{hashlib.sha256(repr(listed).encode()).hexdigest()[:8]}"

    @classmethod
    def find_label_set(cls, num_classes: int | None, classes_file: ClassList) -> LabelSet:
        """The classes of a file.

        Raises:
            UserError: no file is given, it is wrong, or it lists another number of classes.
        """
        if classes_file is None:
            raise UserError("folders: give the class file with --config.classes_file=FILE")
        if isinstance(classes_file, LabelSet):
            return classes_file
        label_set = read_classes(classes_file)
        if num_classes not in (None, label_set.num_classes):
            raise UserError(
                f"config.num_classes is {num_classes}, but {classes_file} lists"
                f" {label_set.num_classes} classes: {', '.join(label_set.names)}"
            )
        return label_set

    @classmethod
    def open(
        cls,
        root: str | Path,
        num_classes: int | None,
        classes_file: ClassList,
        label_ids: LabelIds = "original",
    ) -> Folders:
        """Opens a domain; the class file is `classes.yaml` in its root by default.

        Raises:
            UserError: as the constructor and `find_label_set`.
        """
        expect_original(cls.name, label_ids)
        classes_file = classes_file or Path(root) / CLASSES_FILE
        cls.find_label_set(num_classes, classes_file)
        return cls(root, classes_file)

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the images of a split by name.

        Args:
            split: one of `splits`.

        Raises:
            UserError: which label belongs to which image is not clear.
        """
        labelled = [example for example in self._every if example.label_path is not None]
        if split == "source_train":
            return labelled[:1] * (len(labelled) == 1) + [
                example for place, example in enumerate(labelled) if place % _HOLD_OUT
            ]
        if split == "source_eval":
            return labelled[::_HOLD_OUT]
        if split == "target_eval":
            return labelled or self._every
        return [dataclasses.replace(e, label_path=None) for e in self._every]

    def labels_without_image(self) -> list[Path]:
        """See `FileDataset`."""
        used = {example.label_path for example in self._every}
        return [path for path in self._files.label_maps if path not in used]

    def remarks(self) -> list[str]:
        """See `FileDataset`."""
        files, found = self._files, self._files.remarks()
        labelled = sum(example.label_path is not None for example in self._every)
        if files.label_maps and labelled < len(self._every):
            found.append(
                f"{len(self._every) - labelled} of {counted(len(self._every), 'image')} without a"
                f" label below {self.root}: {self._expected_label()}"
            )
        if labelled == 1:
            found.append(f"the only label below {self.root} serves training and evaluation alike")
        names = [pairing_name(photo, self.root) for photo in files.photos]
        alike, top = Counter(names), Counter(tuple(n.split("/")[:-1][:1]) for n in names)
        twice = [p for p, name in zip(files.photos, names, strict=True) if alike[name] > 1]
        if twice:
            found.append(
                f"{len(twice)} photos below {self.root} have the name of another one, except for"
                f" the suffix: {some_of(twice, self.root)}. Label maps belong into {files.labels}."
            )
        if files.images == self.root and len(top) > 1:
            folders = ", ".join(f"{(*name, '.')[0]} ({n})" for name, n in sorted(top.items()))
            found.append(f"no folder images in {self.root}: photos of all folders, {folders}")
        return [*super().remarks(), *(f"folders: {text}" for text in found)]

    @cached_property
    def _files(self) -> PhotoFolder:
        found = open_photos(self.root)
        if maps := found.called_label_maps():
            lacks = f"{self.root} has no folder images, and " if found.images == self.root else ""
            raise UserError(
                f"{lacks}{counted(len(maps), 'label map')} would be taken for photos:"
                f" {some_of(maps, self.root)}. Expected {self.layout}: move them there, or rename"
                " them if they are photos."
            )
        return found

    @cached_property
    def _every(self) -> list[FileExample]:
        """All images by name, with their labels where there are any."""
        files = self._files
        maps = _by_name(files.labels, files.label_maps)
        names = {photo: pairing_name(photo, files.images) for photo in files.photos}
        _by_name(files.images, (photo for photo, name in names.items() if name in maps))
        return [
            FileExample(
                below(photo, files.images),
                photo,
                maps.get(name),
                self._lookup,
                self._read,
            )
            for photo, name in names.items()
        ]

    def _expected_label(self) -> str:
        """An image without a label, and where its label is expected."""
        files, example = self._files, next(e for e in self._every if e.label_path is None)
        label = files.labels / Path(example.key).with_suffix(".png")
        return (
            f"{example.image_path.relative_to(self.root)} (expected {label.relative_to(self.root)})"
        )

    def _nothing_for(self, split: str) -> str:
        if not self._every:
            said = "".join(f" {text}" for text in self._files.remarks())
            return f"folders: no photos below {self.root}.{said} {self._advice()}"
        alone = self.labels_without_image()
        found = f" Found {alone[0].relative_to(self.root)}." if alone else ""
        return (
            f"folders: {split} needs labels, and {counted(len(self._every), 'image')} below"
            f" {self.root} have none: {self._expected_label()}.{found} {self._advice()}"
        )


def _by_name(folder: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their names in `folder` without suffix, by which images and labels are matched.

    Raises:
        UserError: two files have the same name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        name = pairing_name(path, folder)
        if name in found:
            raise UserError(
                f"{found[name]} and {path} have the same name except for the suffix, so it is not"
                " clear which image and label belong together. Rename or remove one."
            )
        found[name] = path
    return found
