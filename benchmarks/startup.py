"""Seconds from the start of a process to the end of its first adaptation step.

    python -m benchmarks.startup [--rounds 3]

Each round starts three processes, one after the other: ours with an empty compilation cache
(cold), ours again with the cache that the first one filled (warm), and PyTorch's. The step is that
of `benchmarks.train_step --part adapt`. Parts of ours: `interpreter` (Python itself and NumPy),
`import` (JAX and what the step needs from this project), `build` (the variables and the optimizer's
state), `trace_and_lower`, `compile` (warm: load) and `first_step`; PyTorch's: `interpreter`,
`import`, `build`, `first_step`.

Prints one JSON object: median and extremes of the total and of each part, and the ratios of the
medians to PyTorch's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from benchmarks.support.measuring import (
    Contestant,
    Prepared,
    Process,
    compilation_cache,
    progress,
)
from benchmarks.support.reporting import at_least_one, need_torch, summary, surroundings
from benchmarks.support.work import (
    MEMORY_FORMAT,
    TrainingWork,
    add_network_options,
    add_size_option,
)


def ours(*, started: float, **arguments: Any) -> Prepared:
    """Our side; imports are part of the measurement.

    Args:
        started: time of the process's start, in seconds since the epoch.
        arguments: of `our_steps.training`.
    """
    begun = time.time()
    from benchmarks.support import our_steps

    imports = {"interpreter": begun - started, "import": time.time() - begun}
    prepared = our_steps.training(**arguments)
    laps = {name.removesuffix("_seconds"): taken for name, taken in prepared.facts.items()}
    return dataclasses.replace(prepared, facts={**imports, **laps})


def torch(*, started: float, **arguments: Any) -> Prepared:
    """PyTorch's side.

    Args:
        started: time of the process's start, in seconds since the epoch.
        arguments: of `torch_steps.training`.
    """
    begun = time.time()
    from benchmarks.support import torch_steps

    imported = time.time()
    prepared = torch_steps.training(**arguments)
    return dataclasses.replace(
        prepared,
        facts={
            "interpreter": begun - started,
            "import": imported - begun,
            "build": time.time() - imported,
        },
    )


def start(contestant: Contestant) -> dict[str, float]:
    """Starts a process, ends it after the first round and returns the seconds of each part.

    Args:
        contestant: `ours` or `torch` without the argument `started`.

    Returns:
        The parts in order, then `total`, which includes the time between them.
    """
    started = time.time()
    arguments = {**contestant.arguments, "started": started}
    with Process(dataclasses.replace(contestant, arguments=arguments)) as process:
        total = time.time() - started
        measured = process.measured([])
    return {**measured.facts, "first_step": measured.first_seconds, "total": total}


def measure(work: TrainingWork, rounds: int, memory_format: str = MEMORY_FORMAT) -> dict[str, Any]:
    """Runs all processes and returns the JSON object; `memory_format` is PyTorch's."""
    arguments = work.as_json()
    of_torch = {**arguments, "memory_format": memory_format}
    parts: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as cache:
            kept = compilation_cache(cache)
            for name, contestant in {
                "cold": Contestant("benchmarks.startup:ours", arguments, kept),
                "warm": Contestant("benchmarks.startup:ours", arguments, kept),
                "torch": Contestant("benchmarks.startup:torch", of_torch),
            }.items():
                for part, taken in start(contestant).items():
                    parts[name][part].append(taken)
                progress(f"round {number}, {name}: {parts[name]['total'][-1]:.1f} s")
    sides = {
        name: {
            **summary(seconds["total"]),
            "parts": {part: summary(s) for part, s in seconds.items() if part != "total"},
        }
        for name, seconds in parts.items()
    }
    reference = sides["torch"]["seconds"]
    return {
        "benchmark": "startup",
        **sides,
        "ratio": {name: sides[name]["seconds"] / reference for name in ("cold", "warm")},
        "sizes": {**arguments, "rounds": rounds},
        **surroundings(("jax", "torch", "numpy")),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup",
        description="Seconds from the start of a process to the end of its first adaptation step.",
    )
    add_size_option(parser, "--size", "256,512", "both images")
    parser.add_argument("--rounds", type=at_least_one, default=3, help="default: %(default)s")
    add_network_options(parser)
    options = parser.parse_args(arguments)
    need_torch(parser)
    work = TrainingWork(
        "adapt",
        options.size,
        options.size,
        options.depth,
        options.width,
        backbone=options.backbone,
    )
    print(json.dumps(measure(work, options.rounds, options.memory_format)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
