"""DeepLabv2 with a final and a low head (Section 3.4 of the paper; the official network)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from msl_jax.models.backbones.resnet import ResNet, StridePlacement
from msl_jax.models.layers import Conv


class ASPP(nn.Module):
    """Classifier of DeepLabv2: the sum of dilated 3x3 convolutions over several rates.

    Attributes:
        num_classes: channels of the result.
        rates: dilation of each convolution that has parameters.
        active_rates: those that are summed. The official code returns from inside its loop, so
            that only 6 and 12 of its four ever work; the others stay in its checkpoints, untrained.
    """

    num_classes: int
    rates: tuple[int, ...] = (6, 12, 18, 24)
    active_rates: tuple[int, ...] = (6, 12)
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features `[B, h, w, C]` -> logits `[B, h, w, num_classes]` in float32 or better.

        Raises:
            ValueError: no active rates, or one that has no convolution.
        """
        if not self.active_rates or not set(self.active_rates) <= set(self.rates):
            raise ValueError(
                f"active_rates: expected some of the rates {self.rates}, found {self.active_rates}"
            )
        total: Any = None
        for index, rate in enumerate(self.rates):
            if rate not in self.active_rates and not self.is_initializing():
                continue
            logits = Conv(
                self.num_classes,
                size=3,
                dilation=rate,
                use_bias=True,
                kernel_init=nn.initializers.normal(0.01),  # as the official code
                param_dtype=self.param_dtype,
                name=f"conv{index}",
            )(x)
            if rate in self.active_rates:
                logits = logits.astype(np.promote_types(logits.dtype, np.float32))
                total = logits if total is None else total + logits
        return total


class DeepLabV2(nn.Module):
    """DeepLabv2 of output stride 8; with no more arguments the official network.

    Parameters of the backbone have torchvision's names (`layer3_5/conv2/kernel` for
    `layer3.5.conv2.weight`), the heads are `low_head` (on stage 3, official `layer5`) and
    `final_head` (on stage 4, official `layer6`).

    Attributes:
        num_classes: classes of both heads.
        depth: 14, 26, 50 or 101.
        width: channels of the stem, 64 in the published network.
        stride_placement: ``"caffe"`` (official) or ``"torchvision"``.
        head_rates: rates for which a head has parameters.
        active_rates: rates that are summed, see `ASPP`.
        frozen_norms: keep the running statistics as they are, also in training.
        rematerialize: compute each block again for the gradient instead of keeping what is inside.
        dtype: compute dtype; default: that of the images. Logits come in float32 or better.
        param_dtype: dtype of parameters and statistics.

    >>> import jax, jax.numpy as jnp
    >>> model = DeepLabV2(num_classes=5, depth=14, width=4)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 33, 49, 3)))
    >>> final, low = model.apply(variables, jnp.zeros((1, 33, 49, 3)))
    >>> final.shape
    (1, 5, 7, 5)
    """

    num_classes: int
    depth: int = 101
    width: int = 64
    stride_placement: StridePlacement = "caffe"
    head_rates: tuple[int, ...] = (6, 12, 18, 24)
    active_rates: tuple[int, ...] = (6, 12)
    frozen_norms: bool = False
    rematerialize: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Array, train: bool = False, low_head: bool = True
    ) -> tuple[Array, Array | None]:
        """Logits of both heads at 1/8 of the images' size.

        Args:
            images: `[B, H, W, 3]`, ready for the network (`models.inputs.network_input`).
            train: normalise by the batch and update `batch_stats`, which must be mutable.
            low_head: compute the low head; without it `low` is None.

        Returns:
            `(final, low)`, each `[B, h, w, num_classes]`.
        """
        x = images.astype(self.dtype or images.dtype)
        stage3, stage4 = ResNet(
            self.depth,
            self.width,
            self.stride_placement,
            self.rematerialize,
            self.param_dtype,
            name="backbone",
        )(x, use_running_average=not train or self.frozen_norms)

        final = _classifier(self, "final_head")(stage4)
        with_low = low_head or self.is_initializing()
        return final, _classifier(self, "low_head")(stage3) if with_low else None


def _classifier(model: DeepLabV2, name: str | None = None) -> ASPP:
    return ASPP(
        model.num_classes,
        model.head_rates,
        model.active_rates,
        param_dtype=model.param_dtype,
        name=name,
    )
