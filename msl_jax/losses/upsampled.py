"""The losses of `msl_jax.losses` for logits that are up-sampled to the image first.

    cross_entropy_sums((final, low), labels)    Eq. 2 of each head
    target_sums(final, low, size, ...)          Eq. 3, 6 or 13 of the final head, or Eq. 2 with its
                                                pseudo labels; Eq. 16 of the low head, guided
    teacher_sums(final, teacher, size, ...)     Eq. 6 or 13 with a teacher
    uniform_sums(final, labels)                 cross entropy with the uniform distribution

Equal to `resize_align_corners` followed by the loss, up to rounding, but faster and without any
array of all pixels and classes: see `msl_jax.losses.tiles`. Value and gradient are computed
together, so they can be differentiated once, in reverse mode; for higher derivatives, up-sample
and use `msl_jax.losses`.

Every loss is returned as a total and a count whose quotient is the loss. Over batches and devices,
totals and counts are summed before they are divided.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.losses import pixelwise
from msl_jax.losses.arrays import (
    IGNORE,
    argmax_class,
    check_choice,
    check_num_classes,
    is_class,
)
from msl_jax.losses.guidance import GUIDANCE_RULES, guidance_labels, pseudo_labels
from msl_jax.losses.tiles import pixel_counts, pixel_sums

# Cross entropy with the head's own labels: a mean over the pixels that have one.
HARD = "hard"

_C = 0  # the class axis within a tile, [C, T, U]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LossSum:
    """A loss in two parts: it is ``total / max(count, 1)``.

    Attributes:
        total: a scalar in float32 (float64 where the logits are).
        count: of the pixels or images that it is a mean over; an int32 scalar.
    """

    total: Array
    count: Array

    @property
    def mean(self) -> Array:
        """The loss of these pixels or images alone."""
        return self.total / jnp.maximum(self.count, 1).astype(self.total.dtype)


def cross_entropy_sums(
    heads: Sequence[Array], labels: ArrayLike, weights: ArrayLike | None = None
) -> tuple[LossSum, ...]:
    """Cross entropy of each head's up-sampled logits with the same labels.

    Args:
        heads: small logits `[B, h, w, C]`; C is at most 255.
        labels: `[B, H, W]` integers in 0 .. C-1, or 255 = ignored. Any other label makes the
            totals NaN, as in `msl_jax.losses.cross_entropy`.
        weights: `[B, H, W]`, factors on the loss of each pixel; None for 1. They have no gradient
            and do not change the count.

    Returns:
        One for each head; the count is that of the labels other than 255.

    Raises:
        ValueError: heads of different shapes, labels not integer, labels or weights of another
            shape, C above 255.

    References:
        Eq. 2 of the paper.
    """
    labels = jnp.asarray(labels)
    if labels.ndim != 3 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be integers [B, H, W]; found {labels.dtype} of shape {labels.shape}."
        )
    check_num_classes(heads[0])
    pixels = [labels] if weights is None else [labels, lax.stop_gradient(jnp.asarray(weights))]
    height, width = labels.shape[1:]
    sums = pixel_sums(_labelled, heads, (height, width), pixels=pixels)
    count = jnp.sum(sums.counts[0], dtype=jnp.int32)
    return tuple(LossSum(jnp.sum(total), count) for total in sums.losses)


def uniform_sums(final: Array, labels: ArrayLike) -> LossSum:
    """-1/C sum_c log p_c of the labelled pixels, whatever their label: CRST's regulariser MRKLD.

    Args:
        final: small logits `[B, h, w, C]`.
        labels: `[B, H, W]` integers, 255 = ignored.

    Returns:
        The count is that of the labels other than 255.
    """
    labels = jnp.asarray(labels)
    _, height, width = labels.shape
    sums = pixel_sums(_uniform, (final,), (height, width), pixels=(labels,))
    return LossSum(jnp.sum(sums.losses[0]), jnp.sum(sums.counts[0], dtype=jnp.int32))


def target_sums(
    final: Array,
    low: Array | None,
    size: tuple[int, int],
    *,
    loss: str = "max_square",
    iw_alpha: float | None = None,
    normalization: str = "official",
    threshold: float = 0.95,
    rule: str = "official",
    weights: ArrayLike | None = None,
) -> tuple[LossSum, ...]:
    """The target loss of the final head and, where there is a low head, its guidance loss.

    No gradient flows through image-wise weights and labels, so the guidance loss has none with
    respect to the final head.

    Args:
        final: small logits `[B, h, w, C]`; C is at most 255 where labels are made.
        low: likewise of the low head, or None.
        size: (H, W) of the images.
        loss: of the final head: one of `TARGET_LOSSES`, or ``"hard"`` for the cross entropy with
            its pseudo labels.
        iw_alpha: alpha of the image-wise weighting in [0, 1], None for none; not for ``"hard"``.
        normalization: "official" or "paper"; not for ``"hard"``.
        threshold: of the guidance and the pseudo labels, in [0, 1].
        rule: of the guidance, "official" or "paper".
        weights: `[B, H, W]`, factors on the final head's loss of each pixel; None for 1. They have
            no gradient and do not change the count.

    Returns:
        That of the final head: its count is of pixels, with `iw_alpha` of images, with ``"hard"``
        of the pixels that pass the threshold. Then that of the low head: its count is of the
        pixels that pass the guidance.

    Raises:
        ValueError: an unknown loss, normalization or rule, weighting of ``"hard"``, heads of
            different shapes, or too many classes.

    References:
        Eq. 3, 6, 13, 15 and 16 of the paper.
    """
    check_choice("loss", loss, (*pixelwise.TARGET_LOSSES, HARD))
    check_choice("normalization", normalization, pixelwise.NORMALIZATIONS)
    check_choice("rule", rule, GUIDANCE_RULES)
    if loss == HARD and iw_alpha is not None:
        raise ValueError("iw_alpha: there is no image-wise weighting of pseudo labels.")
    if low is not None or loss == HARD:
        check_num_classes(final)
    heads = [final] if low is None else [final, low]
    of_images = [] if iw_alpha is None else [_class_weights(final, size, iw_alpha)]
    on_tile = functools.partial(_on_target, loss, threshold, rule)
    pixels = [] if weights is None else [lax.stop_gradient(jnp.asarray(weights))]
    sums = pixel_sums(on_tile, heads, size, pixels=pixels, images=of_images)

    totals = [jnp.sum(total) for total in sums.losses]
    counts = [jnp.sum(count, dtype=jnp.int32) for count in sums.counts]
    if loss != HARD:
        printed_half = pixelwise.TARGET_LOSSES[loss].printed_half and bool(of_images)
        divisor = pixelwise.divisor(normalization, final.shape[-1], printed_half=printed_half)
        totals[0] = totals[0] / divisor
        counts.insert(0, _count(final, size, of_images))
    return tuple(LossSum(*parts) for parts in zip(totals, counts, strict=True))


def teacher_sums(
    final: Array,
    teacher: Array,
    size: tuple[int, int],
    *,
    iw_alpha: float | None = None,
    normalization: str = "official",
    weights: ArrayLike | None = None,
) -> LossSum:
    """Maximum squares with a teacher: -sum_c q p, with the teacher's probabilities q.

    Where the teacher is the network itself, its gradient is that of `target_sums` with maximum
    squares, in either normalization, weighted or not.

    Args:
        final: small logits `[B, h, w, C]`.
        teacher: likewise of the teacher; they have no gradient.
        size: (H, W) of the images.
        iw_alpha: alpha of the image-wise weighting by the teacher's classes, None for none.
        normalization: "official" or "paper".
        weights: `[B, H, W]`, factors on the loss of each pixel; None for 1. They have no gradient
            and do not change the count, nor the image-wise weights.

    Returns:
        The count is of pixels, with `iw_alpha` of images.

    Raises:
        ValueError: unknown normalization, or logits of different shapes.
    """
    divisor = pixelwise.divisor(normalization, final.shape[-1], printed_half=iw_alpha is not None)
    of_images = [] if iw_alpha is None else [_class_weights(teacher, size, iw_alpha)]
    pixels = [] if weights is None else [lax.stop_gradient(jnp.asarray(weights))]
    sums = pixel_sums(_with_teacher, (final, teacher), size, pixels=pixels, images=of_images)
    return LossSum(jnp.sum(sums.losses[0]) / divisor, _count(final, size, of_images))


def _count(final: Array, size: tuple[int, int], of_images: Sequence[Array]) -> Array:
    """How many images, if they are weighted, or pixels a target loss is a mean over."""
    return jnp.asarray(final.shape[0] * (1 if of_images else size[0] * size[1]), jnp.int32)


def _class_weights(final: Array, size: tuple[int, int], alpha: float) -> Array:
    """The weights of each image's classes `[B, C]`, Eq. 12 and 13."""
    (counts,) = pixel_counts(_winners, final, size)
    return pixelwise.class_weights(counts, alpha, np.promote_types(final.dtype, np.float32))


