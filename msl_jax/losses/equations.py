"""The losses as functions of logits `[..., C]`: see `msl_jax.losses`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from msl_jax.losses import pixelwise
from msl_jax.losses.arrays import (
    IGNORE,
    argmax_class,
    at_least_float32,
    check_choice,
    check_num_classes,
    is_class,
)


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    """Cross entropy, averaged over the labelled pixels: -1/N sum_n log p[n, label_n].

    N is the number of labels other than 255. If there is none, value and gradient are 0.

    Args:
        logits: `[..., C]`, e.g. `[B, H, W, C]` or `[B, C]`; C is at most 255.
        labels: `[...]` integers in 0 .. C-1, or 255 = ignored. Any other label makes the value NaN:
            inside a compiled program that is the only way to report it.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: labels not integer or of another shape than the pixels, or C above 255.

    Example:
        >>> logits = jnp.array([[0.0, 0.0], [3.0, 0.0]])
        >>> print(f"{cross_entropy(logits, jnp.array([1, 255])):.4f}")
        0.6931
        >>> print(f"{cross_entropy(logits, jnp.array([255, 255])):.4f}")
        0.0000

    References:
        Eq. 2 of the paper, and Eq. 16 with the labels of `guidance_labels`.
    """
    total, count = cross_entropy_sum(logits, labels)
    return total / jnp.maximum(count, 1).astype(total.dtype)


def cross_entropy_sum(logits: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Numerator and denominator of `cross_entropy`: (-sum_n log p[n, label_n], N).

    Batches and devices hold different numbers of labelled pixels, so a mean of their means is
    wrong: sum the numerators and the counts, then divide by max(count, 1).

    Args:
        logits: `[..., C]`; C is at most 255.
        labels: `[...]` integers in 0 .. C-1, or 255 = ignored; see `cross_entropy`.

    Returns:
        The sum, a scalar in float32 (float64 where the logits are), and the count, an int32 scalar:
        float32 stops counting at 2^24, about the pixels of eight 2048x1024 images.

    Raises:
        ValueError: labels not integer or of another shape than the pixels, or C above 255.

    Example:
        >>> total, count = cross_entropy_sum(jnp.zeros((3, 2)), jnp.array([1, 0, 255]))
        >>> print(f"{total:.4f} {count}")
        1.3863 2

    References:
        Eq. 2 of the paper.
    """
    logits, labels = at_least_float32(logits), jnp.asarray(labels)
    check_num_classes(logits)
    if labels.shape != logits.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be integers of shape {logits.shape[:-1]}, one for each pixel of the "
            f"logits {logits.shape}; found {labels.dtype} of shape {labels.shape}."
        )
    labels = labels.astype(jnp.int32)
    pixel_loss = pixelwise.cross_entropy(logits, labels)
    return jnp.sum(pixel_loss), jnp.sum(labels != IGNORE, dtype=jnp.int32)


def entropy(
    logits: ArrayLike, *, iw_alpha: ArrayLike | None = None, normalization: str = "official"
) -> jax.Array:
    """Entropy of the predictions (MinEnt): -1/N sum_n sum_c p log p.

    With `iw_alpha`, each pixel is multiplied by its weight in `image_weights` instead of by 1/N,
    and the mean is taken over images. The gradient flows through both p and log p.

    Args:
        logits: `[..., C]`, e.g. `[B, H, W, C]` or `[B, C]`; with `iw_alpha` `[..., H, W, C]`.
        iw_alpha: alpha of the image-wise weighting, in [0, 1]; None is no weighting.
        normalization: "paper" sums over classes as printed, "official" divides that by C.

    Returns:
        A scalar, at least 0. Without weighting, at most log C ("paper").

    Raises:
        ValueError: unknown normalization, `iw_alpha` (where it is a plain number) out of range, or
            given for logits that are no images.

    Example:
        >>> print(f"{entropy(jnp.zeros((2, 4)), normalization='paper'):.4f}")  # log 4
        1.3863
        >>> print(f"{entropy(jnp.zeros((2, 4))):.4f}")
        0.3466

    References:
        Eq. 3 of the paper; with `iw_alpha`, the weights of Eq. 13.
    """
    return target_loss("minent", logits, iw_alpha=iw_alpha, normalization=normalization)


def scaled_entropy(
    logits: ArrayLike, gamma: ArrayLike, *, normalization: str = "official"
) -> jax.Array:
    """Entropy with a bounded gradient: -1/N sum_n sum_c s log s, with s = (1 - 2 gamma) p + gamma.

    The remedy that the paper names before it proposes `max_square`; gamma = 0 is `entropy`.

    Args:
        logits: `[..., C]`, e.g. `[B, H, W, C]` or `[B, C]`.
        gamma: the scale ratio, in [0, 0.5].
        normalization: "paper" sums over classes, "official" divides that by C.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: unknown normalization, or gamma (where it is a plain number) out of range.

    Example:
        >>> print(f"{scaled_entropy(jnp.array([[50.0, 0.0]]), 0.1, normalization='paper'):.4f}")
        0.3251

    References:
        "Scaled H" of Fig. 1 of the paper; P_scaled in Section 1.
    """
    logits = at_least_float32(logits)
    divisor = pixelwise.divisor(normalization, logits.shape[-1])
    if isinstance(gamma, int | float) and not 0 <= gamma <= 0.5:
        raise ValueError(f"gamma must lie in [0, 0.5]; found {gamma}.")
    p = jax.nn.softmax(logits)
    gamma = jnp.asarray(gamma, p.dtype)
    s = (1 - 2 * gamma) * p + gamma
    s = jnp.where(s > 0, s, 1)  # s log s is 0 at s = 0, as it is at s = 1
    return -jnp.mean(jnp.sum(s * jnp.log(s), axis=-1)) / divisor


