"""Seconds of a round, over as many rounds as fit into a little time."""

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
        run: does one round; it may leave the device at work if the next one waits for that.
        seconds: for all rounds that count; three are made whatever they take, fifty at most.
        finish: waits for the device, before the first round that counts and after the last.
    """
    for _ in range(_WARM_UP):
        run()
    finish()
    taken: list[float] = []
    while len(taken) < _LEAST or (sum(taken) < seconds and len(taken) < _MOST):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    finish()
    return {**summary(taken), "rounds": len(taken)}
