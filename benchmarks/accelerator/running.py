"""Runs cases in order while there is time."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple, Protocol

from benchmarks.accelerator.results import Outcome
from benchmarks.accelerator.worker import CaseFailed, OutOfTime
from benchmarks.support.reporting import CORES

_SHARE_BESIDE = 0.6  # of the time left, for cases that run beside each other


class Case(NamedTuple):
    """One thing to measure.

    Attributes:
        name: in results and tables; of one case alone.
        process: cases in a row with the same word share a process.
        function: `"module:function"`, called with the arguments.
        arguments: of the function.
        seconds: that it takes at least; it is not begun with less time left.
        environment: variables of its process.
        beside: cases in a row of which this is true are run at the same time, each in a process of
            its own: those that measure no time.
    """

    name: str
    process: str
    function: str
    arguments: Mapping[str, Any]
    seconds: float = 5.0
    environment: Mapping[str, str] = {}
    beside: bool = False


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
    """Runs the cases, each in the process that it asks for.

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
    with contextlib.closing(_Processes(start)) as processes:
        for beside, together in itertools.groupby(cases, lambda case: case.beside):
            begun = []
            for case in together:
                if end - clock() < case.seconds:
                    left_out.append(case.name)
                elif beside:
                    begun.append(case)
                else:
                    _tell(f"{case.name}: {end - clock():.0f} s left")
                    report(_outcome(case, processes.of(case), end, clock))
            if begun:
                processes.close()  # the device is theirs
                _tell(f"{len(begun)} cases beside each other: {end - clock():.0f} s left")
                # They are for what comes behind them, too.
                soon = clock() + (end - clock()) * _SHARE_BESIDE
                for case, outcome in _beside(begun, start, soon, clock):
                    if outcome is None:
                        left_out.append(case.name)
                    else:
                        report(outcome)
    return left_out


class _Processes:
    """The one process that is alive, for cases that are measured alone."""

    def __init__(self, start: Callable[[Mapping[str, str]], Calls]) -> None:
        self._start = start
        self._worker: Calls | None = None
        self._name = ""

    def of(self, case: Case) -> Calls:
        """The process that the case asks for; another one is ended."""
        if self._worker is not None and (case.process != self._name or not self._worker.alive):
            self.close()
        if self._worker is None:
            self._worker, self._name = self._start(case.environment), case.process
        return self._worker

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._worker = None


def _beside(
    cases: Sequence[Case],
    start: Callable[[Mapping[str, str]], Calls],
    end: float,
    clock: Callable[[], float],
) -> Iterator[tuple[Case, Outcome | None]]:
    """What becomes of cases at the same time, as each of them ends; None of one not begun."""

    def one(case: Case) -> tuple[Case, Outcome | None]:
        if end - clock() < case.seconds:
            return case, None
        with contextlib.closing(start(case.environment)) as worker:
            return case, _outcome(case, worker, end, clock)

    with ThreadPoolExecutor(min(len(cases), max(2, CORES))) as threads:
        for done in as_completed([threads.submit(one, case) for case in cases]):
            yield done.result()


def _outcome(case: Case, worker: Calls, end: float, clock: Callable[[], float]) -> Outcome:
    begun = clock()
    result, problem = None, None
    try:
        result = worker.call(case.function, case.arguments, end - begun)
    except OutOfTime:
        problem = f"cut off after {clock() - begun:.0f} s, at the end of the time"
    except CaseFailed as failure:
        problem = str(failure)
    return Outcome(case.name, result, problem, clock() - begun)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
