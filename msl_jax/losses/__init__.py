"""The losses of "Domain Adaptation for Semantic Segmentation with Maximum Squares Loss".

Pure functions of arrays, usable alone in any training code. n runs over pixels (or samples), c over
the C classes on the last axis; p = softmax(logits). Where the paper's equations live:

    Eq. 2       cross_entropy, and cross_entropy_sum to add up over batches and devices
    Eq. 3       entropy (Eq. 4 is its two-class case, Eq. 5 the gradient); Fig. 1: scaled_entropy
    Eq. 6       max_square (Eq. 7 is twice its two-class case, Eq. 8 the gradient of Eq. 7)
    Eq. 9, 10   max_square again: chi2(p || uniform) = C sum_c p^2 - 1, the same thing to optimize
    Eq. 11-13   image_weights, used by max_square and entropy when `iw_alpha` is given
    Eq. 14-16   cross_entropy(low_logits, guidance_labels(final_logits, low_logits, threshold))

Two normalizations exist. "paper" is each equation as printed: a sum over classes, a mean over
pixels and images. "official" is what the code behind the published numbers computes: a mean over
classes too, and image-wise weighting without the 1/2 of Eq. 13. The published lambda_target = 0.1
belongs to "official".

The equations at one pixel are written in `losses/pixelwise.py`; `msl_jax.losses.upsampled` takes
the same losses of up-sampled logits without ever holding these. Everything is computed in float32
(float64 where the logits are), also for bfloat16 logits.

Reference: Chen, Xue, Cai. "Domain Adaptation for Semantic Segmentation with Maximum Squares Loss",
ICCV 2019; official code: github.com/ZJULearning/MaxSquareLoss.
"""

from msl_jax.losses.arrays import IGNORE
from msl_jax.losses.equations import (
    cross_entropy,
    cross_entropy_sum,
    entropy,
    image_weights,
    max_square,
    scaled_entropy,
)
from msl_jax.losses.guidance import guidance_labels, pseudo_labels
from msl_jax.losses.pixelwise import NORMALIZATIONS

__all__ = [
    "IGNORE",
    "NORMALIZATIONS",
    "cross_entropy",
    "cross_entropy_sum",
    "entropy",
    "guidance_labels",
    "image_weights",
    "max_square",
    "pseudo_labels",
    "scaled_entropy",
]
