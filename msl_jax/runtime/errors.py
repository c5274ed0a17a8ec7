"""The exceptions for what a user can put right."""

from __future__ import annotations


class UserError(Exception):
    """A problem in what the user gave: a file, a key, a command line.

    The message names the file or key, what was expected, what was found and what to do. The
    command lines print it without a traceback and leave with a non-zero exit code.
    """


class DamagedError(UserError):
    """Files of this program that are not as they were written; others may stand in for them."""
