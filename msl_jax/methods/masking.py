"""Masked images: a network is to predict what is hidden from what is around it.

Reference: Hoyer et al. "MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation",
CVPR 2023.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array


def cells(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns of the grid whose cells are about `side` pixels high and wide, at least 1.

    >>> cells((512, 512), 32), cells((50, 70), 16)
    ((16, 16), (3, 4))
    """
    return max(1, round(size[0] / side)), max(1, round(size[1] / side))


def kept_pixels(uniform: Array, size: tuple[int, int], ratio: float) -> Array:
    """The pixels of the cells that are not hidden.

    Args:
        uniform: `[B, rows, columns]` draws in [0, 1), one for each of `cells`.
        size: (H, W) of the images.
        ratio: share of the cells that is hidden, in [0, 1].

    Returns:
        Booleans `[B, H, W]`.
    """
    kept = uniform > ratio
    for axis, length in enumerate(size, start=1):
        index = np.arange(length) * uniform.shape[axis] // length
        kept = jnp.take(kept, index, axis=axis)
    return kept