def max_square(
    logits: ArrayLike, *, iw_alpha: ArrayLike | None = None, normalization: str = "official"
) -> jax.Array:
    """Maximum squares loss: -1/(2N) sum_n sum_c p^2; its gradient grows linearly with p.

    With `iw_alpha`, the image-wise class-balanced form: -1/2 sum_n w_n sum_c p^2, with w of
    `image_weights` in the place of 1/N, averaged over images.

    Args:
        logits: `[..., C]`, e.g. `[B, H, W, C]` or `[B, C]`; with `iw_alpha` `[..., H, W, C]`.
        iw_alpha: alpha of the image-wise weighting, in [0, 1] (the paper's is 0.2); None is no
            weighting.
        normalization: "paper" as printed. "official" divides that by C, and leaves out the 1/2 of
            the image-wise form.

    Returns:
        A scalar, negative. Without weighting, in [-1/2, -1/(2C)] ("paper").

    Raises:
        ValueError: unknown normalization, `iw_alpha` (where it is a plain number) out of range, or
            given for logits that are no images.

    Example:
        >>> print(f"{max_square(jnp.zeros((2, 4)), normalization='paper'):.5f}")
        -0.12500
        >>> print(f"{max_square(jnp.zeros((2, 4))):.5f}")
        -0.03125

    References:
        Eq. 6 of the paper; Eq. 13 with `iw_alpha`.
    """
    return target_loss("max_square", logits, iw_alpha=iw_alpha, normalization=normalization)


def target_loss(
    name: str,
    logits: ArrayLike,
    *,
    iw_alpha: ArrayLike | None = None,
    normalization: str = "official",
) -> jax.Array:
    """The loss of that name in `losses.pixelwise.TARGET_LOSSES`, a mean.

    Args:
        name: such as "max_square".
        logits: `[..., C]`; with `iw_alpha` `[..., H, W, C]`.
        iw_alpha: alpha of the image-wise weighting, in [0, 1]; None is no weighting.
        normalization: "official" or "paper".

    Raises:
        ValueError: as for `max_square`, or there is no loss of that name.
    """
    check_choice("name", name, tuple(pixelwise.TARGET_LOSSES))
    loss, logits = pixelwise.TARGET_LOSSES[name], at_least_float32(logits)
    printed_half = loss.printed_half and iw_alpha is not None
    divisor = pixelwise.divisor(normalization, logits.shape[-1], printed_half=printed_half)
    return _mean(loss.of_pixel(logits, -1), logits, iw_alpha) / divisor


def image_weights(probabilities: ArrayLike, alpha: ArrayLike) -> jax.Array:
    """Image-wise weight of each pixel: w_n = 1 / (N_c^alpha N^(1 - alpha)), c the winner at n.

    N_c counts the pixels of that image whose most probable class is c, N all its pixels. alpha = 0
    weights all pixels equally (w = 1/N), alpha = 1 all classes of the image. No gradient flows
    through the weights.

    Args:
        probabilities: `[..., H, W, C]`, e.g. `[B, H, W, C]`: the last three axes are one image.
        alpha: in [0, 1].

    Returns:
        `[..., H, W]`, in (0, 1]. Without the 1/2 of Eq. 13.

    Raises:
        ValueError: alpha (where it is a plain number) out of range, or fewer than three axes.
            Classification outputs `[B, C]` are not images: there are no pixels to count.

    Example:
        >>> image = jnp.array([[[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]]])  # [1, 4, 2]
        >>> print([f"{w:.2f}" for w in image_weights(image, 1.0)[0]])
        ['0.33', '0.33', '0.33', '1.00']

    References:
        Eq. 11 to 13 of the paper.
    """
    if isinstance(alpha, int | float) and not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1]; found {alpha}.")
    p = lax.stop_gradient(at_least_float32(probabilities))
    if p.ndim < 3:
        raise ValueError(
            "Image-wise weighting needs images [..., H, W, C], whose pixels it counts; found shape "
            f"{p.shape}. For classification outputs [B, C] use no weighting (iw_alpha=None)."
        )
    winner = argmax_class(p)  # Eq. 11
    counts = jnp.sum(is_class(winner, p.shape[-1]), axis=(-3, -2), dtype=jnp.int32)  # Eq. 12
    weights = pixelwise.class_weights(counts, alpha, p.dtype)
    flat = winner.reshape(*winner.shape[:-2], -1)
    return jnp.take_along_axis(weights, flat, axis=-1).reshape(winner.shape)


def _mean(pixel_loss: jax.Array, logits: jax.Array, iw_alpha: ArrayLike | None) -> jax.Array:
    """The mean over pixels; with `iw_alpha` over images, of each one's weighted sum."""
    if iw_alpha is None:
        return jnp.mean(pixel_loss)
    weights = image_weights(jax.nn.softmax(logits), iw_alpha)
    return jnp.mean(jnp.sum(weights * pixel_loss, axis=(-2, -1)))
