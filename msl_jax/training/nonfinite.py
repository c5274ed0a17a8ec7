"""Losses that are not finite: noticed in every step, and where they begin."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from msl_jax.training.state import TrainState
from msl_jax.training.step import AXIS, Passes, TrainStep, train_step

_PACKAGE = Path(__file__).parents[1]


class NotFinite(Exception):
    """The metrics of a step are not all finite.

    Attributes:
        step: number of the step, from 1.
        metrics: of that step.
        operation: where it began, if it was looked for.
    """

    def __init__(self, step: int, metrics: Mapping[str, float], operation: str | None = None):
        """See the attributes."""
        parts = ", ".join(f"{name} = {value:g}" for name, value in metrics.items())
        super().__init__(f"the loss is not finite at step {step}: {parts}")
        self.step, self.metrics, self.operation = step, metrics, operation


def expect_finite(metrics: Mapping[str, Any], step: int) -> None:
    """Waits for the metrics of a step.

    Raises:
        NotFinite: one of them is not a finite number.
    """
    values = {name: float(value) for name, value in metrics.items()}
    if not all(map(math.isfinite, values.values())):
        raise NotFinite(step, values)


def searching(
    step: TrainStep,
    passes: Passes,
    optimizer: optax.GradientTransformation,
    accumulate: int = 1,
) -> TrainStep:
    """A step that waits for its metrics and, if they are not finite, finds out where that began.

    It keeps a copy of the state for that, so it needs more memory and time.

    Args:
        step: the compiled step.
        passes: what it was made of, as are the other arguments; see `train_step`.
        optimizer: see there.
        accumulate: see there.
    """

    def checked(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Any]]:
        before = jax.tree.map(jnp.copy, state)
        state, metrics = step(state, batch)
        try:
            expect_finite(metrics, int(state.step))
        except NotFinite as error:

            def again(stats: Any, batch: Any) -> Any:
                return train_step(passes, optimizer, stats, batch, accumulate=accumulate)

            # Devices become an axis of arrays, so that every operation runs for itself.
            operation = first_operation(jax.vmap(again, (None, 0), axis_name=AXIS), before, batch)
            raise NotFinite(error.step, error.metrics, operation) from None
        return state, metrics

    return checked


def first_operation(function: Callable[..., Any], *arguments: Any) -> str | None:
    """Runs a function operation by operation until one gives NaN or, without any, infinity.

    Returns:
        What a reader needs to find it: operation, file, line and code. None where there is none.
    """
    for debug in (jax.debug_nans, jax.debug_infs):
        try:
            with jax.disable_jit(), debug(True):
                function(*arguments)
        except FloatingPointError as error:
            return _described(error)
    return None


def _described(error: FloatingPointError) -> str:
    """JAX's message and the innermost line of this package."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents]
    text = str(error).split(". Depending on")[0].splitlines()[0]
    if not ours:
        return text
    frame = ours[-1]
    place = Path(frame.filename).relative_to(_PACKAGE.parent)
    return f"{text} at {place}:{frame.lineno} in {frame.name}: {frame.line}"
