"""Drafts `classes.yaml` from the ids or colours that occur in label files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from msl_jax.data import decoding
from msl_jax.data.labels import IGNORE, Color, spaced_color
from msl_jax.data.listing import counted
from msl_jax.runtime.errors import UserError

Value = int | Color


def draft_classes(label_maps: Sequence[Path]) -> str:
    """A class file with every id, or every colour, and no names.

    Args:
        label_maps: at least one; grey or palette images, or RGB images.

    Raises:
        UserError: a file cannot be read, they are of both kinds, or there are more values than
            classes can be.
    """
    pixels: Counter[Value] = Counter()
    labels: Counter[Value] = Counter()
    colors: dict[Value, Color] = {}
    for path in label_maps:
        for value, number, color in _values(path):
            pixels[value] += number
            labels[value] += 1
            colors.setdefault(value, color)
        _expect_one_kind(pixels, path)
    drawn = any(isinstance(value, tuple) for value in pixels)
    values = [value for value, _ in pixels.most_common()] if drawn else sorted(pixels)
    lines = []
    for place, value in enumerate(value for value in values if value != IGNORE):
        label_id = place if drawn else value
        color = colors[value]
        if color == _UNKNOWN:
            color = spaced_color(place, len(values))
        shown = f"{{id: {label_id}, name: , color: {list(color)}}}"
        lines.append(f"  - {shown}  # {_share(value, pixels, labels, len(label_maps))}")
    if pixels[IGNORE]:
        never = _share(IGNORE, pixels, labels, len(label_maps))
        lines.append(f"# 255 never counts: {never}")
    kind = "colours" if drawn else "ids"
    maps = counted(len(label_maps), "label map")
    head = f"""\
# Drafted from the {kind} in {maps}: write a name for each class.
# Move {kind} that are no class to a list: ignored: [...]
classes:
"""
    return head + "".join(f"{line}\n" for line in lines)


# In place of a colour that a grey image does not have.
_UNKNOWN = (-1, -1, -1)


def _values(path: Path) -> Iterator[tuple[Value, int, Color]]:
    """Each value in a file, its number of pixels, and its colour if that is known."""

    def to_pixels(image: Image.Image) -> tuple[np.ndarray, list[int]]:
        if image.mode not in ("L", "P", "RGB", "RGBA"):
            raise decoding.WrongFormat(
                f"{path}: a label map of 8 bits expected, found an image of mode {image.mode!r}."
            )
        drawn = image.mode.startswith("RGB")
        palette = image.getpalette("RGB") if image.mode == "P" else []
        return np.array(image.convert("RGB") if drawn else image), palette or []

    pixels, palette = decoding.decode(path, to_pixels, formats=decoding.LOSSLESS)
    found, numbers = np.unique(
        pixels.reshape(-1, 3) if pixels.ndim == 3 else pixels.ravel(), axis=0, return_counts=True
    )
    for value, number in zip(found.tolist(), numbers.tolist(), strict=True):
        if isinstance(value, list):
            yield tuple(value), number, tuple(value)
        else:
            color = tuple(palette[3 * value : 3 * value + 3])
            yield value, number, color if len(color) == 3 else _UNKNOWN


def _expect_one_kind(pixels: Counter[Value], path: Path) -> None:
    if len({type(value) for value in pixels}) > 1:
        raise UserError(
            f"{path}: some label maps before it hold ids and others colours; save all in one way."
        )
    if len(pixels) > IGNORE:
        raise UserError(
            f"{path}: more than {IGNORE} colours in the label maps so far. They are pictures, or"
            " label maps with smoothed edges: save each class in one colour, or as its id."
        )


def _share(value: Value, pixels: Counter[Value], labels: Counter[Value], files: int) -> str:
    share = pixels[value] / pixels.total()
    return f"{share:.2%} of the pixels, in {labels[value]:,} of {counted(files, 'label')}"
