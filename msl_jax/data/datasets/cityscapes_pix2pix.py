"""Cityscapes as the pix2pix download has it: photo and colour label side by side in one JPEG.

Layout: `{train,val}/N.jpg`, 512x256: the photo in the left half, its colour label in the right one,
both squeezed from 2048x1024. Scaling and compression have blurred the colours: each pixel gets the
class of the nearest one; edges, and lines one pixel wide, are ignored. Photos and splits are
Cityscapes' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view as _windows

from msl_jax.data import images, label_files
from msl_jax.data.datasets.dataset import FileExample
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.label_sets import CITYSCAPES_LABELS, LABEL_SETS, cityscapes_ids
from msl_jax.data.labels import IGNORE, id_lookup
from msl_jax.data.listing import matching

_VERSION = 1  # raise it when labels are decoded differently
_SIDE = 256  # pixels, of both halves

UNCLEAR = 255  # id of pixels whose class cannot be told
_FARTHEST = 40  # distance in RGB; 5.4 % of the download's label pixels are farther from any colour
_FEWEST = 4  # pixels of one class in the 3x3 around one of them: a line one pixel wide has three
# Width and height of an area of an unknown colour, and the range of each channel in it. Among areas
# of this size without a known colour, 2,250 labels of the download have none with a range below 46,
# and each of the photos has one with at most 26.
_PATCH, _RANGE = 9, 32

# Where several classes have one colour, the first is taken: polegroup is read as pole, and
# everything black as unlabeled.
_ID_OF_COLOR = {label.color: label.id for label in reversed(CITYSCAPES_LABELS)}
_COLORS = np.array(list(_ID_OF_COLOR), np.float32)
_IDS = np.array(list(_ID_OF_COLOR.values()), np.uint8)


@dataclass(frozen=True)
class SideBySideExample(FileExample):
    """A photo and its label in one file."""

    def read_photo(self) -> images.Photo:
        """Reads the left half, `[256, 256, 3]`.

        Raises:
            UserError: the file is missing, damaged or of another size.
        """
        return images.Photo(_halves(self.image_path)[0])


class CityscapesPix2pix(FileDataset):
    """Cityscapes at 256x256, as 19, 16, 13, 10 or 7 classes."""

    name = "cityscapes_pix2pix"
    title = "Cityscapes (pix2pix)"
    layout = "{train,val}/N.jpg of 512x256 pixels, photo and colour label side by side"
    folders = ("train", "val")
    expected: ClassVar = {"train": 2975, "val": 500}
    splits = tuple(expected)
    default_size = (224, 400)  # nearly the shape of the camera, which the copy has squeezed
    label_sets = tuple(
        LABEL_SETS[name]
        for name in ("cityscapes19", "cityscapes16", "cityscapes13", "idd_lite", "demo")
    )

    def pairs(self, split: str) -> list[FileExample]:
        """Lists the files of a split by number.

        Args:
            split: one of `splits`.
        """
        files = sorted(matching(self.path(split), "*.jpg"), key=lambda path: _natural(path.stem))
        lookup = id_lookup({**cityscapes_ids(self.label_set), UNCLEAR: IGNORE})
        return [SideBySideExample(path.stem, path, path, lookup, _read_ids) for path in files]

    @cached_property
    def fingerprint(self) -> str:
        """Version of the decoding, name of the label set and digest of the files."""
        return f"v{_VERSION}-{super().fingerprint}"


def nearest_ids(label: np.ndarray) -> np.ndarray:
    """Ids of the nearest of Cityscapes' colours.

    Args:
        label: colours, uint8 `[H, W, 3]`.

    Returns:
        uint8 `[H, W]`: ids of Cityscapes' label files; `UNCLEAR` where every colour is more than 40
        away in RGB.
    """
    flat = label.reshape(-1, 3)
    codes = flat.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    found = flat[first].astype(np.float32)  # each colour once: a sixth of the pixels
    # |p - c|^2 multiplied out: whole numbers below 2^24, which float32 holds exactly.
    squares = (found**2).sum(1) - 2 * _COLORS @ found.T + (_COLORS**2).sum(1)[:, None]
    ids = np.where(squares.min(0) > _FARTHEST**2, np.uint8(UNCLEAR), _IDS[squares.argmin(0)])
    return ids[place].reshape(label.shape[:2])


def without_lines(ids: np.ndarray) -> np.ndarray:
    """Makes lines one pixel wide unclear.

    Along the edge of two classes their mixture often has the colour of a third (half car, half
    black border is truck), and a real line one pixel wide looks the same.

    Args:
        ids: uint8 `[H, W]`.

    Returns:
        uint8 `[H, W]`: `UNCLEAR` where fewer than 4 pixels of the 3x3 around have the pixel's id.
    """
    height, width = ids.shape
    padded = np.pad(ids, 1, constant_values=UNCLEAR)
    around = (padded[y : y + height, x : x + width] for y in range(3) for x in range(3))
    alike = sum((other == ids).astype(np.uint8) for other in around)
    return np.where(alike < _FEWEST, np.uint8(UNCLEAR), ids)


def _read_ids(path: Path) -> np.ndarray:
    """Reads the right half as ids, uint8 `[256, 256]`.

    Raises:
        UserError: the file is missing, damaged or of another size.
        UnknownIds: an area has a colour that Cityscapes does not have.
    """
    label = _halves(path)[1]
    ids = nearest_ids(label)
    place = _unknown_area(label, ids == UNCLEAR)
    if place is not None:
        row, column = place
        red, green, blue = label[row, column].tolist()
        raise label_files.UnknownIds(
            f"{path}: the label has an area of the colour ({red}, {green}, {blue}) around"
            f" x={_SIDE + column}, y={row} of the file, which is none of Cityscapes' colours."
            " Expected a photo in the left half and its Cityscapes colour label in the right half;"
            " the file is from another data set, or its halves are swapped."
        )
    return without_lines(ids)


def _unknown_area(label: np.ndarray, far: np.ndarray) -> tuple[int, int] | None:
    """Row and column of the middle of an area of one colour whose pixels are all `far`."""
    areas = np.argwhere(_windows(_windows(far, _PATCH, 0).all(-1), _PATCH, 1).all(-1))
    if not len(areas):
        return None
    colors = _windows(label, (_PATCH, _PATCH), (0, 1))[areas[:, 0], areas[:, 1]]
    ranges = np.ptp(colors, axis=(2, 3)).max(1)
    place = ranges.argmin()
    if ranges[place] > _RANGE:  # not one colour: thin objects side by side, such as bollards
        return None
    row, column = (areas[place] + _PATCH // 2).tolist()
    return row, column


def _halves(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Photo and colour label of a file, uint8 `[256, 256, 3]` each.

    Raises:
        UserError: the file is missing or damaged.
        WrongFormat: it has another size.
    """
    both = images.read_image(path)
    if both.shape != (_SIDE, 2 * _SIDE, 3):
        height, width = both.shape[:2]
        raise images.WrongFormat(
            f"{path}: {2 * _SIDE}x{_SIDE} pixels expected, a photo and its colour label side by"
            f" side, found {width}x{height}. Use the files of the download as they are."
        )
    return both[:, :_SIDE], both[:, _SIDE:]


def _natural(name: str) -> tuple[int, str]:
    """Key that sorts numbers by value: 2 before 10."""
    return len(name), name
