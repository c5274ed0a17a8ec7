"""One training step: the passes of an objective, summed over devices, then the optimizer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.runtime.parallel import AXIS
from msl_jax.runtime.xla_ordering import where_known
from msl_jax.training.device_axis import (
    as_equal,
    as_varying,
    expect_divided_over,
    index_of_device,
)
from msl_jax.training.explained import expect_labels_of_images, explained
from msl_jax.training.state import TrainState


class Context(NamedTuple):
    """What a pass sees of the state besides parameters and statistics; it has no gradient.

    Attributes:
        step: number of steps made so far, an int32 scalar: for what changes during the training,
            and for random draws that are the same when a run is continued.
        carried: what the method carries besides the network, see `TrainState`.
        part: number of this device's micro-batch among those of all devices, an int32 scalar, for
            draws that do not depend on how a batch is cut: example i of a micro-batch of B is
            number ``part * B + i`` of its step.
    """

    step: Array
    carried: Any
    part: ArrayLike = 0


# (params, batch_stats, batch, context) -> (loss, (batch_stats, metrics)). Loss and metrics are this
# device's share: their sum over the devices is the value for the whole batch.
Pass = Callable[[Any, Any, Any, Context], tuple[Array, tuple[Any, dict[str, Array]]]]
# (micro-batch, context) -> (micro-batch, carried), before the passes: what all of them see, such
# as a teacher's labels. Nothing has a gradient here.
Prepare = Callable[[Any, Context], tuple[Any, Any]]
# (carried, the network's new variables, number of steps made) -> carried, after the optimizer. It
# gets what `Prepare` left on this device, and returns the same on all of them.
Carry = Callable[[Any, Any, Array], Any]
TrainStep = Callable[[TrainState, Any], tuple[TrainState, dict[str, Array]]]


def train_step(
    passes: Sequence[Pass],
    optimizer: optax.GradientTransformation,
    state: TrainState,
    batch: Any,
    *,
    prepare: Prepare | None = None,
    carry: Carry | None = None,
    accumulate: int = 1,
    axis_name: str | None = AXIS,
) -> tuple[TrainState, dict[str, Array]]:
    """One step on this device's part of the batch.

    The passes are differentiated one after the other, as the official code runs source, then
    target: batch-norm statistics flow from pass to pass and only one pass's activations are kept
    at a time. Gradients and metrics are summed over the devices, statistics are averaged: batch
    norm works per device as in data-parallel PyTorch, yet every device ends with the same state.

    With `accumulate` = K the batch is cut into K micro-batches, which go through all passes one
    after the other: the gradient is the mean of theirs, each of them normalised by the pixels that
    count in that micro-batch on all devices, and statistics flow on from one to the next. Memory is
    that of one micro-batch and one more gradient.

    It works alike under `jax.pmap`, `jax.vmap` and `jax.shard_map` (whether or not that checks what
    varies) with `axis_name`, and under `jax.jit` without; there arrays may be sharded, and batch
    norm is that of the whole batch. The passes must have been given the same `axis_name`.

    Args:
        passes: the terms of the objective, in order.
        optimizer: takes the summed gradient.
        state: replicated.
        batch: this device's examples, `[K B, ...]` each; a micro-batch is B in a row. Labels of
            pixels, ``batch[DOMAIN]["label"]``, have the images' height and width. Their values are
            not looked at: with ids other than 0 .. C-1 and 255 (ignored) a loss is NaN.
        prepare: what is made of a micro-batch before the passes; None leaves it as it is.
        carry: what becomes of the carried state, such as a teacher, after the optimizer's step;
            None leaves it as it is.
        accumulate: number of micro-batches.
        axis_name: name of the device axis over which the batch is divided; None under `jax.jit`
            alone, where the batch is the whole one.

    Returns:
        The new state and the metrics of the whole batch, means over the micro-batches.

    Raises:
        ValueError: two passes have a metric of the same name, there is no such axis, the passes
            sum over another one, the batch is divided over others, lacks what a pass needs, or has
            labels of other pixels than those of its images.
    """
    part = jnp.asarray(accumulate * index_of_device(axis_name), jnp.int32)
    expect_divided_over(axis_name, state, batch)
    expect_labels_of_images(batch)
    own = as_varying(state.params, axis_name)  # whose gradients are this device's alone
    context = Context(state.step, state.carried, part)
    with explained(axis_name, batch):
        if accumulate == 1:
            gradients, stats, carried, metrics = _differentiate(
                passes, prepare, own, state.batch_stats, batch, context
            )
        else:
            stats, carried = as_varying((state.batch_stats, state.carried), axis_name)
            gradients, stats, carried, metrics = _mean_gradients(
                passes, prepare, own, stats, batch, context._replace(carried=carried), accumulate
            )
    if axis_name is not None:
        gradients, metrics = lax.psum((gradients, metrics), axis_name)
        stats = lax.pmean(stats, axis_name)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    after = dataclasses.replace(
        state,
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=stats,
        opt_state=opt_state,
    )
    if carry is not None:
        with explained(axis_name, batch):
            carried = carry(carried, after.variables, after.step)
        after = dataclasses.replace(after, carried=as_equal(carried, axis_name))
    return after, metrics


def _differentiate(
    passes: Sequence[Pass],
    prepare: Prepare | None,
    params: Any,
    stats: Any,
    batch: Any,
    context: Context,
    gradients: Any = None,
) -> tuple[Any, Any, Any, dict[str, Array]]:
    """Gradients of all passes on top of `gradients`, statistics, what is carried, all metrics."""
    metrics: dict[str, Array] = {}
    if prepare is not None:
        batch, carried = prepare(batch, context)
        context = context._replace(carried=carried)
    for single in passes:
        if gradients is not None:
            # Or XLA runs the next pass forward early and keeps the activations of both.
            batch = where_known(gradients, batch)
        (_, (stats, parts)), gradient = jax.value_and_grad(single, has_aux=True)(
            params, stats, batch, context
        )
        gradients = gradient if gradients is None else jax.tree.map(jnp.add, gradients, gradient)
        if twice := metrics.keys() & parts.keys():
            raise ValueError(f"metrics of two passes have one name: {', '.join(sorted(twice))}")
        metrics.update(parts)
    return gradients, stats, context.carried, metrics


def _mean_gradients(
    passes: Sequence[Pass],
    prepare: Prepare | None,
    params: Any,
    stats: Any,
    batch: Any,
    context: Context,
    count: int,
) -> tuple[Any, Any, Any, dict[str, Array]]:
    """As `_differentiate`, means over `count` micro-batches."""

    def add(so_far: tuple[Any, Any, Any], micro: tuple[Any, Array]) -> tuple[Any, dict[str, Array]]:
        gradients, stats, carried = so_far
        examples, number = micro
        own = Context(context.step, carried, context.part + number)
        gradients, stats, carried, metrics = _differentiate(
            passes, prepare, params, stats, examples, own, gradients
        )
        return (gradients, stats, carried), metrics

    micros = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), batch)
    start = jax.tree.map(jnp.zeros_like, params), stats, context.carried
    (gradients, stats, carried), metrics = lax.scan(
        add, start, (micros, jnp.arange(count, dtype=jnp.int32))
    )
    return (
        jax.tree.map(lambda gradient: gradient / count, gradients),
        stats,
        carried,
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
    passes: Sequence[Pass], optimizer: optax.GradientTransformation, **options: Any
) -> TrainStep:
    """`train_step` for all D local devices, compiled at the first call of what is returned.

    That is ``state, metrics = step(state, batch)``: the state as `replicate` gives it, which is
    donated (its memory is reused, so that only the new one is left), and a batch whose arrays are
    `[D, B, ...]`, one part a device, or `[D, K B, ...]` with ``accumulate=K``. What goes on one
    device, or on a mesh of one's own, is `train_step` itself under `jax.jit` or `jax.shard_map`:
    docs/library_networks.md has both.

    Args:
        passes: see `train_step`; they sum over `AXIS`, as by default.
        optimizer: takes the summed gradient.
        options: keywords of `train_step`, but `axis_name`.

    >>> def square(params, stats, batch, context):
    ...     loss = jnp.sum(params["w"] * batch["x"] ** 2)
    ...     return loss, (stats, {"square": loss})
    >>> optimizer, devices = optax.sgd(0.1), jax.local_device_count()
    >>> state = replicate(TrainState.create({"params": {"w": jnp.ones(())}}, optimizer))
    >>> step = parallel_train_step([square], optimizer)
    >>> state, metrics = step(state, {"x": np.ones((devices, 4), np.float32)})
    >>> float(metrics["square"]) == 4 * devices
    True
    """
    return parallel(functools.partial(train_step, passes, optimizer, **options))


def parallel(on_device: TrainStep) -> TrainStep:
    """A step compiled for all local devices by `jax.pmap`.

    The state goes in and comes out as a plain tree, replicated and never stacked over devices, and
    is donated: its memory is reused. The batch has a leading device axis, `[D, K B, ...]` for K
    micro-batches of B. One device runs the same code as many.

    Args:
        on_device: `train_step` with its first two arguments, and keywords but `axis_name`.
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Array]]:
        return on_device(state, batch)

    return jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=(None, None), donate_argnums=0)
