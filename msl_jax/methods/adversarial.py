"""Predictions that look alike in both domains: AdaptSegNet and ADVENT.

The network descends

    cross entropy(final) + lambda_source_low cross entropy(low)        on the source
    + the sum over the heads of lambda_adv L(D(x), source)             on the target

and the discriminator D of each head, which tells on which domain a map x was predicted, descends

    L(D(x), source) / 2 on the source + L(D(x), target) / 2 on the target

all at the weights from before the step and on the same predictions. x is made of the up-sampled
logits: their softmax p (AdaptSegNet), or its weighted self-information (AdvEnt), whose sum over the
classes ADVENT's MinEnt minimises without a discriminator.

References:
    Tsai et al. "Learning to Adapt Structured Output Space for Semantic Segmentation", CVPR 2018.
    Vu et al. "ADVENT: Adversarial Entropy Minimization for Domain Adaptation in Semantic
    Segmentation", CVPR 2019.
    What the papers leave open is as in their official codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from ml_collections.config_dict import ConfigDict

from msl_jax.losses.arrays import check_choice
from msl_jax.methods import method, segmentation
from msl_jax.methods.method import BaseMethod, Key, Training
from msl_jax.methods.variants import variant_of
from msl_jax.models import DeepLabV2, keys, resize_align_corners
from msl_jax.models.deeplab import OFFICIAL_DILATIONS
from msl_jax.models.discriminator import DISCRIMINATOR, PixelDiscriminator
from msl_jax.models.initial import uniform_params
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.optimizer import stage_schedule
from msl_jax.training.step import Context, Pass

SOURCE, TARGET = 0.0, 1.0  # labels of the domains
GANS = ("vanilla", "least_squares")
# The loss of a discriminator that cannot tell the domains apart, and the share of it below which
# one has won.
CHANCE = {"vanilla": math.log(2), "least_squares": 0.25}
WON = 0.05


def self_information(logits: Array) -> Array:
    """I_c = -p_c log2(p_c + 1e-30) / log2 C, in [0, 1] (ADVENT, Section 3.2).

    Args:
        logits: `[..., C]`.

    Returns:
        `[..., C]`; the sum over the classes is the entropy, 1 where all are equally probable.
    """
    p = jax.nn.softmax(logits)
    return -p * jnp.log2(p + 1e-30) / math.log2(logits.shape[-1])


def domain_loss(outputs: Array, label: float, gan: str) -> Array:
    """L: how far a discriminator's outputs are from a domain's label, a mean.

    Args:
        outputs: of D, any shape.
        label: `SOURCE` or `TARGET`.
        gan: ``"vanilla"``, binary cross entropy with the outputs as logits; ``"least_squares"``,
            the squared distance of the outputs themselves.

    Raises:
        ValueError: unknown `gan`.
    """
    check_choice("gan", gan, GANS)
    labels = jnp.full_like(outputs, label)
    if gan == "vanilla":
        return optax.sigmoid_binary_cross_entropy(outputs, labels).mean()
    return jnp.square(outputs - labels).mean()


def passes(
    model: DeepLabV2,
    discriminator: PixelDiscriminator,
    *,
    see: Callable[[Array], Array] = jax.nn.softmax,
    gan: str = "vanilla",
    lambda_adv: Mapping[str, float],
    lambda_source_low: float = 0.1,
    axis_name: str | None = AXIS,
) -> Sequence[Pass]:
    """Source, then target, in the official order; each returns this device's share.

    A batch is that of `segmentation.passes`.

    Args:
        model: the network.
        discriminator: each head has its own parameters of it, ``params["discriminator"][head]``.
        see: makes of up-sampled logits what the discriminator sees.
        gan: see `domain_loss`.
        lambda_adv: by head, ``"final"`` and perhaps ``"low"``, the weight of the term that moves
            the network; the low head is trained if it has one.
        lambda_source_low: weight of the low head on source labels.
        axis_name: of the devices; None for one alone.
    """

    def told(params: Any, head: str, logits: Array, images: Array, label: float) -> Array:
        maps = see(resize_align_corners(logits, (images.shape[1], images.shape[2])))
        outputs: Any = discriminator.apply({"params": params[DISCRIMINATOR][head]}, maps)
        return method.share_of_mean(domain_loss(outputs, label, gan), axis_name)

    def source(params: Any, stats: Any, batch: Any, context: Context):
        images, labels = batch["source"]["image"], batch["source"]["label"]
        logits, stats = forward_heads(model, lambda_adv, params, stats, images)
        terms = segmentation.source_terms(
            logits["final"],
            logits.get("low"),
            labels,
            lambda_low=lambda_source_low,
            axis_name=axis_name,
        )
        for head in lambda_adv:
            loss = told(params, head, lax.stop_gradient(logits[head]), images, SOURCE)
            terms[f"source/discriminator_{head}"] = loss / 2
        return sum(terms.values()), (stats, terms)

    def target(params: Any, stats: Any, batch: Any, context: Context):
        images = batch["target"]["image"]
        logits, stats = forward_heads(model, lambda_adv, params, stats, images)
        terms = {}
        for head, weight in lambda_adv.items():
            loss = told(lax.stop_gradient(params), head, logits[head], images, SOURCE)
            terms[f"target/adversarial_{head}"] = weight * loss
            loss = told(params, head, lax.stop_gradient(logits[head]), images, TARGET)
            terms[f"target/discriminator_{head}"] = loss / 2
        return sum(terms.values()), (stats, terms)

    return source, target


def forward_heads(
    model: DeepLabV2,
    heads: Collection[str],
    params: Any,
    stats: Any,
    images: Array,
) -> tuple[dict[str, Array], Any]:
    """Logits of the heads by name, and new statistics."""
    final, low, stats = segmentation.forward(model, "low" in heads, params, stats, images)
    return {"final": final} if low is None else {"final": final, "low": low}, stats


def head_keys(prefix: str, *, both: bool) -> dict[str, keys.Key]:
    """The weight of each head's term on the target, and what all of the family have."""
    low = {f"{prefix}_low": Key(0.0002, "weight of the low head's term on the target", low=0)}
    return {
        f"{prefix}_final": Key(0.001, "weight of the final head's term on the target", low=0),
        **(low if both else {}),
        "frozen_affine": Key(True, "keep scales and offsets of batch norm as they are"),
    }


