"""Labels made from the network's own predictions, for `cross_entropy`; names of `msl_jax.losses`.

Reference: Chen, Xue, Cai. "Domain Adaptation for Semantic Segmentation with Maximum Squares Loss",
ICCV 2019, Section 3.4.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.losses.arrays import (
    IGNORE,
    argmax_class,
    at_least_float32,
    check_choice,
    check_num_classes,
    is_class,
)
from msl_jax.models.layers import resize_align_corners

GUIDANCE_RULES = ("official", "paper")


def guidance_labels(
    final_logits: ArrayLike,
    low_logits: ArrayLike,
    threshold: ArrayLike,
    *,
    rule: str = "official",
    class_axis: int = -1,
) -> jax.Array:
    """Self-produced guidance: argmax_c (p_final + p_low) / 2 where a head is confident, else 255.

    Rule "official": a head is confident if max_c p > threshold, whichever class that is. Rule
    "paper": if the probability of the label itself exceeds the threshold. No gradient
    flows through the labels; the loss of Eq. 16 is `cross_entropy(low_logits, labels)`.

    Args:
        final_logits: `[..., C]`, of the final head; C is at most 255.
        low_logits: `[..., C]`, of the low-level head, of the same shape.
        threshold: delta, in [0, 1] (0.95 in the paper).
        rule: "official" or "paper".
        class_axis: where C stands in the logits' shape.

    Returns:
        `[...]` int32 labels, 255 where no head is confident.

    Raises:
        ValueError: unknown rule, heads of different shapes, or C above 255.

    Example:
        >>> final, low = jnp.array([[9.0, 0.0], [1.0, 0.0]]), jnp.array([[0.0, 1.0], [0.0, 0.0]])
        >>> print(guidance_labels(final, low, 0.95).tolist())
        [0, 255]

    References:
        Eq. 15 of the paper.
    """
    check_choice("rule", rule, GUIDANCE_RULES)
    final_logits, low_logits = at_least_float32(final_logits), at_least_float32(low_logits)
    if final_logits.shape != low_logits.shape:
        raise ValueError(
            f"The two heads must agree in shape; found {final_logits.shape} and {low_logits.shape}."
        )
    check_num_classes(final_logits, class_axis)
    final_p = jax.nn.softmax(lax.stop_gradient(final_logits), axis=class_axis)
    low_p = jax.nn.softmax(lax.stop_gradient(low_logits), axis=class_axis)
    winner = argmax_class((final_p + low_p) / 2, class_axis)
    either_p = jnp.maximum(final_p, low_p)
    if rule == "paper":
        is_winner = is_class(winner, final_p.shape[class_axis], class_axis)
        either_p = jnp.where(is_winner, either_p, 0)
    confidence = jnp.max(either_p, axis=class_axis)
    return jnp.where(confidence > jnp.asarray(threshold, confidence.dtype), winner, IGNORE)


def pseudo_labels(logits: ArrayLike, threshold: ArrayLike, *, class_axis: int = -1) -> jax.Array:
    """Hard pseudo labels: argmax_c p where max_c p > threshold, else 255.

    No gradient flows through the labels; the loss is `cross_entropy(logits, labels)`.

    Args:
        logits: `[..., C]`; C is at most 255.
        threshold: in [0, 1].
        class_axis: where C stands in the logits' shape.

    Returns:
        `[...]` int32 labels, 255 below the threshold.

    Raises:
        ValueError: C above 255.

    Example:
        >>> print(pseudo_labels(jnp.array([[9.0, 0.0], [1.0, 0.0]]), 0.95).tolist())
        [0, 255]

    References:
        The self-training baseline of the official code ("hard"); Eq. 15 of the paper for one head.
    """
    logits = at_least_float32(logits)
    check_num_classes(logits, class_axis)
    p = jax.nn.softmax(lax.stop_gradient(logits), axis=class_axis)
    confident = jnp.max(p, axis=class_axis) > jnp.asarray(threshold, p.dtype)
    return jnp.where(confident, argmax_class(p, class_axis), IGNORE)


def upsampled_labels(logits: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Most probable class of each pixel of an image, and its probability; no gradient flows.

    Args:
        logits: small, `[B, h, w, C]`, up-sampled with aligned corners; C is at most 255.
        size: (H, W) of the images.

    Returns:
        uint8 and float32 (float64 where the logits are) `[B, H, W]`; the class is C where a logit
        is not a number.

    Raises:
        ValueError: C above 255.
    """
    check_num_classes(logits)

    def of_image(logits: Array) -> tuple[Array, Array]:
        p = jax.nn.softmax(resize_align_corners(logits[None], size)[0])
        return argmax_class(p).astype(jnp.uint8), jnp.max(p, axis=-1)

    # One image after the other: an array of all pixels and classes is large.
    return lax.map(of_image, at_least_float32(lax.stop_gradient(logits)))
