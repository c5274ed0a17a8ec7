"""An experiment with a target loss, a method, a data set and a network of its own, in one file.

python train.py --config docs/own_file.py

Commands without --config know it by MSL_JAX_IMPORT: MSL_JAX_IMPORT=docs/own_file.py msl-jax list

It takes seconds and shows where things go, not a result worth having.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import msl_jax
from msl_jax.config import base_config
from msl_jax.data.datasets.dataset import BuiltIn
from msl_jax.data.labels import LabelClass, LabelSet
from msl_jax.methods import segmentation
from msl_jax.methods.method import BaseMethod, Key, Training
from msl_jax.methods.variants import Variant
from msl_jax.models.backbones.backbone import ParameterGroup
from msl_jax.models.inputs import TORCHVISION
from msl_jax.models.keys import count
from msl_jax.models.layers import BatchNorm, Conv

SIZE = (32, 48)  # height, width


def root_square(logits, class_axis=-1):
    """A target loss: a smooth -sum_c |p| at each pixel."""
    p = jax.nn.softmax(logits, axis=class_axis)
    return -jnp.sum(jnp.sqrt(jnp.square(p) + 1e-4), axis=class_axis)


class Rising(BaseMethod):
    """Any target loss, with a weight that rises over the first steps of the adaptation."""

    KEYS: ClassVar = {"rise": Key(100, "steps until the weight is lambda_target", low=1)}

    def training(self, config, model, params):
        """See `msl_jax.methods.method.Method`."""
        objective = segmentation.objective(config)
        source, target = segmentation.passes(model, objective, adapt=True)

        def rising(params, stats, batch, context):
            loss, (stats, metrics) = target(params, stats, batch, context)
            weight = jnp.minimum(context.step.astype(loss.dtype) / config.method.rise, 1)
            return weight * loss, (stats, metrics)

        optimizer = segmentation.network_optimizer(
            config, model, params, adapt=True, multi=objective.multi
        )
        return Training((source, rising), optimizer)


@dataclass(frozen=True)
class Disc:
    """A bright disc on a dark ground, or one in the dusk."""

    key: str
    seed: int
    dusk: bool

    def read(self):
        """Draws image `[H, W, 3]` and label `[H, W]`, uint8."""
        rng = np.random.default_rng(self.seed)
        row, column = rng.uniform(8, 24), rng.uniform(8, 40)
        rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
        label = (rows - row) ** 2 + (columns - column) ** 2 < 64
        image = np.where(label, 200, 60)[..., None] + rng.normal(0, 10, (*SIZE, 3))
        return np.uint8(image * (0.75 if self.dusk else 1)), np.uint8(label)


class Discs(BuiltIn):
    """Discs by day and at dusk. A data set of files is a `FileDataset`, see architecture.md."""

    name = "discs"
    kind = "pixels"
    label_set = LabelSet("discs", (LabelClass("ground", (0,) * 3), LabelClass("disc", (255, 0, 0))))
    label_sets = (label_set,)
    splits = ("day", "dusk")
    default_size = SIZE
    fingerprint = "1"  # to be changed whenever the examples do

    def examples(self, split, *, missing_ok=False):
        """The examples of a split."""
        first = 100 * self.splits.index(split)
        return [Disc(f"{split}_{i}", first + i, split == "dusk") for i in range(8)]


class Plain(nn.Module):
    """A backbone of three convolutions, see `msl_jax.models.backbones.backbone.Backbone`."""

    KEYS: ClassVar = {"features": count(8, small=4)}  # --config.model.features=16
    PUBLISHED: ClassVar = {}
    GROUPS = (ParameterGroup("", "body"),)
    INPUT_CONVENTIONS = (TORCHVISION,)

    features: int = 8
    output_stride: int = 8
    input_convention: Any = TORCHVISION
    rematerialize: bool = False
    param_dtype: Any = jnp.float32

    @property
    def title(self):
        """For messages."""
        return f"plain network of {self.features} features"

    @nn.compact
    def __call__(self, images, *, use_running_average):
        """Low and high features."""
        stages = [images]
        for i, stride in enumerate((4, 2, 1)):
            x = Conv(self.features, 3, stride, param_dtype=self.param_dtype, name=f"conv{i}")
            norm = BatchNorm(param_dtype=self.param_dtype, name=f"bn{i}")
            y = norm(x(stages[-1]), use_running_average=use_running_average, relu=True)
            stages.append(y)
        return stages[-2], stages[-1]


msl_jax.register_target_loss("root_square", root_square)
msl_jax.register_method("rising", Rising())
msl_jax.register_variant("rising", Variant(target_loss="root_square", method="rising"))
msl_jax.register_dataset(Discs)
msl_jax.register_backbone("plain", Plain)


def get_config(variant="rising"):
    """The configuration, after everything that it names is registered."""
    config = base_config("own_file", variant)
    config.source_train = config.source_eval = "discs/day"
    config.target_train = config.target_eval = "discs/dusk"
    config.source_size = config.target_size = SIZE
    config.num_classes = 2
    config.model.backbone = "plain"
    config.model.aspp_dilations = config.model.active_dilations = (1,)
    config.head_rate_multiplier = 0.1
    config.batch_size, config.eval_batch_size = 2, 2
    config.source_steps, config.source_learning_rate = 100, 0.1
    config.steps, config.learning_rate = 100, 0.03
    config.lambda_target = 0.5
    config.eval_every = config.log_every = 50
    return config
