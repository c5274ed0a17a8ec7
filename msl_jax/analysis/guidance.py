"""Multi-level guidance on labelled images: how many pixels pass, and how many of them rightly."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from msl_jax import losses
from msl_jax.evaluation import confusion_matrix


class GuidanceSums(NamedTuple):
    """Sums over pixels that add up over batches; C classes.

    Attributes:
        pixels: all pixels.
        passed: pixels that get a guidance label.
        guidance: `[C, C]` labelled pixels that passed, by label (row) and guidance label.
        final: `[C, C]` labelled pixels by label (row) and the final head's prediction.
        low: `[C, C]` likewise for the low head, which learns from the guidance.
    """

    pixels: Any
    passed: Any
    guidance: Any
    final: Any
    low: Any


@functools.partial(jax.jit, static_argnames=("threshold", "rule"))
def guidance_sums(
    final_logits: ArrayLike,
    low_logits: ArrayLike,
    labels: ArrayLike,
    *,
    threshold: float = 0.95,
    rule: str = "official",
) -> GuidanceSums:
    """Sums of one batch.

    Args:
        final_logits: `[..., C]`, of the final head.
        low_logits: `[..., C]`, of the low head.
        labels: `[...]`, 255 = no label.
        threshold: delta of Eq. 15.
        rule: see `msl_jax.losses.guidance_labels`.
    """
    final, low = jnp.asarray(final_logits), jnp.asarray(low_logits)
    labels = jnp.asarray(labels).astype(jnp.int32)
    guided = losses.guidance_labels(final, low, threshold, rule=rule)
    passed = guided != losses.IGNORE
    classes = final.shape[-1]

    def confusion(counted: ArrayLike, predictions: ArrayLike) -> Any:
        return confusion_matrix(jnp.where(counted, labels, losses.IGNORE), predictions, classes)

    return GuidanceSums(
        pixels=jnp.asarray(labels.size, jnp.int32),
        passed=jnp.sum(passed, dtype=jnp.int32),
        guidance=confusion(passed, guided),
        final=confusion(True, final.argmax(-1)),
        low=confusion(True, low.argmax(-1)),
    )
