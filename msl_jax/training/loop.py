"""The loop over steps: knows when to log, evaluate and stop, not what is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from msl_jax.errors import UserError
from msl_jax.training.state import TrainState
from msl_jax.training.step import TrainStep


def fit(
    state: TrainState,
    step: TrainStep,
    batches: Iterator[Any],
    *,
    steps: int,
    log_every: int,
    eval_every: int,
    on_step: Callable[[int], None],
    on_log: Callable[[int, dict[str, float]], None],
    on_evaluate: Callable[[TrainState], None],
) -> TrainState:
    """Trains from `state.step` to `steps`.

    Args:
        state: where to start; its memory is given away.
        step: one step on one batch.
        batches: endless.
        steps: total number of steps.
        log_every: steps between calls of `on_log`.
        eval_every: steps between calls of `on_evaluate`; the last step always has one.
        on_step: called with the number of steps made.
        on_log: called with the number of steps and the mean metrics since the last call.
        on_evaluate: called with the state, once all its metrics are known to be finite; keeps
            checkpoints.

    Returns:
        The state after the last step.

    Raises:
        UserError: a metric is not finite; nothing of that step has been kept.
    """
    made = int(state.step)
    window: list[dict[str, Any]] = []
    while made < steps:
        state, metrics = step(state, next(batches))
        made += 1
        window.append(metrics)
        if len(window) > 1:
            # One step behind: to wait for the newest figures would leave the device idle.
            _check_finite(window[-2], made - 1)
        on_step(made)
        evaluate = made % eval_every == 0 or made == steps
        if made % log_every == 0 or evaluate:
            window = [jax.device_get(parts) for parts in window]
            _check_finite(window[-1], made)
            on_log(made, {key: float(np.mean([p[key] for p in window])) for key in metrics})
            window = []
        if evaluate:
            on_evaluate(state)
    return state


def _check_finite(metrics: dict[str, Any], step: int) -> None:
    values = {name: float(value) for name, value in metrics.items()}
    if not all(np.isfinite(value) for value in values.values()):
        parts = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        raise UserError(
            f"the loss is not finite at step {step}: {parts}. The last checkpoint is kept."
            " Start again in another --workdir with a lower config.learning_rate (with"
            " --config.init_from=WORKDIR:source where the source-only stage is finished) or"
            " config.source_learning_rate; --config.debug=true names the operation."
        )
