"""PyTorch doing the same on the device: needs PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.accelerator.timing import time_rounds
from benchmarks.support import torch_losses, torch_steps
from benchmarks.support.measuring import Prepared


def step(*, seconds: float, **arguments: Any) -> dict[str, Any]:
    """The training step; see `torch_steps.training` for the arguments."""
    images = len(("source", "target") if arguments["part"] == "adapt" else ("source",))
    found = _measure(lambda: torch_steps.training(**arguments), seconds)
    found["images_per_second"] = images * arguments.get("batch_size", 1) / found["seconds"]
    return found


def evaluation(*, seconds: float, **arguments: Any) -> dict[str, Any]:
    """The evaluation of an image; see `torch_steps.evaluation` for the arguments."""
    return _measure(lambda: torch_steps.evaluation(**arguments), seconds)


def losses(*, seconds: float, size: list[int], names: list[str]) -> dict[str, Any]:
    """Value and gradient of the losses called so in `benchmarks.losses`."""
    return {
        name: _measure(lambda n=name: torch_losses.value_and_gradient(loss=n, size=size), seconds)  # type: ignore[misc]
        for name in names
    }


def _measure(prepare: Callable[[], Prepared], seconds: float) -> dict[str, Any]:
    """Seconds of the very first round, of a later one, and MB in use at most in these."""
    gpu = torch_steps.DEVICE.type == "cuda"
    if gpu:
        torch.cuda.empty_cache()
    prepared = prepare()

    def run() -> None:
        prepared.run()
        if gpu:
            torch.cuda.synchronize()

    start = time.perf_counter()
    run()
    found: dict[str, Any] = {"first_seconds": time.perf_counter() - start}
    run()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    found |= time_rounds(run, seconds, warm_up=1)
    found["peak_in_use_mb"] = torch.cuda.max_memory_allocated() / 1e6 if gpu else None
    return found
