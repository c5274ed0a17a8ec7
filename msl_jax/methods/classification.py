"""Classification by Eq. 1 (Section 4.3): cross entropy on the source, a target loss for each image.

Maximum squares, entropy minimisation and the control differ in the objective alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array
from ml_collections.config_dict import ConfigDict

from msl_jax import losses
from msl_jax.losses.arrays import check_choice
from msl_jax.losses.equations import target_loss
from msl_jax.losses.pixelwise import TARGET_LOSSES
from msl_jax.methods import method
from msl_jax.methods.method import BaseMethod, Training
from msl_jax.methods.variants import variant_of
from msl_jax.models.inputs import network_input
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.optimizer import Group, parameter_groups, stage_optimizer
from msl_jax.training.step import Context, Pass


@dataclasses.dataclass(frozen=True)
class Objective:
    """Which target loss with which weight.

    Attributes:
        target_loss: one of `TARGET_LOSSES`; ``"none"`` is the control: target images pass through
            the network for the statistics of batch norm alone.
        lambda_target: weight of the target loss (Eq. 1).
        normalization: see `msl_jax.losses`.

    Raises:
        ValueError: there is no such target loss.
    """

    target_loss: str = "max_square"
    lambda_target: float = 0.3
    normalization: str = "paper"

    def __post_init__(self) -> None:
        """Validates the choice."""
        check_choice("target_loss", self.target_loss, ("none", *TARGET_LOSSES))


def passes(
    model: Any,
    objective: Objective,
    *,
    adapt: bool,
    axis_name: str | None = AXIS,
) -> Sequence[Pass]:
    """The terms of Eq. 1: source, then (if `adapt`) target.

    A batch is ``{"source": {"image", "label"}, "target": {"image"}}`` with uint8 images
    `[B, H, W, 3]` and labels `[B]`. Each returns this device's share.

    Args:
        model: network whose result is logits `[B, C]` and features `[B, F]`.
        objective: what is optimised.
        adapt: of the adaptation; else of the source-only stage.
        axis_name: of the devices; None for one alone.
    """

    def source(params: Any, stats: Any, batch: Any, context: Context):
        images, labels = batch["source"]["image"], batch["source"]["label"]
        logits, _, stats = forward(model, params, stats, images)
        loss = method.share_of_mean(losses.cross_entropy(logits, labels), axis_name)
        return loss, (stats, {"source/cross_entropy": loss})

    def target(params: Any, stats: Any, batch: Any, context: Context):
        logits, _, stats = forward(model, params, stats, batch["target"]["image"])
        if objective.target_loss == "none":
            return jnp.zeros((), logits.dtype), (stats, {})
        mean = target_loss(objective.target_loss, logits, normalization=objective.normalization)
        loss = objective.lambda_target * method.share_of_mean(mean, axis_name)
        return loss, (stats, {f"target/{objective.target_loss}": loss})

    return (source, target) if adapt else (source,)


def forward(model: Any, params: Any, stats: Any, images: Array) -> tuple[Array, Array, Any]:
    """Logits `[B, C]`, features `[B, F]` and new statistics of uint8 images."""
    (logits, features), updates = model.apply(
        {"params": params, "batch_stats": stats},
        network_input(model, images),
        train=True,
        mutable=["batch_stats"],
    )
    return logits, features, updates["batch_stats"]


class SourceOnly(BaseMethod):
    """Cross entropy with labels: the stage before an adaptation, and the oracle."""

    def training(self, config: ConfigDict, model: Any, params: Any) -> Training:
        """See `Method`."""
        terms = passes(model, Objective("none"), adapt=False)
        return Training(terms, network_optimizer(config, params, adapt=False))


class TargetLossAdaptation(BaseMethod):
    """Eq. 1: cross entropy on the source + lambda times a loss on the target."""

    def training(self, config: ConfigDict, model: Any, params: Any) -> Training:
        """See `Method`."""
        goal = Objective(variant_of(config).target_loss, config.lambda_target, config.normalization)
        terms = passes(model, goal, adapt=True)
        return Training(terms, network_optimizer(config, params, adapt=True))


def network_optimizer(
    config: ConfigDict, params: Any, *, adapt: bool, new: Sequence[str] = ()
) -> optax.GradientTransformation:
    """The configuration's, with a learning rate of its own for what is new.

    Args:
        config: complete.
        params: what is trained, or its shapes.
        adapt: of the adaptation; else of the source-only stage.
        new: what is new besides the classifier, by its place in `params`.
    """
    rules = [(f"{name}/", "new") for name in ("classifier", *new)]
    return stage_optimizer(
        config,
        parameter_groups(params, [*rules, ("", "network")]),
        {"network": Group(), "new": Group(rate=config.head_rate_multiplier)},
        adapt=adapt,
    )
