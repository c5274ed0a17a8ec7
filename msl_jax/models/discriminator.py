"""The domain discriminator of DANN (Ganin et al. 2016)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from msl_jax.models.layers import he_normal

# Its place beside the network's own parameters; it is of no use after the training.
DISCRIMINATOR = "discriminator"


class Discriminator(nn.Module):
    """Two hidden layers and one output: which domain features come from.

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
