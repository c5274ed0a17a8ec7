"""EfficientNet-Lite in plain PyTorch, for comparison in the parity tests and the benchmarks.

Modules have the names of `efficientnet_lite_pytorch`, whose published weights it loads; the heads
of DeepLabv2 have those of `torch_network`. Needs PyTorch, from the extra `convert`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.support.torch_network import ASPP

# Of every block of Lite0: channels of the result, kernel, stride and expansion.
LITE0 = (
    *((16, 3, 1, 1), (24, 3, 2, 6), (24, 3, 1, 6), (40, 5, 2, 6), (40, 5, 1, 6)),
    *((80, 3, 2, 6), (80, 3, 1, 6), (80, 3, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6), (112, 5, 1, 6)),
    *((192, 5, 2, 6), (192, 5, 1, 6), (192, 5, 1, 6), (192, 5, 1, 6), (320, 3, 1, 6)),
)
LOW_BLOCK = 10
# Strides and dilations of the blocks where they differ from the published ones.
STRIDES = {32: {}, 16: {11: 1}, 8: {5: 1, 11: 1}}
DILATIONS = {
    32: {},
    16: dict.fromkeys(range(12, 16), 2),
    8: {**dict.fromkeys(range(6, 12), 2), **dict.fromkeys(range(12, 16), 4)},
}


class SameConv2d(nn.Conv2d):
    """Convolution without bias, with TensorFlow's padding."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1, groups=1
    ) -> None:
        super().__init__(inputs, outputs, size, stride, 0, dilation, groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, C, h, w]` -> `[B, outputs, ceil(h / stride), ceil(w / stride)]`."""
        reach = self.dilation[0] * (self.kernel_size[0] - 1) + 1
        total = []
        for length in x.shape[2:]:
            windows = (length + self.stride[0] - 1) // self.stride[0]
            total.append(max(0, (windows - 1) * self.stride[0] + reach - length))
        if all(missing % 2 == 0 for missing in total):  # in the convolution itself: no copy
            sides = (total[0] // 2, total[1] // 2)
            return functional.conv2d(
                x, self.weight, None, self.stride, sides, self.dilation, self.groups
            )
        top, left = total[0] // 2, total[1] // 2
        x = functional.pad(x, (left, total[1] - left, top, total[0] - top))
        return super().forward(x)


def _norm(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=1e-3, momentum=0.01)


class MBConv(nn.Module):
    """Inverted bottleneck of a 1x1, a depthwise and a 1x1 convolution."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int, expansion: int, dilation: int
    ) -> None:
        super().__init__()
        inner = inputs * expansion
        if expansion != 1:
            self._expand_conv = SameConv2d(inputs, inner, 1)
            self._bn0 = _norm(inner)
        self._depthwise_conv = SameConv2d(inner, inner, size, stride, dilation, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = SameConv2d(inner, outputs, 1)
        self._bn2 = _norm(outputs)
        self._expands, self._adds = expansion != 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, inputs, h, w]` -> `[B, outputs, h / stride, w / stride]`."""
        y = x
        if self._expands:
            y = functional.relu6(self._bn0(self._expand_conv(y)))
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y + x if self._adds else y


class _Backbone(nn.Module):
    def __init__(self, blocks: Sequence[tuple[int, int, int, int]], output_stride: int) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList()
        inputs = 32
        for number, (outputs, size, stride, expansion) in enumerate(blocks):
            stride = STRIDES[output_stride].get(number, stride)
            dilation = DILATIONS[output_stride].get(number, 1)
            self._blocks.append(MBConv(inputs, outputs, size, stride, expansion, dilation))
            inputs = outputs

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.relu6(self._bn0(self._conv_stem(images)))
        low = x
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number == LOW_BLOCK:
                low = x
        return low, x

    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """Everything that is compared, with its name, in the order of computation."""
        yield from (("_conv_stem", self._conv_stem), ("_bn0", self._bn0))
        yield from ((f"_blocks.{number}", block) for number, block in enumerate(self._blocks))


class TorchLite0(_Backbone):
    """The published classifier."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__(LITE0, 32)
        self._conv_head = SameConv2d(320, 1280, 1)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images `[B, 3, H, W]` -> logits `[B, num_classes]`, features `[B, 1280]`."""
        _, x = self._features(images)
        features = functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return self._fc(features), features


class DeepLabLite0(_Backbone):
    """DeepLabv2 on Lite0, as `msl_jax.models.DeepLabV2` builds it.

    Args:
        num_classes: channels of the logits.
        output_stride: what the images' size is divided by.
        rates: dilations of a head's convolutions.
        summed: how many of them, counted from the first, are used.
    """

    def __init__(
        self,
        num_classes: int,
        output_stride: int = 8,
        rates: Sequence[int] = (6, 12, 18, 24),
        summed: int = 2,
    ) -> None:
        super().__init__(LITE0, output_stride)
        self.layer5 = ASPP(112, num_classes, rates, summed)
        self.layer6 = ASPP(320, num_classes, rates, summed)

    def forward(self, images: Tensor, low_head: bool = True) -> tuple[Tensor, Tensor | None]:
        """Logits of both heads, final and low; low is None if it was not requested."""
        low, high = self._features(images)
        return self.layer6(high), self.layer5(low) if low_head else None

    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """See `_Backbone`; the heads come last."""
        yield from super().blocks()
        yield from (("layer5", self.layer5), ("layer6", self.layer6))


def load(network: nn.Module, file: str | Path) -> None:
    """Loads published weights, all of them and nothing else."""
    network.load_state_dict(torch.load(file, weights_only=True), strict=True)
