"""Our side of `benchmarks.losses`: `msl_jax.losses.upsampled`, compiled."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from benchmarks.losses import inputs
from benchmarks.support.measuring import Prepared
from benchmarks.support.reporting import program_memory
from benchmarks.support.work import GUIDANCE_THRESHOLD, IW_ALPHA, LAMBDA_LOW
from msl_jax.losses.upsampled import LossSum, TargetTerms, cross_entropy_sums, target_sums

_TERMS = {
    "max_square": TargetTerms("max_square"),
    "max_square_iw": TargetTerms("max_square", iw_alpha=IW_ALPHA),
    "entropy": TargetTerms("entropy"),
    "entropy_iw": TargetTerms("entropy", iw_alpha=IW_ALPHA),
    "guidance": TargetTerms("max_square", iw_alpha=IW_ALPHA, threshold=GUIDANCE_THRESHOLD),
}


def of_heads(loss: str, heads: tuple[Array, ...], labels: Array) -> Array:
    """The loss called so in `benchmarks.losses`, a scalar.

    Args:
        loss: its name.
        heads: small logits `[B, h, w, C]`; both heads for `"guidance"`, else the final one.
        labels: `[B, H, W]`.
    """
    if loss == "ce":
        return _mean(cross_entropy_sums(heads, labels)[0])
    low = heads[1] if loss == "guidance" else None
    size = (labels.shape[1], labels.shape[2])
    final, *guided = map(_mean, target_sums(heads[0], low, size, _TERMS[loss]))
    return final + LAMBDA_LOW * guided[0] if guided else final


def value_and_gradient(*, loss: str, size: Sequence[int]) -> Prepared:
    """A round is the value of the loss, and its gradient with respect to the small logits.

    Facts: `program_memory`.
    """
    final, low, labels = map(jnp.asarray, inputs(size))
    heads = (final, low) if loss == "guidance" else (final,)
    compiled = (
        jax.jit(lambda heads, labels: jax.value_and_grad(of_heads, 1)(loss, heads, labels))
        .lower(heads, labels)
        .compile()
    )
    return Prepared(
        lambda: jax.block_until_ready(compiled(heads, labels)), program_memory(compiled)
    )


def _mean(loss: LossSum) -> Array:
    return loss.total / jnp.maximum(loss.number, 1).astype(loss.total.dtype)
