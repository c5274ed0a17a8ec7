"""Domain-adversarial training (DANN): features that a discriminator cannot tell apart.

    cross entropy on the source + lambda (domain loss on the source + on the target) / 2

The discriminator descends the domain loss; the network below it ascends a share of the same loss,
because the gradient is reversed on its way from one to the other.

Reference: Ganin et al. "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike
from ml_collections.config_dict import ConfigDict

from msl_jax import losses
from msl_jax.methods import classification, method
from msl_jax.methods.classification import forward
from msl_jax.methods.method import BaseMethod, Key, Training
from msl_jax.models import keys
from msl_jax.models.discriminator import DISCRIMINATOR, Discriminator
from msl_jax.models.initial import initial_params
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.step import Context, Pass


@jax.custom_vjp
def reverse_gradient(x: Array, strength: Array) -> Array:
    """`x` itself, with its gradient reversed and multiplied by `strength`.

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


def passes(
    model: Any,
    *,
    width: int,
    weight: float,
    steps: int,
    axis_name: str | None = AXIS,
) -> Sequence[Pass]:
    """Cross entropy and domain loss of the source, then the domain loss of the target.

    Args:
        model: network whose result is logits `[B, C]` and features `[B, F]`.
        width: of the discriminator's hidden layers.
        weight: lambda of the domain loss.
        steps: length of the training, over which the reversal grows.
        axis_name: of the devices; None for one alone.
    """
    discriminator = Discriminator(width)

    def domain(params: Any, features: Array, context: Context, *, target: bool) -> Array:
        strength = reversal_strength(context.step.astype(jnp.float32) / steps)
        loss = domain_loss(discriminator, params, features, target=target, strength=strength)
        return weight * method.share_of_mean(loss, axis_name) / 2

    def source(params: Any, stats: Any, batch: Any, context: Context):
        images, labels = batch["source"]["image"], batch["source"]["label"]
        logits, features, stats = forward(model, params, stats, images)
        loss = losses.cross_entropy(logits, labels)
        metrics = {
            "source/cross_entropy": method.share_of_mean(loss, axis_name),
            "source/domain": domain(params, features, context, target=False),
        }
        return sum(metrics.values()), (stats, metrics)

    def target(params: Any, stats: Any, batch: Any, context: Context):
        _, features, stats = forward(model, params, stats, batch["target"]["image"])
        loss = domain(params, features, context, target=True)
        return loss, (stats, {"target/domain": loss})

    return source, target


class Dann(BaseMethod):
    """DANN with one optimizer for the network and its discriminator."""

    KEYS: Mapping[str, keys.Key] = {
        "discriminator_width": Key(
            1024, "units of the discriminator's hidden layers", low=1, high=65_536
        )
    }

    def extend(self, config: ConfigDict, variables: Any) -> dict[str, Any]:
        """See `Method`: with a new discriminator."""
        params = dict(variables["params"])
        features = params["classifier"]["kernel"].shape[0]
        module = Discriminator(config.method.discriminator_width)
        params[DISCRIMINATOR] = initial_params(module, (features,), config.seed)
        return {**variables, "params": params}

    def training(self, config: ConfigDict, model: Any, params: Any) -> Training:
        """See `Method`."""
        terms = passes(
            model,
            width=config.method.discriminator_width,
            weight=config.lambda_target,
            steps=config.steps,
        )
        optimizer = classification.network_optimizer(
            config, params, adapt=True, new=(DISCRIMINATOR,)
        )
        return Training(terms, optimizer)
