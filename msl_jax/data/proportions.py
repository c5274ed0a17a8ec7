"""Whether photos keep their proportions when they are resized to the size that a key names."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from msl_jax.data.images import upright_size
from msl_jax.runtime.errors import UserError

# From here on it is said: resizing to whole pixels, or to a multiple of 16, changes less.
STRETCHED = 1.1
_LOOKED_AT = 10

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


def stretched_size(paths: Sequence[Path], target: Size) -> Size | None:
    """(height, width) of the photo of the middle proportions, if that is stretched; else None.

    Args:
        paths: of the photos, of which a few are looked at. Those that cannot be read are left to
            whoever reads them.
        target: (height, width) to which they are resized.
    """
    sizes: list[Size] = []
    for path in paths[:: max(1, len(paths) // _LOOKED_AT)]:
        with contextlib.suppress(UserError):
            sizes.append(upright_size(path))
    ordered = sorted(sizes, key=lambda size: size[1] / size[0])
    middle = ordered[len(ordered) // 2] if ordered else target
    return middle if stretch(middle, target) > STRETCHED else None


def remark_on_stretched(size: Size, target: Size, key: str) -> str:
    """What a user should know whose photos are stretched.

    Args:
        size: as `stretched_size` gives it.
        target: (height, width) to which they are resized.
        key: or option that says so, e.g. "--size".
    """
    height, width = size
    return (
        f"folders: photos of {width}x{height} are resized to {target[1]}x{target[0]}, stretched by"
        f" a factor of {stretch(size, target):.1f}; {key}=HEIGHT,WIDTH with a width of"
        f" {width / height:.2f} times the height keeps their proportions"
    )
