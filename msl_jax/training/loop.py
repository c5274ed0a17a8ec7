"""The loop over steps: knows when to log, evaluate and stop, not what is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from msl_jax.training.nonfinite import expect_finite, finite_variables
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
    stop_requested: Callable[[int], bool] = lambda made: False,
    recent_metrics: Sequence[dict[str, float]] = (),
) -> tuple[TrainState, list[dict[str, float]]]:
    """Trains from `state.step` to `steps`, or until it is asked to stop.

    Args:
        state: where to start; its memory is donated.
        step: one step on one batch.
        batches: endless.
        steps: total number of steps.
        log_every: steps between calls of `on_log`.
        eval_every: steps between calls of `on_evaluate`; the last step always has one.
        on_step: called with the number of steps made.
        on_log: called with the number of steps and the mean metrics since the last call.
        on_evaluate: called with the state, once all its metrics are known to be finite; keeps
            checkpoints.
        stop_requested: called with the number of steps made before each further step; where many
            hosts train together, all of them must get the same answer.
        recent_metrics: what an earlier call that was asked to stop has returned.

    Returns:
        The state after the last step or, if it was asked to stop, after the step in progress; and
        the metrics of the steps since the last call of `on_log`, all of them finite.

    Raises:
        NotFinite: a metric, or the network after a step, is not finite; nothing of that step has
            been kept.
    """
    made = int(state.step)
    metrics_since: list[dict[str, Any]] = list(recent_metrics)
    newest: tuple[Any, ...] | None = None  # what `expect_finite` takes
    while made < steps and not stop_requested(made):
        state, metrics = step(state, next(batches))
        made += 1
        metrics_since.append(metrics)
        before, newest = newest, (metrics, made, finite_variables(state))
        if before is not None:
            # One step behind: waiting for the newest figures would leave the device idle.
            expect_finite(*before)
        on_step(made)
        evaluate = evaluation_due(made, steps, eval_every)
        if made % log_every == 0 or evaluate:
            expect_finite(*newest)
            on_log(made, _means(_numbers(metrics_since)))
            metrics_since = []
        if evaluate:
            on_evaluate(state)
    if newest is not None:
        expect_finite(*newest)
    return state, _numbers(metrics_since)


def evaluation_due(made: int, steps: int, eval_every: int) -> bool:
    """Whether an evaluation follows step `made` of `steps`."""
    return made > 0 and (made % eval_every == 0 or made == steps)


def _numbers(window: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    return [{key: float(v) for key, v in metrics.items()} for metrics in jax.device_get(window)]


def _means(window: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([metrics[key] for metrics in window])) for key in window[-1]}
