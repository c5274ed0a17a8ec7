"""The sizes of everything that is measured."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

Size = tuple[int, int]


class Network(NamedTuple):
    """A DeepLabv2.

    Attributes:
        name: in tables.
        depth: number of layers.
        width: channels of its stem.
    """

    name: str
    depth: int
    width: int


LIGHT = Network("light (14 layers, width 24)", 14, 24)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes of everything.

    Attributes:
        network: used for most measurements.
        source: (height, width) of the source images, and of the images for the losses.
        target: of the target images.
        small: of both images in the small step.
        evaluation: of the images to evaluate.
        losses: those of `benchmarks.losses.LOSSES` that are measured by tile size.
        tiles: number of elements in a tile.
        matrix: rows of the matrices that measure the device's limits.
        copied_mb: MB in the copy that does so.
        frames: number of frames for the input pipeline.
        original: (height, width) of their files.
        steps: of the training on them.
        seconds: for the rounds of a case.
        scale: factor on the time that cases are expected to take.
        training: arguments of train.py for a real run on CamVid, apart from the folder.
        torch_compile: whether to measure `torch.compile`.
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
