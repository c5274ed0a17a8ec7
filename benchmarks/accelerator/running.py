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
        name: in results and tables; of one case alone.
        process: cases in a row with the same word share a process.
        function: `"module:function"`, called with the arguments.
        arguments: of the function.
        seconds: that it takes at least; it is not begun with less time left.
        environment: variables of its process.
    """

    name: str
    process: str
    function: str
    arguments: Mapping[str, Any]
    seconds: float = 5.0
    environment: Mapping[str, str] = {}


class Calls(Protocol):
    """What a `Worker` does."""

    @property
    def alive(self) -> bool:
        """Whether it can be called."""
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
    """Runs the cases, each in the process that it asks for; one process at a time is alive.

    A case that fails or dies does not end the others. One that is still running at the end of the
    time is cut off; one whose `seconds` are not left is passed over for shorter ones behind it.

    Args:
        cases: the most important first.
        seconds: for all of them.
        clock: gives seconds.
        start: makes a process with these variables.
        report: called with what became of each case that was begun, at once.

    Returns:
        The names of those that were not begun.
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
                problem = f"cut off after {clock() - begun:.0f} s, at the end of the time"
            except CaseFailed as failure:
                problem = str(failure)
            report(Outcome(case.name, result, problem, clock() - begun))
    finally:
        if worker is not None:
            worker.close()
    return left_out
