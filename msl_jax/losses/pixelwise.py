"""The equations of `msl_jax.losses` at one pixel, with the C classes on any axis.

`losses/equations.py` sums them over arrays `[..., C]` in memory, `losses/upsampled.py` over tiles
of up-sampled logits. Logits are in float32 or float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from msl_jax.losses.arrays import IGNORE, check_choice, is_class
from msl_jax.runtime.registration import register

NORMALIZATIONS = ("official", "paper")


def cross_entropy(logits: jax.Array, labels: jax.Array, class_axis: int = -1) -> jax.Array:
    """Eq. 2 before its mean: -log p[label], 0 for the label 255, NaN for one that is not a class.

    Labels are int32: narrower integers cannot represent both 255 and all classes.
    """
    num_classes = logits.shape[class_axis]
    # -log p = log sum_c exp(z_c) - z_label, with z shifted so that no exp overflows.
    shifted = logits - lax.stop_gradient(jnp.max(logits, axis=class_axis, keepdims=True))
    is_label = is_class(labels, num_classes, class_axis)
    label_logit = jnp.sum(jnp.where(is_label, shifted, 0), axis=class_axis)
    minus_log_p = jnp.log(jnp.sum(jnp.exp(shifted), axis=class_axis)) - label_logit
    valid = (labels >= 0) & (labels < num_classes)
    with jax.debug_nans(False):  # this NaN is meant: a search for the first one passes it by
        return jnp.where(valid, minus_log_p, jnp.where(labels == IGNORE, 0.0, jnp.nan))


def uniform_cross_entropy(logits: jax.Array, class_axis: int = -1) -> jax.Array:
    """-1/C sum_c log p_c: how far the uniform distribution is from p, up to a constant (KLD)."""
    return -jnp.mean(jax.nn.log_softmax(logits, axis=class_axis), axis=class_axis)


def entropy(logits: jax.Array, class_axis: int = -1) -> jax.Array:
    """Eq. 3 before its mean: -sum_c p log p."""
    log_p = jax.nn.log_softmax(logits, axis=class_axis)
    p = jnp.exp(log_p)
    # p log p is 0 at p = 0, also for a logit of -inf, where the product would be NaN.
    return -jnp.sum(p * jnp.where(p > 0, log_p, 0), axis=class_axis)


def max_square(logits: jax.Array, class_axis: int = -1) -> jax.Array:
    """Eq. 6 before its mean: -1/2 sum_c p^2."""
    p = jax.nn.softmax(logits, axis=class_axis)
    return -jnp.sum(jnp.square(p), axis=class_axis) / 2


def teacher_max_square(
    logits: jax.Array, teacher_logits: jax.Array, class_axis: int = -1
) -> jax.Array:
    """-sum_c q p, with the probabilities q of a teacher, which are constant.

    With q = p its gradient is that of `max_square`; with a q that is sure of one class it is -p of
    that class, whose gradient is bounded however wrong the teacher is.
    """
    q = jax.nn.softmax(lax.stop_gradient(teacher_logits), axis=class_axis)
    return -jnp.sum(q * jax.nn.softmax(logits, axis=class_axis), axis=class_axis)


class TargetLoss(NamedTuple):
    """A loss of unlabelled pixels.

    Attributes:
        of_pixel: (logits, class axis) -> the loss at each pixel, before its mean.
        printed_half: with image-wise weights the paper prints a 1/2 in front of it (Eq. 13), which
            the official code leaves out.
    """

    of_pixel: Callable[[jax.Array, int], jax.Array]
    printed_half: bool = False


# By the names that variants use. A new one is a function above, a line here and a variant.
TARGET_LOSSES = {
    "minent": TargetLoss(entropy),
    "max_square": TargetLoss(max_square, printed_half=True),
}


def register_target_loss(
    name: str, of_pixel: Callable[[jax.Array, int], jax.Array], *, printed_half: bool = False
) -> None:
    """Adds a target loss of one's own; the arguments are those of `TargetLoss`.

    Raises:
        UserError: there is one of this name already.
    """
    loss = TargetLoss(of_pixel, printed_half)
    words: dict[str, TargetLoss | None] = {"none": None, "hard": None}  # of variants, besides
    register({**words, **TARGET_LOSSES}, "target loss", name, loss)
    TARGET_LOSSES[name] = loss


def class_weights(counts: jax.Array, alpha: ArrayLike, dtype: jnp.dtype) -> jax.Array:
    """Weights of the classes of each image: 1 / (N_c^alpha N^(1 - alpha)).

    Args:
        counts: N_c of Eq. 12, integers `[..., C]`; N is their sum.
        alpha: in [0, 1].
        dtype: of the weights.
    """
    alpha = jnp.asarray(alpha, dtype)
    pixels = jnp.sum(counts, axis=-1, keepdims=True, dtype=counts.dtype).astype(dtype)
    # The 1 only guards classes that are predicted nowhere, as in the official code.
    return 1 / jnp.maximum(counts.astype(dtype) ** alpha * pixels ** (1 - alpha), 1)


def divisor(normalization: str, num_classes: int, *, printed_half: bool = False) -> float:
    """What a target loss as printed in the paper is divided by.

    Args:
        normalization: "paper" leaves it as it is, "official" averages over classes too.
        num_classes: C.
        printed_half: the equation has a 1/2 that the official code leaves out (Eq. 13).

    Raises:
        ValueError: unknown normalization.
    """
    check_choice("normalization", normalization, NORMALIZATIONS)
    if normalization == "paper":
        return 1.0
    return num_classes / 2 if printed_half else float(num_classes)
