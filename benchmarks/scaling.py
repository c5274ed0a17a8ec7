"""Seconds and memory of the adaptation step as pixels, batch or devices grow.

    python -m benchmarks.scaling [--part pixels|batch|devices] [--sizes 128,256 256,512 512,1024]

`pixels`: batch 1 at each of the sizes, in turns with PyTorch's step. `batch`: 1, 2 and 4 images of
each domain on one device. `devices`: 1, 2 and 4 devices with one image of each domain on each; they
share this machine's cores (`--xla_force_host_platform_device_count`), so this shows only overhead.
The step is that of `benchmarks.train_step --part adapt`.

Prints one JSON object: for each point median and extremes of the seconds, peak memory above what
the process held when its first step began, seconds per megapixel (of source and target images
together), and these relative to the first point.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Literal, get_args

from benchmarks.support.measuring import Contestant, Measured, compare, progress
from benchmarks.support.reporting import (
    at_least_one,
    entry,
    height_width,
    need_torch,
    ratio,
    surroundings,
)
from benchmarks.support.work import (
    MEMORY_FORMAT,
    Backbone,
    TrainingWork,
    add_network_options,
    network_options,
)
from benchmarks.train_step import NO_CACHE, contestants

Size = tuple[int, int]
Part = Literal["pixels", "batch", "devices"]
PARTS: tuple[Part, ...] = get_args(Part)

SIZES: dict[Part, tuple[Size, ...]] = {
    "pixels": ((128, 256), (256, 512), (512, 1024)),
    "batch": ((128, 256),),
    "devices": ((64, 128),),
}
COUNTS = (1, 2, 4)


def measure(
    part: Part,
    sizes: Sequence[Size],
    rounds: int,
    *,
    backbone: Backbone = "resnet",
    depth: int = 101,
    width: int = 64,
    memory_format: str = MEMORY_FORMAT,
) -> dict[str, Any]:
    """Measures all points of a part and returns the JSON object.

    Args:
        part: what grows from point to point.
        sizes: (height, width) of both images; one for `batch` and `devices`.
        rounds: for each point.
        backbone: of the network.
        depth: number of layers of a ResNet.
        width: channels of its stem.
        memory_format: of PyTorch's activations.
    """
    points: list[dict[str, Any]] = []
    for size in sizes:
        for count in (1,) if part == "pixels" else COUNTS:
            batch_size, devices = (count, 1) if part == "batch" else (1, count)
            label = {"size": size, "batch_size": batch_size, "devices": devices}
            progress(f"{part}: {label}")
            work = TrainingWork("adapt", size, size, depth, width, batch_size, backbone=backbone)
            sides = contestants(work, memory_format)
            sides["ours"] = on_devices(sides["ours"], devices)
            if part != "pixels":
                del sides["torch"]
            measured = compare(sides, rounds)
            megapixels = 2 * size[0] * size[1] * batch_size * devices / 1e6
            points.append({**label, **_point(measured, megapixels)})
    for point in points:
        for side in {"ours", "torch"} & point.keys():
            first = points[0][side]["seconds_per_megapixel"]
            point[side]["relative"] = point[side]["seconds_per_megapixel"] / first
    return {
        "benchmark": "scaling",
        "part": part,
        "points": points,
        "sizes": {"backbone": backbone, "depth": depth, "width": width, "rounds": rounds},
        **surroundings(("jax", "torch", "numpy") if part == "pixels" else ("jax", "numpy")),
    }


def on_devices(contestant: Contestant, count: int) -> Contestant:
    """The contestant on this many devices, which share the cores."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    environment = {**NO_CACHE, "XLA_FLAGS": flags.strip()}
    return Contestant(contestant.prepare, contestant.arguments, environment)


def _point(measured: dict[str, Measured], megapixels: float) -> dict[str, Any]:
    point: dict[str, Any] = {}
    for side, figures in measured.items():
        point[side] = entry(figures)
        point[side]["seconds_per_megapixel"] = point[side]["seconds"] / megapixels
    if "torch" in measured:
        point["ratio"] = ratio(measured["ours"], measured["torch"])
    return point


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description="Seconds and memory of the adaptation step as pixels, batch or devices grow.",
    )
    parser.add_argument("--part", choices=PARTS, default="pixels", help="default: %(default)s")
    parser.add_argument(
        "--sizes",
        type=height_width,
        nargs="+",
        metavar="HEIGHT,WIDTH",
        help="default: 128,256 256,512 512,1024 (batch: 128,256; devices: 64,128)",
    )
    parser.add_argument("--rounds", type=at_least_one, default=5, help="default: %(default)s")
    add_network_options(parser)
    options = parser.parse_args(arguments)
    if options.part == "pixels":
        need_torch(parser)
    sizes = options.sizes or SIZES[options.part]
    print(json.dumps(measure(options.part, sizes, options.rounds, **network_options(options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
