"""Gradients of the target losses as functions of the confidence: Fig. 1 of the paper.

For two classes with probabilities p and 1 - p, as in the paper, there are the losses, their
gradients by automatic differentiation and, to check these against, its closed forms. For C classes
a loss is a function of the logits, as in training.

Reference: Chen, Xue, Cai, ICCV 2019, Section 3.1 and 3.2.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from msl_jax.losses import pixelwise

Curve = Callable[[ArrayLike], Array]

# The target losses at one pixel, `[..., C]` -> `[...]`, as printed in the paper: not divided by C.
PIXEL_LOSSES: dict[str, Callable[[Array], Array]] = {
    "entropy": pixelwise.entropy,
    "max_square": pixelwise.max_square,
}


def binary_entropy(p: ArrayLike) -> Array:
    """Eq. 4: H(p) = -p log p - (1 - p) log(1 - p).

    Args:
        p: probabilities in (0, 1), of any shape.
    """
    p = jnp.asarray(p)
    return -p * jnp.log(p) - (1 - p) * jnp.log1p(-p)


def binary_max_square(p: ArrayLike) -> Array:
    """Eq. 7: MS(p) = -p^2 - (1 - p)^2.

    Args:
        p: probabilities in [0, 1], of any shape.
    """
    p = jnp.asarray(p)
    return -(p**2) - (1 - p) ** 2


def binary_scaled_entropy(p: ArrayLike, gamma: float) -> Array:
    """The "Scaled H" of Fig. 1: H((1 - 2 gamma) p + gamma).

    Args:
        p: probabilities in (0, 1), of any shape; with gamma above 0 also 0 and 1.
        gamma: the scale ratio in [0, 0.5]; 0 is `binary_entropy`.
    """
    return binary_entropy((1 - 2 * gamma) * jnp.asarray(p) + gamma)


def gradient_size(curve: Curve, p: ArrayLike) -> Array:
    """|d curve / dp| by automatic differentiation.

    Args:
        curve: a function of one probability, such as `binary_entropy`.
        p: probabilities `[N]`.

    Returns:
        `[N]`, at least 0.

    Example:
        >>> print(gradient_size(binary_max_square, jnp.array([0.5, 0.75, 1.0])))
        [0. 1. 2.]
    """
    return jnp.abs(jax.vmap(jax.grad(curve))(jnp.asarray(p)))


def entropy_gradient_size(p: ArrayLike) -> Array:
    """Eq. 5: |log p - log(1 - p)|; grows without bound towards p = 0 and p = 1."""
    p = jnp.asarray(p)
    return jnp.abs(jnp.log(p) - jnp.log1p(-p))


def max_square_gradient_size(p: ArrayLike) -> Array:
    """Eq. 8: |4 p - 2|; grows linearly, up to 2."""
    return jnp.abs(4 * jnp.asarray(p) - 2)


def scaled_entropy_gradient_size(p: ArrayLike, gamma: float) -> Array:
    """Derivative of "Scaled H": (1 - 2 gamma) |log s - log(1 - s)|, s = (1 - 2 gamma) p + gamma."""
    return (1 - 2 * gamma) * entropy_gradient_size((1 - 2 * gamma) * jnp.asarray(p) + gamma)


def one_sure_class(confidence: ArrayLike, num_classes: int) -> Array:
    """Logits of predictions whose largest probability is `confidence`, the others being equal.

    Args:
        confidence: `[...]`, in [1/C, 1).
        num_classes: C.

    Returns:
        `[..., C]`; class 0 is the most probable one.

    Example:
        >>> print([f"{p:.1f}" for p in jax.nn.softmax(one_sure_class(0.7, 4))])
        ['0.7', '0.1', '0.1', '0.1']
    """
    p = jnp.asarray(confidence)
    sure = jnp.log(p * (num_classes - 1) / (1 - p))
    return jnp.concatenate([sure[..., None], jnp.zeros((*p.shape, num_classes - 1), p.dtype)], -1)


def logit_gradients(loss: str, logits: ArrayLike) -> Array:
    """Gradient of a target loss of each pixel with respect to the pixel's logits.

    By automatic differentiation. In closed form, with p = softmax(logits), it is
    ``-p_k (log p_k + H)`` for the entropy H and ``-p_k (p_k - sum_c p_c^2)`` for maximum squares:
    unlike those with respect to p, both vanish where the prediction is certain.

    Args:
        loss: a key of `PIXEL_LOSSES`.
        logits: `[..., C]`.

    Returns:
        `[..., C]`, of each pixel's own loss (not divided by the number of pixels).
    """
    pixel_loss = PIXEL_LOSSES[loss]
    return jax.grad(lambda z: jnp.sum(pixel_loss(z)))(jnp.asarray(logits))


def chi_square(probabilities: ArrayLike) -> Array:
    """Pearson's chi^2 divergence from the uniform distribution, Eq. 9: sum_c q ((p_c / q)^2 - 1).

    Eq. 10 says that this is ``C sum_c p_c^2 - 1``, that is ``-2 C MS - 1`` with the maximum squares
    loss of one pixel (Eq. 6).

    Args:
        probabilities: `[..., C]`.

    Returns:
        `[...]`, from 0 (uniform) to C - 1 (certain).
    """
    p = jnp.asarray(probabilities)
    uniform = 1 / p.shape[-1]
    return jnp.sum(uniform * ((p / uniform) ** 2 - 1), axis=-1)
