"""A long training with evaluations and checkpoints every few steps: does anything leak?

    python -m benchmarks.soak --steps 5000

Trains a tiny network on the demo's images in one process and observes it from outside: resident
memory, open files, threads and seconds per step, including evaluations and checkpoints. Linux only.

Prints one JSON object: medians over a tenth of the run at its start (after the warm-up), in the
middle and at the end, and the least-squares slope of each figure per 1,000 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.support.measuring import progress
from benchmarks.support.reporting import at_least_one, surroundings
from benchmarks.support.training_process import TrainingProcess

# Training and evaluation use the demo's validation images, 100 of each domain: quickest to render.
TINY = (
    *("source_train=demo/source_val", "target_train=demo/target_val"),
    *("source_size=32,48", "target_size=32,48", "model.width=4"),
    *("batch_size=2", "eval_batch_size=20", "log_every=5"),
    *("source_steps=5", "source_poly_steps=5"),
)
_STAGE = "max_square_iw_multi"
_MB = 10**6


class Sample(NamedTuple):
    """The process at one point in time."""

    step: int
    seconds_per_step: float
    memory_mb: float
    open_files: int
    threads: int


def watch(arguments: Sequence[str], environment: dict[str, str], every: int) -> list[Sample]:
    """Trains, and samples the adaptation about every so many steps.

    Raises:
        RuntimeError: the training failed.
    """
    samples: list[Sample] = []
    with TrainingProcess(arguments, environment) as process:
        before = None
        while (status := process.wait(0.02)) is None:
            lines = [line for line in list(process.progress) if line.stage == _STAGE]
            if not lines or (before is not None and lines[-1].step < before.step + every):
                continue
            now = lines[-1]
            if before is not None:
                seconds = (now.time - before.time) / (now.step - before.step)
                try:
                    samples.append(Sample(now.step, seconds, *_resources(process.pid)))
                except (FileNotFoundError, ProcessLookupError):  # it is about to end
                    continue
            before = now
            if len(samples) % 20 == 1:
                progress(str(samples[-1]))
        process.expect_success(status)
    return samples


def _resources(pid: int) -> tuple[float, int, int]:
    folder = Path("/proc") / str(pid)
    lines = (folder / "status").read_text().splitlines()
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    if "VmRSS" not in fields:
        raise FileNotFoundError
    memory = int(fields["VmRSS"][0]) * 1024 / _MB
    return memory, len(os.listdir(folder / "fd")), int(fields["Threads"][0])


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """Start, middle, end and slope of each figure.

    Args:
        samples: from the run; the first tenth is the warm-up and does not count.
    """
    counted = samples[len(samples) // 10 :]
    tenth = max(1, len(counted) // 10)
    middle = (len(counted) - tenth) // 2
    steps = [sample.step for sample in counted]
    result = {}
    for name in Sample._fields[1:]:
        values = [getattr(sample, name) for sample in counted]
        result[name] = {
            "start": statistics.median(values[:tenth]),
            "middle": statistics.median(values[middle : middle + tenth]),
            "end": statistics.median(values[-tenth:]),
            "largest": max(values),
            "slope_per_1000_steps": 1000 * float(np.polyfit(steps, values, 1)[0]),
        }
    return result


def measure(steps: int, eval_every: int, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Trains and returns the JSON object; `keys` are further ``KEY=VALUE``."""
    tiny = [*TINY, f"steps={steps}", f"poly_steps={steps}", f"eval_every={eval_every}", *keys]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [*(f"--config.{key}" for key in tiny), f"--workdir={folder}/run"]
        samples = watch(arguments, {}, max(eval_every, steps // 200))
    return {
        "benchmark": "soak",
        **summary(samples),
        "samples": len(samples),
        "seconds": time.monotonic() - begun,
        "sizes": {"steps": steps, "eval_every": eval_every, "keys": tiny},
        **surroundings(("jax", "flax", "orbax-checkpoint", "grain", "tensorboardX", "numpy")),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Watches memory, open files, threads and speed of a long training.",
    )
    parser.add_argument("--steps", type=at_least_one, default=5000, help="default: %(default)s")
    parser.add_argument(
        "--eval_every",
        type=at_least_one,
        default=5,
        help="steps between evaluations, each with a checkpoint; default: %(default)s",
    )
    options = parser.parse_args(arguments)
    if options.steps < 20 * options.eval_every:
        parser.error("--steps must be at least 20 times --eval_every")
    print(json.dumps(measure(options.steps, options.eval_every)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
