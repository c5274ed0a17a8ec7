"""ClassMix: half of the classes of a labelled image, cut out and pasted into another image.

Pure functions of arrays; whatever is random is an argument.

References:
    Olsson et al. "ClassMix: Segmentation-Based Data Augmentation for Semi-Supervised Learning",
    WACV 2021; between domains: Tranheden et al. "DACS: Domain Adaptation via Cross-Domain Mixed
    Sampling", WACV 2021.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from msl_jax.losses.arrays import IGNORE, is_class


def chosen_classes(labels: ArrayLike, uniform: Array) -> Array:
    """The classes of each image that are pasted: half of those that occur, rounded up.

    Ignored pixels count as a class, as in the official code.

    Args:
        labels: `[B, H, W]` integers in 0 .. C-1, or 255 = ignored.
        uniform: `[B, C + 1]` draws in [0, 1), the last ones for the label 255; of the classes that
            occur those with the smallest draws are chosen.

    Returns:
        Booleans `[B, C + 1]`.

    Example:
        >>> labels = jnp.array([[[0, 0, 2], [2, 255, 255]]])
        >>> print(chosen_classes(labels, jnp.array([[0.5, 0.1, 0.9, 0.3]])).tolist())
        [[True, False, False, True]]
    """
    ids = uniform.shape[-1]
    occurs = jnp.any(is_class(_index(labels, ids), ids), axis=(1, 2))
    # Draws are below 1: classes that do not occur have the highest ranks.
    rank = jnp.argsort(jnp.argsort(jnp.where(occurs, uniform, 2), axis=-1), axis=-1)
    return rank < (jnp.sum(occurs, axis=-1, keepdims=True, dtype=rank.dtype) + 1) // 2


def pasted(labels: ArrayLike, chosen: Array) -> Array:
    """Whether a pixel belongs to one of the chosen classes.

    Args:
        labels: `[B, H, W]` as in `chosen_classes`.
        chosen: `[B, C + 1]` booleans of it.

    Returns:
        Booleans `[B, H, W]`.
    """
    index = _index(labels, chosen.shape[-1])
    flat = jnp.take_along_axis(chosen, index.reshape(len(index), -1), axis=1, mode="clip")
    return flat.reshape(index.shape)


def mixed(mask: Array, source: ArrayLike, target: ArrayLike) -> Array:
    """The source where `mask`, else the target.

    Args:
        mask: booleans `[B, H, W]`.
        source: `[B, H, W]` or `[B, H, W, C]`.
        target: likewise, of the same shape and dtype.
    """
    source = jnp.asarray(source)
    return jnp.where(mask[..., None] if source.ndim > mask.ndim else mask, source, target)


def _index(labels: ArrayLike, ids: int) -> Array:
    """Labels as int32 indices of `ids` classes, the last of which is 255."""
    labels = jnp.asarray(labels)
    return jnp.where(labels == IGNORE, ids - 1, labels.astype(jnp.int32))
