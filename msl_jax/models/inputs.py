"""How images enter a network, which its weights were trained with."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jax import Array

InputConvention = Literal["caffe", "torchvision", "none"]

# Blue, green, red of 0..255 (official code); red, green, blue of 0..1 (torchvision).
CAFFE_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)
TORCHVISION_MEAN = (0.485, 0.456, 0.406)
TORCHVISION_STD = (0.229, 0.224, 0.225)


def network_input(images: Array, convention: InputConvention) -> Array:
    """Images as the network expects them.

    Args:
        images: uint8 `[..., 3]`, red, green, blue.
        convention: ``"caffe"`` gives blue, green, red of 0..255 minus the mean (official code);
            ``"torchvision"`` red, green, blue of 0..1, normalised; ``"none"`` leaves them as they
            are, for images that have been through it.

    Returns:
        float32 `[..., 3]`; with ``"none"`` of the images' dtype.
    """
    if convention == "none":
        return images
    channel = (1,) * (images.ndim - 1) + (3,)
    exact = images.astype(jnp.float32)
    if convention == "caffe":
        return exact[..., ::-1] - jnp.array(CAFFE_MEAN_BGR, jnp.float32).reshape(channel)
    mean = jnp.array(TORCHVISION_MEAN, jnp.float32).reshape(channel)
    std = jnp.array(TORCHVISION_STD, jnp.float32).reshape(channel)
    return (exact / 255.0 - mean) / std
