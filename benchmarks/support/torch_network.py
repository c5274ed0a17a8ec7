"""DeepLabv2 in plain PyTorch, for comparison in the parity tests and the benchmarks.

Modules have the names in public checkpoints: `layer5` is the head on stage 3 (low), `layer6` the
one on stage 4 (final). Needs PyTorch, from the extra `convert`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STRIDES, DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)


class Bottleneck(nn.Module):
    """Residual block of 1x1, 3x3 and 1x1 convolutions."""

    def __init__(
        self, inputs: int, width: int, stride: int, dilation: int, first: bool, placement: str
    ) -> None:
        super().__init__()
        strides = {"caffe": (stride, 1), "torchvision": (1, stride)}[placement]
        self.conv1 = nn.Conv2d(inputs, width, 1, strides[0], bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, strides[1], dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if first:
            projection = nn.Conv2d(inputs, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, C, h, w]` -> `[B, 4 width, h / stride, w / stride]`."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ASPP(nn.Module):
    """One dilated convolution for each of `rates`; the first `summed` of them are used."""

    def __init__(self, inputs: int, num_classes: int, rates: Sequence[int], summed: int) -> None:
        super().__init__()
        self.summed = summed
        self.conv2d_list = nn.ModuleList(
            nn.Conv2d(inputs, num_classes, 3, padding=rate, dilation=rate) for rate in rates
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, C, h, w]` -> logits `[B, num_classes, h, w]`."""
        total, *others = (conv(x) for conv in self.conv2d_list[: self.summed])
        for logits in others:
            total = total + logits
        return total


class DeepLab(nn.Module):
    """The network of `msl_jax.models.DeepLabV2`, with the same defaults.

    Args:
        num_classes: channels of the logits.
        depth: number of layers: 14, 26, 50 or 101.
        width: channels of the stem.
        placement: of a block's stride: `"caffe"` in the first 1x1 convolution, `"torchvision"` in
            the 3x3 one.
        rates: dilations of a head's convolutions.
        summed: how many of them, counted from the first, are used.
    """

    def __init__(
        self,
        num_classes: int,
        depth: int = 101,
        width: int = 64,
        placement: str = "caffe",
        rates: Sequence[int] = (6, 12, 18, 24),
        summed: int = 2,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        inputs, stages = width, []
        for stage, count in enumerate(BLOCKS[depth]):
            inner, dilation = width * 2**stage, DILATIONS[stage]
            blocks = []
            for block in range(count):
                stride = STRIDES[stage] if block == 0 else 1
                blocks.append(Bottleneck(inputs, inner, stride, dilation, block == 0, placement))
                inputs = 4 * inner
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.layer5 = ASPP(16 * width, num_classes, rates, summed)
        self.layer6 = ASPP(32 * width, num_classes, rates, summed)

    def forward(self, images: Tensor, low_head: bool = True) -> tuple[Tensor, Tensor | None]:
        """Logits of both heads at 1/8 of the size.

        Args:
            images: `[B, 3, H, W]`.
            low_head: whether to compute the low head.

        Returns:
            Final and low `[B, num_classes, h, w]`; low is None if it was not requested.
        """
        x = self.maxpool(functional.relu(self.bn1(self.conv1(images))))
        stage3 = self.layer3(self.layer2(self.layer1(x)))
        low = self.layer5(stage3) if low_head else None
        return self.layer6(self.layer4(stage3)), low

    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """Everything that is compared, with its name, in the order of computation."""
        parts = dict(self.named_children())
        for name in ("conv1", "bn1", "maxpool"):
            yield name, parts[name]
        for stage in range(1, 5):
            for number, block in parts[f"layer{stage}"].named_children():
                yield f"layer{stage}.{number}", block
            if stage == 3:
                yield "layer5", parts["layer5"]
        yield "layer6", parts["layer6"]


def randomize(network: nn.Module, seed: int = 0) -> None:
    """Sets parameters and statistics to random values, in ranges that keep features moderate."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            kind = name.rpartition(".")[2]
            if tensor.ndim == 4:
                std = (2 / tensor[0].numel()) ** 0.5
                tensor.copy_(std * torch.randn(tensor.shape, generator=generator))
            elif kind in ("weight", "running_var"):
                uniform(tensor, 0.5, 1.5)
            elif kind in ("bias", "running_mean"):
                uniform(tensor, -0.3, 0.3)


def arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """The state dict as NumPy arrays that later training steps do not change."""
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def nchw(images: np.ndarray) -> Tensor:
    """`[B, H, W, C]` -> a contiguous `[B, C, H, W]`."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def nhwc(tensor: Tensor) -> np.ndarray:
    """`[B, C, H, W]` -> `[B, H, W, C]`."""
    return tensor.detach().numpy().transpose(0, 2, 3, 1)
