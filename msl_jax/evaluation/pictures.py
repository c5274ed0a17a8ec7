"""Label maps in colour, overlays, a legend, rows of pictures and contact sheets."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from unicodedata import east_asian_width

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from msl_jax.runtime.text import one_line

_STRIP = 256  # rows
_GAP = 4  # white pixels between pictures
_THUMBNAIL_WIDTH, _CAPTION_HEIGHT = 96, 14  # pixels of a contact sheet
_LEGEND_FONT, _LEGEND_ROWS = 16, 20  # pixels; lines of a column
_WIDE, _NARROW = 1.0, 0.62  # letters of Asian scripts and others, in ems
_BLACK, _RED = (0, 0, 0), (200, 0, 0)


def colorize(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """A label map in colour.

    Args:
        labels: uint8 `[H, W]`.
        palette: uint8 `[256, 3]`.

    Returns:
        uint8 `[H, W, 3]`.
    """
    return palette[labels]


def overlay(image: np.ndarray, colors: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """`colors` blended over `image`, both uint8 `[H, W, 3]`."""
    result = np.empty_like(image)
    for top in range(0, len(image), _STRIP):  # a large photo in floats would take gigabytes
        rows = slice(top, top + _STRIP)
        mixed = (1 - opacity) * image[rows].astype(np.float32)
        mixed += opacity * colors[rows].astype(np.float32)
        result[rows] = np.rint(mixed).astype(np.uint8)
    return result


def confidence_map(confidence: np.ndarray) -> np.ndarray:
    """Probability of the predicted class as grey: [0, 1] `[H, W]` -> uint8 `[H, W, 3]`."""
    return np.repeat(confidence_grey(confidence)[..., None], 3, axis=-1)


def confidence_grey(confidence: np.ndarray) -> np.ndarray:
    """[0, 1] `[...]` -> uint8 `[...]`, 255 for 1."""
    return np.rint(255 * np.clip(confidence, 0, 1)).astype(np.uint8)


def legend(names: Sequence[str], colors: Sequence[tuple[int, int, int]]) -> str:
    """Classes with their colours in columns of at most 20, as SVG: names may be in any script.

    Args:
        names: of the classes; line breaks and the like are shown as escapes.
        colors: RGB of 0 to 255.
    """
    texts = [one_line(name) for name in names]
    rows = min(len(texts), _LEGEND_ROWS)
    widest = max(sum(map(_width, text)) for text in texts)
    tile, columns = 70 + math.ceil(_LEGEND_FONT * widest), -(-len(texts) // rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * tile}" height="{24 * rows + 8}"'
        f' font-family="sans-serif" font-size="{_LEGEND_FONT}">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for place, (text, color) in enumerate(zip(texts, colors, strict=True)):
        left, top = place // rows * tile + 10, place % rows * 24 + 8
        parts.append(
            f'<rect x="{left}" y="{top}" width="32" height="16" fill="rgb{color}" stroke="black"/>'
            f'<text x="{left + 42}" y="{top + 14}">{html.escape(text)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _width(letter: str) -> float:
    return _WIDE if east_asian_width(letter) in "WF" else _NARROW


def row(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures uint8 `[H, W, 3]` of one size side by side, with white gaps."""
    gap = np.full((pictures[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def column(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of one size below each other, with white gaps."""
    gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    parts = [part for picture in rows for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=0)


def contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    marked: Sequence[bool],
    columns: int = 8,
) -> np.ndarray:
    """Thumbnails in rows, with a line of text below each.

    Args:
        images: uint8 `[H, W, 3]` of one size.
        captions: a few words each, cut off where they are too long.
        marked: which captions to write in red.
        columns: images in a row.

    Returns:
        uint8 `[H', W', 3]`, on white.
    """
    height, width = images[0].shape[:2]
    size = (_THUMBNAIL_WIDTH, max(1, round(_THUMBNAIL_WIDTH * height / width)))
    tile = (_THUMBNAIL_WIDTH + _GAP, size[1] + _CAPTION_HEIGHT + _GAP)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * tile[0], rows * tile[1]), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for place, (image, caption, red) in enumerate(zip(images, captions, marked, strict=True)):
        left, top = place % columns * tile[0], place // columns * tile[1]
        # Small images are magnified so that their pixels can be seen.
        method = Image.Resampling.NEAREST if width < _THUMBNAIL_WIDTH else Image.Resampling.BILINEAR
        sheet.paste(Image.fromarray(image).resize(size, method), (left, top))
        while caption and draw.textlength(caption, font) > _THUMBNAIL_WIDTH:
            caption = caption[:-1]
        draw.text((left, top + size[1]), caption, _RED if red else _BLACK, font)
    return np.array(sheet)
