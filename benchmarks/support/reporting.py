"""What the benchmarks print, one JSON object, and the options that their commands share."""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from benchmarks.support.measuring import Measured

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Median and extremes.

    >>> summary([0.5, 0.25, 0.125])
    {'seconds': 0.25, 'spread': [0.125, 0.5]}
    """
    return {"seconds": statistics.median(seconds), "spread": [min(seconds), max(seconds)]}


def entry(measured: Measured) -> dict[str, Any]:
    """One side's results: median and extremes of the seconds, peak memory and facts."""
    peak = measured.peak_memory_mb
    return {**summary(measured.seconds), "peak_memory_mb": peak, **measured.facts}


def ratio(ours: Measured, torch: Measured) -> dict[str, float | None]:
    """Ours / PyTorch's: of the median seconds, and of the peak memory."""
    peaks = ours.peak_memory_mb, torch.peak_memory_mb
    return {
        "seconds": statistics.median(ours.seconds) / statistics.median(torch.seconds),
        "memory": peaks[0] / peaks[1] if peaks[0] is not None and peaks[1] else None,
    }


def program_memory(compiled: Any) -> dict[str, float]:
    """MB that a compiled program needs, as planned by XLA.

    Returns:
        MB of the arguments (including results that reuse their memory), of the temporaries, and in
        total, with all other results.
    """
    analysis = compiled.memory_analysis()
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    arguments, temporaries = analysis.argument_size_in_bytes, analysis.temp_size_in_bytes
    return {
        "arguments_mb": arguments / 1e6,
        "temporaries_mb": temporaries / 1e6,
        "total_mb": (arguments + temporaries + results) / 1e6,
    }


def surroundings(packages: Sequence[str]) -> dict[str, Any]:
    """Number of cores, and versions of packages, None for those that are missing."""
    versions: dict[str, str | None] = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {"cores": CORES, "versions": versions}


def report(
    name: str,
    measured: Mapping[str, Measured],
    *,
    sizes: Mapping[str, Any],
    packages: Sequence[str] = ("jax", "torch", "numpy"),
) -> dict[str, Any]:
    """The JSON object of a benchmark.

    Args:
        name: of the benchmark.
        measured: for `"ours"` and `"torch"`.
        sizes: what was measured.
        packages: those whose versions matter.
    """
    return {
        "benchmark": name,
        **{side: entry(measured[side]) for side in ("ours", "torch")},
        "ratio": ratio(measured["ours"], measured["torch"]),
        "sizes": dict(sizes),
        **surroundings(packages),
    }


def height_width(text: str) -> tuple[int, int]:
    """Type of a command-line option.

    >>> height_width("256,512")
    (256, 512)
    """
    height, width = map(int, text.split(","))
    if min(height, width) < 1:
        raise ValueError
    return height, width


def at_least_one(text: str) -> int:
    """Type of a command-line option."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def need_torch(parser: argparse.ArgumentParser) -> None:
    """Exits with a message if there is no PyTorch to compare with."""
    if importlib.util.find_spec("torch") is None:
        parser.error("the comparison needs PyTorch: pip install -e '.[convert]'")
