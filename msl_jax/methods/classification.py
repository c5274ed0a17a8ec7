"""What one step of classification optimises (Section 4.3): Eq. 1 for one label an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax.numpy as jnp
from jax import Array, lax

from msl_jax import losses
from msl_jax.losses.arrays import check_choice
from msl_jax.methods.dann import domain_loss, reversal_strength
from msl_jax.models.discriminator import DISCRIMINATOR, Discriminator
from msl_jax.models.inputs import InputConvention, network_input
from msl_jax.training.optimizer import Group
from msl_jax.training.step import AXIS, Pass, Passes

TargetLoss = Literal["none", "minent", "max_square", "dann"]

# (params, features, target) -> mean loss of the discriminator.
_Alignment = Callable[[Any, Array, bool], Array]


@dataclasses.dataclass(frozen=True)
class Objective:
    """Which target loss with which weight.

    Attributes:
        target_loss: ``"none"`` lets target images pass for the norms' statistics only; ``"dann"``
            aligns the features of both domains.
        lambda_target: weight of the target loss (Eq. 1); of DANN's, over both domains.
        normalization: see `msl_jax.losses`.
        steps: of the training, over which DANN's reversal grows.
        discriminator_width: of DANN's hidden layers.

    Raises:
        ValueError: there is no such target loss.
    """

    target_loss: TargetLoss = "max_square"
    lambda_target: float = 0.3
    normalization: str = "paper"
    steps: int = 1
    discriminator_width: int = 1024

    def __post_init__(self) -> None:
        """Refuses words that mean nothing."""
        check_choice("target_loss", self.target_loss, get_args(TargetLoss))


def parameter_rules() -> list[tuple[str, str]]:
    """Groups of the optimizer: what is new has a rate of its own."""
    return [("classifier/", "new"), (f"{DISCRIMINATOR}/", "new"), ("", "network")]


def optimizer_groups(new_rate: float) -> dict[str, Group]:
    """Settings of the groups of `parameter_rules`; `new_rate` is the factor of what is new."""
    return {"network": Group(), "new": Group(rate=new_rate)}


def passes(
    model: Any,
    objective: Objective,
    convention: InputConvention,
    *,
    adapt: bool,
    axis_name: str | None = AXIS,
) -> Passes:
    """The terms of Eq. 1: source, then (if `adapt`) target.

    A batch is ``{"source": {"image", "label"}, "target": {"image"}}`` with uint8 images
    `[B, H, W, 3]` and labels `[B]`. Each returns this device's share.

    Args:
        model: network whose result is logits `[B, C]` and features `[B, F]`.
        objective: what is optimised.
        convention: how images enter the network.
        adapt: of the adaptation; else of the source-only stage.
        axis_name: of the devices; None for one alone.
    """
    if not (adapt and objective.target_loss == "dann"):
        return _passes(model, objective, convention, adapt, axis_name)
    discriminator = Discriminator(objective.discriminator_width)

    def at_step(step: Array) -> Sequence[Pass]:
        strength = reversal_strength(step.astype(jnp.float32) / objective.steps)

        def align(params: Any, features: Array, target: bool) -> Array:
            return domain_loss(discriminator, params, features, target=target, strength=strength)

        return _passes(model, objective, convention, adapt, axis_name, align)

    return at_step


def _passes(
    model: Any,
    objective: Objective,
    convention: InputConvention,
    adapt: bool,
    axis_name: str | None,
    align: _Alignment | None = None,
) -> Sequence[Pass]:
    """The passes; with `align` both domains take part in the target loss, one half each."""

    def forward(params: Any, stats: Any, images: Array) -> tuple[Array, Array, Any]:
        (logits, features), updates = model.apply(
            {"params": params, "batch_stats": stats},
            network_input(images, convention),
            train=True,
            mutable=["batch_stats"],
        )
        return logits, features, updates["batch_stats"]

    def share(mean: Array) -> Array:
        """Of a mean over this device's images; all devices have the same number of them."""
        return mean if axis_name is None else mean / lax.psum(1, axis_name)

    def aligned(params: Any, features: Array, target: bool) -> dict[str, Array]:
        if align is None:
            return {}
        name = "target/domain" if target else "source/domain"
        return {name: objective.lambda_target * share(align(params, features, target)) / 2}

    def source(params: Any, stats: Any, batch: Any):
        logits, features, stats = forward(params, stats, batch["source"]["image"])
        loss = losses.cross_entropy(logits, batch["source"]["label"])
        metrics = {"source/cross_entropy": share(loss), **aligned(params, features, False)}
        return sum(metrics.values()), (stats, metrics)

    def target(params: Any, stats: Any, batch: Any):
        logits, features, stats = forward(params, stats, batch["target"]["image"])
        metrics = aligned(params, features, True)
        for name, loss in (("minent", losses.entropy), ("max_square", losses.max_square)):
            if objective.target_loss == name:
                value = share(loss(logits, normalization=objective.normalization))
                metrics[f"target/{name}"] = objective.lambda_target * value
        return sum(metrics.values(), jnp.zeros((), logits.dtype)), (stats, metrics)

    return (source, target) if adapt else (source,)
