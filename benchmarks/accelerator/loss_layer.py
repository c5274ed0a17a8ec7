"""The losses of up-sampled logits by tile size, and without tiles."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from jax import Array

from benchmarks.accelerator.timing import time_rounds
from benchmarks.losses import inputs
from benchmarks.support import our_losses
from benchmarks.support.reporting import program_memory
from benchmarks.support.work import GUIDANCE_THRESHOLD, IW_ALPHA, LAMBDA_LOW
from msl_jax import losses as equations
from msl_jax.losses import tiles
from msl_jax.models import resize_align_corners


def tiled(*, seconds: float, size: list[int], names: list[str], tile: int) -> dict[str, Any]:
    """Value and gradient of losses, by name.

    Args:
        seconds: for each loss.
        size: height and width of the image.
        names: of `benchmarks.losses.LOSSES`.
        tile: numbers in one head's tile, see `msl_jax.losses.tiles.OTHER_TILE`.
    """
    found = {}
    constant = "CPU_TILE" if jax.default_backend() == "cpu" else "OTHER_TILE"
    with mock.patch.object(tiles, constant, tile):
        for name in names:
            prepared = our_losses.value_and_gradient(loss=name, size=size)
            found[name] = {**time_rounds(prepared.run, seconds), **prepared.facts}
    return found


def whole(*, seconds: float, size: list[int], names: list[str]) -> dict[str, Any]:
    """The same by up-sampling the logits for `msl_jax.losses`, with all arrays at full size."""
    found = {}
    for name in names:
        final, low, labels = map(jnp.asarray, inputs(size))
        heads = (final, low) if name == "guidance" else (final,)

        value_and_gradient = jax.value_and_grad(functools.partial(_loss, name))
        compiled = jax.jit(value_and_gradient).lower(heads, labels).compile()
        measured = time_rounds(
            lambda f=compiled, x=(heads, labels): jax.block_until_ready(f(*x)),  # type: ignore[misc]
            seconds,
        )
        found[name] = {**measured, **program_memory(compiled)}
    return found


def _loss(name: str, heads: tuple[Array, ...], labels: Array) -> Array:
    """The loss of this name in `benchmarks.losses`."""
    size = (labels.shape[1], labels.shape[2])
    final, *low = (resize_align_corners(head, size) for head in heads)
    if name == "ce":
        return equations.cross_entropy(final, labels)
    if name == "guidance":
        guided = equations.guidance_labels(final, low[0], GUIDANCE_THRESHOLD)
        guidance = LAMBDA_LOW * equations.cross_entropy(low[0], guided)
        return equations.max_square(final, iw_alpha=IW_ALPHA) + guidance
    loss, *weighted = name.split("_iw")
    function = equations.entropy if loss == "entropy" else equations.max_square
    return function(final, iw_alpha=IW_ALPHA if weighted else None)
