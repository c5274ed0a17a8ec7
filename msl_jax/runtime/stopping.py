"""SIGTERM and SIGINT (Ctrl-C): how a command is asked to stop, and when it does.

A command that has nothing to lose runs in `at_once()`: `Stopped` is raised wherever it is. Work
that has to save something first runs in `delayed()` and checks `requested()` when it can stop. A
second SIGINT ends the process immediately.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_IMPORT_S = 0.05  # until it is seen again whether a module in C is still being imported


class Stopped(BaseException):
    """The work has stopped because of a signal; the text says what was saved, if anything.

    Not an `Exception`, so that no error handler catches it.
    """


class _Process:
    """What this process was asked to do; signals belong to a process, so there is only one."""

    received: signal.Signals | None = None
    delayed = False
    raised = False  # whether `Stopped` was raised
    arrived = False  # whether it has reached `at_once`
    again: threading.Timer | None = None  # interrupts once a module in C is imported


_process = _Process()


def requested() -> bool:
    """Whether this process has been asked to stop."""
    return _process.received is not None


def swallowed() -> bool:
    """Whether `Stopped` was raised, but something else came out of `at_once`.

    C++ code that calls Python may turn whatever is raised there into an error of its own.
    """
    return _process.raised and not _process.arrived


@contextlib.contextmanager
def delayed(wanted: bool = True) -> Iterator[None]:
    """Signals only set `requested` here; nothing is interrupted."""
    before = _process.delayed
    _process.delayed = wanted
    try:
        yield
    finally:
        _process.delayed = before


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """The opposite of `delayed`, for a part that can be repeated.

    Raises:
        Stopped: a signal arrives meanwhile, or has arrived before.
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

    As in `delayed`: only what runs in `at_once` is interrupted, never the setting up and removal of
    the handlers.
    """
    with delayed():
        before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
        # Python's handlers do not run while XLA compiles; a thread that reads the numbers does.
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        watching = threading.Thread(target=_watch, args=(reading,), daemon=True)
        watching.start()
        try:
            yield
        finally:
            if _process.again is not None:
                _process.again.cancel()
                _process.again.join()
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(writing)  # ends the thread
            watching.join()
            os.close(reading)
            _process.received, _process.again = None, None
            _process.raised, _process.arrived = False, False


def exit_code() -> int:
    """128 plus the number of the first signal, as for a process that was killed by it.

    That of SIGTERM if another process of the run received the signal.
    """
    return 128 + (_process.received or signal.SIGTERM)


def name() -> str:
    """Name of the first signal."""
    return _process.received.name if _process.received else "a signal to another process"


def _interrupt(number: int, frame: FrameType | None) -> None:
    first, waited = not requested(), _process.again is not None
    _process.received = _process.received or signal.Signals(number)
    if _process.delayed or _process.raised or not (first or waited):
        return
    if _imports_extension(frame):
        # As SIGTERM, since a second SIGINT would be one of the user's.
        _process.again = threading.Timer(_IMPORT_S, os.kill, (os.getpid(), signal.SIGTERM))
        _process.again.start()
        return
    _process.raised = True
    raise Stopped


def _imports_extension(frame: FrameType | None) -> bool:
    """Whether a module in C is being imported, such as NumPy's or ml_dtypes'.

    An exception would leave it half initialized, and the process would end with a segmentation
    fault (measured: in every sixth stop during ``import jax``).
    """
    while frame is not None:
        if frame.f_code.co_name in ("create_module", "exec_module") and isinstance(
            frame.f_locals.get("self"), ExtensionFileLoader
        ):
            return True
        frame = frame.f_back
    return False


def _watch(reading: int) -> None:
    """Says that stopping takes a moment, and ends the process on a second SIGINT."""
    interrupts, told = 0, False
    while numbers := os.read(reading, 16):
        interrupts += numbers.count(signal.SIGINT)
        if interrupts > 1:
            os._exit(128 + signal.SIGINT)
        goes_on = _process.delayed and not _process.raised
        if goes_on and not told and set(numbers) & set(SIGNALS):
            told = True
            print("stopping; press Ctrl-C again to quit at once", file=sys.stderr, flush=True)
