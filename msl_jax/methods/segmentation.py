"""What one step of semantic segmentation optimises: Eq. 1 with its parts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax.numpy as jnp
from jax import Array, lax

from msl_jax.losses.arrays import check_choice
from msl_jax.losses.upsampled import LossSum, TargetTerms, cross_entropy_sums, target_sums
from msl_jax.models import DeepLabV2
from msl_jax.models.inputs import InputConvention, network_input
from msl_jax.training.optimizer import FROZEN, Group
from msl_jax.training.step import AXIS, Pass

TargetLoss = Literal["none", "minent", "max_square", "hard"]

# The official code collects the backbone's parameters module by module and from each module with
# all that it contains, so that its optimizer holds most of them more than once.
OFFICIAL_VISITS = {"stem": 1, "downsample": 4, "blocks": 3, "head": 1}


@dataclasses.dataclass(frozen=True)
class Objective:
    """Which target loss with which weights; the names are the configuration's.

    Attributes:
        target_loss: ``"none"`` lets target images pass for the norms' statistics only.
        multi: train the low head on source labels and, on the target, on the guidance.
        lambda_target: weight of the target loss (Eq. 1).
        lambda_source_low: weight of the low head on source labels (official code; not in the
            paper's text).
        lambda_low: weight of the low head on the guidance, within the target loss (Eq. 14).
        iw_alpha: exponent of image-wise weighting (Eq. 13), None for none.
        guidance_threshold: delta of Eq. 15, and the threshold of hard pseudo-labels.
        normalization: see `msl_jax.losses`.
        guidance_rule: see `msl_jax.losses.guidance_labels`.

    Raises:
        ValueError: there is no such target loss.
    """

    target_loss: TargetLoss = "max_square"
    multi: bool = False
    lambda_target: float = 0.1
    lambda_source_low: float = 0.1
    lambda_low: float = 0.1
    iw_alpha: float | None = None
    guidance_threshold: float = 0.95
    normalization: str = "official"
    guidance_rule: str = "official"

    def __post_init__(self) -> None:
        """Refuses words that mean nothing."""
        check_choice("target_loss", self.target_loss, get_args(TargetLoss))


def parameter_rules(model: DeepLabV2, *, multi: bool) -> list[tuple[str, str]]:
    """Groups of the official optimizer: what has no gradient is frozen, heads have their own rate.

    Without a gradient are the stem's norm (frozen there), convolutions of rates that are not
    summed, and the low head where it is not trained.
    """
    inactive = [
        (rf".*_head/conv{index}/", FROZEN)
        for index, rate in enumerate(model.head_rates)
        if rate not in model.active_rates
    ]
    low = [] if multi else [("low_head/", FROZEN)]
    return [
        *inactive,
        *low,
        (".*_head/", "head"),
        ("backbone/bn1/", FROZEN),
        ("backbone/conv1/", "stem"),
        ("backbone/.*/downsample_", "downsample"),
        ("backbone/", "blocks"),
    ]


def optimizer_groups(head_rate: float, *, repeated_visits: bool) -> dict[str, Group]:
    """Settings of the groups of `parameter_rules`.

    Args:
        head_rate: factor on the heads' learning rate.
        repeated_visits: visit the backbone's parameters as often as the published runs did.
    """
    visits = OFFICIAL_VISITS if repeated_visits else dict.fromkeys(OFFICIAL_VISITS, 1)
    return {
        name: Group(rate=head_rate if name == "head" else 1.0, visits=count)
        for name, count in visits.items()
    }


def _target_terms(objective: Objective) -> TargetTerms | None:
    """The objective's target loss and guidance, as `msl_jax.losses.upsampled` takes them."""
    if objective.target_loss == "none":
        return None
    return TargetTerms(
        "entropy" if objective.target_loss == "minent" else objective.target_loss,
        iw_alpha=objective.iw_alpha,
        normalization=objective.normalization,
        threshold=objective.guidance_threshold,
        rule=objective.guidance_rule,
    )


def passes(
    model: DeepLabV2,
    objective: Objective,
    convention: InputConvention,
    *,
    adapt: bool,
    axis_name: str | None = AXIS,
) -> Sequence[Pass]:
    """The terms of Eq. 1, in the official order: source, then (if `adapt`) target.

    A batch is ``{"source": {"image", "label"}, "target": {"image"}}`` with uint8 images
    `[B, H, W, 3]` and labels `[B, H, W]`. Losses are those of logits up-sampled to the image's
    size with align-corners. Each returns this device's share: totals are divided by the number of
    pixels (or images) that count on all devices.
    """
    terms = _target_terms(objective)

    def over_devices(value: Array) -> Array:
        return value if axis_name is None else lax.psum(value, axis_name)

    def share(loss: LossSum) -> Array:
        return loss.total / jnp.maximum(over_devices(loss.number), 1).astype(loss.total.dtype)

    def forward(params: Any, stats: Any, images: Array) -> tuple[Array, Array | None, Any]:
        (final, low), updates = model.apply(
            {"params": params, "batch_stats": stats},
            network_input(images, convention),
            train=True,
            low_head=objective.multi,
            mutable=["batch_stats"],
        )
        return final, low, updates["batch_stats"]

    def source(params: Any, stats: Any, batch: Any):
        final, low, stats = forward(params, stats, batch["source"]["image"])
        heads = (final,) if low is None else (final, low)
        losses = cross_entropy_sums(heads, batch["source"]["label"])
        metrics = {"source/final": share(losses[0])}
        if low is not None:
            metrics["source/low"] = objective.lambda_source_low * share(losses[1])
        return sum(metrics.values()), (stats, metrics)

    def target(params: Any, stats: Any, batch: Any):
        images = batch["target"]["image"]
        final, low, stats = forward(params, stats, images)
        if terms is None:
            return jnp.zeros((), final.dtype), (stats, {})
        losses = target_sums(final, low, (images.shape[1], images.shape[2]), terms)
        metrics = {"target/final": objective.lambda_target * share(losses[0])}
        total, shares = metrics["target/final"], {}
        if low is not None:
            weight = objective.lambda_low * objective.lambda_target
            metrics["target/guidance"] = weight * share(losses[1])
            total = total + metrics["target/guidance"]
            passed = losses[1].number.astype(total.dtype)
            pixels = jnp.asarray(math.prod(images.shape[:3]), total.dtype)
            shares["target/guided_share"] = passed / over_devices(pixels)
        return total, (stats, {**metrics, **shares})

    return (source, target) if adapt else (source,)
