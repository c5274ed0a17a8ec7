"""How images enter a network: as those that its weights were trained with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax.numpy as jnp
from jax import Array

Channels = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class InputConvention:
    """Images as a network expects them: (x / scale - mean) / std, for each channel x of 0..255.

    Attributes:
        name: what configurations call it.
        title: what it does, for messages.
        mean: of each channel, in the network's order.
        std: likewise.
        scale: divides 0..255.
        bgr: whether the network's order is blue, green, red.
    """

    name: str
    title: str
    mean: Channels
    std: Channels = (1.0, 1.0, 1.0)
    scale: float = 1.0
    bgr: bool = False

    def prepare(self, images: Array) -> Array:
        """Images `[..., 3]` of 0 to 255, red, green, blue -> float32 `[..., 3]`."""
        exact = images.astype(jnp.float32)
        if self.bgr:
            exact = exact[..., ::-1]
        return (exact / self.scale - _along(self.mean, images)) / _along(self.std, images)


def _along(values: Channels, images: Array) -> Array:
    """A value for each channel, with as many axes as the images have."""
    return jnp.array(values, jnp.float32).reshape((1,) * (images.ndim - 1) + (3,))


# Of the official code, and of the Caffe networks it started from.
CAFFE = InputConvention(
    "caffe", "BGR minus mean", (104.00698793, 116.66876762, 122.67891434), bgr=True
)
TORCHVISION = InputConvention(
    "torchvision", "RGB normalised", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), scale=255.0
)


class Network(Protocol):
    """What is trained, as a Linen module has it: whatever has these two attributes will do."""

    @property
    def input_convention(self) -> InputConvention | None:
        """How images enter; None where they come ready."""

    @property
    def apply(self) -> Callable[..., Any]:
        """As `flax.linen.Module.apply`."""


def network_input(model: Network, images: Array) -> Array:
    """Images as a network expects them.

    Args:
        model: its `input_convention` decides; where that is None, images come ready for it.
        images: uint8 `[..., 3]`, red, green, blue; ready ones are of any dtype.

    Returns:
        float32 `[..., 3]`; images that come ready as they are.

    Raises:
        ValueError: images of another dtype for a network with a convention: they may be of 0..1 or
            normalised already.
    """
    if model.input_convention is not None and images.dtype != jnp.uint8:
        raise ValueError(
            f"images of uint8 expected, 0 to 255, found {images.dtype}: scale them to 0..255, round"
            " and convert them, or give the network input_convention=None, which takes them as"
            " they are"
        )
    return augmented_input(model, images)


def augmented_input(model: Network, images: Array) -> Array:
    """The same of images that an augmentation has made: floats of 0 to 255."""
    convention = model.input_convention
    return images if convention is None else convention.prepare(images)
