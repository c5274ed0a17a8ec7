"""A folder of photos, with or without label maps: which files are read, and which are not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from msl_jax.data.decoding import LABEL_SUFFIXES, PHOTO_SUFFIXES
from msl_jax.data.listing import (
    by_suffix,
    counted,
    inside,
    is_below,
    list_files,
    pairing_name,
    some_of,
)

CLASSES_FILE = "classes.yaml"
# What label maps and their folders are called elsewhere, alone or with other words: train_masks.
_MAPS = (
    r"(?:labels?|masks?|annotations?|\w*annot|gt|gt_?fine|ground[-_ ]?truths?|label(?:train)?ids"
    r"|segmentations?|segmentationclass\w*)"
)
_LABEL_FOLDER = re.compile(rf"(?:.*[-_. ])?{_MAPS}(?:[-_. ].*)?", re.IGNORECASE)
_LABEL_OF = re.compile(rf"(.+)[-_. ]{_MAPS}", re.IGNORECASE)  # a photo's name


class PhotoFolder(NamedTuple):
    """The files below a root.

    Attributes:
        root: the folder that a user names.
        images: its folder `images`, or the root itself if there is none.
        labels: its folder `labels`, which need not exist.
        photos: photos in `images`, sorted; none of those in `labels`.
        label_maps: label maps in `labels`, sorted; pictures of other kinds too, such as JPEG, where
            there is none of the right kind: reading them is an error.
        others: all other files but the list of classes, sorted.
        repeated: links to folders that are read already.
    """

    root: Path
    images: Path
    labels: Path
    photos: list[Path]
    label_maps: list[Path]
    others: list[Path]
    repeated: list[Path]

    def remarks(self) -> list[str]:
        """What is there and not read, in words, with an example of each kind."""
        found = []
        beside = [path for path in self.others if self._is_photo_beside(path)]
        if beside:
            found.append(
                f"photos are those in {self.images}: {counted(len(beside), 'file')} beside it not"
                f" read: {by_suffix(beside, self.root)}"
            )
        if others := sorted({*self.others} - {*beside}):
            found.append(
                f"{counted(len(others), 'file')} below {self.root} not read:"
                f" {by_suffix(others, self.root)}. Photos are {', '.join(PHOTO_SUFFIXES)}."
            )
        if self.repeated:
            found.append(
                f"{counted(len(self.repeated), 'link')} below {self.root} not followed, to folders"
                f" that are read already: {some_of(self.repeated, self.root)}"
            )
        return found

    def called_label_maps(self) -> list[Path]:
        """Photos that lie in a folder of label maps, by its name, or beside one of their name."""
        names = {photo: pairing_name(photo, self.images) for photo in self.photos}
        there = set(names.values())
        return [
            photo
            for photo, name in names.items()
            if any(map(_LABEL_FOLDER.fullmatch, name.split("/")[:-1]))
            or ((found := _LABEL_OF.fullmatch(name)) and found[1] in there)
        ]

    def _is_photo_beside(self, path: Path) -> bool:
        """Whether a file would be read if there were no folder `images`."""
        alone = not is_below(path, self.images) and not is_below(path, self.labels)
        return alone and path.suffix.lower() in PHOTO_SUFFIXES


def open_photos(root: Path) -> PhotoFolder:
    """Lists what lies below a root.

    Raises:
        UserError: a folder cannot be read, or two have names that differ only in capitals.
    """
    images, labels = inside(root, "images"), inside(root, "labels")
    # In this order, so that links from one to the other never make label maps photos.
    files, repeated = list_files(labels, images, root)
    if not images.is_dir():
        images = root
    pictures = [path for path in files if path.suffix.lower() in PHOTO_SUFFIXES]
    in_labels = [path for path in pictures if is_below(path, labels)]
    photos = [p for p in pictures if is_below(p, images) and not is_below(p, labels)]
    label_maps = [path for path in in_labels if path.suffix.lower() in LABEL_SUFFIXES]
    names = {pairing_name(path, labels) for path in label_maps}
    label_maps += [path for path in in_labels if pairing_name(path, labels) not in names]
    others = {*files} - {*photos, *label_maps, inside(root, CLASSES_FILE)}
    return PhotoFolder(
        root,
        images,
        labels,
        photos,
        sorted(label_maps),
        sorted(others),
        sorted({*repeated} - {images, labels}),
    )
