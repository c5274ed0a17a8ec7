"""Pictures as files in the page, no larger than there is something to look at."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from msl_jax.data.images import resize_image, resize_label
from msl_jax.data.labels import LabelSet

# A picture of more columns is made smaller: that is enough to look at, and keeps the page small.
_COLUMNS = 512
# An image of fewer pixels a side is made larger where it is all there is to see.
_LARGE_ENOUGH = 128


class Picture(NamedTuple):
    """A picture as a file's content: `kind` is its MIME type."""

    title: str
    content: bytes
    kind: str


def _small(array: np.ndarray) -> tuple[int, int]:
    height, width = array.shape[:2]
    columns = min(width, _COLUMNS)
    return max(1, round(height * columns / width)), columns


def photo(title: str, pixels: np.ndarray) -> Picture:
    """A photo uint8 `[H, W, 3]`."""
    file = io.BytesIO()
    Image.fromarray(resize_image(pixels, _small(pixels))).save(file, "WEBP", quality=80)
    return Picture(title, file.getvalue(), "image/webp")


def enlarged(title: str, pixels: np.ndarray) -> Picture:
    """An image uint8 `[H, W, 3]`; one that is too small to look at with each pixel as a square."""
    times = _LARGE_ENOUGH // max(pixels.shape[:2])
    if times < 2:
        return photo(title, pixels)
    file = io.BytesIO()
    squares = pixels.repeat(times, 0).repeat(times, 1)
    Image.fromarray(squares).save(file, "PNG", optimize=True)
    return Picture(title, file.getvalue(), "image/png")


def label_map(title: str, classes: np.ndarray, label_set: LabelSet) -> Picture:
    """Train ids uint8 `[H, W]` in the exact colours of their classes."""
    picture = Image.fromarray(resize_label(classes, _small(classes)))
    picture.putpalette(label_set.palette.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return Picture(title, file.getvalue(), "image/png")
