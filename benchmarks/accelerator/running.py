"""Runs cases in order while there is time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from benchmarks.accelerator.results import Outcome
from benchmarks.accelerator.worker import CaseFailed, OutOfTime


class Case(NamedTuple):
    """One thing to measure.

    Attributes:
        name: in results and tables; unique.
        process: consecutive cases with the same word share a process.
        function: `"module:function"`, called with the arguments.
        arguments: of the function.
        seconds: the least time it takes; it is not started with less time left.
        environment: variables of its process.
    """

    name: str
    process: str
    function: str
    arguments: Mapping[str, Any]
    seconds: float = 5.0
    environment: Mapping[str, str] = {}


class Calls(Protocol):
    """What a `Worker` can do."""

    @property
    def alive(self) -> bool:
        """Whether it still accepts calls."""
        ...

    def call(self, function: str, arguments: Mapping[str, Any], seconds: float) -> Any:
        """See `Worker.call`."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


def run(
    cases: Iterable[Case],
    *,
    seconds: float,
    clock: Callable[[], float],
    start: Callable[[Mapping[str, str]], Calls],
    report: Callable[[Outcome], object],
) -> list[str]:
    """Runs the cases, each in the process that it asks for; one process is alive at a time.

    A case that fails or dies does not affect the others. One that is still running when the time is
    up is cut off; one that needs more than the time left is skipped in favour of shorter ones.

    Args:
        cases: most important first.
        seconds: for all of them.
        clock: returns the time in seconds.
        start: starts a process with these environment variables.
        report: called at once with the outcome of each case that was started.

    Returns:
        The names of the cases that were not started.
    """
    end, left_out = clock() + seconds, []
    worker: Calls | None = None
    process = ""
    try:
        for case in cases:
            begun = clock()
            if end - begun < case.seconds:
                left_out.append(case.name)
                continue
            if worker is not None and (case.process != process or not worker.alive):
                worker.close()
                worker = None
            if worker is None:
                worker, process = start(case.environment), case.process
            print(f"{case.name}: {end - begun:.0f} s left", file=sys.stderr, flush=True)
            result, problem = None, None
            try:
                result = worker.call(case.function, case.arguments, end - begun)
            except OutOfTime:
                problem = f"cut off after {clock() - begun:.0f} s, when the time was up"
            except CaseFailed as failure:
                problem = str(failure)
            report(Outcome(case.name, result, problem, clock() - begun))
    finally:
        if worker is not None:
            worker.close()
    return left_out
