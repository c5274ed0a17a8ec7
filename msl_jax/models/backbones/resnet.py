"""ResNet, as it was published and with dilated last stages (He et al. 2016; Chen et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from msl_jax.models.backbones.backbone import ParameterGroup
from msl_jax.models.inputs import CAFFE, TORCHVISION, InputConvention
from msl_jax.models.keys import Key, choice, count
from msl_jax.models.layers import BatchNorm, Conv, max_pool_ceil
from msl_jax.models.normalization import add_relu

StridePlacement = Literal["caffe", "torchvision"]

# Blocks in each of the four stages. 14 and 26 are small ones for CPUs.
STAGE_SIZES: dict[int, tuple[int, int, int, int]] = {
    14: (1, 1, 1, 1),
    26: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
# Strides and dilations of the stages, by the number that the whole network divides the size by.
_STEPS: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    8: ((1, 2, 1, 1), (1, 1, 2, 4)),
    32: ((1, 2, 2, 2), (1, 1, 1, 1)),
}


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut; the output has `4 * width` channels.

    Attributes:
        width: channels of the inner convolutions.
        stride: stride of the block.
        dilation: dilation of the 3x3 convolution.
        project: whether the shortcut has a convolution and batch norm.
        stride_placement: the stride sits on the first 1x1 convolution (``"caffe"``, the official
            network) or on the 3x3 (``"torchvision"``).
    """

    width: int
    stride: int = 1
    dilation: int = 1
    project: bool = False
    stride_placement: StridePlacement = "caffe"
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, use_running_average: bool) -> Array:
        """`[B, H, W, C]` -> `[B, ceil(H / stride), ceil(W / stride), 4 width]`."""

        def conv(name: str, features: int, size: int = 1, stride: int = 1, dilation: int = 1):
            return Conv(features, size, stride, dilation, param_dtype=self.param_dtype, name=name)

        def norm(name: str, y: Array, relu: bool = False) -> Array:
            module = BatchNorm(param_dtype=self.param_dtype, name=name)
            return module(y, use_running_average=use_running_average, relu=relu)

        caffe = self.stride_placement == "caffe"
        first, second = (self.stride, 1) if caffe else (1, self.stride)
        y = norm("bn1", conv("conv1", self.width, stride=first)(x), relu=True)
        y = norm("bn2", conv("conv2", self.width, 3, second, self.dilation)(y), relu=True)
        y = norm("bn3", conv("conv3", 4 * self.width)(y))
        if self.project:
            shortcut = conv("downsample_conv", 4 * self.width, stride=self.stride)(x)
            x = norm("downsample_bn", shortcut)
        return add_relu(x, y)


class ResNet(nn.Module):
    """ResNet of bottleneck blocks without a classifier: a `Backbone`.

    With no arguments it is that of the official DeepLabv2; ``ResNet(50, **ResNet.PUBLISHED)`` is
    torchvision's. Parameters have torchvision's names (`layer3_5/conv2/kernel` for
    `layer3.5.conv2.weight`). The low features are those of stage 3, the high ones of stage 4.

    Attributes:
        depth: one of `STAGE_SIZES`.
        width: channels of the stem; stage `s` has `4 * width * 2**s` output channels.
        stride_placement: see `Bottleneck`.
        output_stride: 32 as published; with 8 the last two stages keep their size and dilate by 2
            and 4.
        ceil_pool: round the size after the stem's pool up (DeepLabv2) or down (torchvision).
        input_convention: see `Backbone`.
        rematerialize: keep no more than each block's input for the gradient and compute the block
            again: less memory, for a second forward pass.
        param_dtype: dtype of parameters and statistics.
    """

    KEYS: ClassVar[Mapping[str, Key]] = {
        "depth": choice(tuple(STAGE_SIZES), default=101, small=14, meaning="layers"),
        "width": count(64, most=4096, small=8, meaning="channels of the stem"),
        "stride_placement": choice(
            ("caffe", "torchvision"),
            from_scratch="caffe",
            meaning="the convolution of a block that has the stride: the first or the 3x3 one",
        ),
    }
    PUBLISHED: ClassVar[Mapping[str, Any]] = {
        "stride_placement": "torchvision",
        "output_stride": 32,
        "ceil_pool": False,
        "input_convention": TORCHVISION,
    }
    # The official code collects parameters module by module and from each module with all that it
    # contains, so that its optimizer holds most of them more than once; the stem's batch norm, and
    # that alone, has no gradient there.
    GROUPS: ClassVar[tuple[ParameterGroup, ...]] = (
        ParameterGroup("bn1/", "stem_batch_norm", visits=0),
        ParameterGroup("conv1/", "stem", visits=1),
        ParameterGroup(".*/downsample_", "downsample", visits=4),
        ParameterGroup("", "blocks", visits=3),
    )
    # A new network trains more stably on inputs of order 1.
    INPUT_CONVENTIONS: ClassVar[tuple[InputConvention, ...]] = (TORCHVISION, CAFFE)

    depth: int = 101
    width: int = 64
    stride_placement: StridePlacement = "caffe"
    output_stride: Literal[8, 32] = 8
    ceil_pool: bool = True
    input_convention: InputConvention | None = CAFFE
    rematerialize: bool = False
    param_dtype: Any = jnp.float32

    @property
    def title(self) -> str:
        """Depth and width."""
        return f"ResNet-{self.depth} of width {self.width}"

    @nn.compact
    def __call__(self, images: Array, *, use_running_average: bool) -> tuple[Array, Array]:
        """Features of stages 3 and 4, with `output_stride` 8 both at 1/8 of the size.

        Args:
            images: `[B, H, W, 3]`, ready for the network.
            use_running_average: normalise by the running statistics.

        Returns:
            `[B, h, w, 16 width]` and `[B, h', w', 32 width]`.

        Raises:
            ValueError: another depth.
        """
        if self.depth not in STAGE_SIZES:
            raise ValueError(f"depth must be one of {sorted(STAGE_SIZES)}, found {self.depth}")
        x = Conv(self.width, 7, 2, param_dtype=self.param_dtype, name="conv1")(images)
        x = BatchNorm(param_dtype=self.param_dtype, name="bn1")(
            x, use_running_average=use_running_average
        )
        x = nn.relu(x)
        if self.ceil_pool:
            x = max_pool_ceil(x)
        else:
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        # Argument 2, after the module and its input, is known when the program is traced.
        block_type = nn.remat(Bottleneck, static_argnums=(2,)) if self.rematerialize else Bottleneck
        strides, dilations = _STEPS[self.output_stride]
        stages = []
        for stage, blocks in enumerate(STAGE_SIZES[self.depth]):
            for block in range(blocks):
                x = block_type(
                    width=self.width * 2**stage,
                    stride=strides[stage] if block == 0 else 1,
                    dilation=dilations[stage],
                    project=block == 0,
                    stride_placement=self.stride_placement,
                    param_dtype=self.param_dtype,
                    name=f"layer{stage + 1}_{block}",
                )(x, use_running_average)
            stages.append(x)
        return stages[2], stages[3]
