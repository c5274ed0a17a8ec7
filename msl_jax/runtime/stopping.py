"""SIGTERM and SIGINT (Ctrl-C): how a command is asked to stop, and when it does.

A command that has nothing to lose runs in `at_once()`: `Stopped` is raised wherever it is. Work
that wants to keep something first runs in `delayed()` and asks `requested()` when it suits. A
second SIGINT ends the process at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """The work has stopped because a signal asked for it; the text says what was kept, if any.

    No `Exception`: what handles errors must not take it for one.
    """


class _Process:
    """What this process has been asked for; signals belong to a process, so there is only one."""

    received: signal.Signals | None = None
    delayed = False
    raised = False  # `Stopped`, because of that
    arrived = False  # it, where it was waited for


_process = _Process()


def requested() -> bool:
    """Whether this process has been asked to stop."""
    return _process.received is not None


def lost() -> bool:
    """Whether `Stopped` was raised, but has not left `at_once`.

    An error that has is likely to come of it: modules in C++ make an `ImportError` of all that is
    raised while they are imported.
    """
    return _process.raised and not _process.arrived


@contextlib.contextmanager
def delayed(wanted: bool = True) -> Iterator[None]:
    """Signals only count for `requested` here; nothing is interrupted."""
    before = _process.delayed
    _process.delayed = wanted
    try:
        yield
    finally:
        _process.delayed = before


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """The opposite of `delayed`, for a part of it that can be done again.

    Raises:
        Stopped: the signal comes meanwhile, or has come before.
    """
    with delayed(False):
        try:
            if requested():
                _process.raised = True
                raise Stopped
            yield
        except Stopped:
            _process.arrived = True
            raise


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Handles the signals while a command runs; for the main thread.

    As in `delayed`: `at_once` says what may be interrupted, so that none comes while the handlers
    are set up or taken away.
    """
    with delayed():
        before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
        # Python's handlers wait while XLA compiles; a thread that reads the numbers does not.
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        watching = threading.Thread(target=_watch, args=(reading,), daemon=True)
        watching.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(writing)  # ends the thread
            watching.join()
            os.close(reading)
            _process.received, _process.raised, _process.arrived = None, False, False


def exit_code() -> int:
    """128 and the number of the signal that came first, as of a process that a signal ended.

    That of SIGTERM where another process of the run was asked.
    """
    return 128 + (_process.received or signal.SIGTERM)


def name() -> str:
    """What asked first: the name of a signal."""
    return _process.received.name if _process.received else "a signal to another process"


def _interrupt(number: int, _frame: object) -> None:
    first = not requested()
    _process.received = _process.received or signal.Signals(number)
    if first and not _process.delayed:
        _process.raised = True
        raise Stopped


def _watch(reading: int) -> None:
    """Tells that the work goes on for a moment, and leaves when SIGINT comes again."""
    interrupts, told = 0, False
    while numbers := os.read(reading, 16):
        interrupts += numbers.count(signal.SIGINT)
        if interrupts > 1:
            os._exit(128 + signal.SIGINT)
        goes_on = _process.delayed and not _process.raised
        if goes_on and not told and set(numbers) & set(SIGNALS):
            told = True
            print("stopping; Ctrl-C once more leaves at once", file=sys.stderr, flush=True)
