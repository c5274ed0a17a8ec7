"""Our side of `benchmarks.losses`: `msl_jax.losses.upsampled`, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from benchmarks.losses import inputs
from benchmarks.support.measuring import Prepared
from benchmarks.support.reporting import program_memory
from benchmarks.support.work import GUIDANCE_THRESHOLD, IW_ALPHA, LAMBDA_LOW
from msl_jax.losses.upsampled import cross_entropy_sums, target_sums

# Name -> keywords of `target_sums`.
_TARGET: dict[str, dict[str, Any]] = {
    "max_square": {"loss": "max_square"},
    "max_square_iw": {"loss": "max_square", "iw_alpha": IW_ALPHA},
    "entropy": {"loss": "minent"},
    "entropy_iw": {"loss": "minent", "iw_alpha": IW_ALPHA},
    "guidance": {"loss": "max_square", "iw_alpha": IW_ALPHA, "threshold": GUIDANCE_THRESHOLD},
}


def of_heads(loss: str, heads: tuple[Array, ...], labels: Array) -> Array:
    """The loss of this name in `benchmarks.losses`, a scalar.

    Args:
        loss: its name.
        heads: small logits `[B, h, w, C]`; of both heads for `"guidance"`, else of the final one.
        labels: `[B, H, W]`.
    """
    if loss == "ce":
        return cross_entropy_sums(heads, labels)[0].mean
    low = heads[1] if loss == "guidance" else None
    size = (labels.shape[1], labels.shape[2])
    final, *guided = (s.mean for s in target_sums(heads[0], low, size, **_TARGET[loss]))
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
