"""A step of segmentation written out: the terms of Eq. 1 by the losses alone.

Nothing here reads a configuration: tests say what one must stand for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax import Array

from msl_jax import losses
from msl_jax.models import resize_align_corners
from msl_jax.models.inputs import TORCHVISION


class Recipe(NamedTuple):
    """What a variant optimises in the adaptation, in the words of the paper."""

    target_loss: str
    weighted: bool
    multi: bool
    lambda_target: float
    lambda_source_low: float
    lambda_low: float
    alpha: float
    threshold: float
    normalization: str
    rule: str


def split(batch: Any, devices: int, micro_batches: int = 1) -> list[Any]:
    """The micro-batches `[D, B, ...]` of a batch `[D K B, ...]`, in their order."""

    def cut(array: np.ndarray) -> np.ndarray:
        return array.reshape(devices, micro_batches, -1, *array.shape[1:]).swapaxes(0, 1)

    cuts = jax.tree.map(cut, batch)
    return [jax.tree.map(lambda array, i=i: array[i], cuts) for i in range(micro_batches)]


def on_devices(stats: Any, devices: int) -> Any:
    """The same statistics for each device, on a new first axis."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * devices), stats)


def heads(model: Any, params: Any, stats: Any, images: Array) -> tuple[Array, Array, Any]:
    """Logits `[D B, H, W, C]` of both heads in training, and the statistics of each device.

    Args:
        model: the network.
        params: its parameters.
        stats: statistics with a first axis of devices.
        images: uint8 `[D, B, H, W, 3]`.
    """

    def single(stats: Any, images: Array) -> Any:
        (final, low), updates = model.apply(
            {"params": params, "batch_stats": stats},
            TORCHVISION.prepare(images),
            train=True,
            mutable=["batch_stats"],
        )
        size = images.shape[1:3]
        large = (resize_align_corners(logits, size) for logits in (final, low))
        return *large, updates["batch_stats"]

    final, low, stats = jax.vmap(single)(stats, images)
    return final.reshape(-1, *final.shape[2:]), low.reshape(-1, *low.shape[2:]), stats


def source_terms(final: Array, low: Array, labels: Array, recipe: Recipe) -> dict[str, Array]:
    """The parts of Eq. 1 on the source, with their weights."""
    labels = jnp.asarray(labels).reshape(final.shape[:-1])
    parts = {"source/final": losses.cross_entropy(final, labels)}
    if recipe.multi:
        weighted = recipe.lambda_source_low * losses.cross_entropy(low, labels)
        parts["source/low"] = weighted
    return parts


def target_terms(final: Array, low: Array, recipe: Recipe) -> dict[str, Array]:
    """The parts of Eq. 1 on the target, with their weights."""
    if recipe.target_loss == "none":
        return {}
    if recipe.target_loss == "hard":
        labels = losses.pseudo_labels(final, recipe.threshold)
        loss = losses.cross_entropy(final, labels)
    else:
        of_logits = {"minent": losses.entropy, "max_square": losses.max_square}
        loss = of_logits[recipe.target_loss](
            final,
            iw_alpha=recipe.alpha if recipe.weighted else None,
            normalization=recipe.normalization,
        )
    parts = {"target/final": recipe.lambda_target * loss}
    if recipe.multi:
        labels = losses.guidance_labels(final, low, recipe.threshold, rule=recipe.rule)
        guided = losses.cross_entropy(low, labels)
        parts["target/guidance"] = recipe.lambda_target * recipe.lambda_low * guided
    return parts


def objective(
    params: Any, stats: Any, batch: Any, *, model: Any, recipe: Recipe, adapt: bool
) -> tuple[Array, Any]:
    """Eq. 1 of a micro-batch `[D, B, ...]`, and the statistics of each device after it."""
    final, low, stats = heads(model, params, stats, batch["source"]["image"])
    total = sum(source_terms(final, low, batch["source"]["label"], recipe).values())
    if adapt:
        final, low, stats = heads(model, params, stats, batch["target"]["image"])
        total += sum(target_terms(final, low, recipe).values(), jnp.float32(0))
    return total, stats


def assert_same_change(before: Any, found: Any, expected: Any, limit: float) -> None:
    """Each array has gone where it should: its error is below `limit` of the largest change."""
    start, ends = flatten_dict(before), (flatten_dict(found), flatten_dict(expected))
    assert start.keys() == ends[0].keys() == ends[1].keys()
    for path, old in start.items():
        change, wanted = (np.asarray(end[path], np.float64) - np.asarray(old) for end in ends)
        error = np.abs(change - wanted).max()
        assert error <= limit * np.abs(wanted).max(), ("/".join(path), error, np.abs(wanted).max())
