"""How large everything is that is measured."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

Size = tuple[int, int]


class Network(NamedTuple):
    """A DeepLabv2.

    Attributes:
        name: in tables.
        depth: its layers.
        width: channels of its stem.
    """

    name: str
    depth: int
    width: int


LIGHT = Network("light (14 layers, width 24)", 14, 24)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        network: the one that most is measured with.
        source: (height, width) of the source images; of the losses' images too.
        target: of the target images.
        small: of both images, in the small step.
        evaluation: of the images that are evaluated.
        losses: of `benchmarks.losses.LOSSES`, by the size of their tiles.
        tiles: numbers in a tile of the losses.
        matrix: rows of the matrices of the device's limits.
        copied_mb: MB of the copy.
        frames: that the input pipeline is fed with.
        original: (height, width) of their files.
        steps: of the training on them.
        seconds: for the rounds of a case.
        scale: of the time that cases are expected to take.
        training: what train.py is given for a real run on CamVid, beside the folder.
        torch_compile: whether `torch.compile` is measured.
    """

    network: Network
    source: Size
    target: Size
    small: Size
    evaluation: tuple[Size, ...]
    losses: tuple[str, ...]
    tiles: tuple[int, ...]
    matrix: int
    copied_mb: int
    frames: int
    original: Size
    steps: int
    seconds: float
    scale: float
    training: tuple[str, ...]
    torch_compile: bool


SIZES = {
    "paper": Sizes(
        network=Network("ResNet-101", 101, 64),
        source=(720, 1280),
        target=(512, 1024),
        small=(256, 512),
        evaluation=((512, 1024), (1024, 2048)),
        losses=("ce", "max_square", "guidance"),
        tiles=(250_000, 1_000_000, 4_000_000, 18_000_000),
        matrix=8192,
        copied_mb=2000,
        frames=48,
        original=(1052, 1914),
        steps=100,
        seconds=2.0,
        scale=1.0,
        training=("--config.source_steps=1000", "--config.steps=200", "--config.eval_every=500"),
        torch_compile=True,
    ),
    "small": Sizes(
        network=Network("tiny (14 layers, width 4)", 14, 4),
        source=(45, 80),
        target=(32, 64),
        small=(16, 32),
        evaluation=((32, 64),),
        losses=("ce", "guidance"),
        tiles=(10_000, 100_000),
        matrix=256,
        copied_mb=10,
        frames=2,
        original=(66, 120),
        steps=4,
        seconds=0.1,
        scale=0.1,
        training=("--config.source_steps=4", "--config.steps=4", "--config.model.width=4"),
        torch_compile=False,
    ),
}
