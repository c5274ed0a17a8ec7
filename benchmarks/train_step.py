"""Seconds and memory of one training step, ours and PyTorch's.

    python -m benchmarks.train_step --part adapt|source [--size 256,512] [--target_size 256,512]
                                    [--backbone efficientnet_lite0] [--batch_size 4]

`adapt`: source forward and backward with the cross entropy of both heads (low x 0.1), target
forward and backward with IW maximum squares (lambda 0.1, official normalization) and guidance on
the low head (x 0.1, threshold 0.95), then SGD with momentum 0.9 and weight decay. `source`: cross
entropy of the final head and SGD.

The same on both sides: the official network, or DeepLabv2 on EfficientNet-Lite0, in train mode in
float32, the same random images and labels, losses on logits up-sampled to the image's size, frozen
parameters of a ResNet stem's batch norm, one visit of SGD to each parameter, all cores; velocities
exist before the first step.
Different: each side draws its own random weights, and ours takes uint8 images and normalises them
in the step, whereas PyTorch's are already floats. Compilation is timed separately, without a
compilation cache.

Prints one JSON object: median and extremes of the seconds of interleaved rounds, peak memory above
what the process held when its first step began, and the ratios ours / PyTorch.
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
    PARTS,
    TrainingWork,
    add_network_options,
    add_size_option,
)

NO_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}


def contestants(work: TrainingWork, memory_format: str = MEMORY_FORMAT) -> dict[str, Contestant]:
    """Both sides; `memory_format` is PyTorch's."""
    arguments = work.as_json()
    return {
        "ours": Contestant("benchmarks.support.our_steps:training", arguments, NO_CACHE),
        "torch": Contestant(
            "benchmarks.support.torch_steps:training", {**arguments, "memory_format": memory_format}
        ),
    }


def measure(work: TrainingWork, rounds: int, memory_format: str = MEMORY_FORMAT) -> dict[str, Any]:
    """Runs the comparison and returns the JSON object."""
    measured = compare(contestants(work, memory_format), rounds)
    return report("train_step", measured, sizes={**work.as_json(), "rounds": rounds})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_step",
        description="Seconds and memory of one training step, ours and PyTorch's.",
    )
    parser.add_argument("--part", choices=PARTS, default="adapt", help="default: %(default)s")
    add_size_option(parser, "--size", "256,512", "the source image")
    add_size_option(parser, "--target_size", "256,512", "the target image")
    parser.add_argument("--rounds", type=at_least_one, default=7, help="default: %(default)s")
    parser.add_argument("--batch_size", type=at_least_one, default=1, help="default: %(default)s")
    add_network_options(parser)
    options = parser.parse_args(arguments)
    need_torch(parser)
    work = TrainingWork(
        options.part,
        options.size,
        options.target_size,
        options.depth,
        options.width,
        options.batch_size,
        backbone=options.backbone,
    )
    print(json.dumps(measure(work, options.rounds, options.memory_format)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
