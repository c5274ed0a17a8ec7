"""Self-training: a teacher labels target images, into which classes of source images are pasted.

The teacher is a mean of the networks of past steps; with i steps made before,

    teacher <- a teacher + (1 - a) network        after the step, a = min(1 - 1 / (i + 1), decay)

Of the teacher's probabilities q on a target image y = argmax q, m = max q. The mixed image is the
source image where its label is one of half of its classes, drawn anew in every step, else the
target image; its label is the source's, or y. The network descends

    cross entropy on the source + 1/N sum_n w_n CE(mixed image, its label)

with w = 1 where a pixel comes from the source, else the share of the target's pixels that the
teacher is confident of, m >= confidence, and times lambda_mixed. That is DACS. By keys there are,
in the normalization `paper` (`official` divides the first two by the number of classes too)

    -lambda_target / N  sum_n w_n sum_c q p    maximum squares with a teacher, in the place of the
                                               cross entropy on the target's pixels of mixed images;
                                               w = 1, or the teacher's image-wise weights (Eq. 13),
                                               which have 1/N in them: then a mean over the images
    -lambda_target / 2N  sum_n sum_c p^2       on target images, maximum squares of the pixels that
                                               the teacher is not confident of
    lambda_masked share CE(masked image, y)    on target images of which parts are hidden (MIC)

and, in variants with two heads, the mixed image's label for the low head.

References:
    Tranheden et al. "DACS: Domain Adaptation via Cross-Domain Mixed Sampling", WACV 2021.
    Hoyer et al. "DAFormer", CVPR 2022; "MIC: Masked Image Consistency for Context-Enhanced Domain
    Adaptation", CVPR 2023. What DACS's paper leaves open is as in its official code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections.config_dict import ConfigDict

from msl_jax.losses.guidance import upsampled_labels
from msl_jax.losses.upsampled import cross_entropy_sums, target_sums, teacher_sums
from msl_jax.methods import method, segmentation, strong_augmentation
from msl_jax.methods.class_mix import chosen_classes, mixed, pasted
from msl_jax.methods.draws import Draw, drawing
from msl_jax.methods.masking import kept_pixels
from msl_jax.methods.method import BaseMethod, Training
from msl_jax.methods.segmentation import Objective, forward, forward_ready
from msl_jax.methods.self_training_keys import (
    DACS_KEYS,
    MIC_KEYS,
    SELF_TRAINING_KEYS,
    Settings,
)
from msl_jax.methods.teacher import STUDENT, TEACHER, exchanged, following
from msl_jax.models import DeepLabV2
from msl_jax.models.inputs import augmented_input
from msl_jax.models.keys import Key
from msl_jax.runtime.parallel import AXIS
from msl_jax.training.step import Context, Pass, Prepare


def preparation(
    model: DeepLabV2,
    settings: Settings,
    draw: Draw,
    *,
    axis_name: str | None = AXIS,
) -> Prepare:
    """What the teacher says of the target images, and the images that are made.

    To the batch of `segmentation.passes` it adds

        teacher    logits `[B, h, w, C]`; label and confident `[B, H, W]`; share, a scalar
        mixed      image `[B, H, W, 3]`; label and pasted `[B, H, W]`
        masked     image `[B, H, W, 3]`; kept `[B, H, W]`

    The share is that of all devices. The teacher normalises by the batch, as the official one does,
    and has running statistics of its own, of target images alone.

    Args:
        model: the network.
        settings: the ingredients.
        draw: of all that is random.
        axis_name: of the devices; None for one alone.
    """

    def strong(images: Array, drawn: strong_augmentation.Draws) -> Array:
        if settings.jitter or settings.blur:
            return strong_augmentation.augmented(images, drawn)
        return images

    def prepare(batch: Any, context: Context) -> tuple[Any, Any]:
        source, images = batch["source"], batch["target"]["image"]
        variables = context.carried[TEACHER]
        logits, _, stats = forward(
            model, False, variables["params"], variables["batch_stats"], images
        )
        label, probability = upsampled_labels(logits, images.shape[1:3])
        confident = probability >= settings.confidence
        drawn = draw(context, images.shape[:3])
        mask = pasted(source["label"], chosen_classes(source["label"], drawn.classes))
        made = {
            "teacher": {
                "logits": logits,
                "label": label,
                "confident": confident,
                "share": _share(confident, probability.dtype, axis_name),
            },
            "mixed": {
                "image": strong(mixed(mask, source["image"], images), drawn.mixed),
                "label": mixed(mask, source["label"], label.astype(source["label"].dtype)),
                "pasted": mask,
            },
        }
        if settings.lambda_masked:
            kept = kept_pixels(drawn.cells, images.shape[1:3], settings.mask_ratio)
            made["masked"] = {"image": strong(images, drawn.masked), "kept": kept}
        return {**batch, **made}, {TEACHER: {**variables, "batch_stats": stats}}

    return prepare


def _share(flags: Array, dtype: Any, axis_name: str | None) -> Array:
    """Share of the pixels of all devices with a flag."""
    counts = jnp.stack([jnp.sum(flags, dtype=jnp.int32), jnp.asarray(flags.size, jnp.int32)])
    number, pixels = method.over_devices(counts, axis_name).astype(dtype)
    return number / pixels


def passes(
    model: DeepLabV2,
    settings: Settings,
    objective: Objective,
    *,
    axis_name: str | None = AXIS,
) -> Sequence[Pass]:
    """Source, mixed images, then masked and plain target images where they have a term.

    Args:
        model: the network.
        settings: the ingredients.
        objective: heads, weights and normalization; its target loss does not count.
        axis_name: of the devices; None for one alone.
    """
    source = segmentation.passes(model, objective, adapt=False, axis_name=axis_name)
    iw_alpha = objective.iw_alpha if settings.image_weights else None

    def cross_entropy(logits: Array, labels: Array, weights: Array) -> Array:
        """A mean over all pixels, ignored ones too."""
        (loss,) = cross_entropy_sums((logits,), labels, weights)
        return method.share_of_mean(loss.total / labels.size, axis_name)

    def mixed_images(params: Any, stats: Any, batch: Any, context: Context):
        made, teacher = batch["mixed"], batch["teacher"]
        labels, mask = made["label"], made["pasted"]
        inputs = augmented_input(model, made["image"])
        final, low, stats = forward_ready(model, objective.multi, params, stats, inputs)
        weights = jnp.where(mask, 1, teacher["share"])
        terms, weight = {}, settings.lambda_mixed
        if settings.target_loss == "max_square":
            terms["mixed/final"] = weight * cross_entropy(final, labels, mask)
            loss = teacher_sums(
                final,
                teacher["logits"],
                labels.shape[1:],
                iw_alpha=iw_alpha,
                normalization=objective.normalization,
                weights=~mask,
            )
            terms["mixed/max_square"] = objective.lambda_target * method.share(loss, axis_name)
        else:
            terms["mixed/final"] = weight * cross_entropy(final, labels, weights)
        if low is not None:
            terms["mixed/low"] = objective.lambda_low * weight * cross_entropy(low, labels, weights)
        share = method.share_of_mean(teacher["share"], axis_name)
        counted = jax.nn.one_hot(teacher["label"], final.shape[-1], dtype=share.dtype)
        of_classes = method.share_of_mean(counted.mean(axis=(0, 1, 2)), axis_name)
        shares = {f"teacher/labels/{c}_share": found for c, found in enumerate(of_classes)}
        return sum(terms.values()), (stats, {**terms, "teacher/confident_share": share, **shares})

    def masked_images(params: Any, stats: Any, batch: Any, context: Context):
        made, teacher = batch["masked"], batch["teacher"]
        inputs = augmented_input(model, made["image"])
        inputs = jnp.where(made["kept"][..., None], inputs, jnp.zeros_like(inputs))
        final, _, stats = forward_ready(model, False, params, stats, inputs)
        weights = jnp.full(teacher["label"].shape, teacher["share"])
        loss = settings.lambda_masked * cross_entropy(final, teacher["label"], weights)
        return loss, (stats, {"masked/final": loss})

    def target_images(params: Any, stats: Any, batch: Any, context: Context):
        images = batch["target"]["image"]
        final, _, stats = forward(model, False, params, stats, images)
        (loss,) = target_sums(
            final,
            None,
            images.shape[1:3],
            iw_alpha=iw_alpha,
            normalization=objective.normalization,
            weights=~batch["teacher"]["confident"],
        )
        term = objective.lambda_target * method.share(loss, axis_name)
        return term, (stats, {"target/max_square": term})

    more = [masked_images] if settings.lambda_masked else []
    more += [target_images] if settings.max_square_below else []
    return (*source, mixed_images, *more)


def shown(batch: Any) -> dict[str, Any]:
    """Mixed and masked images with labels and weights, see `Training.shown`."""
    made, teacher = batch["mixed"], batch["teacher"]
    weight = jnp.where(made["pasted"], 1, teacher["share"])
    found = {"mixed": {"image": made["image"], "label": made["label"], "weight": weight}}
    if "masked" in batch:
        image = jnp.where(batch["masked"]["kept"][..., None], batch["masked"]["image"], 0)
        weight = jnp.full_like(weight, teacher["share"])
        found["masked"] = {"image": image, "label": teacher["label"], "weight": weight}
    return found


class SelfTraining(BaseMethod):
    """DACS and what has been made of it, by the keys."""

    def __init__(
        self,
        keys: Mapping[str, Key],
        recipe: Mapping[str, Any] | None = None,
        recommends: str = STUDENT,
    ) -> None:
        """See `Method`.

        Args:
            keys: its `KEYS`.
            recipe: its `RECIPE`.
            recommends: `TEACHER` or `STUDENT`; fixed, so that no label of the target chooses.
        """
        self.KEYS, self.RECIPE, self._recommends = keys, recipe or {}, recommends

    def training(self, config: ConfigDict, model: DeepLabV2, params: Any) -> Training:
        """See `Method`."""
        keys = config.method.to_dict()
        settings = Settings.of(keys)
        goal = dataclasses.replace(segmentation.objective(config), iw_alpha=config.iw_alpha)
        optimizer = segmentation.network_optimizer(
            config, model, params, adapt=True, multi=goal.multi
        )
        draw = drawing(
            config.seed,
            config.num_classes,
            jitter=settings.jitter,
            blur=settings.blur,
            cell=settings.mask_cell,
        )
        return Training(
            passes(model, settings, goal),
            optimizer,
            following(settings.teacher_decay),
            lambda variables: {TEACHER: variables},
            preparation(model, settings, draw),
            recommended=exchanged if self._recommends == TEACHER else lambda state: state,
            others=lambda state: state.carried,
            shown=shown,
        )

    def problems(self, config: ConfigDict) -> list[str]:
        """See `Method`: images that are mixed have one size."""
        sizes = {
            domain: tuple(config[f"{domain}_augmentation"].crop or config[f"{domain}_size"])
            for domain in ("source", "target")
        }
        if sizes["source"] == sizes["target"]:
            return []
        return [
            f"  target_augmentation.crop: expected images of the source's size {sizes['source']},"
            f" into which {config.variant} pastes parts of these, found {sizes['target']}; set the"
            " crop of both augmentations to one size"
        ]


_RECIPE = {  # DACS begins with weights of ImageNet and MS COCO, on both domains
    "source_steps": 0,
    "source_poly_steps": 0,
    "model.active_dilations": (6, 12, 18, 24),
    "steps": 250_000,
    "poly_steps": 250_000,
}
# By the variant's `method`.
METHODS: dict[str, method.Method] = {
    "dacs": SelfTraining(DACS_KEYS, _RECIPE),
    "mic": SelfTraining(MIC_KEYS, _RECIPE),
    "self_training": SelfTraining(SELF_TRAINING_KEYS, recommends=TEACHER),
}
