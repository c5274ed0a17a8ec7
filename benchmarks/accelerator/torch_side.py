"""PyTorch's side on the device; needs PyTorch."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.accelerator.timing import time_rounds
from benchmarks.support import torch_losses, torch_steps
from benchmarks.support.measuring import Prepared


def step(*, seconds: float, **arguments: Any) -> dict[str, Any]:
    """The training step; see `torch_steps.training` for the arguments."""
    found = _measure(lambda: torch_steps.training(**arguments), seconds)
    images = arguments.get("batch_size", 1) * (2 if arguments["part"] == "adapt" else 1)
    found["images_per_second"] = images / found["seconds"]
    return found


def evaluation(*, seconds: float, **arguments: Any) -> dict[str, Any]:
    """The evaluation of an image; see `torch_steps.evaluation` for the arguments."""
    return _measure(lambda: torch_steps.evaluation(**arguments), seconds)


def losses(*, seconds: float, size: list[int], names: list[str]) -> dict[str, Any]:
    """Value and gradient of the losses with these names in `benchmarks.losses`."""

    def waited_for(name: str) -> Prepared:
        prepared = torch_losses.value_and_gradient(loss=name, size=size)

        def run() -> None:
            prepared.run()
            _wait()

        return Prepared(run)

    return {name: _measure(functools.partial(waited_for, name), seconds) for name in names}


def _measure(prepare: Callable[[], Prepared], seconds: float) -> dict[str, Any]:
    """Seconds of the very first round and of later ones, and on a GPU the peak MB of these.

    On a GPU also the seconds of a round's kernels, which do not depend on a slow host.
    """
    gpu = torch_steps.DEVICE.type == "cuda"
    if gpu:
        torch.cuda.empty_cache()
    prepared = prepare()

    start = time.perf_counter()
    prepared.run()
    _wait()
    found: dict[str, Any] = {"first_seconds": time.perf_counter() - start, "device": _device()}
    if gpu:
        prepared.run()
        _wait()
        torch.cuda.reset_peak_memory_stats()
    # Rounds follow one another as in training; the last ones are waited for.
    found |= time_rounds(prepared.run, seconds, finish=_wait)
    if gpu:
        found["peak_in_use_mb"] = torch.cuda.max_memory_allocated() / 1e6
        found["kernel_seconds"] = _kernel_seconds(prepared.run)
    return found


def _wait() -> None:
    if torch_steps.DEVICE.type == "cuda":
        torch.cuda.synchronize()


def _device() -> str:
    """Where it runs, and with which libraries."""
    if torch_steps.DEVICE.type != "cuda":
        return "cpu"
    name, cudnn = torch.cuda.get_device_name(), torch.backends.cudnn.version()
    return f"{name}, CUDA {torch.version.cuda}, cuDNN {cudnn}"


def _kernel_seconds(run: Callable[[], object]) -> float:
    """Seconds of the kernels of a round."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
        run()
        _wait()
    return sum(event.self_device_time_total for event in profiled.key_averages()) / 1e6
