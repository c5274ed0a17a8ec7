"""Semantic segmentation by Eq. 1: cross entropy on the source and a target loss, for two heads.

Maximum squares (with image-wise weights, with multi-level guidance), entropy minimisation, hard
pseudo-labels and the control differ in the objective alone.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array
from ml_collections.config_dict import ConfigDict

from msl_jax.losses.arrays import check_choice
from msl_jax.losses.pixelwise import TARGET_LOSSES
from msl_jax.losses.upsampled import HARD, cross_entropy_sums, target_sums
from msl_jax.methods import method
from msl_jax.methods.method import BaseMethod, Training
from msl_jax.methods.variants import variant_of
from msl_jax.models import DeepLabV2
from msl_jax.models.initial import HEADS
from msl_jax.models.inputs import Network, network_input
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.optimizer import FROZEN, Group, parameter_groups, stage_optimizer
from msl_jax.training.step import Context, Pass


@dataclasses.dataclass(frozen=True)
class Objective:
    """Which target loss with which weights; the names are the configuration's.

    Attributes:
        target_loss: one of `TARGET_LOSSES`, or ``"hard"``; ``"none"`` is the control: target images
            pass through the network for the statistics of batch norm alone.
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

    target_loss: str = "max_square"
    multi: bool = False
    lambda_target: float = 0.1
    lambda_source_low: float = 0.1
    lambda_low: float = 0.1
    iw_alpha: float | None = None
    guidance_threshold: float = 0.95
    normalization: str = "official"
    guidance_rule: str = "official"

    def __post_init__(self) -> None:
        """Validates the choice."""
        check_choice("target_loss", self.target_loss, ("none", *TARGET_LOSSES, HARD))


def parameter_rules(model: DeepLabV2, *, multi: bool) -> list[tuple[str, str]]:
    """Groups of the official optimizer: what has no gradient is frozen, heads have their own rate.

    Without a gradient are what the backbone leaves as it is (the stem's batch norm of a ResNet),
    convolutions of dilations that are not summed, and the low head where it is not trained.
    """
    inactive = [
        (rf".*_head/conv{index}/", FROZEN)
        for index, dilation in enumerate(model.aspp_dilations)
        if dilation not in model.active_dilations
    ]
    low = [] if multi else [("low_head/", FROZEN)]
    return [
        *inactive,
        *low,
        (".*_head/", "head"),
        *(
            (f"backbone/{group.pattern}", group.name if group.visits else FROZEN)
            for group in model.backbone.GROUPS
        ),
    ]


def optimizer_groups(
    model: DeepLabV2, head_rate: float, *, repeated_visits: bool
) -> dict[str, Group]:
    """Settings of the groups of `parameter_rules`.

    Args:
        model: the network.
        head_rate: factor on the heads' learning rate.
        repeated_visits: visit the backbone's parameters as often as the published runs did.
    """
    backbone = {
        group.name: Group(visits=group.visits if repeated_visits else 1)
        for group in model.backbone.GROUPS
        if group.visits
    }
    return {**backbone, "head": Group(rate=head_rate)}


def objective(config: ConfigDict, *, adapt: bool = True) -> Objective:
    """The objective that a checked configuration asks for.

    Args:
        config: complete and checked.
        adapt: of the adaptation; else of the source-only stage, where the target has no loss.
    """
    variant = variant_of(config)
    return Objective(
        target_loss=variant.target_loss if adapt else "none",
        multi=variant.multi,
        lambda_target=config.lambda_target,
        lambda_source_low=config.lambda_source_low,
        lambda_low=config.lambda_low,
        iw_alpha=config.iw_alpha if variant.weighted else None,
        guidance_threshold=config.guidance_threshold,
        normalization=config.normalization,
        guidance_rule=config.guidance_rule,
    )


def passes(
    model: Network,
    objective: Objective,
    *,
    adapt: bool,
    axis_name: str | None = AXIS,
) -> Sequence[Pass]:
    """The terms of Eq. 1, in the official order: source, then (if `adapt`) target.

    A batch is ``{"source": {"image", "label"}, "target": {"image"}}`` with uint8 images
    `[B, H, W, 3]` and labels `[B, H, W]`, integers in 0 .. C-1, or 255 = ignored; with any other
    the loss is NaN. Losses are those of logits up-sampled to the image's size with align-corners.
    Each returns this device's share: totals are divided by the number of pixels (or images) that
    count on all devices.
    """
    network = functools.partial(forward, model, objective.multi)

    def source(params: Any, stats: Any, batch: Any, context: Context):
        final, low, stats = network(params, stats, batch["source"]["image"])
        labels, weight = batch["source"]["label"], objective.lambda_source_low
        metrics = source_terms(final, low, labels, lambda_low=weight, axis_name=axis_name)
        return sum(metrics.values()), (stats, metrics)

    def target(params: Any, stats: Any, batch: Any, context: Context):
        images = batch["target"]["image"]
        final, low, stats = network(params, stats, images)
        if objective.target_loss == "none":
            return jnp.zeros((), final.dtype), (stats, {})
        losses = target_sums(
            final,
            low,
            (images.shape[1], images.shape[2]),
            loss=objective.target_loss,
            iw_alpha=objective.iw_alpha,
            normalization=objective.normalization,
            threshold=objective.guidance_threshold,
            rule=objective.guidance_rule,
        )
        metrics = {"target/final": objective.lambda_target * method.share(losses[0], axis_name)}
        total, shares = metrics["target/final"], {}
        if low is not None:
            weight = objective.lambda_low * objective.lambda_target
            metrics["target/guidance"] = weight * method.share(losses[1], axis_name)
            total = total + metrics["target/guidance"]
            passed = losses[1].count.astype(total.dtype)
            pixels = jnp.asarray(math.prod(images.shape[:3]), total.dtype)
            shares["target/guided_share"] = passed / method.over_devices(pixels, axis_name)
        return total, (stats, {**metrics, **shares})

    return (source, target) if adapt else (source,)


