"""Reads photos, lays labels on them, resizes both; whatever is wrong becomes a `UserError`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from msl_jax.data import decoding
from msl_jax.data.decoding import WrongFormat
from msl_jax.runtime.errors import UserError


class SizeMismatch(UserError):
    """An image and a label of different sizes."""


# Remarks on labels, see `fit_label`.
EITHER_WAY = (
    "of photos with an EXIF orientation, fitting both ways: taken to lie on the upright photo"
)
AS_STORED = "of photos with an EXIF orientation, fitting as stored alone: turned upright with them"
UPRIGHT = "of photos with an EXIF orientation, fitting the upright photo alone: taken to lie on it"

# How stored pixels are turned upright, of the orientations that exchange height and width.
_TURNS: Mapping[int, Callable[[np.ndarray], np.ndarray]] = {
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}

_PHOTO_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


class Photo(NamedTuple):
    """A photo as viewers show it.

    Attributes:
        pixels: uint8 `[H, W, 3]`, RGB, turned upright.
        orientation: its EXIF orientation, 1 to 8: from 5 on, height and width are exchanged in the
            file. 1 if it says nothing.
    """

    pixels: np.ndarray
    orientation: int = 1


def read_photo(path: str | Path) -> Photo:
    """Reads a photo and turns it upright by its EXIF orientation.

    Args:
        path: file in one of `decoding.FORMATS`, 8 bits a channel; grey, palette, CMYK and
            transparent images are converted; of an animated GIF the first picture.

    Raises:
        UserError: the file is missing, damaged or larger than `decoding.MAX_PIXELS`.
        WrongFormat: it is not 8-bit, or has several pictures.
    """
    orientation = 1

    def note_orientation(image: ImageFile.ImageFile) -> None:
        nonlocal orientation
        orientation = orientation_of(image)

    def to_rgb(image: Image.Image) -> np.ndarray:
        if image.mode not in _PHOTO_MODES:
            raise WrongFormat(
                f"{path}: 8 bits a channel expected, found an image of mode {image.mode!r}; convert"
                " it."
            )
        image = ImageOps.exif_transpose(image)
        if "transparency" in image.info:  # converted straight to RGB, Pillow would warn
            image = image.convert("RGBA")
        # A copy, since arrays of Pillow's own memory are read-only.
        return np.array(image.convert("RGB"))

    # Before it is decoded: Pillow turns TIFFs itself.
    pixels = decoding.decode(Path(path), to_rgb, prepare=note_orientation, first_of=("GIF",))
    return Photo(pixels, orientation)


def read_image(path: str | Path) -> np.ndarray:
    """The pixels of `read_photo`."""
    return read_photo(path).pixels


def upright_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a photo as viewers show it, which is not decoded.

    Raises:
        UserError: as `read_photo`, as far as the beginning of the file shows it.
    """

    def size(image: ImageFile.ImageFile) -> tuple[int, int]:
        return image.size if orientation_of(image) in _TURNS else (image.height, image.width)

    return decoding.look(Path(path), size, first_of=("GIF",))


def fit_label(
    photo: Photo, label: np.ndarray, image_path: str | Path, label_path: str | Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Lays a label on its upright photo.

    A label of the upright photo's size is taken to lie on it. One that only fits the photo as it is
    stored is turned upright with it. Resizing would hide a mismatch and teach the network wrong
    labels (GTA5 has a few).

    Args:
        photo: upright.
        label: `[H, W]`, as it is stored.
        image_path: of the photo, for the message.
        label_path: of the label.

    Returns:
        The label, of the photo's height and width; and a remark on a photo that is not stored
        upright: which way its label fits.

    Raises:
        SizeMismatch: it fits neither way.
    """
    upright = photo.pixels.shape[:2]
    stored = upright[::-1] if photo.orientation in _TURNS else upright
    if label.shape == upright:
        fits = EITHER_WAY if upright == stored else UPRIGHT
        return label, (() if photo.orientation == 1 else (fits,))
    if label.shape == stored:
        return _TURNS[photo.orientation](label), (AS_STORED,)
    (height, width), (label_height, label_width) = upright, label.shape
    raise SizeMismatch(
        f"{image_path} has {width}x{height} pixels but its label {label_path} has"
        f" {label_width}x{label_height}; they do not belong together. Fix the pair or leave it out."
    )


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an opened picture, 1 if it says nothing."""
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in range(1, 9) else 1


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 `[H, W, 3]` to `size` = (height, width), bicubic with antialiasing."""
    return _resize(image, size, Image.Resampling.BICUBIC)


def resize_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 `[H, W]` to `size` = (height, width) by nearest neighbour, as ids must be."""
    return _resize(label, size, Image.Resampling.NEAREST)


def _resize(array: np.ndarray, size: tuple[int, int], method: Image.Resampling) -> np.ndarray:
    height, width = size
    if array.shape[:2] == (height, width):
        return array
    return np.array(Image.fromarray(array).resize((width, height), method))
