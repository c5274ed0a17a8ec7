"""Our training step and evaluation on the device: seconds, memory, compilation, kernels."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import Array

from benchmarks.accelerator import kernels
from benchmarks.accelerator.timing import time_rounds
from benchmarks.support import our_steps
from benchmarks.support.work import TrainingWork
from msl_jax.models.initial import abstract_variables
from msl_jax.models.layers import Conv


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
        Seconds of a step; seconds to build the variables, to trace and lower and to compile; MB
        that the program needs (state, batch and temporaries, as XLA has planned them) and that the
        device had in use at most so far; FLOP of its convolutions; `kernels.shares` if wanted.
    """
    work = TrainingWork.from_json(fields)
    start = time.perf_counter()
    function, state, batch = our_steps.build(work)
    found: dict[str, Any] = {"build_seconds": time.perf_counter() - start}
    compiled = _compile(function, state, batch, work, found, "")
    if compile_again:
        jax.clear_caches()
        compiled = _compile(function, state, batch, work, found, "warm_")
    found |= _program(compiled)

    before: Any = None

    def run() -> None:
        # As the training loop does: it waits for the metrics of the step before.
        nonlocal state, before
        state, metrics = compiled(state, batch)
        jax.block_until_ready(before)
        before = metrics

    def finish() -> None:
        run()
        jax.block_until_ready(state)

    found |= time_rounds(run, seconds)
    finish()
    found["images_per_second"] = work.batch_size * len(batch) / found["seconds"]
    found["flop"] = flop_of_step(work)
    found["peak_in_use_mb"] = _peak_mb()
    if profile:
        try:
            found["kernels"] = kernels.shares(finish, compiled.as_text())
        except Exception as error:  # a profiler that fails takes nothing of the rest along
            found["kernels_problem"] = str(error)
    return found


def compile_ahead(
    *, steps: Sequence[Mapping[str, Any]] = (), evaluations: Sequence[Mapping[str, Any]] = ()
) -> int:
    """Compiles programs into the compilation cache; returns how many.

    Args:
        steps: fields of `TrainingWork` of each.
        evaluations: arguments of `our_steps.evaluation` of each.
    """
    for fields in steps:
        work = TrainingWork.from_json(dict(fields))
        function, state, batch = our_steps.build(work)
        _compile(function, state, batch, work, {}, "")
    for arguments in evaluations:
        our_steps.evaluation(**arguments)
    return len(steps) + len(evaluations)


def methods(*, seconds: float, works: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of the adaptation step of each variant; `works` are fields of `TrainingWork`."""
    return {work["variant"]: step(seconds=seconds, **work)["seconds"] for work in works}


def evaluation(*, seconds: float, **arguments: Any) -> dict[str, Any]:
    """The evaluation of an image; see `our_steps.evaluation` for the arguments."""
    prepared = our_steps.evaluation(**arguments)
    return {**prepared.facts, **time_rounds(prepared.run, seconds), "peak_in_use_mb": _peak_mb()}


def _compile(
    function: Any, state: Any, batch: Any, work: TrainingWork, found: dict[str, Any], name: str
) -> Any:
    start = time.perf_counter()
    with our_steps.matmul_precision(work.precision):
        lowered = function.lower(state, batch)
    traced = time.perf_counter()
    compiled = lowered.compile()
    found[f"{name}trace_and_lower_seconds"] = traced - start
    found[f"{name}compile_seconds"] = time.perf_counter() - traced
    return compiled


def _program(compiled: Any) -> dict[str, Any]:
    """What XLA says of a program."""
    memory = compiled.memory_analysis()
    needed = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    return {
        "program_mb": needed / 1e6,
        "temporaries_mb": memory.temp_size_in_bytes / 1e6,
    }


def flop_of_step(work: TrainingWork) -> int:
    """Floating point operations of a step's convolutions, a product and its sum being two.

    Backward they are twice those forward, less the gradient of the images, which nobody needs.
    """
    model = our_steps.network(work)
    variables = abstract_variables(model)
    low_head = our_steps.objective(work).multi

    def forward(variables: Any, images: Array) -> Any:
        def is_convolution(module: nn.Module, _: str) -> bool:
            return isinstance(module, Conv)

        collections = ["batch_stats", "intermediates"]
        return model.apply(
            variables,
            images,
            train=True,
            low_head=low_head,
            capture_intermediates=is_convolution,
            mutable=collections,
        )[1]["intermediates"]

    total = 0
    kernels_of = flatten_dict(variables["params"])
    for size in (work.source_size, work.target_size)[: 2 if work.part == "adapt" else 1]:
        images = jax.ShapeDtypeStruct((work.batch_size, *size, 3), jnp.float32)
        outputs = flatten_dict(jax.eval_shape(forward, variables, images))
        for path, (output,) in outputs.items():
            kernel = kernels_of[(*path[:-1], "kernel")]
            forward_once = 2 * kernel.size // kernel.shape[-1] * output.size
            total += forward_once * (2 if path[:-1] == ("backbone", "conv1") else 3)
    return total


def _peak_mb() -> float | None:
    stats = jax.devices()[0].memory_stats() or {}
    return stats["peak_bytes_in_use"] / 1e6 if "peak_bytes_in_use" in stats else None