def _adversarial_keys(*, both: bool) -> dict[str, keys.Key]:
    return {
        "gan": Key("vanilla", "loss of the discriminators", choices=GANS),
        "discriminator_learning_rate": Key(1e-4, "Adam's at the first step", low=0),
        "discriminator_width": Key(64, "channels of the first convolution", low=1, high=4096),
        **head_keys("lambda_adv", both=both),
    }


# Both begin with ImageNet's weights and train on both domains from the first step. The schedules'
# end lies beyond the steps that are made.
_JOINT = {"source_steps": 0, "source_poly_steps": 0, "lambda_source_low": 0.1}
ADAPTSEGNET_RECIPE = {**_JOINT, "steps": 150_000, "poly_steps": 250_000}
ADVENT_RECIPE = {
    **_JOINT,
    "steps": 120_000,
    "poly_steps": 250_000,
    "model.active_dilations": OFFICIAL_DILATIONS,  # without AdaptSegNet's `return` in the loop
}


class Adversarial(BaseMethod):
    """A discriminator for each head that is trained, with Adam and the network's schedule."""

    def __init__(
        self, see: Callable[[Array], Array], own: Mapping[str, keys.Key], recipe: Mapping[str, Any]
    ) -> None:
        """See `Method`.

        Args:
            see: makes of up-sampled logits what the discriminators see.
            own: its `KEYS`.
            recipe: its `RECIPE`.
        """
        self._see, self.KEYS, self.RECIPE = see, own, recipe

    def concern(self, config: Any, metrics: Mapping[str, float]) -> str:
        """See `Method`: a discriminator that hardly errs."""
        bound = WON * CHANCE[config["method"]["gan"]]
        parts = "source/discriminator_", "target/discriminator_"
        won = [
            head
            for head in ("final", "low")
            if sum(metrics.get(f"{part}{head}", math.inf) for part in parts) < bound
        ]
        if not won:
            return ""
        return (
            f"the discriminator of the {' and the '.join(won)} head tells the domains apart nearly"
            f" without an error (loss below {bound:.3g}): little of its gradient helps the network;"
            " try a lower config.method.discriminator_learning_rate"
        )

    def extend(self, config: ConfigDict, variables: Any) -> dict[str, Any]:
        """See `Method`: with new discriminators."""
        module, maps = _discriminator(config), (32, 32, config.num_classes)
        new = {
            head: uniform_params(module, maps, 2 * config.seed + index)
            for index, head in enumerate(head_weights(config, "lambda_adv"))
        }
        return {**variables, "params": {**variables["params"], DISCRIMINATOR: new}}

    def training(self, config: ConfigDict, model: DeepLabV2, params: Any) -> Training:
        """See `Method`."""
        terms = passes(
            model,
            _discriminator(config),
            see=self._see,
            gan=config.method.gan,
            lambda_adv=head_weights(config, "lambda_adv"),
            lambda_source_low=config.lambda_source_low,
        )
        rate = config.method.discriminator_learning_rate
        schedule = stage_schedule(config, adapt=True, learning_rate=rate)
        adam = optax.adam(schedule, b1=0.9, b2=0.99)
        optimizer = segmentation.network_optimizer(
            config,
            model,
            params,
            adapt=True,
            multi=variant_of(config).multi,
            others={DISCRIMINATOR: adam},
        )
        return Training(terms, optimizer)


# By the variant's `method`.
METHODS: dict[str, method.Method] = {
    "adaptsegnet": Adversarial(jax.nn.softmax, _adversarial_keys(both=True), ADAPTSEGNET_RECIPE),
    "adaptsegnet_single": Adversarial(
        jax.nn.softmax, _adversarial_keys(both=False), ADAPTSEGNET_RECIPE
    ),
    "advent": Adversarial(self_information, _adversarial_keys(both=True), ADVENT_RECIPE),
}


def head_weights(config: ConfigDict, prefix: str) -> dict[str, float]:
    """By head, of those that are trained."""
    heads = ("final", "low") if variant_of(config).multi else ("final",)
    return {head: config.method[f"{prefix}_{head}"] for head in heads}


def _discriminator(config: ConfigDict) -> PixelDiscriminator:
    dtype = jnp.dtype(config.compute_dtype)
    return PixelDiscriminator(config.method.discriminator_width, dtype)
