"""Our training step and evaluation on the device: seconds, memory, compilation, kernels."""

from __future__ import annotations

import time
from typing import Any

import jax

from benchmarks import our_steps
from benchmarks.accelerator import kernels
from benchmarks.accelerator.timing import time_rounds
from benchmarks.work import TrainingWork


def step(
    *, seconds: float, compile_again: bool = False, profile: bool = False, **fields: Any
) -> dict[str, Any]:
    """The compiled training step.

    Args:
        seconds: for the rounds.
        compile_again: compile it a second time, from the compilation cache.
        profile: look at its kernels too.
        fields: of `TrainingWork`.

    Returns:
        Seconds of a step; seconds to build the variables, to trace and lower and to compile; MB that
        the program needs (state, batch and temporaries: what XLA has planned) and that the device
        had in use at most so far; FLOP of a step by XLA's count; `kernels.shares` if wanted.
    """
    work = TrainingWork.from_json(fields)
    start = time.perf_counter()
    function, state, batch = our_steps.build(work)
    found: dict[str, Any] = {"build_seconds": time.perf_counter() - start}
    compiled, lowered = _compile(function, state, batch, work, found, "")
    if compile_again:
        jax.clear_caches()
        compiled, lowered = _compile(function, state, batch, work, found, "warm_")
    found |= _program(compiled, lowered)

    def run() -> None:
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))

    found |= time_rounds(run, seconds)
    found["images_per_second"] = work.batch_size * len(batch) / found["seconds"]
    found["peak_in_use_mb"] = _peak_mb()
    if profile:
        try:
            found["kernels"] = kernels.shares(run, compiled.as_text())
        except Exception as error:  # a profiler that fails takes nothing of the rest along
            found["kernels_problem"] = str(error)
    return found


def methods(*, seconds: float, variants: list[str], **fields: Any) -> dict[str, Any]:
    """Seconds of the adaptation step of each variant."""
    return {name: step(seconds=seconds, variant=name, **fields)["seconds"] for name in variants}


def evaluation(*, seconds: float, **arguments: Any) -> dict[str, Any]:
    """The evaluation of an image; see `our_steps.evaluation` for the arguments."""
    prepared = our_steps.evaluation(**arguments)
    return {**prepared.facts, **time_rounds(prepared.run, seconds), "peak_in_use_mb": _peak_mb()}


def _compile(
    function: Any, state: Any, batch: Any, work: TrainingWork, found: dict[str, Any], name: str
) -> tuple[Any, Any]:
    start = time.perf_counter()
    with our_steps.matmul_precision(work.precision):
        lowered = function.lower(state, batch)
    traced = time.perf_counter()
    compiled = lowered.compile()
    found[f"{name}trace_and_lower_seconds"] = traced - start
    found[f"{name}compile_seconds"] = time.perf_counter() - traced
    return compiled, lowered


def _program(compiled: Any, lowered: Any) -> dict[str, Any]:
    """What XLA says of a program."""
    memory, cost = compiled.memory_analysis(), lowered.cost_analysis()
    needed = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    return {
        "program_mb": needed / 1e6,
        "temporaries_mb": memory.temp_size_in_bytes / 1e6,
        "flop": cost.get("flops") if isinstance(cost, dict) else None,
    }


def _peak_mb() -> float | None:
    stats = jax.devices()[0].memory_stats() or {}
    return stats["peak_bytes_in_use"] / 1e6 if "peak_bytes_in_use" in stats else None
