"""DeepLabv2 with a final and a low head (Section 3.4 of the paper; the official network)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from msl_jax.models.backbones.backbone import Backbone, OnBackbone
from msl_jax.models.backbones.resnet import ResNet
from msl_jax.models.keys import Key, counts
from msl_jax.models.layers import Conv

# Of the four convolutions of a head the official code sums the first two, see `ASPP`.
OFFICIAL_DILATIONS = (6, 12, 18, 24)
OFFICIAL_ACTIVE_DILATIONS = (6, 12)


class ASPP(nn.Module):
    """Classifier of DeepLabv2: a sum of 3x3 convolutions with several dilations.

    Attributes:
        num_classes: channels of the result.
        dilations: of each convolution that has parameters.
        active_dilations: those that are summed. The official code returns from inside its loop, so
            that only 6 and 12 of its four ever work; the others stay in its checkpoints, untrained.
    """

    num_classes: int
    dilations: tuple[int, ...] = OFFICIAL_DILATIONS
    active_dilations: tuple[int, ...] = OFFICIAL_ACTIVE_DILATIONS
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features `[B, h, w, C]` -> logits `[B, h, w, num_classes]` in float32 or better.

        Raises:
            ValueError: no active dilations, or one that has no convolution.
        """
        active = self.active_dilations
        if not active or not set(active) <= set(self.dilations):
            raise ValueError(
                f"active_dilations: expected some of the dilations {self.dilations}, found {active}"
            )
        total: Any = None
        for index, dilation in enumerate(self.dilations):
            if dilation not in active and not self.is_initializing():
                continue
            logits = Conv(
                self.num_classes,
                size=3,
                dilation=dilation,
                use_bias=True,
                kernel_init=nn.initializers.normal(0.01),  # as the official code
                param_dtype=self.param_dtype,
                name=f"conv{index}",
            )(x)
            if dilation in active:
                logits = logits.astype(np.promote_types(logits.dtype, np.float32))
                total = logits if total is None else total + logits
        return total


class DeepLabV2(OnBackbone, nn.Module):
    """DeepLabv2 with two heads on a backbone; with no more arguments the official network.

    The parts are `backbone`, `low_head` on its low features and `final_head` on its high features
    (of the official network stages 3 and 4 of ResNet-101, `layer5` and `layer6`).

    Attributes:
        num_classes: classes of both heads.
        backbone: a `msl_jax.models.backbones.backbone.Backbone`; logits have its output stride.
        aspp_dilations: dilations for which a head has parameters.
        active_dilations: those that are summed, see `ASPP`.
        frozen_batch_norm: keep the running statistics as they are, also in training.
        dtype: compute dtype; default: that of the images. Logits come in float32 or better.

    >>> import jax, jax.numpy as jnp
    >>> model = DeepLabV2(num_classes=5, backbone=ResNet(depth=14, width=4))
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 33, 49, 3)))
    >>> final, low = model.apply(variables, jnp.zeros((1, 33, 49, 3)))
    >>> final.shape
    (1, 5, 7, 5)
    """

    KEYS: ClassVar[Mapping[str, Key]] = {
        "aspp_dilations": counts(
            1024, default=OFFICIAL_DILATIONS, meaning="for which a head has parameters"
        ),
        "active_dilations": counts(1024, meaning="those that a head sums, some of aspp_dilations"),
    }

    num_classes: int
    backbone: Backbone = ResNet()
    aspp_dilations: tuple[int, ...] = OFFICIAL_DILATIONS
    active_dilations: tuple[int, ...] = OFFICIAL_ACTIVE_DILATIONS
    frozen_batch_norm: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(
        self, images: Array, train: bool = False, low_head: bool = True
    ) -> tuple[Array, Array | None]:
        """Logits of both heads at the images' size divided by the backbone's output stride.

        Args:
            images: `[B, H, W, 3]`, ready for the network (`models.inputs.network_input`).
            train: normalise by the batch and update `batch_stats`, which must be mutable.
            low_head: compute the low head; without it `low` is None.

        Returns:
            `(final, low)`, each `[B, h, w, num_classes]`.
        """
        low_features, high_features = self.backbone(
            images.astype(self.dtype or images.dtype),
            use_running_average=not train or self.frozen_batch_norm,
        )
        final = self._head("final_head")(high_features)
        with_low = low_head or self.is_initializing()
        return final, self._head("low_head")(low_features) if with_low else None

    def _head(self, name: str) -> ASPP:
        return ASPP(
            self.num_classes,
            self.aspp_dilations,
            self.active_dilations,
            param_dtype=self.param_dtype,
            name=name,
        )
