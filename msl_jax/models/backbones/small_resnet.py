"""A small residual network for small images (He et al. 2016, Section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from msl_jax.models.inputs import CAFFE, TORCHVISION, InputConvention
from msl_jax.models.keys import Key, choice, count
from msl_jax.models.layers import BatchNorm, Conv
from msl_jax.models.normalization import add_relu

# 6 n + 2 layers: n blocks in each of the three stages.
SMALL_DEPTHS = (8, 14, 20)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut.

    Attributes:
        width: channels of the result.
        stride: of the first convolution, and of the shortcut.
    """

    width: int
    stride: int = 1
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, use_running_average: bool) -> Array:
        """`[B, H, W, C]` -> `[B, ceil(H / stride), ceil(W / stride), width]`."""

        def conv(name: str, size: int, stride: int = 1) -> Conv:
            return Conv(self.width, size, stride, param_dtype=self.param_dtype, name=name)

        def norm(name: str, y: Array, relu: bool = False) -> Array:
            module = BatchNorm(param_dtype=self.param_dtype, name=name)
            return module(y, use_running_average=use_running_average, relu=relu)

        y = norm("bn1", conv("conv1", 3, self.stride)(x), relu=True)
        y = norm("bn2", conv("conv2", 3)(y))
        if self.stride > 1 or x.shape[-1] != self.width:
            x = norm("downsample_bn", conv("downsample_conv", 1, self.stride)(x))
        return add_relu(x, y)


class SmallResNet(nn.Module):
    """Classifier of images of about 32x32 pixels.

    A 3x3 convolution, three stages of blocks, each at half the size of the one before, of one, two
    and four times the width, and a linear classifier on the mean over the positions. The published
    network starts with a stage at full size, which costs a CPU most of its time.

    Attributes:
        num_classes: outputs.
        depth: one of `SMALL_DEPTHS`.
        width: channels of the first stage.
        input_convention: how images enter; None where they come ready.
        dtype: compute dtype; default: that of the images. Results come in float32 or better.
        param_dtype: dtype of parameters and statistics.

    >>> import jax
    >>> model = SmallResNet(num_classes=10, width=4)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 3)))
    >>> logits, features = model.apply(variables, jnp.zeros((2, 28, 28, 3)))
    >>> logits.shape, features.shape
    ((2, 10), (2, 16))
    """

    KEYS: ClassVar[Mapping[str, Key]] = {
        "depth": choice(SMALL_DEPTHS, default=8, meaning="layers"),
        "width": count(16, most=4096, meaning="channels of the first stage"),
    }
    INPUT_CONVENTIONS: ClassVar[tuple[InputConvention, ...]] = (TORCHVISION, CAFFE)

    num_classes: int
    depth: int = 8
    width: int = 16
    input_convention: InputConvention | None = TORCHVISION
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> tuple[Array, Array]:
        """Logits `[B, C]` and the features that they are made of, `[B, F]`.

        Args:
            images: `[B, H, W, 3]`, ready for the network (`models.inputs.network_input`).
            train: normalise by the batch and update `batch_stats`, which must be mutable.

        Raises:
            ValueError: another depth.
        """
        if self.depth not in SMALL_DEPTHS:
            raise ValueError(f"depth: expected one of {SMALL_DEPTHS}, found {self.depth}")
        x = images.astype(self.dtype or images.dtype)
        x = Conv(self.width, 3, param_dtype=self.param_dtype, name="conv1")(x)
        norm = BatchNorm(param_dtype=self.param_dtype, name="bn1")
        x = norm(x, use_running_average=not train, relu=True)
        for stage in range(3):
            for block in range((self.depth - 2) // 6):
                x = BasicBlock(
                    self.width * 2**stage,
                    stride=2 if block == 0 else 1,
                    param_dtype=self.param_dtype,
                    name=f"layer{stage + 1}_{block}",
                )(x, not train)
        features = x.astype(np.promote_types(x.dtype, np.float32)).mean(axis=(1, 2))
        classifier = nn.Dense(
            self.num_classes,
            kernel_init=nn.initializers.normal(0.01),
            dtype=features.dtype,
            param_dtype=self.param_dtype,
            name="classifier",
        )
        return classifier(features), features
