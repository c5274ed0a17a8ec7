"""Seconds and memory of the whole evaluation of one image, ours and PyTorch's.

    python -m benchmarks.evaluate [--size 512,1024]

Ours is what a training run evaluates with, from a record in memory: network in eval mode,
up-sampling to the labels' size, most likely class, confusion matrix on the host. PyTorch's is what
the official code does without gradients: forward, align-corners up-sampling, softmax, argmax to
NumPy, confusion matrix by `numpy.bincount`. Both use the official network with random weights,
batch 1, float32, labels of the image's size and all cores; neither computes the low head. Ours
takes the uint8 image, PyTorch's is floats already.

Prints one JSON object: median and extremes of the seconds of interleaved rounds of one image, peak
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
    add_network_options,
    add_size_option,
    network_options,
)


def measure(
    size: tuple[int, int],
    rounds: int,
    *,
    depth: int = 101,
    width: int = 64,
    memory_format: str = MEMORY_FORMAT,
) -> dict[str, Any]:
    """Runs the comparison and returns the JSON object.

    Args:
        size: (height, width).
        rounds: of each side.
        depth: layers of the network.
        width: channels of its stem.
        memory_format: of PyTorch's activations.
    """
    sizes = {"size": size, "depth": depth, "width": width}
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
        description="Seconds and memory of the evaluation of one image, ours and PyTorch's.",
    )
    add_size_option(parser, "--size", "512,1024")
    parser.add_argument("--rounds", type=at_least_one, default=7, help="default: %(default)s")
    add_network_options(parser)
    options = parser.parse_args(arguments)
    need_torch(parser)
    print(json.dumps(measure(options.size, options.rounds, **network_options(options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
