"""Seconds of a round: over as many rounds as a time limit allows, or over a fixed number."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.support.reporting import summary

_WARM_UP, _LEAST, _MOST = 2, 3, 50


def time_rounds(
    run: Callable[[], object], seconds: float, finish: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Median and extremes of the seconds of a round.

    Args:
        run: does one round; may return before the device has finished if the next round waits.
        seconds: for all rounds that count; at least three and at most fifty are made.
        finish: waits for the device, before the first round that counts and after the last.
    """
    _warm_up(run)
    finish()
    taken: list[float] = []
    while len(taken) < _LEAST or (sum(taken) < seconds and len(taken) < _MOST):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    finish()
    return {**summary(taken), "rounds": len(taken)}


def mean_seconds(run: Callable[[], object], rounds: int) -> float:
    """Mean seconds of a round, over consecutive rounds: also counts what takes long now and then.

    Args:
        run: see `time_rounds`.
        rounds: that count.
    """
    _warm_up(run)
    begun = time.perf_counter()
    for _ in range(rounds):
        run()
    return (time.perf_counter() - begun) / rounds


def _warm_up(run: Callable[[], object]) -> None:
    for _ in range(_WARM_UP):
        run()
