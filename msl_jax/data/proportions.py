"""Whether photos keep their proportions when they are resized to the size that a key names."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from pathlib import Path

from msl_jax.data.images import upright_size
from msl_jax.runtime.errors import UserError

# From here on it is said: resizing to whole pixels, or to a multiple of 16, changes less.
STRETCHED = 1.1
_LOOKED_AT = 20

Size = tuple[int, int]


def stretch(size: Size, target: Size) -> float:
    """How much longer one side becomes, against the other: 1 where proportions are kept.

    Args:
        size: (height, width) of a photo.
        target: to which it is resized.

    >>> stretch((720, 1280), (512, 1024))
    1.125
    """
    ratio = size[1] * target[0] / (size[0] * target[1])
    return max(ratio, 1 / ratio)


def remark_on_stretched(paths: Sequence[Path], target: Size, key: str) -> list[str]:
    """A remark, if most photos are stretched by more than a tenth, with their proportions.

    Args:
        paths: of the photos, of which a few are looked at.
        target: (height, width) to which they are resized.
        key: or option that says so, e.g. "--size".
    """
    sizes: list[Size] = []
    for path in paths[:: max(1, len(paths) // _LOOKED_AT)]:
        with contextlib.suppress(UserError):  # whoever reads the photo says what is wrong
            sizes.append(upright_size(path))
    if not sizes or statistics.median(stretch(size, target) for size in sizes) <= STRETCHED:
        return []
    height, width = sorted(sizes, key=lambda size: size[1] / size[0])[len(sizes) // 2]
    return [
        f"folders: photos of {width}x{height} are resized to {target[1]}x{target[0]}, stretched by"
        f" {stretch((height, width), target):.1f}; {key}=HEIGHT,WIDTH with a width of"
        f" {width / height:.2f} times the height keeps their proportions"
    ]
