"""Time and memory of the value and gradient of each loss of up-sampled logits, ours and PyTorch's.

    python -m benchmarks.losses [--size 720,1280] [--rounds N]

A round starts from logits of batch 1 and 19 classes at an eighth of the image's size, enlarges them
with aligned corners, and computes the loss and its gradient with respect to the small logits. `ce`
is the cross entropy with labels; `max_square` and `entropy` are the target losses, with `_iw` using
image-wise weighting (alpha 0.2); `guidance` is `max_square_iw` of the final head plus 0.1 times the
guidance of the low head (threshold 0.95), as in the target pass of the official step.

Ours is `msl_jax.losses.upsampled`; PyTorch's are the official formulas, in its own layout. Both use
all cores. Prints one JSON object with a comparison for each loss: median and extremes of the
seconds of interleaved rounds, peak memory above what the process held when its first round began,
and the ratios ours / PyTorch.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.support.measuring import Contestant, compare, progress
from benchmarks.support.reporting import at_least_one, entry, need_torch, ratio, surroundings
from benchmarks.support.work import NUM_CLASSES, add_size_option, random_labels

LOSSES = ("ce", "max_square", "max_square_iw", "entropy", "entropy_iw", "guidance")

_PACKAGES = ("jax", "torch", "numpy")


def inputs(size: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random logits of the final and the low head, and labels.

    Args:
        size: (H, W) of the image.

    Returns:
        Float32 `[1, h, w, C]` twice, of the size of the network's output, and uint8 `[1, H, W]`.
    """
    rng = np.random.default_rng(0)
    shape = (1, *small_size(size), NUM_CLASSES)
    final, low = (3 * rng.standard_normal(shape, np.float32) for _ in range(2))
    return final, low, random_labels(rng, (1, *size))


def small_size(size: Sequence[int]) -> tuple[int, int]:
    """(h, w) of the network's logits for an image, whose ceil-mode pool adds a cell.

    >>> small_size((720, 1280))
    (91, 161)
    """

    def small(length: int) -> int:
        pooled = (length + 1) // 2 // 2 + 1  # stem of stride 2, then the pool
        return (pooled + 1) // 2

    return small(size[0]), small(size[1])


def measure(size: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Runs the comparisons, one loss after the other, and returns the JSON object."""
    compared = {}
    for loss in LOSSES:
        progress(loss)
        arguments = {"loss": loss, "size": list(size)}
        contestants = {
            side: Contestant(f"benchmarks.support.{side}_losses:value_and_gradient", arguments)
            for side in ("our", "torch")
        }
        measured = compare(contestants, rounds)
        compared[loss] = {
            "ours": entry(measured["our"]),
            "torch": entry(measured["torch"]),
            "ratio": ratio(measured["our"], measured["torch"]),
        }
    sizes = {
        "image": size,
        "logits": small_size(size),
        "classes": NUM_CLASSES,
        "batch": 1,
        "rounds": rounds,
    }
    return {"benchmark": "losses", "losses": compared, "sizes": sizes, **surroundings(_PACKAGES)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.losses",
        description="Time and memory of each loss of up-sampled logits, ours and PyTorch's.",
    )
    add_size_option(parser, "--size", "720,1280")
    parser.add_argument("--rounds", type=at_least_one, default=9, help="default: %(default)s")
    options = parser.parse_args(arguments)
    need_torch(parser)
    print(json.dumps(measure(options.size, options.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
