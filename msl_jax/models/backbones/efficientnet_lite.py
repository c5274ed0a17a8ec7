"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation, with ReLU6 (Tan and Le 2019).

The networks of TensorFlow's repository `tpu`, models/official/efficientnet/lite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from msl_jax.models.backbones.backbone import ParameterGroup
from msl_jax.models.inputs import InputConvention
from msl_jax.models.keys import Key, choice, flag
from msl_jax.models.layers import BatchNorm, Conv, DepthwiseConv, resize_align_corners

LITE = InputConvention("efficientnet_lite", "RGB, (x - 127) / 128", (127.0,) * 3, (128.0,) * 3)


class Block(NamedTuple):
    """An inverted bottleneck block.

    Attributes:
        features: channels of the result.
        size: side of the depthwise kernel.
        stride: of the depthwise convolution.
        expansion: how many times as many channels the depthwise convolution has as the input.
        dilation: of the depthwise convolution.
    """

    features: int
    size: int
    stride: int
    expansion: int
    dilation: int = 1


# The first block of each stage of EfficientNet-B0, and its number of blocks (Table 1 of the paper).
_STAGES = (
    (Block(16, 3, 1, 1), 1),
    (Block(24, 3, 2, 6), 2),
    (Block(40, 5, 2, 6), 2),
    (Block(80, 3, 2, 6), 3),
    (Block(112, 5, 1, 6), 3),
    (Block(192, 5, 2, 6), 4),
    (Block(320, 3, 1, 6), 1),
)
# Factors on the stages' channels and numbers of blocks.
SCALING: dict[int, tuple[float, float]] = {
    0: (1.0, 1.0),
    1: (1.0, 1.1),
    2: (1.1, 1.2),
    3: (1.2, 1.4),
    4: (1.4, 1.8),
}
# Not scaled: channels of the stem, and those that the published classifier reads.
_STEM, _LAST = 32, 1280
# The low features are the last ones of stage 5, which begins as the third last stage.
_LOW_STAGE = 4
# The stages before the last whose features are joined, and their strides; see `with_output_stride`.
_JOINED_STAGES = ((2, 8), (_LOW_STAGE, 16))
PUBLISHED_STRIDE = 32


def stages(version: int) -> list[list[Block]]:
    """The published blocks of EfficientNet-Lite0 to 4, stage by stage.

    >>> [len(blocks) for blocks in stages(0)]
    [1, 2, 2, 3, 3, 4, 1]
    >>> [blocks[0].features for blocks in stages(2)]
    [16, 24, 48, 88, 120, 208, 352]
    """
    width, depth = SCALING[version]
    found = []
    for number, (first, count) in enumerate(_STAGES):
        if 0 < number < len(_STAGES) - 1:
            count = math.ceil(count * depth)
        first = first._replace(features=_rounded(first.features * width))
        found.append([first, *[first._replace(stride=1)] * (count - 1)])
    return found


