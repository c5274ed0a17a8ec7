"""Reads label files as ids; whatever is wrong becomes a `UserError` that names the file."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from msl_jax.data import decoding
from msl_jax.data.decoding import WrongFormat
from msl_jax.data.images import orientation_of
from msl_jax.data.labels import Color
from msl_jax.runtime.errors import UserError

# Pillow's names for "take the first of two bytes", the high one in a PNG, and "take the second".
_RGB16_HIGH, _RGB16_LOW = "RGB;16B", "RGB;16L"
_KINDS = {"RGB": "an RGB image", "RGBA": "an RGBA image", "1": "a 1-bit image"}
_WITH_LOSS = ("jpeg", "tiff_jpeg", "webp")  # Pillow's names of what TIFFs may be compressed by
_BLACK = (0, 0, 0)
_OPAQUE = 255


class UnknownIds(UserError):
    """A label with ids or colours that its data set does not have, or in another encoding."""


@dataclass(frozen=True)
class LabelReader:
    """Reads label maps of one byte a pixel; picklable.

    Attributes:
        colors: ids of each colour that is known, several if classes share one.
        by_color: read RGB images of exactly these colours too; each colour stands for its id.
        tolerance: share of the pixels of a palette image whose colours may belong to other ids.
    """

    colors: Mapping[Color, Sequence[int]] = field(default_factory=dict)
    by_color: bool = False
    tolerance: float = 0.0

    def __call__(self, path: str | Path) -> np.ndarray:
        """Reads a file.

        Args:
            path: image in one of `decoding.LOSSLESS`: grey, or with a palette, of which the indices
                count and not the colours; RGB if `by_color`.

        Returns:
            uint8 `[H, W]` of the file's ids.

        Raises:
            UserError: the file is missing, damaged or too large.
            WrongFormat: it is RGB (unless `by_color`), has numbers of another depth, several
                pictures or an EXIF orientation, or is a JPEG.
            UnknownIds: the colours of a palette contradict the ids, or one is not known.
        """
        path = Path(path)

        def expect_ids(image: ImageFile.ImageFile) -> None:
            self._expect_ids(image, path)

        def to_ids(image: Image.Image) -> np.ndarray:
            pixels = np.array(image)
            if image.mode == "P":
                palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
                self._expect_palette(pixels, palette, path)
            return self._by_color(pixels, path) if pixels.ndim == 3 else pixels

        return decoding.decode(path, to_ids, formats=decoding.LOSSLESS, prepare=expect_ids)

    def _expect_ids(self, image: ImageFile.ImageFile, path: Path) -> None:
        kind = _KINDS.get(image.mode, f"an image of mode {image.mode!r}")
        stored = {args[0] if isinstance(args, tuple) else args for *_, args in image.tile}
        # "L;4" and the like: Pillow would scale or invert the numbers to fill a byte.
        scaled = any(str(raw).startswith("L;") for raw in stored)
        deep = image.mode.startswith("RGB") and any(";16" in str(raw) for raw in stored)
        modes = ("L", "P", "RGB", "RGBA") if self.by_color else ("L", "P")
        if image.mode not in modes or scaled or deep:
            kind = "grey numbers of another depth, or inverted" if scaled else kind
            raise WrongFormat(
                f"{path}: ids expected, found {kind}{' of 16 bits' * deep}. A label map has one"
                " channel of 8 bits (grey or palette), the class id of each pixel."
            )
        if str(image.info.get("compression")) in _WITH_LOSS:
            raise WrongFormat(
                f"{path}: a TIFF that is compressed as {image.info['compression']}, with loss: its"
                " ids have been changed. Save the label map again from its original, as PNG."
            )
        if orientation_of(image) != 1:
            raise WrongFormat(
                f"{path}: a label map with an EXIF orientation ({orientation_of(image)}), which"
                " programs obey or not. Turn its pixels and save it without."
            )

    def _expect_palette(self, ids: np.ndarray, palette: np.ndarray, path: Path) -> None:
        """Refuses a palette in which ids have the colours of other ids, as optimizers leave it."""
        numbers = np.bincount(ids.ravel(), minlength=len(palette))
        wrong = {}
        for index in np.flatnonzero(numbers[: len(palette)]).tolist():
            color = _color(palette[index])
            # Black is also the colour of entries that mean nothing.
            if color != _BLACK and index not in self.colors.get(color, (index,)):
                wrong[index] = color
        if sum(numbers[list(wrong)]) > self.tolerance * ids.size:
            index, color = next(iter(wrong.items()))
            others = " or ".join(map(str, self.colors[color]))
            raise UnknownIds(
                f"{path}: the palette contradicts the listed colours: index {index} has the colour"
                f" {color}, which is that of id {others}. A program has reordered the palette; save"
                " the ids as indices again, or as a grey image (in folders, RGB labels in exactly"
                " the listed colours are read too)."
            )

    def _by_color(self, pixels: np.ndarray, path: Path) -> np.ndarray:
        """Ids of pixels `[H, W, 3 or 4]` in the listed colours."""
        codes = pixels[..., :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        listed = {(r << 16) | (g << 8) | b: ids for (r, g, b), ids in self.colors.items()}
        known = np.array(sorted(listed), np.uint32)
        places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        unknown = known[places] != codes
        if pixels.shape[2] == 4:
            unknown |= pixels[..., 3] != _OPAQUE
        if unknown.any():
            y, x = np.argwhere(unknown)[0].tolist()
            raise UnknownIds(
                f"{path}: the colour {_color(pixels[y, x])} at x={x}, y={y} is none of the"
                f" {len(known)} listed colours, as are {unknown.mean():.2%} of the pixels. List it,"
                " as a class or below 'ignored', or save the label map as ids. Edges must not be"
                " smoothed."
            )
        shared = [ids for code, ids in listed.items() if len(ids) > 1 and (codes == code).any()]
        if shared:
            raise UnknownIds(
                f"{path}: ids {' and '.join(map(str, shared[0]))} share a colour, so that an RGB"
                " label does not say which it means. Give each class a colour of its own."
            )
        return np.array([listed[code][0] for code in known.tolist()], np.uint8)[places]


# Reads ids whose colours are not known.
read_label_ids = LabelReader()


def _color(pixel: np.ndarray) -> Color:
    return tuple(pixel.tolist())


def read_any_ids(path: str | Path) -> np.ndarray:
    """Reads ids of 8 bits, or those in the first channel of a 16-bit RGB PNG.

    Raises:
        UserError: it is neither; see `LabelReader` and `read_rgb16_ids`.
    """
    try:
        return read_label_ids(path)
    except WrongFormat:
        return read_rgb16_ids(path)


def count_ids(ids: np.ndarray) -> dict[int, int]:
    """Number of pixels of each id that occurs."""
    counts = np.bincount(ids.ravel())
    return {int(label_id): int(counts[label_id]) for label_id in np.flatnonzero(counts)}


def read_rgb16_ids(path: str | Path) -> np.ndarray:
    """Reads the first channel of a 16-bit RGB PNG, with both of its bytes.

    Pillow reads such a file as 8 bits a channel and keeps the high byte, which is 0 for every class
    id. So its decoder is asked for one byte, then for the other; at 1280x760 that takes 9 to 28 ms,
    OpenCV 5 to 14 and pypng 60 to 440.

    Args:
        path: label map whose first channel has the class ids (SYNTHIA).

    Returns:
        uint16 `[H, W]` of the file's ids.

    Raises:
        UserError: the file is missing, damaged or too large.
        WrongFormat: it is not a 16-bit RGB PNG.
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
    """Makes the decoder of an opened 16-bit RGB PNG keep that byte of each channel."""
    # The decoder's argument is the only place where Pillow shows the bit depth of a colour PNG.
    stored = [tile.args for tile in image.tile]
    if stored not in ([_RGB16_HIGH], []):  # none if the file ends early, which decoding reports
        kind = "an 8-bit RGB image" if stored == ["RGB"] else f"an image of mode {image.mode!r}"
        raise WrongFormat(
            f"{path}: a 16-bit RGB PNG with the class ids in its first channel expected, found"
            f" {kind}. A copy with 8 bits a channel has lost the ids: unpack the original file"
            " again. Copies in train ids are read with config.source_label_ids=train."
        )
    image.tile = [tile._replace(args=byte) for tile in image.tile]


def map_ids(ids: np.ndarray, lookup: np.ndarray, path: str | Path) -> np.ndarray:
    """Maps ids of a file to train ids.

    Args:
        ids: uint8 or uint16 `[H, W]`.
        lookup: table made by `labels.id_lookup`, negative for an unknown id.
        path: file that the ids come from, for the message.

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
            f" {_ranges(np.flatnonzero(known).tolist())}. The labels are those of another data set,"
            " or in another encoding (train ids, colours)."
        )
    return lookup.astype(np.uint8)[ids]


def _ranges(numbers: list[int]) -> str:
    """Sorted `numbers` in short: "0-3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in runs)
