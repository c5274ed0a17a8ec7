"""The losses of `msl_jax.losses` for logits that are up-sampled to the image first.

    cross_entropy_sums((final, low), labels)    Eq. 2 of each head
    target_sums(final, low, size, ...)          Eq. 3, 6 or 13 of the final head, or Eq. 2 with its
                                                pseudo labels; Eq. 16 of the low head, guided

Equal to `resize_align_corners` and then the loss, up to rounding, but faster and without any array
of all pixels and classes: see `msl_jax.losses.tiles`. Value and gradient are made together, so
they can be differentiated once, in reverse mode; for more, up-sample and use `msl_jax.losses`.

Every loss is given as a total and a number whose quotient is the loss. Over batches and devices,
totals and numbers are added up before they are divided.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.losses import pixelwise
from msl_jax.losses.arrays import IGNORE, argmax_class, check_choice, check_num_classes, is_class
from msl_jax.losses.guidance import GUIDANCE_RULES, guidance_labels, pseudo_labels
from msl_jax.losses.tiles import pixel_counts, pixel_sums

TargetLoss = Literal["entropy", "max_square", "hard"]

_C = 0  # the class axis within a tile, [C, T, U]


class LossSum(NamedTuple):
    """A loss in two parts: it is ``total / max(number, 1)``.

    Attributes:
        total: a scalar in float32 (float64 where the logits are).
        number: of pixels that count, or of images; an int32 scalar.
    """

    total: Array
    number: Array


@dataclasses.dataclass(frozen=True)
class TargetTerms:
    """What is taken of target images; the parameters are those of `msl_jax.losses`.

    Attributes:
        loss: of the final head: ``"entropy"``, ``"max_square"``, or ``"hard"`` for the cross
            entropy with its pseudo labels.
        iw_alpha: alpha of the image-wise weighting in [0, 1], None for none; not for ``"hard"``.
        normalization: "official" or "paper"; not for ``"hard"``.
        threshold: of the guidance and the pseudo labels, in [0, 1].
        rule: of the guidance, "official" or "paper".

    Raises:
        ValueError: an unknown loss, normalization or rule, or weighting of ``"hard"``.
    """

    loss: TargetLoss = "max_square"
    iw_alpha: float | None = None
    normalization: str = "official"
    threshold: float = 0.95
    rule: str = "official"

    def __post_init__(self) -> None:
        """Refuses words that mean nothing."""
        check_choice("loss", self.loss, get_args(TargetLoss))
        check_choice("normalization", self.normalization, pixelwise.NORMALIZATIONS)
        check_choice("rule", self.rule, GUIDANCE_RULES)
        if self.loss == "hard" and self.iw_alpha is not None:
            raise ValueError("iw_alpha: there is no image-wise weighting of pseudo labels.")


def cross_entropy_sums(heads: Sequence[Array], labels: ArrayLike) -> tuple[LossSum, ...]:
    """Cross entropy of each head's up-sampled logits with the same labels.

    Args:
        heads: small logits `[B, h, w, C]`; C is at most 255.
        labels: `[B, H, W]` integers in 0 .. C-1, or 255 = ignored. Any other label makes the
            totals NaN, as in `msl_jax.losses.cross_entropy`.

    Returns:
        One for each head; the number is that of the labels other than 255.

    Raises:
        ValueError: heads of different shapes, labels not integer or of another shape, C above 255.

    References:
        Eq. 2 of the paper.
    """
    labels = jnp.asarray(labels)
    if labels.ndim != 3 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be integers [B, H, W]; found {labels.dtype} of shape {labels.shape}."
        )
    check_num_classes(heads[0])
    height, width = labels.shape[1:]
    sums = pixel_sums(_labelled, heads, (height, width), pixels=[labels])
    number = jnp.sum(sums.counts[0], dtype=jnp.int32)
    return tuple(LossSum(jnp.sum(total), number) for total in sums.losses)


def target_sums(
    final: Array, low: Array | None, size: tuple[int, int], terms: TargetTerms
) -> tuple[LossSum, ...]:
    """The target loss of the final head and, where there is a low head, its guidance loss.

    No gradient flows through image-wise weights and labels, so the guidance loss has none with
    respect to the final head.

    Args:
        final: small logits `[B, h, w, C]`; C is at most 255 where labels are made.
        low: likewise of the low head, or None.
        size: (H, W) of the images.
        terms: what to compute.

    Returns:
        That of the final head: its number is of pixels, with `iw_alpha` of images, with ``"hard"``
        of the pixels that pass the threshold. Then that of the low head: its number is of the
        pixels that pass the guidance.

    Raises:
        ValueError: heads of different shapes, or too many classes.

    References:
        Eq. 3, 6, 13, 15 and 16 of the paper.
    """
    if low is not None or terms.loss == "hard":
        check_num_classes(final)
    heads = [final] if low is None else [final, low]
    of_images, on_tile = _image_weights(final, size, terms), functools.partial(_on_target, terms)
    sums = pixel_sums(on_tile, heads, size, images=of_images)

    totals = [jnp.sum(total) for total in sums.losses]
    numbers = [jnp.sum(count, dtype=jnp.int32) for count in sums.counts]
    if terms.loss != "hard":
        divisor = pixelwise.divisor(
            terms.normalization,
            final.shape[-1],
            printed_half=pixelwise.LOSSES[terms.loss][1] and bool(of_images),
        )
        totals[0] = totals[0] / divisor
        pixels = 1 if of_images else size[0] * size[1]
        numbers.insert(0, jnp.asarray(final.shape[0] * pixels, jnp.int32))
    return tuple(LossSum(*parts) for parts in zip(totals, numbers, strict=True))


def _image_weights(final: Array, size: tuple[int, int], terms: TargetTerms) -> list[Array]:
    """The weights of each image's classes `[B, C]`, Eq. 12 and 13; none where none are asked."""
    if terms.iw_alpha is None:
        return []
    (counts,) = pixel_counts(_winners, final, size)
    dtype = np.promote_types(final.dtype, np.float32)
    return [pixelwise.class_weights(counts, terms.iw_alpha, dtype)]


