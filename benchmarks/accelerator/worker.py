"""A process that calls functions and can be ended in the middle of one."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any


class CaseFailed(Exception):
    """The function raised, or its process died; the message is what is known of it."""


class OutOfTime(Exception):
    """The function did not return in time; its process has been ended."""


class Worker:
    """Calls `"module:function"` in a process of its own, one after the other.

    The process lives from call to call, so that a library and a device are started once. What it
    prints goes to the standard error output.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Starts the process.

        Args:
            environment: its variables, beside those of this process.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, dict(environment)))
        self._process.daemon = True  # ends with this process
        self._process.start()
        theirs.close()

    def call(self, function: str, arguments: Mapping[str, Any], seconds: float) -> Any:
        """The function's result, which JSON can carry.

        Raises:
            CaseFailed: with the end of the traceback; the process can be used on, unless it died.
            OutOfTime: there was none after so many seconds.
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
        """Whether it can be called."""
        return self._process.is_alive()

    def close(self) -> None:
        """Ends the process, whatever it does; a second time nothing is left to do."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Connection, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.dup2(2, 1)  # results go through the connection; the command's own output is not mixed
    while True:
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            name, arguments = connection.recv()
            connection.send(_called(name, arguments))
            continue
        return


def _called(name: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
    module, _, function = name.partition(":")
    try:
        return True, getattr(importlib.import_module(module), function)(**arguments)
    except Exception:
        text = traceback.format_exc()
        print(text, file=sys.stderr, flush=True)
        return False, text[-2000:]
