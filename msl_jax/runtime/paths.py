"""Paths as users type them, made absolute in one place before anything is read or written."""

from __future__ import annotations

import os
from pathlib import Path

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.text import has_controls, one_line


def absolute(path: str | Path) -> Path:
    """The path with ``~`` expanded, without ``.`` and ``..``, from the root.

    tensorstore refuses ``..``, and a run must be found again from any working folder. Links before
    a ``..`` are followed, since it leads above what they lead to; the others are left as they are.

    Raises:
        UserError: it has line breaks or other control characters.
    """
    if has_controls(str(path)):
        raise UserError(f"{one_line(str(path))}: expected a path without control characters")
    parts = Path(os.path.expanduser(path)).parts
    end = max((place for place, part in enumerate(parts, 1) if part == ".."), default=0)
    return Path(os.path.realpath(Path(*parts[:end])), *parts[end:])


def in_utf8(path: str | Path, what: str) -> Path:
    """The absolute path of a folder for libraries whose paths are UTF-8.

    Args:
        path: as it was typed.
        what: the flag or kind of path, for the message.

    Raises:
        UserError: its name is not valid UTF-8.
    """
    found = absolute(path)
    try:
        str(found).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{what} {str(found)!a}: arrays cannot be stored below a folder whose name is not valid"
            " UTF-8; rename it, or give another"
        ) from error
    return found


def storable(path: str | Path, what: str) -> Path:
    """The absolute path of a folder that arrays can be written to or read from.

    Args:
        path: as it was typed.
        what: the flag or kind of path, for the message.

    Raises:
        UserError: tensorstore cannot address it. It takes a backslash for a separator, so that the
            arrays would end up elsewhere, and its paths are UTF-8.
    """
    found = in_utf8(path, what)
    text = str(found)
    if "\\" in text:
        raise UserError(
            f"{what} {text}: arrays cannot be stored below a folder with a backslash in its name;"
            " rename it, or give another"
        )
    return found
