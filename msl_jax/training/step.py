"""One training step: the passes of an objective, summed over devices, then the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from msl_jax.runtime.xla_ordering import where_known
from msl_jax.training.state import TrainState

AXIS = "devices"

# (params, batch_stats, batch) -> (loss, (batch_stats, metrics)). Loss and metrics are this
# device's share: their sum over the devices is the value for the whole batch.
Pass = Callable[[Any, Any, Any], tuple[Array, tuple[Any, dict[str, Array]]]]
# An objective that changes during the training is a function of the steps made, int32 scalar.
Passes = Sequence[Pass] | Callable[[Array], Sequence[Pass]]
TrainStep = Callable[[TrainState, Any], tuple[TrainState, dict[str, Array]]]


def train_step(
    passes: Passes,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    batch: Any,
    *,
    accumulate: int = 1,
    axis_name: str | None = AXIS,
) -> tuple[TrainState, dict[str, Array]]:
    """One step on this device's part of the batch.

    The passes are differentiated one after the other, as the official code runs source, then
    target: norm statistics flow from pass to pass and only one pass's activations are kept at a
    time. Gradients and metrics are summed over the devices, statistics are averaged: batch norm
    works per device as in data-parallel PyTorch, yet every device ends with the same state.

    With `accumulate` = K the batch is cut into K micro-batches, which go through all passes one
    after the other: the gradient is the mean of theirs, each of them normalised by the pixels that
    count in that micro-batch on all devices, and statistics flow on from one to the next. Memory is
    that of one micro-batch and one more gradient.

    Args:
        passes: the terms of the objective, in order; or a function of the steps made that gives
            them.
        optimizer: takes the summed gradient.
        state: replicated.
        batch: this device's examples, `[K B, ...]` each; a micro-batch is B in a row.
        accumulate: number of micro-batches.
        axis_name: name of the device axis; None for a step outside `pmap`.

    Returns:
        The new state and the metrics of the whole batch, means over the micro-batches.
    """
    if callable(passes):
        passes = passes(state.step)
    if accumulate == 1:
        gradients, stats, metrics = _differentiate(passes, state.params, state.batch_stats, batch)
    else:
        gradients, stats, metrics = _mean_gradients(passes, state, batch, accumulate)
    if axis_name is not None:
        gradients, metrics = lax.psum((gradients, metrics), axis_name)
        stats = lax.pmean(stats, axis_name)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    return (
        TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=stats,
            opt_state=opt_state,
        ),
        metrics,
    )


def _differentiate(
    passes: Sequence[Pass], params: Any, stats: Any, batch: Any, gradients: Any = None
) -> tuple[Any, Any, dict[str, Array]]:
    """Gradients of all passes on top of `gradients`, the last pass's statistics, all metrics."""
    metrics: dict[str, Array] = {}
    for single in passes:
        if gradients is not None:
            # Or XLA runs the next pass forward early and keeps the activations of both.
            batch = where_known(gradients, batch)
        (_, (stats, parts)), gradient = jax.value_and_grad(single, has_aux=True)(
            params, stats, batch
        )
        gradients = gradient if gradients is None else jax.tree.map(jnp.add, gradients, gradient)
        metrics.update(parts)
    return gradients, stats, metrics


def _mean_gradients(
    passes: Sequence[Pass], state: TrainState, batch: Any, count: int
) -> tuple[Any, Any, dict[str, Array]]:
    """As `_differentiate`, means over `count` micro-batches."""

    def add(carry: tuple[Any, Any], micro: Any) -> tuple[tuple[Any, Any], dict[str, Array]]:
        gradients, stats, metrics = _differentiate(passes, state.params, carry[1], micro, carry[0])
        return (gradients, stats), metrics

    micros = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), batch)
    start = jax.tree.map(jnp.zeros_like, state.params), state.batch_stats
    (gradients, stats), metrics = lax.scan(add, start, micros)
    return (
        jax.tree.map(lambda gradient: gradient / count, gradients),
        stats,
        {name: value.mean(axis=0) for name, value in metrics.items()},
    )


def replicate(state: TrainState) -> TrainState:
    """The state as `parallel_train_step` returns it: one plain tree on all local devices.

    A state placed otherwise would make the first call compile a program of its own.
    """
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(state, everywhere)


def parallel_train_step(
    passes: Passes, optimizer: optax.GradientTransformation, *, accumulate: int = 1
) -> TrainStep:
    """`train_step` compiled for all local devices by `jax.pmap`.

    The state goes in and comes out as a plain tree, replicated and never stacked over devices, and
    is donated: its memory is reused. The batch has a leading device axis, `[D, K B, ...]` for
    `accumulate` = K micro-batches of B. One device runs the same code as many.
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Array]]:
        return train_step(passes, optimizer, state, batch, accumulate=accumulate)

    return jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=(None, None), donate_argnums=0)
