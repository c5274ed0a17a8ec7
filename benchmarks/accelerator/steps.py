"""Our training step and evaluation on the device: seconds, memory, compilation, kernels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict
from jax import Array

from benchmarks.accelerator import kernels
from benchmarks.accelerator.timing import time_rounds
from benchmarks.support import our_steps
from benchmarks.support.reporting import program_memory
from benchmarks.support.work import TrainingWork
from msl_jax.methods.variants import variant_of
from msl_jax.models.initial import abstract_variables
from msl_jax.models.layers import Conv


def step(*, seconds: float, compile_again: bool = False, **fields: Any) -> dict[str, Any]:
    """The compiled training step, as the training loop calls it.

    Args:
        seconds: for the rounds.
        compile_again: compile it a second time, from the compilation cache.
        fields: of `TrainingWork`.

    Returns:
        Seconds per step; seconds to build the variables, to trace and lower, and to compile; MB
        that the program needs (state, batch and temporaries, as planned by XLA); FLOP of its
        convolutions.
    """
    work = TrainingWork.from_json(fields)
    start = time.perf_counter()
    built = our_steps.build(work)
    found: dict[str, Any] = {"build_seconds": time.perf_counter() - start}
    compiled = _compile(built, work, found, "")
    if compile_again:
        jax.clear_caches()
        compiled = _compile(built, work, found, "warm_")
    _, state, batch = built
    memory = program_memory(compiled)
    found |= {"temporaries_mb": memory["temporaries_mb"], "program_mb": memory["total_mb"]}
    found |= time_rounds(pipelined(compiled, state, lambda: batch), seconds)
    found["images_per_second"] = work.batch_size * len(batch) / found["seconds"]
    found["flop"] = flop_of_step(work)
    return found


def pipelined(compiled: Any, state: Any, batches: Callable[[], Any]) -> Callable[[], None]:
    """A round is a step that waits for the previous one's metrics, as in the training loop."""
    before: Any = None

    def run() -> None:
        nonlocal state, before
        state, metrics = compiled(state, batches())
        jax.block_until_ready(before)
        before = metrics

    return run


def profile(**fields: Any) -> dict[str, Any]:
    """`kernels.shares` of the step; `fields` are those of `TrainingWork`.

    Compiled without CUDA graphs, in which the profiler cannot attribute kernels to operations.
    """
    work = TrainingWork.from_json(fields)
    built = our_steps.build(work)
    _, state, batch = built
    lowered = our_steps.lower(built, work)
    compiled = lowered.compile(compiler_options={"xla_gpu_enable_command_buffer": ""})

    def run() -> None:
        nonlocal state
        state, metrics = compiled(state, batch)
        jax.block_until_ready((state, metrics))

    run()
    return kernels.shares(run, compiled.as_text())


def evaluation(*, seconds: float, **arguments: Any) -> dict[str, Any]:
    """The evaluation of an image; see `our_steps.evaluation` for the arguments."""
    prepared = our_steps.evaluation(**arguments)
    return {**prepared.facts, **time_rounds(prepared.run, seconds)}


def _compile(built: our_steps.Step, work: TrainingWork, found: dict[str, Any], name: str) -> Any:
    start = time.perf_counter()
    lowered = our_steps.lower(built, work)
    traced = time.perf_counter()
    compiled = lowered.compile()
    found[f"{name}trace_and_lower_seconds"] = traced - start
    found[f"{name}compile_seconds"] = time.perf_counter() - traced
    return compiled


def flop_of_step(work: TrainingWork) -> int:
    """Floating-point operations of the network's convolutions; a multiply-add counts as two.

    The backward pass takes twice the forward pass, except for the unneeded gradient of the images.
    Discriminators are not counted, nor what a method does beyond a pass of each domain.
    """
    model = our_steps.network(work)
    variables = abstract_variables(model)
    low_head = variant_of(our_steps.configuration(work)).multi

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
