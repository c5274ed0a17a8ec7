"""Seconds of a round, over as many rounds as fit into a little time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.support.reporting import summary

_MOST, _LEAST = 50, 3


def time_rounds(run: Callable[[], object], seconds: float, warm_up: int = 2) -> dict[str, Any]:
    """Median and extremes of the seconds of a round.

    Args:
        run: does one round and returns when the device has finished it.
        seconds: for all rounds that count; three are made whatever they take, fifty at most.
        warm_up: rounds before, that do not count.
    """
    for _ in range(warm_up):
        run()
    taken: list[float] = []
    while len(taken) < _LEAST or (sum(taken) < seconds and len(taken) < _MOST):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return {**summary(taken), "rounds": len(taken)}
