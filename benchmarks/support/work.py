"""What both sides are timed on: sizes, settings of the official code, and random data."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from benchmarks.support.reporting import height_width

Part = Literal["adapt", "source"]
PARTS: tuple[Part, ...] = get_args(Part)
# "tf32" lets matrix products and convolutions on a GPU round float32 inputs to 10 bits, which is
# JAX's default; "bfloat16" is for the network, with float32 parameters, batch norm and losses.
Precision = Literal["float32", "tf32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# DeepLabv2 on these: ResNet, of any depth and width, and EfficientNet-Lite0.
Backbone = Literal["resnet", "efficientnet_lite0"]
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)

# The official code's settings; the paper's Multi rows differ in lambda_target, which costs no time.
NUM_CLASSES = 19
LAMBDA_TARGET, LAMBDA_LOW, IW_ALPHA, GUIDANCE_THRESHOLD = 0.1, 0.1, 0.2, 0.95
LEARNING_RATE, HEAD_RATE, MOMENTUM, WEIGHT_DECAY = 2.5e-4, 10.0, 0.9, 5e-4
POLY_STEPS = 29_760

# The first is PyTorch's faster one on the CPU of docs/performance.md.
MEMORY_FORMATS = ("channels_last", "channels_first")
MEMORY_FORMAT = MEMORY_FORMATS[0]

BGR_MEAN = np.array((104.00698793, 116.66876762, 122.67891434), np.float32)
IGNORE = 255
_IGNORED_SHARE = 0.1  # about the share of pixels in Cityscapes outside the 19 classes


@dataclasses.dataclass(frozen=True)
class TrainingWork:
    """One training step.

    Attributes:
        part: `"adapt"` trains on source and target according to `variant`, `"source"` only on
            source labels with the final head.
        source_size: (height, width) of the source image.
        target_size: of the target image; not used by `"source"`.
        depth: number of layers of a ResNet.
        width: channels of its stem.
        batch_size: images of each domain on each device.
        precision: see `PRECISIONS`; on a CPU `"tf32"` is `"float32"`.
        variant: one of `msl_jax.methods.variants.VARIANTS`; by default both heads, IW maximum
            squares and guidance, the only variant on PyTorch's side.
        rematerialize: recompute each block for its gradient.
        backbone: of the network.
    """

    part: Part = "adapt"
    source_size: tuple[int, int] = (256, 512)
    target_size: tuple[int, int] = (256, 512)
    depth: int = 101
    width: int = 64
    batch_size: int = 1
    precision: Precision = "float32"
    variant: str = "max_square_iw_multi"
    rematerialize: bool = False
    backbone: Backbone = "resnet"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> TrainingWork:
        """Restores what `as_json` returns, after a round trip through JSON."""
        sizes = {name: tuple(fields[name]) for name in ("source_size", "target_size")}
        return cls(**{**fields, **sizes})

    def as_json(self) -> dict[str, Any]:
        """The attributes by name."""
        return dataclasses.asdict(self)


def training_batch(work: TrainingWork, devices: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """Random images of both domains, and labels of the source, some of them ignored.

    Args:
        work: has the sizes; there is no target for part `"source"`.
        devices: number D of devices.

    Returns:
        ``{"source": {"image", "label"}, "target": {"image"}}``, uint8 `[D, B, H, W, 3]` and
        `[D, B, H, W]`.
    """
    rng = np.random.default_rng(0)
    lead = (devices, work.batch_size)
    source = {
        "image": random_images(rng, (*lead, *work.source_size)),
        "label": random_labels(rng, (*lead, *work.source_size)),
    }
    if work.part == "source":
        return {"source": source}
    return {
        "source": source,
        "target": {"image": random_images(rng, (*lead, *work.target_size))},
    }


def random_images(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Uint8 `[*shape, 3]`, red, green, blue."""
    return rng.integers(0, 256, (*shape, 3), np.uint8)


def random_labels(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """Uint8 of this shape: classes, and `IGNORE` for one pixel in ten."""
    labels = rng.integers(0, NUM_CLASSES, shape, np.uint8)
    labels[rng.random(shape) < _IGNORED_SHARE] = IGNORE
    return labels


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--backbone`, `--depth`, `--width` and `--memory_format`."""
    parser.add_argument(
        "--backbone", choices=BACKBONES, default="resnet", help="default: %(default)s"
    )
    parser.add_argument(
        "--depth", type=int, default=101, help="layers of a ResNet, default: %(default)s"
    )
    parser.add_argument("--width", type=int, default=64, help="of its stem, default: %(default)s")
    parser.add_argument(
        "--memory_format",
        choices=MEMORY_FORMATS,
        default=MEMORY_FORMAT,
        help="of PyTorch's activations, default: %(default)s",
    )


def network_options(options: argparse.Namespace) -> dict[str, Any]:
    """The values of `add_network_options`, by name."""
    names = ("backbone", "depth", "width", "memory_format")
    return {name: getattr(options, name) for name in names}


def add_size_option(
    parser: argparse.ArgumentParser, name: str, default: str, image: str = "the image"
) -> None:
    """Adds an option for a (height, width).

    Args:
        parser: where to add it.
        name: of the option.
        default: as a user would write it.
        image: the image that has this size.
    """
    parser.add_argument(
        name,
        type=height_width,
        default=default,
        metavar="HEIGHT,WIDTH",
        help=f"of {image}, default: %(default)s",
    )
