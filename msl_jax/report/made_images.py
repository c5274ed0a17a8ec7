"""What a method made of the images and trained on: the pictures that the run keeps of it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from xml.etree.ElementTree import Element

from msl_jax.data.images import read_image
from msl_jax.report.html import element, photo
from msl_jax.runs.workdir import ADAPT_STAGE
from msl_jax.runtime.errors import UserError

_DOMAINS = ("source", "target")  # pictures of the evaluation, which the gallery shows
_COLUMNS = 1000  # of a picture's three columns together, in pixels


def made_images(workdir: Path) -> list[Element]:
    """The newest pictures of the adaptation's images, by kind; none for a method that makes none.

    Args:
        workdir: of the run. A picture that is missing or cannot be read is left out.
    """
    figures = []
    for path in sorted((workdir / "pictures").glob(f"{ADAPT_STAGE}_*.png")):
        kind = path.stem.removeprefix(f"{ADAPT_STAGE}_")
        if kind in _DOMAINS:
            continue
        with contextlib.suppress(UserError):
            picture = photo(kind, read_image(path), columns=_COLUMNS)
            shown = element("img", src=picture.uri, alt=f"{kind} images, their labels and weights")
            caption = element("figcaption", f"{kind}: image, label, weight in the loss (white: 1)")
            figures.append(element("figure", caption, shown))
    return [element("div", *figures, class_="made")] if figures else []
