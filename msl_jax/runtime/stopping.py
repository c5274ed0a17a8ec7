"""SIGTERM and SIGINT (Ctrl-C): how a command is asked to stop, and when it does.

A command that has nothing to lose runs in `at_once()`: `Stopped` is raised wherever it is. Work
that has to save something first runs in `delayed()` and checks `requested()` when it can stop. A
second SIGINT ends the process immediately.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_AGAIN_S = 0.05  # until a process that could not be interrupted, or dropped it, is again
_TOLD_AFTER = 20  # times: then it is said that stopping takes a moment


class Stopped(BaseException):
    """The work has stopped because of a signal; the text says what was saved, if anything.

    Not an `Exception`, so that no error handler catches it.
    """


class _Process:
    """What this process was asked to do; signals belong to a process, so there is only one."""

    received: signal.Signals | None = None
    delayed = False
    raised = False  # whether `Stopped` was raised
    meanwhile: BaseException | None = None  # what was being handled then
    arrived = False  # whether it has reached `at_once`
    outermost: FrameType | None = None  # in which the signals are handled


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
        _process.outermost = sys._getframe(2)  # behind this generator and contextlib
        before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
        # Python's handlers do not run while XLA compiles; a thread that reads the numbers does.
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        watching = threading.Thread(target=_watch, args=(reading, threading.get_ident()))
        watching.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            os.close(writing)  # ends the thread, which must not signal other handlers
            watching.join()
            os.close(reading)
            for number, handler in before.items():
                signal.signal(number, handler)
            _process.received, _process.raised, _process.arrived = None, False, False
            _process.meanwhile, _process.outermost = None, None


def exit_code() -> int:
    """128 plus the number of the first signal, as for a process that was killed by it.

    That of SIGTERM if another process of the run received the signal.
    """
    return 128 + (_process.received or signal.SIGTERM)


def name() -> str:
    """Name of the first signal."""
    return _process.received.name if _process.received else "a signal to another process"


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raises `Stopped`, and again where it was dropped before it reached `at_once`.

    Python ignores what is raised in callbacks of objects that end, and code in C that calls Python
    may do so too (measured: in every fifth stop during the first seconds of a training). `_watch`
    calls again until it has arrived.
    """
    _process.received = _process.received or signal.Signals(number)
    if _process.delayed or _process.arrived or _is_uninterruptible(frame):
        return
    handled_now = sys.exception()
    if _is_on_its_way(handled_now):
        return
    _process.raised, _process.meanwhile = True, handled_now
    raise Stopped


def _is_on_its_way(handled_now: BaseException | None) -> bool:
    """Whether the process is being left already, so that its cleaning up is not disturbed.

    By what was raised here, whatever other code has made of it, or by work that has stopped itself.
    """
    if _process.raised:
        return handled_now not in (None, _process.meanwhile)
    while handled_now is not None and not isinstance(handled_now, Stopped):
        handled_now = handled_now.__context__
    return handled_now is not None


def _is_uninterruptible(frame: FrameType | None) -> bool:
    """Whether the command imports a module, or Python's garbage is collected.

    An exception would leave a module in C, such as NumPy's or ml_dtypes', half initialized, and the
    process would end with a segmentation fault (measured: in every sixth stop during ``import
    jax``), or abort it (PyTorch's modules call each other through C++). In a callback of the
    collector it would be ignored, with a traceback.
    """
    callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
    while frame is not None and frame is not _process.outermost:
        if frame.f_code in callbacks:
            return True
        if frame.f_code.co_name in ("create_module", "exec_module") and isinstance(
            frame.f_locals.get("self"), ExtensionFileLoader | SourceFileLoader
        ):
            return True
        frame = frame.f_back
    return False


def _watch(reading: int, main: int) -> None:
    """Interrupts again, says that stopping takes a moment, and ends on a second SIGINT."""
    interrupts, waited, told, pending = 0, 0, False, False
    while True:
        again = _AGAIN_S if pending and not _process.arrived else None
        if select.select([reading], [], [], again)[0]:
            numbers = os.read(reading, 16)
            if not numbers:
                return
            pending = pending or bool(set(numbers) & set(SIGNALS))
            interrupts += numbers.count(signal.SIGINT)
            if interrupts > 1:
                os._exit(128 + signal.SIGINT)
        else:
            waited += 1
            if requested() and not _process.delayed:
                signal.pthread_kill(main, signal.SIGTERM)
        goes_on = _process.delayed and not _process.raised
        if pending and not told and (goes_on or waited > _TOLD_AFTER):
            told = True
            print("stopping; press Ctrl-C again to quit at once", file=sys.stderr, flush=True)
