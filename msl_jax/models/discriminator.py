"""Discriminators: which domain features (DANN) or predictions (AdaptSegNet) come from."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from msl_jax.models.layers import Conv, he_normal

# Its place among the network's parameters; it is of no use after the training.
DISCRIMINATOR = "discriminator"


class Discriminator(nn.Module):
    """Two hidden layers and one output: the domain discriminator of DANN (Ganin et al. 2016).

    Attributes:
        width: of both hidden layers.
    """

    width: int = 1024
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[B, F]` -> logits `[B]`, positive for the target."""
        x = features
        for name in ("hidden1", "hidden2"):
            x = nn.relu(self._dense(self.width, name)(x))
        return self._dense(1, "domain")(x)[:, 0]

    def _dense(self, width: int, name: str) -> nn.Dense:
        return nn.Dense(width, kernel_init=he_normal, param_dtype=self.param_dtype, name=name)


class PixelDiscriminator(nn.Module):
    """Five 4x4 convolutions of stride 2 that tell the domain of each part of a map.

    Leaky ReLU of slope 0.2 between them, no norms. Parameters are drawn as PyTorch draws those of
    a convolution: uniformly between -1 and 1 over the square root of the fan-in, biases too.

    Attributes:
        width: channels of the first convolution; the next three have 2, 4 and 8 times as many.
        dtype: compute dtype; default: that of the maps.

    References:
        Tsai et al. "Learning to Adapt Structured Output Space for Semantic Segmentation", CVPR
        2018, Section 4.2; PyTorch's initialisation is that of its official code.
    """

    width: int = 64
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, maps: Array) -> Array:
        """Logits of the target, in float32 or better.

        Args:
            maps: `[B, H, W, C]`. Sides under 32 are filled up with zeros to 32: each convolution
                halves the size, and one cell has to be left.

        Returns:
            `[B, H // 32, W // 32, 1]`.
        """
        x = maps.astype(self.dtype or maps.dtype)
        missing = [(0, max(0, 32 - side)) for side in x.shape[1:3]]
        x = jnp.pad(x, ((0, 0), *missing, (0, 0)))
        for index in range(4):
            x = nn.leaky_relu(self._conv(f"conv{index + 1}", self.width * 2**index, x), 0.2)
        x = self._conv("classifier", 1, x)
        return x.astype(np.promote_types(x.dtype, np.float32))

    def _conv(self, name: str, features: int, x: Array) -> Array:
        bound = 1 / math.sqrt(16 * x.shape[-1])

        def symmetric(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        return Conv(
            features,
            size=4,
            stride=2,
            use_bias=True,
            kernel_init=symmetric,
            bias_init=symmetric,
            param_dtype=self.param_dtype,
            name=name,
        )(x)
