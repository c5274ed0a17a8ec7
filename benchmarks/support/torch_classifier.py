"""torchvision's ResNet in plain PyTorch, for the parity tests.

Needs PyTorch, from the extra `convert`.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from benchmarks.support.torch_network import BLOCKS, Bottleneck


class TorchResNet(nn.Module):
    """torchvision's ResNet of bottleneck blocks, with the same names.

    Args:
        num_classes: outputs of `fc`.
        depth: number of layers: 14, 26, 50 or 101.
        width: channels of the stem, 64 in torchvision.
    """

    def __init__(self, num_classes: int, depth: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs, stages = width, []
        for stage, count in enumerate(BLOCKS[depth]):
            inner, blocks = width * 2**stage, []
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Bottleneck(inputs, inner, stride, 1, block == 0, "torchvision"))
                inputs = 4 * inner
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images `[B, 3, H, W]` -> logits `[B, num_classes]`, features `[B, 32 width]`."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        features = self.avgpool(x).flatten(1)
        return self.fc(features), features
