"""Domain-adversarial training (DANN): features that a discriminator cannot tell apart.

Reference: Ganin et al. "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from msl_jax.models.discriminator import DISCRIMINATOR, Discriminator


@jax.custom_vjp
def reverse_gradient(x: Array, strength: Array) -> Array:
    """`x` itself, but its gradient is turned round and multiplied by `strength`.

    Args:
        x: any array.
        strength: scalar; has no gradient.

    >>> gradient = jax.grad(lambda x: 3 * reverse_gradient(x, jnp.float32(0.5)))
    >>> print(gradient(jnp.float32(1)))
    -1.5
    """
    del strength
    return x


def _forward(x: Array, strength: Array) -> tuple[Array, Array]:
    return x, strength


def _backward(strength: Array, gradient: Array) -> tuple[Array, Array]:
    return -strength.astype(gradient.dtype) * gradient, jnp.zeros_like(strength)


reverse_gradient.defvjp(_forward, _backward)


def reversal_strength(progress: ArrayLike) -> Array:
    """2 / (1 + exp(-10 p)) - 1: from 0 at the beginning to 1 at the end of the training.

    Args:
        progress: p in [0, 1], scalar.

    >>> [round(float(reversal_strength(p)), 3) for p in (0.0, 0.1, 1.0)]
    [0.0, 0.462, 1.0]
    """
    return 2 / (1 + jnp.exp(-10 * jnp.asarray(progress, jnp.float32))) - 1


def domain_loss(
    discriminator: Discriminator, params: Any, features: Array, *, target: bool, strength: Array
) -> Array:
    """Cross entropy of the discriminator on features of one domain, a mean.

    Its gradient trains the discriminator to tell the domain, and the network to hide it.

    Args:
        discriminator: the module.
        params: parameters of the network, with those of the discriminator among them.
        features: `[B, F]`.
        target: which domain they come from.
        strength: of the reversal.
    """
    reversed_features = reverse_gradient(features, strength)
    logits: Any = discriminator.apply({"params": params[DISCRIMINATOR]}, reversed_features)
    labels = jnp.full_like(logits, float(target))
    return optax.sigmoid_binary_cross_entropy(logits, labels).mean()