def _rounded(features: float) -> int:
    """To the nearest multiple of 8, but to no less than 90 %."""
    rounded = max(8, int(features + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * features else rounded


def with_output_stride(published: list[list[Block]], output_stride: int) -> list[list[Block]]:
    """The blocks of a network that divides the images' size by less than 32.

    A block that would go beyond keeps the size, and all that follow dilate instead: at every place
    that the published network has, theirs are its features.
    """
    stride, dilation, found = 2, 1, []  # behind the stem
    for blocks in published:
        changed = []
        for block in blocks:
            if stride * block.stride <= output_stride:
                changed.append(block._replace(dilation=dilation))
                stride *= block.stride
            else:
                changed.append(block._replace(dilation=dilation, stride=1))
                dilation *= block.stride
        found.append(changed)
    return found


class InvertedBottleneck(nn.Module):
    """1x1 convolution to more channels, depthwise convolution, 1x1 convolution to fewer.

    With a shortcut where input and result have one shape.
    """

    block: Block
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, use_running_average: bool) -> Array:
        """`[B, H, W, C]` -> `[B, ceil(H / stride), ceil(W / stride), features]`."""
        block, dtype, inputs = self.block, self.param_dtype, x
        if block.expansion > 1:
            expand = Conv(x.shape[-1] * block.expansion, param_dtype=dtype, name="expand_conv")
            x = _norm("expand_bn", dtype, expand(x), use_running_average)
        depthwise = DepthwiseConv(
            block.size, block.stride, block.dilation, param_dtype=dtype, name="depthwise_conv"
        )
        x = _norm("depthwise_bn", dtype, depthwise(x), use_running_average)
        project = Conv(block.features, param_dtype=dtype, name="project_conv")
        x = _norm("project_bn", dtype, project(x), use_running_average, relu6=False)
        return x + inputs if x.shape == inputs.shape and block.stride == 1 else x


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite without a classifier: a `Backbone`; its subclasses are the versions.

    The low features are those of the stage of 112 channels, the high ones those of the last, of
    320 channels (Lite0). ``EfficientNetLite0(**EfficientNetLite0.PUBLISHED)`` gives those that the
    published classifier reads.

    `joined`, the blocks are as published, and the features are hypercolumns (Hariharan et al.
    2015): those of strides 8, 16 and 32 side by side, the coarser ones resized; 472 channels of
    Lite0, and 152 for the low head, without the coarsest. The finer ones know where thin things
    are, and nothing is computed at more places than in the published network.

    Attributes:
        output_stride: 32 as published; with 8 or 16 later blocks keep their size and dilate.
        joined: instead of dilating, join what the published blocks give from this stride on.
        classifier_features: add the last 1x1 convolution, to the 1,280 channels that the published
            classifier reads.
        input_convention: see `Backbone`.
        rematerialize: keep no more than each block's input for the gradient and compute the block
            again: less memory, for a second forward pass.
        param_dtype: dtype of parameters and statistics.
    """

    KEYS: ClassVar[Mapping[str, Key]] = {
        "output_stride": choice(
            (8, 16, 32),
            from_scratch=8,
            of_weights=False,
            meaning="side of the input over that of the features",
        ),
        "joined": flag(
            from_scratch=False,
            of_weights=False,
            meaning="features of all strides from that one on side by side, nothing dilates",
        ),
    }
    PUBLISHED: ClassVar[Mapping[str, Any]] = {
        "output_stride": PUBLISHED_STRIDE,
        "joined": False,
        "classifier_features": True,
    }
    GROUPS: ClassVar[tuple[ParameterGroup, ...]] = (ParameterGroup("", "backbone"),)
    INPUT_CONVENTIONS: ClassVar[tuple[InputConvention, ...]] = (LITE,)
    # One of `SCALING`.
    version: ClassVar[int] = 0

    output_stride: Literal[8, 16, 32] = 8
    joined: bool = False
    classifier_features: bool = False
    input_convention: InputConvention | None = LITE
    rematerialize: bool = False
    param_dtype: Any = jnp.float32

    @property
    def title(self) -> str:
        """The published name."""
        return f"EfficientNet-Lite{self.version}"

    @nn.compact
    def __call__(self, images: Array, *, use_running_average: bool) -> tuple[Array, Array]:
        """Low and high features; with an `output_stride` of up to 16 of one size, rounded up.

        Args:
            images: `[B, H, W, 3]`, ready for the network.
            use_running_average: normalise by the running statistics.

        Returns:
            `[B, h, w, C]` and `[B, h', w', C']`; Lite0 has 112 and 320 (or 1,280) channels, joined
            ones of stride 8 have 152 and 472 (or 1,432).
        """
        dtype = self.param_dtype
        stem = Conv(_STEM, 3, 2, padding="same", param_dtype=dtype, name="stem_conv")
        x = _norm("stem_bn", dtype, stem(images), use_running_average)
        # Argument 2, after the module and its input, is known when the program is traced.
        kind = InvertedBottleneck
        block_type = nn.remat(kind, static_argnums=(2,)) if self.rematerialize else kind
        features, number = [], 0
        computed = PUBLISHED_STRIDE if self.joined else self.output_stride
        for blocks in with_output_stride(stages(self.version), computed):
            for block in blocks:
                x = block_type(block, dtype, name=f"block{number}")(x, use_running_average)
                number += 1
            features.append(x)
        if self.classifier_features:
            last = Conv(_LAST, param_dtype=dtype, name="head_conv")
            x = _norm("head_bn", dtype, last(x), use_running_average)
        finer = [features[n] for n, stride in _JOINED_STAGES if stride >= self.output_stride]
        if not (self.joined and finer):
            return features[_LOW_STAGE], x
        return _joined(finer), _joined([*finer, x])


def _joined(features: Sequence[Any]) -> Any:
    """`[B, h, w, C]` of several sizes, resized to the first one's and side by side."""
    size = features[0].shape[1:3]
    return jnp.concatenate([resize_align_corners(f, size) for f in features], axis=-1)


def _norm(name: str, dtype: Any, x: Array, use_running_average: bool, relu6: bool = True) -> Array:
    """Batch norm as TensorFlow's, and ReLU6."""
    module = BatchNorm(momentum=0.99, epsilon=1e-3, param_dtype=dtype, name=name)
    ceiling = 6.0 if relu6 else None
    return module(x, use_running_average=use_running_average, relu=relu6, ceiling=ceiling)


class EfficientNetLite0(EfficientNetLite):
    """4.7 million parameters with the published classifier, 3.4 million without."""


class EfficientNetLite1(EfficientNetLite):
    """Deeper than Lite0."""

    version = 1


class EfficientNetLite2(EfficientNetLite):
    """Deeper and wider than Lite0, as are 3 and 4."""

    version = 2


class EfficientNetLite3(EfficientNetLite):
    """See `EfficientNetLite2`."""

    version = 3


class EfficientNetLite4(EfficientNetLite):
    """See `EfficientNetLite2`."""

    version = 4


VERSIONS: tuple[type[EfficientNetLite], ...] = (
    *(EfficientNetLite0, EfficientNetLite1, EfficientNetLite2),
    *(EfficientNetLite3, EfficientNetLite4),
)
