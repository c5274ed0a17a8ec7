"""Time and cost of a run on many GPUs, computed from figures measured on one.

    python -m benchmarks.cost_model --step-seconds 0.063 --devices 1 8 64 256

Nothing is run. A run reads a fixed number of images of each domain; with N devices a step reads N
times as many, so there are N times fewer steps. The parts:

    all-reduce = 2 (N - 1) / N * gradient / bandwidth + 2 ceil(log2 N) * latency      (a ring)
    input      = 2 * batch * devices per host / images per second of a host
    step       = max(compute + all-reduce, input)                 (input is read during the step)
    evaluation = ceil(images / N) * seconds per image             (spread over all devices)
    checkpoint = bytes / disk                                     (process 0 writes, all wait)
    run        = steps * step + evaluations * (evaluation + checkpoint)

Gradients are summed after both passes, so nothing hides the all-reduce. Not included: slow machines
that all others wait for, compilation, startup, and failures. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.support.reporting import at_least_one


class Figures(NamedTuple):
    """The model's inputs; docs/scaling.md explains the defaults.

    Attributes:
        step_seconds: compute time of a step on one device, without all-reduce.
        batch: images of each domain on each device in a step.
        images: of each domain, read in the whole run.
        devices_per_host: GPUs that share one host's input.
        input_rate: images per second that one host reads and augments.
        gradient_mb: MB that all devices sum in a step.
        bandwidth_gb: GB per second of a device's slowest link.
        latency: seconds per message.
        evaluations: number of evaluations, each with a checkpoint, in the run.
        evaluation_images: of both domains.
        evaluation_seconds: per image on one device.
        checkpoint_mb: of parameters, momenta and statistics.
        disk_mb: MB per second that the workdir's disk writes.
    """

    step_seconds: float
    batch: int = 1
    images: int = 29_750
    devices_per_host: int = 8
    input_rate: float = 190.7
    gradient_mb: float = 178.4
    bandwidth_gb: float = 10.0
    latency: float = 2e-5
    evaluations: int = 10
    evaluation_images: int = 1_000
    evaluation_seconds: float = 0.1
    checkpoint_mb: float = 357.0
    disk_mb: float = 200.0


def all_reduce_seconds(devices: int, figures: Figures) -> float:
    """Seconds to sum the gradients over a ring of devices.

    >>> all_reduce_seconds(1, Figures(1.0))
    0.0
    >>> round(all_reduce_seconds(2, Figures(1.0, gradient_mb=100, bandwidth_gb=1, latency=0)), 6)
    0.1
    """
    share = 2 * (devices - 1) / devices
    messages = 2 * math.ceil(math.log2(devices))
    transfer = share * figures.gradient_mb / (1000 * figures.bandwidth_gb)
    return transfer + messages * figures.latency


def cost(devices: int, figures: Figures) -> dict[str, Any]:
    """One line of the table: seconds per step and of its parts, hours of the run, GPU hours."""
    steps = math.ceil(figures.images / (figures.batch * devices))
    reduce = all_reduce_seconds(devices, figures)
    local = min(devices, figures.devices_per_host)
    reading = 2 * figures.batch * local / figures.input_rate
    step = max(figures.step_seconds + reduce, reading)
    evaluation = math.ceil(figures.evaluation_images / devices) * figures.evaluation_seconds
    checkpoint = figures.checkpoint_mb / figures.disk_mb
    seconds = steps * step + figures.evaluations * (evaluation + checkpoint)
    return {
        "devices": devices,
        "steps": steps,
        "step_seconds": step,
        "all_reduce_seconds": reduce,
        "input_seconds": reading,
        "evaluation_seconds": evaluation,
        "checkpoint_seconds": checkpoint,
        "hours": seconds / 3600,
        "device_hours": devices * seconds / 3600,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table for all numbers of devices; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost_model",
        description="Time and cost of a run on many GPUs, computed from figures measured on one.",
    )
    parser.add_argument("--devices", type=at_least_one, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--step-seconds", type=float, required=True)
    for name, default in Figures._field_defaults.items():
        kind = at_least_one if isinstance(default, int) else float
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=default, help="default: %(default)s")
    options = vars(parser.parse_args(arguments))
    counts = options.pop("devices")
    figures = Figures(**options)
    points = [cost(count, figures) for count in counts]
    result = {"benchmark": "cost_model", "computed": True, "points": points}
    print(json.dumps({**result, "sizes": figures._asdict()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
