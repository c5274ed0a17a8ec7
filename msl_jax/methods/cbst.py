"""Self-training in rounds: CBST, CBST-SP and CRST.

At the start of each round the network labels all target images, class by class as
`msl_jax.methods.class_balanced` says, a larger portion from round to round. Until the next round it
descends, over the N labelled pixels of a batch's source and target images together, N_T of them on
the target,

    1/N sum_n -sum_c s_c(n) log p_c(n)        s is 1 for the label, or a soft label (CRST-LRENT)
    + lambda_kld / N_T sum_{n on the target} -1/C sum_c log p_c(n)          (CRST-MRKLD)

Of soft labels the two most probable classes are kept.

References: see `msl_jax.methods.class_balanced`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from ml_collections.config_dict import ConfigDict

from msl_jax.losses.arrays import IGNORE
from msl_jax.losses.upsampled import cross_entropy_sums, uniform_sums
from msl_jax.methods import method, segmentation
from msl_jax.methods.class_balanced import unpacked
from msl_jax.methods.labelling import Labelling
from msl_jax.methods.method import BaseMethod, Key, Training
from msl_jax.methods.segmentation import forward
from msl_jax.models import DeepLabV2
from msl_jax.models.deeplab import OFFICIAL_DILATIONS
from msl_jax.models.keys import Key as AnyKey
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.step import Context, Pass


def passes(
    model: DeepLabV2,
    *,
    lambda_kld: float = 0.0,
    axis_name: str | None = AXIS,
) -> Sequence[Pass]:
    """Source, then target; each returns this device's share.

    A batch is that of `segmentation.passes` with labels of the target too: uint8 `[B, H, W]`, or
    `[B, H, W, 3]` as `class_balanced.packed` gives soft ones.

    Args:
        model: the network, whose final head is trained.
        lambda_kld: weight of the regulariser MRKLD; 0 for none.
        axis_name: of the devices; None for one alone.
    """

    def number(batch: Any, dtype: Any) -> Array:
        """N, of all devices."""
        labels = (batch["source"]["label"], _layers(batch["target"]["label"])[0][0])
        counts = [jnp.sum(found != IGNORE, dtype=jnp.int32) for found in labels]
        return jnp.maximum(method.over_devices(sum(counts[1:], counts[0]), axis_name), 1).astype(
            dtype
        )

    def source(params: Any, stats: Any, batch: Any, context: Context):
        final, _, stats = forward(model, False, params, stats, batch["source"]["image"])
        (loss,) = cross_entropy_sums((final,), batch["source"]["label"])
        term = loss.total / number(batch, loss.total.dtype)
        return term, (stats, {"source/final": term})

    def target(params: Any, stats: Any, batch: Any, context: Context):
        final, _, stats = forward(model, False, params, stats, batch["target"]["image"])
        layers = _layers(batch["target"]["label"])
        total = labelled_total(final, layers)
        terms = {"target/final": total / number(batch, total.dtype)}
        labels = layers[0][0]
        if lambda_kld:
            uniform = uniform_sums(final, labels)
            terms["target/kld"] = lambda_kld * method.share(uniform, axis_name)
        labelled = jnp.mean((labels != IGNORE).astype(total.dtype))
        metrics = {**terms, "target/labelled_share": method.share_of_mean(labelled, axis_name)}
        return sum(terms.values()), (stats, metrics)

    return source, target


def labelled_total(final: Array, layers: Sequence[tuple[Array, Array | None]]) -> Array:
    """Sum over the pixels of -sum_k w_k log p of class k.

    Args:
        final: small logits `[B, h, w, C]`.
        layers: one or more of the classes of each pixel with their weights w, `[B, H, W]` both;
            class 255 has none, no weights are 1.
    """
    totals = [cross_entropy_sums((final,), labels, w)[0].total for labels, w in layers]
    return sum(totals[1:], totals[0])


def _layers(labels: Array) -> list[tuple[Array, Array | None]]:
    """Layers of hard labels `[B, H, W]` or of packed soft ones `[B, H, W, 3]`."""
    if labels.ndim == 3:
        return [(labels, None)]
    classes, weights = unpacked(labels)
    return [(classes[..., k], weights[..., k]) for k in range(classes.shape[-1])]


KEYS: dict[str, AnyKey] = {
    "rounds": Key(3, "times that the target images are labelled anew, over all steps", low=1),
    "portion": Key(0.2, "share of each class that the first round labels", low=0, high=1),
    "portion_step": Key(0.05, "added to it in each further round", low=0, high=1),
    "portion_limit": Key(0.5, "the share grows no further", low=0, high=1),
    "threshold_every": Key(4, "thresholds are taken from every so many pixels of a class", low=1),
    "label_scale": Key(0.9, "size at which images are labelled, 1: their own", low=0.1, high=4),
    "label_flip": Key(True, "average with the mirrored image when they are labelled"),
    "image_share": Key(
        1.0, "share of the target images: those that the network is most sure of", low=0, high=1
    ),
    "mining_chance": Key(
        0.8, "that an image with a rare class is cropped round a pixel of it", low=0, high=1
    ),
    "mining_share": Key(0.001, "of the predicted pixels; classes below it are rare", low=0, high=1),
    "frozen_affine": Key(True, "keep scales and offsets of batch norm as they are"),
}
SP_KEYS = {**KEYS, "spatial_prior": Key("", "file of msl-jax prior; empty: the run counts its own")}
# 0.1 in the paper, which its code multiplies by itself.
MRKLD_KEYS = {**KEYS, "lambda_kld": Key(0.01, "weight of the regulariser", low=0)}
LRENT_KEYS = {**KEYS, "alpha": Key(0.25, "weight of the labels' entropy", low=0.01)}
# CRST's: three rounds of about two epochs of 505 target images, at a constant rate.
RECIPE: dict[str, Any] = {
    "source_steps": 100_000,
    "source_poly_steps": 100_000,
    "steps": 3_462,
    "poly_steps": 2**31 - 1,
    "model.active_dilations": OFFICIAL_DILATIONS,
}


class Cbst(BaseMethod):
    """CBST, and by its keys CBST-SP and CRST."""

    RECIPE = RECIPE

    def __init__(self, keys: Mapping[str, AnyKey]) -> None:
        """See `Method`; `keys` are its `KEYS`."""
        self.KEYS = keys

    def labelling(self, config: ConfigDict) -> Labelling:
        """See `Method`."""
        return Labelling.of(config.method.to_dict())

    def training(self, config: ConfigDict, model: DeepLabV2, params: Any) -> Training:
        """See `Method`."""
        optimizer = segmentation.network_optimizer(config, model, params, adapt=True, multi=False)
        return Training(passes(model, lambda_kld=config.method.get("lambda_kld", 0.0)), optimizer)

    def problems(self, config: ConfigDict) -> list[str]:
        """See `Method`: each round has a step, and the first one its portion."""
        found, keys = [], config.method
        if keys.rounds > config.steps:
            expected = f"config.steps={config.steps}, found {keys.rounds}"
            found.append(f"  method.rounds: expected at most {expected}")
        if keys.portion > keys.portion_limit:
            expected = f"method.portion_limit={keys.portion_limit}, found {keys.portion}"
            found.append(f"  method.portion: expected at most {expected}")
        return found


# By the variant's `method`.
METHODS: dict[str, method.Method] = {
    "cbst": Cbst(KEYS),
    "cbst_sp": Cbst(SP_KEYS),
    "crst_mrkld": Cbst(MRKLD_KEYS),
    "crst_lrent": Cbst(LRENT_KEYS),
}
