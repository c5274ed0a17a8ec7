"""What is to be predicted: photos, folders of them and videos, and how their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from msl_jax.data.listing import counted, some_of
from msl_jax.data.photos import open_photos
from msl_jax.data.video import VIDEO_SUFFIXES
from msl_jax.runtime.errors import UserError


class Inputs(NamedTuple):
    """What was found.

    Attributes:
        photos: by their names: paths below the input, or its folder `images` if it has one; sorted
            for each input. If there are several, what is in a folder has its name first.
        videos: likewise.
        remarks: what a user should know, in words.
    """

    photos: dict[Path, Path]
    videos: dict[Path, Path]
    remarks: list[str]


def find_inputs(paths: Sequence[Path]) -> Inputs:
    """Finds photos as for training; videos are those that are named themselves.

    Args:
        paths: absolute.

    Raises:
        UserError: nothing is there, a folder has no photo, or two inputs have one name.
    """
    found = Inputs({}, {}, [])
    for path in paths:
        into = found.photos
        if path.is_dir():
            photos, remarks = _in_folder(path, Path(path.name) if len(paths) > 1 else Path())
            found.remarks.extend(remarks)
        elif path.is_file():
            photos = {Path(path.name): path}
            if path.suffix.lower() in VIDEO_SUFFIXES:
                into = found.videos
        else:
            raise UserError(f"--input {path} does not exist; give a photo or a folder of photos")
        for name, photo in photos.items():
            if name in into:
                raise UserError(
                    f"--input: {into[name]} and {photo} would both be named {name}; give them apart"
                )
            into[name] = photo
    return found


def _in_folder(path: Path, below: Path) -> tuple[dict[Path, Path], list[str]]:
    found = open_photos(path)
    remarks = found.remarks()
    if found.label_maps:
        maps = counted(len(found.label_maps), "label map")
        remarks.append(f"{maps} in {found.labels} not predicted")
    if called := found.called_label_maps():
        remarks.append(
            f"{counted(len(called), 'file')} called as label maps not predicted:"
            f" {some_of(called, path)}. Rename them if they are photos."
        )
    photos = sorted({*found.photos} - {*called})
    if not photos:
        raise UserError(
            f"--input {path}: no photo in this folder; {'; '.join(remarks) or 'it is empty'}"
        )
    return {below / photo.relative_to(found.images): photo for photo in photos}, remarks


def result_names(photos: Iterable[Path]) -> dict[Path, Path]:
    """Names of the PNG files of photos: their own, so that photo and label map belong together.

    Of photos that differ in the suffix alone it stays in the name, except for a PNG.

    >>> [str(path) for path in result_names(map(Path, ("a.jpg", "b.jpg", "b.png"))).values()]
    ['a.png', 'b_jpg.png', 'b.png']
    """
    photos = list(photos)
    number = Counter(photo.with_suffix("") for photo in photos)
    return {
        photo: photo.with_name(f"{photo.stem}_{photo.suffix[1:].lower()}.png")
        if number[photo.with_suffix("")] > 1 and photo.suffix.lower() != ".png"
        else photo.with_suffix(".png")
        for photo in photos
    }


def frame_name(video: Path, number: int) -> Path:
    """Name of a frame's PNG files, in a folder of the video's name."""
    return video.with_suffix("") / f"{number:06}.png"


def frame_key(video: Path, number: int) -> str:
    """By which a frame is known."""
    return f"{video}#{number:06}"


def expect_apart(inputs: Inputs, names: Mapping[Path, Path]) -> None:
    """Checks that no two photos or videos have results of one name.

    Args:
        inputs: what was found.
        names: `result_names` of its photos.

    Raises:
        UserError: some have.
    """
    first: dict[Path, Path] = {}

    def take(place: Path, whose: Path) -> None:
        if place in first:
            raise UserError(
                f"--input: {first[place]} and {whose} would both be written to {place}; rename one"
            )
        first[place] = whose

    for name, photo in inputs.photos.items():
        take(names[name], photo)
    folders = {parent: photo for photo in names.values() for parent in photo.parents}
    for name, video in inputs.videos.items():
        folder = name.with_suffix("")
        take(folder, video)
        if folder in folders:
            raise UserError(
                f"--input: frames of {video} would be written among those of a folder {folder};"
                " give them apart"
            )
