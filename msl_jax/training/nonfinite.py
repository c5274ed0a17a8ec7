"""Numbers that are not finite: detected in every step, and traced to where they began."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from msl_jax.runtime.parallel import AXIS
from msl_jax.training.state import TrainState
from msl_jax.training.step import TrainStep

_PACKAGE = Path(__file__).parents[1]


class NotFinite(Exception):
    """The metrics of a step, or the network after it, are not all finite.

    Attributes:
        step: number of the step, from 1.
        metrics: of that step.
        operation: where it began, if that was looked for.
    """

    def __init__(self, step: int, metrics: Mapping[str, float], operation: str | None = None):
        """See the attributes."""
        parts = ", ".join(f"{name} = {value:g}" for name, value in metrics.items())
        broken = not all(map(math.isfinite, metrics.values()))
        what = "the loss is" if broken else "the new parameters are"
        super().__init__(f"{what} not finite at step {step}: {parts}")
        self.step, self.metrics, self.operation = step, metrics, operation


@jax.jit
def finite_variables(state: TrainState) -> Array:
    """Whether the network's parameters and statistics are finite, a scalar that nobody waits for.

    A finite loss can have a gradient that is not: sqrt(x) at 0. A program of its own, so that the
    step is the same with and without it.
    """
    # 0 times NaN or infinity is NaN; a sum compiles in half the time of a reduction by `all`.
    finite = [jnp.isfinite(jnp.sum(0 * leaf)) for leaf in jax.tree.leaves(state.variables)]
    return jnp.stack([jnp.ones((), bool), *finite]).all()


def expect_finite(metrics: Mapping[str, Any], step: int, variables: Any = True) -> None:
    """Waits for the metrics of a step.

    Args:
        metrics: of the step.
        step: its number, from 1.
        variables: `finite_variables` of the state after it.

    Raises:
        NotFinite: one of the metrics is not a finite number, or the variables are not.
    """
    values = {name: float(value) for name, value in metrics.items()}
    if not (all(map(math.isfinite, values.values())) and bool(variables)):
        raise NotFinite(step, values)


def searching(step: TrainStep, on_device: TrainStep) -> TrainStep:
    """A step that waits for its numbers and, if they are not finite, finds out where that began.

    It keeps a copy of the state for this purpose, so it needs more memory and time.

    Args:
        step: the compiled step.
        on_device: what it was compiled from, see `msl_jax.training.step.parallel`.
    """

    def checked(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Any]]:
        before = jax.tree.map(jnp.copy, state)
        state, metrics = step(state, batch)
        try:
            expect_finite(metrics, int(state.step), finite_variables(state))
        except NotFinite as error:
            # Devices become an axis of arrays, so that every operation runs by itself.
            again = jax.vmap(on_device, (None, 0), axis_name=AXIS)
            operation = first_operation(again, before, batch)
            raise NotFinite(error.step, error.metrics, operation) from None
        return state, metrics

    return checked


def first_operation(function: Callable[..., Any], *arguments: Any) -> str | None:
    """Runs a function operation by operation until one returns NaN or, failing that, infinity.

    Returns:
        What it takes to find it: operation, file, line and code. None where there is none.
    """
    for debug in (jax.debug_nans, jax.debug_infs):
        try:
            with jax.disable_jit(), debug(True):
                function(*arguments)
        except FloatingPointError as error:
            return _described(error)
    return None


def _described(error: FloatingPointError) -> str:
    """JAX's message and the innermost line of this package.

    An operation of the backward pass has, as the error's cause, the place in the forward pass that
    it is the derivative of.
    """
    causes = [cause for cause in (error, error.__cause__) if cause is not None]
    frames = [f for cause in causes for f in traceback.extract_tb(cause.__traceback__)]
    ours = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents]
    text = str(error).split(". Depending on")[0].splitlines()[0]
    if not ours:
        return text
    frame = ours[-1]
    place = Path(frame.filename).relative_to(_PACKAGE.parent)
    return f"{text} at {place}:{frame.lineno} in {frame.name}: {frame.line}"
