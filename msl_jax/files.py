"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from msl_jax.errors import UserError


def expect_readable(path: Path) -> None:
    """Tries to open a file.

    Raises:
        UserError: it does not exist, is a folder, or may not be read.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def partial_name(name: str, process: int | str) -> str:
    """What a file is called while a process writes it."""
    return f".{name}.{process}.partial"


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields another path to write to, a file or a folder, that becomes `path` at the end.

    After an error nothing is left behind. An existing file is replaced; an existing folder is not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(partial_name(path.name, os.getpid()))
    try:
        yield partial
        partial.replace(path)
    except BaseException as error:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk does not say which
        raise
