"""A process that calls functions and can be killed in the middle of one."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any


class CaseFailed(Exception):
    """The function raised or its process died; the message is one line that says what is known."""


class OutOfTime(Exception):
    """The function did not return in time; its process has been killed."""


class Worker:
    """Calls `"module:function"`s in a separate process, one after the other.

    The process survives from call to call, so that libraries and device are initialised once. What
    it prints, tracebacks included, goes to standard error. It ends with this process, together with
    all processes that its functions have started.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Starts the process.

        Args:
            environment: variables in addition to those of this process.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, dict(environment)))
        self._process.start()
        theirs.close()

    def call(self, function: str, arguments: Mapping[str, Any], seconds: float) -> Any:
        """Returns the function's result, which fits into JSON.

        Raises:
            CaseFailed: it failed; the process can still be used, unless it died.
            OutOfTime: there was no result after this many seconds.
        """
        try:
            self._connection.send((function, dict(arguments)))
            if not self._connection.poll(max(seconds, 0.0)):
                self.close()
                raise OutOfTime
            succeeded, result = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            raise CaseFailed(f"the process ended with exit status {code}") from None
        if not succeeded:
            raise CaseFailed(result)
        return result

    @property
    def alive(self) -> bool:
        """Whether it still accepts calls."""
        return self._process.is_alive()

    def close(self) -> None:
        """Kills the process and those that it has started; may be called again."""
        if self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):  # no group yet, or no longer
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()


def end_with_parent() -> None:
    """Asks the system to kill this process when its parent dies; does nothing if it cannot."""
    with contextlib.suppress(OSError, AttributeError):
        set_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def _serve(connection: Connection, environment: dict[str, str]) -> None:
    os.setsid()  # its own process group, which can be killed as a whole
    end_with_parent()
    os.environ.update(environment)
    os.dup2(2, 1)  # results go through the connection; standard output belongs to the command
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            name, arguments = connection.recv()
            connection.send(_called(name, arguments))


def _called(name: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
    module, _, function = name.partition(":")
    try:
        return True, getattr(importlib.import_module(module), function)(**arguments)
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        return False, f"{type(error).__name__}: {lines[-1][:300]}"
