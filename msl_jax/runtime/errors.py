"""The exceptions for what a user can fix."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class UserError(Exception):
    """A problem in what the user gave: a file, a key, a command line.

    The message names the file or key, what was expected, what was found and what to do. The
    command lines print it without a traceback and leave with a non-zero exit code.
    """


def out_of_resources(error: Exception) -> bool:
    """Whether the process ran out of memory, threads or open files; no file is to blame for that.

    >>> out_of_resources(RuntimeError("can't start new thread"))
    True
    """
    if isinstance(error, OSError):
        return error.errno in (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN)
    return isinstance(error, MemoryError) or "can't start new thread" in str(error)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A part of a message, where one of the names that there are is near; else empty.

    >>> did_you_mean("maxsquare", ["minent", "max_square"])
    '; did you mean max_square?'
    """
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


class DamagedError(UserError):
    """Files of this program that are not as they were written; others may replace them."""
