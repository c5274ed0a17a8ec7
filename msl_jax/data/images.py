"""Reads, checks and resizes images and label maps; every fault of a file becomes a `UserError`."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from msl_jax.data import decoding
from msl_jax.data.decoding import WrongFormat
from msl_jax.runtime.errors import UserError


class SizeMismatch(UserError):
    """An image and a label of two sizes."""


class UnknownIds(UserError):
    """A label with ids that its data set does not have."""


PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")

_PHOTO_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
# Pillow's names for "of each two bytes take the first", as PNG stores numbers, and "the second".
_RGB16_HIGH, _RGB16_LOW = "RGB;16B", "RGB;16L"
_KINDS = {"RGB": "an RGB image", "RGBA": "an RGBA image", "1": "a 1-bit image"}


def read_image(path: str | Path, *, upright: bool = False) -> np.ndarray:
    """Reads a photo.

    Args:
        path: file of one of `decoding.FORMATS`, 8 bits a channel; grey, palette, CMYK and
            transparent images are converted.
        upright: turn it as its EXIF orientation says, as viewers do; label maps carry none, so
            data sets are read as they are stored.

    Returns:
        uint8 `[H, W, 3]`, RGB.

    Raises:
        UserError: the file is missing, damaged or larger than `decoding.MAX_PIXELS`.
        WrongFormat: it is not 8-bit, or holds several pictures.
    """

    def to_rgb(image: Image.Image) -> np.ndarray:
        if image.mode not in _PHOTO_MODES:
            raise WrongFormat(
                f"{path}: 8 bits a channel expected, found an image of mode {image.mode!r}; convert"
                " it."
            )
        if upright:
            image = ImageOps.exif_transpose(image)
        if "transparency" in image.info:  # straight to RGB, Pillow would warn of what it drops
            image = image.convert("RGBA")
        # A copy, since arrays of Pillow's own memory are read-only.
        return np.array(image.convert("RGB"))

    return decoding.decode(Path(path), to_rgb)


def read_label_ids(path: str | Path) -> np.ndarray:
    """Reads a label map of one byte a pixel as it stands in the file.

    Args:
        path: grey or palette image of one of `decoding.LOSSLESS`; of a palette image the indices
            count, not the colours.

    Returns:
        uint8 `[H, W]` of the file's ids.

    Raises:
        UserError: the file is missing, damaged or too large.
        WrongFormat: it holds colours, numbers of another depth, or several pictures, or is a JPEG.
    """

    def expect_ids(image: ImageFile.ImageFile) -> None:
        kind = _KINDS.get(image.mode, f"an image of mode {image.mode!r}")
        stored = {args[0] if isinstance(args, tuple) else args for *_, args in image.tile}
        # "L;4" and the like: Pillow would scale or invert the numbers to fill a byte.
        scaled = any(str(raw).startswith("L;") for raw in stored)
        if image.mode not in ("L", "P") or scaled:
            kind = "grey numbers of another depth, or inverted" if scaled else kind
            raise WrongFormat(
                f"{path}: ids expected, found {kind}. A label map has one channel of 8 bits (grey"
                " or palette), the class id of each pixel."
            )

    return decoding.decode(Path(path), np.array, formats=decoding.LOSSLESS, prepare=expect_ids)


def read_rgb16_ids(path: str | Path) -> np.ndarray:
    """Reads the first channel of a 16-bit RGB PNG, with both of its bytes.

    Pillow turns such a file into 8 bits a channel and keeps the high byte, which is 0 for every
    class id. So its decoder is asked for one byte, then for the other; at 1280x760 that takes
    9 to 28 ms, OpenCV 5 to 14 and pypng 60 to 440.

    Args:
        path: label map whose first channel holds the class ids (SYNTHIA).

    Returns:
        uint16 `[H, W]` of the file's ids.

    Raises:
        UserError: the file is missing, damaged or too large.
        WrongFormat: it is no 16-bit RGB PNG.
    """
    high, low = (
        decoding.decode(
            Path(path),
            lambda image: np.array(image.getchannel("R")).astype(np.uint16),
            prepare=functools.partial(_select_byte, path=Path(path), byte=byte),
        )
        for byte in (_RGB16_HIGH, _RGB16_LOW)
    )
    return high << 8 | low


def _select_byte(image: ImageFile.ImageFile, path: Path, byte: str) -> None:
    """Makes the decoder of an opened 16-bit RGB PNG take that byte of each channel."""
    # The decoder's argument is the only place where Pillow tells the bit depth of a colour PNG.
    stored = [tile.args for tile in image.tile]
    if stored not in ([_RGB16_HIGH], []):  # none where the file ends early: decoding will tell
        kind = "an 8-bit RGB image" if stored == ["RGB"] else f"an image of mode {image.mode!r}"
        raise WrongFormat(
            f"{path}: a 16-bit RGB PNG with the class ids in its first channel expected, found"
            f" {kind}. A copy with 8 bits a channel has lost the ids: unpack the original file"
            " again."
        )
    image.tile = [tile._replace(args=byte) for tile in image.tile]


def check_pair(
    image: np.ndarray, label: np.ndarray, image_path: str | Path, label_path: str | Path
) -> None:
    """Checks that an image `[H, W, 3]` and its label `[H, W]` have one size.

    Resizing would hide a mismatch and teach the network wrong labels (GTA5 has a few).

    Raises:
        SizeMismatch: the sizes differ.
    """
    if image.shape[:2] != label.shape:
        height, width = image.shape[:2]
        label_height, label_width = label.shape
        raise SizeMismatch(
            f"{image_path} has {width}x{height} pixels but its label {label_path} has"
            f" {label_width}x{label_height}; they do not belong together. Fix the pair or leave it"
            " out."
        )


def map_ids(ids: np.ndarray, lookup: np.ndarray, path: str | Path) -> np.ndarray:
    """Maps ids of a file to train ids.

    Args:
        ids: uint8 or uint16 `[H, W]`.
        lookup: table made by `labels.id_lookup`, negative where an id is unknown.
        path: file the ids come from, for the message.

    Returns:
        uint8 `[H, W]` of train ids, 255 where ignored.

    Raises:
        UnknownIds: an id is unknown.
    """
    known = lookup >= 0
    if ids.size and (int(ids.max()) >= len(lookup) or not known[ids].all()):
        found = np.unique(ids)
        unknown = [int(i) for i in found if i >= len(lookup) or not known[i]]
        raise UnknownIds(
            f"{path}: unknown label id {_ranges(unknown)}; known ids are"
            f" {_ranges(np.flatnonzero(known).tolist())}. The labels are of another data set, or"
            " in another encoding (train ids, colours)."
        )
    return lookup.astype(np.uint8)[ids]


def _ranges(numbers: list[int]) -> str:
    """Writes sorted `numbers` shortly: "0-3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in runs)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 `[H, W, 3]` to `size` = (height, width), bicubic with antialiasing."""
    return _resize(image, size, Image.Resampling.BICUBIC)


def resize_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes uint8 `[H, W]` to `size` = (height, width), nearest neighbour: ids do not mix."""
    return _resize(label, size, Image.Resampling.NEAREST)


def _resize(array: np.ndarray, size: tuple[int, int], method: Image.Resampling) -> np.ndarray:
    height, width = size
    if array.shape[:2] == (height, width):
        return array
    return np.array(Image.fromarray(array).resize((width, height), method))
