"""Contact sheets: small pictures with a line of text below each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SIDE, _LINE, _GAP = 96, 14, 4  # pixels
_BLACK, _RED = (0, 0, 0), (200, 0, 0)


def contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    marked: Sequence[bool],
    columns: int = 8,
) -> np.ndarray:
    """Images in rows, each scaled to one width.

    Args:
        images: uint8 `[H, W, 3]` of one size.
        captions: a few words each; what is too long is cut.
        marked: captions to write in red.
        columns: images in a row.

    Returns:
        uint8 `[H', W', 3]` on white.
    """
    height, width = images[0].shape[:2]
    side = (_SIDE, max(1, round(_SIDE * height / width)))
    tile = (_SIDE + _GAP, side[1] + _LINE + _GAP)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * tile[0], rows * tile[1]), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for place, (image, caption, red) in enumerate(zip(images, captions, marked, strict=True)):
        left, top = place % columns * tile[0], place // columns * tile[1]
        # Small ones are magnified so that their pixels can be seen.
        method = Image.Resampling.NEAREST if width < _SIDE else Image.Resampling.BILINEAR
        sheet.paste(Image.fromarray(image).resize(side, method), (left, top))
        while caption and draw.textlength(caption, font) > _SIDE:
            caption = caption[:-1]
        draw.text((left, top + side[1]), caption, _RED if red else _BLACK, font)
    return np.array(sheet)