def _labelled(
    heads: tuple[Array, ...], pixels: tuple[Array, ...], images: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    labels = pixels[0].astype(jnp.int32)
    values = [pixelwise.cross_entropy(head, labels, _C) for head in heads]
    for weights in pixels[1:]:
        values = [value * weights.astype(value.dtype) for value in values]
    return tuple(values), (labels != IGNORE,)


def _uniform(
    heads: tuple[Array, ...], pixels: tuple[Array, ...], images: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    labelled = pixels[0] != IGNORE
    return (jnp.where(labelled, pixelwise.uniform_cross_entropy(heads[0], _C), 0),), (labelled,)


def _on_target(
    loss: str,
    threshold: float,
    rule: str,
    heads: tuple[Array, ...],
    pixels: tuple[Array, ...],
    images: tuple[Array, ...],
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    final = heads[0]
    flags: list[Array] = []
    if loss == HARD:
        labels = pseudo_labels(final, threshold, class_axis=_C)
        values = [pixelwise.cross_entropy(final, labels, _C)]
        flags.append(labels != IGNORE)
    else:
        values = [pixelwise.TARGET_LOSSES[loss].of_pixel(final, _C)]
    values[0] = _weighted(values[0], final, pixels, images)
    for low in heads[1:]:
        labels = guidance_labels(final, low, threshold, rule=rule, class_axis=_C)
        values.append(pixelwise.cross_entropy(low, labels, _C))
        flags.append(labels != IGNORE)
    return tuple(values), tuple(flags)


def _with_teacher(
    heads: tuple[Array, ...], pixels: tuple[Array, ...], images: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    final, teacher = heads
    value = pixelwise.teacher_max_square(final, teacher, _C)
    value = _weighted(value, teacher, pixels, images)
    return (value, jnp.zeros_like(value)), ()


def _weighted(
    value: Array, winning: Array, pixels: tuple[Array, ...], images: tuple[Array, ...]
) -> Array:
    """A loss times the weight of each pixel, and that of the class which wins there."""
    for weights in pixels:
        value *= weights.astype(value.dtype)
    for class_weights in images:
        weights = jnp.where(_winner(winning), class_weights[:, None, None], 0)
        value *= jnp.sum(weights, axis=_C)
    return value


def _winners(
    heads: tuple[Array, ...], pixels: tuple[Array, ...], images: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    return (), (_winner(heads[0]),)


def _winner(final: Array) -> Array:
    """Whether c is the most probable class: Eq. 11 as booleans `[C, T, U]`."""
    p = jax.nn.softmax(lax.stop_gradient(final), axis=_C)
    return is_class(argmax_class(p, _C), final.shape[_C], _C)
