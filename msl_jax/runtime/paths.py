"""Paths as users type them, made absolute in one place before anything is read or written."""

from __future__ import annotations

import os
from pathlib import Path

from msl_jax.runtime.errors import UserError


def absolute(path: str | Path) -> Path:
    """The path with ``~`` expanded, without ``.`` and ``..``, from the root.

    tensorstore refuses ``..``, and a run must be found again from any working folder. Links are
    left as they are.
    """
    return Path(os.path.abspath(os.path.expanduser(path)))


def storable(path: str | Path, what: str) -> Path:
    """The absolute path of a folder that arrays can be written to or read from.

    Args:
        path: as it was typed.
        what: the flag or kind of path, for the message.

    Raises:
        UserError: tensorstore cannot address it. It takes a backslash for a separator, so that the
            arrays would end up elsewhere, and its paths are UTF-8.
    """
    found = absolute(path)
    text = str(found)
    if "\\" in text:
        raise UserError(
            f"{what} {text}: arrays cannot be stored below a folder with a backslash in its name;"
            " rename it, or give another"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{what} {text!a}: arrays cannot be stored below a folder whose name is not valid"
            " UTF-8; rename it, or give another"
        ) from error
    return found
