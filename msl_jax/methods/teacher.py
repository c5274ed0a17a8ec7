"""A teacher that is the mean of the networks of past steps, and has statistics of its own.

Reference: Tarvainen, Valpola. "Mean teachers are better role models", NIPS 2017.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from msl_jax.runtime.parallel import AXIS
from msl_jax.training.state import TrainState
from msl_jax.training.step import Carry

# What is carried besides the network: the teacher, or the student where they have changed places.
TEACHER, STUDENT = "teacher", "student"


def decay_at(step: ArrayLike, decay: float, dtype: Any = jnp.float32) -> Array:
    """Share of the old teacher, min(1 - 1 / (step + 1), decay): at first past networks count alike.

    Args:
        step: integer scalar, from 0.
        decay: the limit.
        dtype: of the result.

    >>> [round(float(decay_at(step, 0.9)), 2) for step in (0, 1, 3, 99)]
    [0.0, 0.5, 0.75, 0.9]
    """
    return jnp.minimum(1 - 1 / (jnp.asarray(step).astype(dtype) + 1), jnp.asarray(decay, dtype))


def moved_teacher(teacher: Any, network: Any, step: ArrayLike, decay: float) -> Any:
    """The teacher's parameters after a step: a teacher + (1 - a) network, with `decay_at`."""

    def moved(old: Array, new: Array) -> Array:
        # In this order what is frozen, and thus the same in both, stays as it is to the last bit.
        return new + decay_at(step, decay, old.dtype) * (old - new)

    return jax.tree.map(moved, teacher, network)


def following(decay: float, *, axis_name: str | None = AXIS) -> Carry:
    """What becomes of the teacher after a step, see `Carry`."""

    def carry(carried: Any, variables: Any, step: Array) -> Any:
        teacher = carried[TEACHER]
        stats = teacher["batch_stats"]
        stats = stats if axis_name is None else lax.pmean(stats, axis_name)
        params = moved_teacher(teacher["params"], variables["params"], step - 1, decay)
        return {TEACHER: {"params": params, "batch_stats": stats}}

    return carry


def exchanged(state: TrainState) -> TrainState:
    """The state with teacher and student in each other's place; twice is the state itself."""
    ((name, other),) = state.carried.items()
    carried = {STUDENT if name == TEACHER else TEACHER: state.variables}
    return dataclasses.replace(state, **other, carried=carried)