def _labelled(
    heads: tuple[Array, ...], pixels: tuple[Array, ...], images: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    labels = pixels[0].astype(jnp.int32)
    return tuple(pixelwise.cross_entropy(head, labels, _C) for head in heads), (labels != IGNORE,)


def _on_target(
    terms: TargetTerms,
    heads: tuple[Array, ...],
    pixels: tuple[Array, ...],
    images: tuple[Array, ...],
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    final = heads[0]
    flags: list[Array] = []
    if terms.loss == "hard":
        labels = pseudo_labels(final, terms.threshold, class_axis=_C)
        values = [pixelwise.cross_entropy(final, labels, _C)]
        flags.append(labels != IGNORE)
    else:
        of_pixel, _ = pixelwise.LOSSES[terms.loss]
        values = [of_pixel(final, _C)]
    for class_weights in images:
        weights = jnp.where(_winner(final), class_weights[:, None, None], 0)
        values[0] *= jnp.sum(weights, axis=_C)
    for low in heads[1:]:
        labels = guidance_labels(final, low, terms.threshold, rule=terms.rule, class_axis=_C)
        values.append(pixelwise.cross_entropy(low, labels, _C))
        flags.append(labels != IGNORE)
    return tuple(values), tuple(flags)


def _winners(
    heads: tuple[Array, ...], pixels: tuple[Array, ...], images: tuple[Array, ...]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    return (), (_winner(heads[0]),)


def _winner(final: Array) -> Array:
    """Whether c is the most probable class: Eq. 11 as booleans `[C, T, U]`."""
    p = jax.nn.softmax(lax.stop_gradient(final), axis=_C)
    return is_class(argmax_class(p, _C), final.shape[_C], _C)
