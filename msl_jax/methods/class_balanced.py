"""Labels that a network gives to target images, balanced over the classes: CBST, CBST-SP, CRST.

With the probabilities p_c(n) of pixel n of the target images, and a portion P,

    k_c        the floor(P N_c)-th largest of the N_c values max_c p_c(n) whose most probable class
               is c; 1 where that is none
    label(n)   argmax_c p_c(n) / k_c where that maximum is at least 1, else ignored

so that the same share of what is predicted as each class becomes labels, however sure of that class
the network is. CBST-SP puts q_c(n) p_c(n), not divided by its sum, in the place of p_c(n), with the
prior q of `msl_jax.data.spatial_prior`; k_c of none is then the largest q_c, where that exceeds 1:
a class that nobody predicts has no labels. CRST-LRENT has soft labels, which minimise the cross
entropy minus alpha times their own entropy:

    s_c(n)     (p_c(n) / k_c)^(1 / alpha) / Z(n), where their sum Z(n) is more than 1, else ignored

References:
    Zou et al. "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced
    Self-Training", ECCV 2018. Zou et al. "Confidence Regularized Self-Training", ICCV 2019.
    What the papers leave open is as in their official codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from msl_jax.losses.arrays import IGNORE, argmax_class, is_class

# Of the second class of a soft label, which has at most half of both, in steps that fit a byte.
_STEPS = 510


def class_confidences(
    winners: np.ndarray, confidences: np.ndarray, num_classes: int, every: int = 1
) -> list[np.ndarray]:
    """The probabilities of an image's pixels, by the class that is most probable there.

    Args:
        winners: most probable classes, `[H, W]`.
        confidences: their probabilities, `[H, W]`.
        num_classes: C.
        every: take every so many pixels of each class, from its first one on.

    Returns:
        `[n_c]` for each class, in the order of the rows.
    """
    # Copies, since a view would keep all pixels in memory.
    return [confidences[winners == label][::every].copy() for label in range(num_classes)]


def thresholds(
    confidences: Sequence[np.ndarray], portion: float, prior: np.ndarray | None = None
) -> np.ndarray:
    """The thresholds k of the module's head.

    Args:
        confidences: of each class, `[N_c]`, in any order.
        portion: P in [0, 1].
        prior: q, `[..., C]`, where the confidences are those of q p.

    Returns:
        `[C]`, of the dtype of the confidences.

    >>> values = np.array([0.5, 0.9, 0.8, 0.6, 0.7])
    >>> thresholds([values, values[:1]], 0.4).tolist()
    [0.8, 1.0]
    """
    found = np.ones(len(confidences), confidences[0].dtype)
    if prior is not None:
        found = np.maximum(found, prior.reshape(-1, len(found)).max(axis=0))
    for label, values in enumerate(confidences):
        if number := int(portion * len(values)):
            place = len(values) - number
            # A prior may leave nothing of a class; a threshold of 0 would divide by it.
            found[label] = np.partition(values, place)[place] or found[label]
    return found


def balanced_labels(probabilities: Array, thresholds: Array) -> Array:
    """The labels of the module's head.

    Args:
        probabilities: p, or q p, `[..., C]`; C is at most 255.
        thresholds: k, `[C]`.

    Returns:
        uint8 `[...]`, 255 = ignored.
    """
    limits = thresholds.reshape((1,) * (probabilities.ndim - 1) + (-1,))
    # Not that the ratio is at least 1: XLA may multiply by the reciprocal, and lose the pixel that
    # is the threshold.
    sure = jnp.any(probabilities >= limits, axis=-1)
    return jnp.where(sure, argmax_class(probabilities / limits), IGNORE).astype(jnp.uint8)


def soft_labels(probabilities: Array, thresholds: Array, alpha: float) -> Array:
    """The soft labels s of the module's head.

    Args:
        probabilities: p, `[..., C]`.
        thresholds: k, `[C]`.
        alpha: weight of the labels' entropy, more than 0.

    Returns:
        `[..., C]`, all 0 where the pixel is ignored.
    """
    ratio = probabilities / thresholds.reshape((1,) * (probabilities.ndim - 1) + (-1,))
    scores = jnp.log(ratio) / alpha  # in logarithms: a small alpha makes large powers
    sure = jax.nn.logsumexp(scores, axis=-1, keepdims=True) > 0
    return jnp.where(sure, jax.nn.softmax(scores), 0)


def packed(soft: Array) -> Array:
    """The two most probable classes of soft labels, as a picture keeps them.

    Args:
        soft: `[..., C]`, see `soft_labels`.

    Returns:
        uint8 `[..., 3]`: the first class, the second one, and the second one's share of both in
        steps of 1/510; 255 where the pixel is ignored.
    """
    first = argmax_class(soft)
    rest = jnp.where(is_class(first, soft.shape[-1]), -1, soft)
    second = argmax_class(rest)
    high, low = jnp.max(soft, axis=-1), jnp.max(rest, axis=-1)
    share = jnp.rint(_STEPS * low / jnp.maximum(high + low, jnp.finfo(soft.dtype).tiny))
    layers = jnp.stack([first, second, share.astype(first.dtype)], axis=-1)
    return jnp.where(high[..., None] > 0, layers, IGNORE).astype(jnp.uint8)


def unpacked(layers: Array) -> tuple[Array, Array]:
    """Classes uint8 `[..., 2]` and their weights float32 `[..., 2]` of what `packed` gives."""
    share = layers[..., 2].astype(jnp.float32) / _STEPS
    return layers[..., :2], jnp.stack([1 - share, share], axis=-1)


def image_confidence(winners: np.ndarray, confidences: np.ndarray) -> float:
    """How sure a network is of an image: the mean over the predicted classes of their means.

    Args:
        winners: most probable classes, `[H, W]`.
        confidences: their probabilities, `[H, W]`.
    """
    return float(np.mean([confidences[winners == label].mean() for label in np.unique(winners)]))


def rare_classes(pixels: np.ndarray, share: float) -> tuple[int, ...]:
    """Classes with less than a share of the predicted pixels, the rarest first.

    Args:
        pixels: of each class, `[C]`.
        share: in [0, 1].

    >>> rare_classes(np.array([90, 0, 8, 2]), 0.05)
    (1, 3)
    """
    order = np.argsort(pixels, kind="stable")
    return tuple(int(label) for label in order if pixels[label] < share * pixels.sum())
