"""HTML as a tree of elements, which escapes all text, and pictures inside the page."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
from PIL import Image

from msl_jax.data.images import resize_image, resize_label
from msl_jax.data.labels import LabelSet

# Wider pictures are scaled down, which keeps the page small.
_COLUMNS = 512
# Images of classifications that are smaller than this, in pixels a side, are enlarged.
_LARGE_ENOUGH = 128


def element(tag: str, *children: Element | str | None, **attributes: str | float) -> Element:
    """An element of HTML or SVG.

    Args:
        tag: its name.
        children: elements and text in order; None is left out.
        attributes: an underscore in a name becomes a hyphen and one at its end is dropped, as in
            ``aria_label`` and ``class_``.

    >>> render(element("p", "1 < 2, ", element("b", "really"), "!", class_="note"))
    '<p class="note">1 &lt; 2, <b>really</b>!</p>'
    """
    names = {key.removesuffix("_").replace("_", "-"): str(v) for key, v in attributes.items()}
    parent = Element(tag, names)
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif child and len(parent):
            parent[-1].tail = (parent[-1].tail or "") + child
        elif child:
            parent.text = (parent.text or "") + child
    return parent


def render(root: Element) -> str:
    """The element as HTML."""
    return ElementTree.tostring(root, encoding="unicode", method="html")


class Picture(NamedTuple):
    """A picture as a file's content.

    Attributes:
        title: for its caption.
        content: of the file.
        kind: its MIME type, such as ``image/png``.
    """

    title: str
    content: bytes
    kind: str

    @property
    def uri(self) -> str:
        """An address that holds the content itself."""
        return f"data:{self.kind};base64,{base64.b64encode(self.content).decode()}"


def _small(array: np.ndarray, columns: int = _COLUMNS) -> tuple[int, int]:
    height, width = array.shape[:2]
    columns = min(width, columns)
    return max(1, round(height * columns / width)), columns


def photo(title: str, pixels: np.ndarray, *, columns: int = _COLUMNS) -> Picture:
    """A photo uint8 `[H, W, 3]`, of so many columns at most."""
    file = io.BytesIO()
    Image.fromarray(resize_image(pixels, _small(pixels, columns))).save(file, "WEBP", quality=80)
    return Picture(title, file.getvalue(), "image/webp")


def enlarged(title: str, pixels: np.ndarray) -> Picture:
    """An image uint8 `[H, W, 3]`; in a small one, each pixel becomes a square."""
    times = _LARGE_ENOUGH // max(pixels.shape[:2])
    if times < 2:
        return photo(title, pixels)
    file = io.BytesIO()
    squares = pixels.repeat(times, 0).repeat(times, 1)
    Image.fromarray(squares).save(file, "PNG", optimize=True)
    return Picture(title, file.getvalue(), "image/png")


def label_map(title: str, classes: np.ndarray, label_set: LabelSet) -> Picture:
    """Train ids uint8 `[H, W]`, in the exact colours of their classes."""
    picture = Image.fromarray(resize_label(classes, _small(classes)))
    picture.putpalette(label_set.palette.tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return Picture(title, file.getvalue(), "image/png")