def forward(
    model: Network,
    low_head: bool,
    params: Any,
    stats: Any,
    images: Array,
) -> tuple[Array, Array | None, Any]:
    """Logits `[B, h, w, C]` of both heads, low None without `low_head`, and new statistics."""
    return forward_ready(model, low_head, params, stats, network_input(model, images))


def forward_ready(
    model: Network, low_head: bool, params: Any, stats: Any, inputs: Array
) -> tuple[Array, Array | None, Any]:
    """As `forward`, of images that have become the network's input before."""
    (final, low), updates = model.apply(
        {"params": params, "batch_stats": stats},
        inputs,
        train=True,
        low_head=low_head,
        mutable=["batch_stats"],
    )
    return final, low, updates["batch_stats"]


def source_terms(
    final: Array,
    low: Array | None,
    labels: Array,
    *,
    lambda_low: float,
    axis_name: str | None = AXIS,
) -> dict[str, Array]:
    """Cross entropy of the up-sampled logits of both heads, this device's share, by metric.

    Args:
        final: logits of the final head.
        low: of the low head, None for none.
        labels: `[B, H, W]`.
        lambda_low: weight of the low head.
        axis_name: of the devices; None for one alone.
    """
    heads = (final,) if low is None else (final, low)
    losses = cross_entropy_sums(heads, labels)
    terms = {"source/final": method.share(losses[0], axis_name)}
    if low is not None:
        terms["source/low"] = lambda_low * method.share(losses[1], axis_name)
    return terms


class SourceOnly(BaseMethod):
    """Cross entropy with labels: the stage before an adaptation, and the oracle."""

    def training(self, config: ConfigDict, model: DeepLabV2, params: Any) -> Training:
        """See `Method`."""
        return _training(config, model, params, adapt=False)


class TargetLossAdaptation(BaseMethod):
    """Eq. 1: cross entropy on the source + lambda times a loss on the target."""

    def training(self, config: ConfigDict, model: DeepLabV2, params: Any) -> Training:
        """See `Method`."""
        return _training(config, model, params, adapt=True)


def _training(config: ConfigDict, model: DeepLabV2, params: Any, *, adapt: bool) -> Training:
    goal = objective(config, adapt=adapt)
    optimizer = network_optimizer(config, model, params, adapt=adapt, multi=goal.multi)
    return Training(passes(model, goal, adapt=adapt), optimizer)


def network_optimizer(
    config: ConfigDict,
    model: DeepLabV2,
    params: Any,
    *,
    adapt: bool,
    multi: bool,
    others: Mapping[str, optax.GradientTransformation] | None = None,
) -> optax.GradientTransformation:
    """The official SGD of the network, or what the configuration says, with the same groups.

    Args:
        config: complete. If the method has a key `frozen_affine` that is true, scales and offsets
            of batch norm are left as they are.
        model: the network.
        params: what is trained, or its shapes.
        adapt: of the adaptation; else of the source-only stage.
        multi: whether the passes train the low head; without a gradient it would decay.
        others: what is trained besides, by its place in `params`, with an optimizer of its own.

    Raises:
        ValueError: one of `others` is a part of the network or has the name of a group of its
            parameters, or there is no such place in `params`.
    """
    others = others or {}
    if own := others.keys() & {"backbone", *HEADS}:
        raise ValueError(f"{', '.join(sorted(own))}: a part of the network, not trained besides it")
    rules = [(f"{re.escape(name)}/", name) for name in others]
    if adapt and config.method.get("frozen_affine", False):
        rules += [(place, FROZEN) for place in _affine(params["backbone"], "backbone/")]
    labels = parameter_groups(params, rules + parameter_rules(model, multi=multi))
    groups = optimizer_groups(
        model, config.head_rate_multiplier, repeated_visits=config.repeated_visits
    )
    return stage_optimizer(config, labels, groups, adapt=adapt, others=others)


def _affine(params: Any, place: str) -> Iterator[str]:
    """Patterns of scales and offsets of batch norm: a bias beside a kernel is a convolution's."""
    if "kernel" not in params:
        yield f"{re.escape(place)}(scale|bias)$"
    for name in params:
        if isinstance(params[name], Mapping):
            yield from _affine(params[name], f"{place}{name}/")
