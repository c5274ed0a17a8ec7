"""Logits of trained networks on labelled images, image by image."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax import Array

from msl_jax.data.pipeline import evaluation_batches
from msl_jax.data.prepared.records import Records
from msl_jax.models import DeepLabV2, resize_align_corners
from msl_jax.models.inputs import network_input


class Heads(NamedTuple):
    """Logits of both heads at the labels' size, `[1, H, W, C]`."""

    final: Array
    low: Array


def predictions(
    model: DeepLabV2,
    networks: Sequence[Any],
    records: Records,
    size: tuple[int, int] | None = None,
) -> Iterator[tuple[Iterator[Heads], Array]]:
    """Logits of several networks, one image after the other.

    Args:
        model: the network.
        networks: variables of the same network in several states, such as before and after its
            adaptation.
        records: labelled.
        size: (height, width) of labels and logits; None for the size of each label.

    Yields:
        The heads' logits of each network, computed lazily, and the labels `[1, H, W]`.
    """
    for batch in evaluation_batches(records, 1, size):
        shape = batch["label"].shape[1:]
        on_image = functools.partial(_heads, model, images=batch["image"], size=shape)
        yield map(on_image, networks), batch["label"]


@functools.partial(jax.jit, static_argnames=("model", "size"))
def _heads(
    model: DeepLabV2,
    variables: Any,
    images: Array,
    size: tuple[int, int],
) -> Heads:
    logits: Any = model.apply(variables, network_input(model, images), train=False)
    final, low = logits
    return Heads(resize_align_corners(final, size), resize_align_corners(low, size))
