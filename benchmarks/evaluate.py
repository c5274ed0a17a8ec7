"""Seconds and memory of the whole evaluation of images, ours and PyTorch's.

    python -m benchmarks.evaluate [--size 512,1024] [--backbone efficientnet_lite0] [--batch_size 4]

Ours is what a training run uses for evaluation, from a record in memory: network in eval mode,
up-sampling to the labels' size, most likely class, confusion matrix on the host. PyTorch's is what
the official code does without gradients: forward pass, align-corners up-sampling, softmax, argmax
to NumPy, confusion matrix by `numpy.bincount`. Both use the official network, or DeepLabv2 on
EfficientNet-Lite0, with random weights, float32, labels of the images' size and all cores; neither
computes the low head. Ours starts from uint8 images, PyTorch's from ones that are already floats.

Prints one JSON object: median and extremes of the seconds of interleaved rounds of a batch, peak
memory above what the process held when its first round began, and the ratios ours / PyTorch.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.support.measuring import Contestant, compare
from benchmarks.support.reporting import at_least_one, need_torch, report
from benchmarks.support.work import (
    MEMORY_FORMAT,
    Backbone,
    add_network_options,
    add_size_option,
    network_options,
)


def measure(
    size: tuple[int, int],
    rounds: int,
    batch_size: int = 1,
    *,
    backbone: Backbone = "resnet",
    depth: int = 101,
    width: int = 64,
    memory_format: str = MEMORY_FORMAT,
) -> dict[str, Any]:
    """Runs the comparison and returns the JSON object.

    Args:
        size: (height, width).
        rounds: of each side.
        batch_size: images at once.
        backbone: of the network.
        depth: number of layers of a ResNet.
        width: channels of its stem.
        memory_format: of PyTorch's activations.
    """
    network = {"backbone": backbone, "depth": depth, "width": width}
    sizes = {"size": size, "batch_size": batch_size, **network}
    contestants = {
        "ours": Contestant("benchmarks.support.our_steps:evaluation", sizes),
        "torch": Contestant(
            "benchmarks.support.torch_steps:evaluation", {**sizes, "memory_format": memory_format}
        ),
    }
    return report("evaluate", compare(contestants, rounds), sizes={**sizes, "rounds": rounds})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluate",
        description="Seconds and memory of the evaluation of images, ours and PyTorch's.",
    )
    add_size_option(parser, "--size", "512,1024")
    parser.add_argument("--rounds", type=at_least_one, default=7, help="default: %(default)s")
    parser.add_argument("--batch_size", type=at_least_one, default=1, help="default: %(default)s")
    add_network_options(parser)
    options = parser.parse_args(arguments)
    need_torch(parser)
    network = network_options(options)
    print(json.dumps(measure(options.size, options.rounds, options.batch_size, **network)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
