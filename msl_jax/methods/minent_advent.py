"""ADVENT's own entropy minimisation: of both heads, without discriminators.

With the probabilities p of C classes of a head's up-sampled logits, the network descends on the
target

    lambda_ent / (H W)  sum_n  -sum_c p_c log p_c / log C

of each head, besides the cross entropy of both on the source; lambda_ent is 0.001 for the final
head and 0.0002 for the low one.

Reference:
    Vu et al. "ADVENT: Adversarial Entropy Minimization for Domain Adaptation in Semantic
    Segmentation", CVPR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.losses.upsampled import target_sums
from msl_jax.methods import method, segmentation
from msl_jax.methods.adversarial import ADVENT_RECIPE, forward_heads, head_keys, head_weights
from msl_jax.methods.method import BaseMethod, Training
from msl_jax.methods.variants import variant_of
from msl_jax.models import DeepLabV2
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.step import Context, Pass


def passes(
    model: DeepLabV2,
    *,
    lambda_ent: Mapping[str, float],
    lambda_source_low: float = 0.1,
    axis_name: str | None = AXIS,
) -> Sequence[Pass]:
    """Source, then on the target the term of the module's head, for each of the network's heads.

    Args:
        model: the network.
        lambda_ent: by head, ``"final"`` and perhaps ``"low"``, the weight of its term.
        lambda_source_low: weight of the low head on source labels.
        axis_name: of the devices; None for one alone.
    """
    objective = segmentation.Objective(
        "none", multi="low" in lambda_ent, lambda_source_low=lambda_source_low
    )
    source = segmentation.passes(model, objective, adapt=False, axis_name=axis_name)

    def target(params: Any, stats: Any, batch: Any, context: Context):
        images = batch["target"]["image"]
        size = (images.shape[1], images.shape[2])
        logits, stats = forward_heads(model, lambda_ent, params, stats, images)
        terms = {}
        for head, weight in lambda_ent.items():
            (nats,) = target_sums(logits[head], None, size, loss="minent", normalization="paper")
            entropy = method.share(nats, axis_name) / math.log(logits[head].shape[-1])
            terms[f"target/entropy_{head}"] = weight * entropy
        return sum(terms.values()), (stats, terms)

    return (*source, target)


class MinEnt(BaseMethod):
    """ADVENT's entropy minimisation: of both heads, without discriminators."""

    KEYS = head_keys("lambda_ent", both=True)
    RECIPE = ADVENT_RECIPE

    def training(self, config: ConfigDict, model: DeepLabV2, params: Any) -> Training:
        """See `Method`."""
        terms = passes(
            model,
            lambda_ent=head_weights(config, "lambda_ent"),
            lambda_source_low=config.lambda_source_low,
        )
        optimizer = segmentation.network_optimizer(
            config, model, params, adapt=True, multi=variant_of(config).multi
        )
        return Training(terms, optimizer)
