"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from msl_jax.runtime.errors import UserError


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

    By then all of it has reached the disk, so that not even a power cut leaves a part under that
    name. After an error nothing is left behind. An existing file is replaced; an existing folder
    is not, unless it is empty.
    """
    new = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
        for folder in (path, *new):  # their names lie in the folders above
            _flush_one(folder.parent)
    except BaseException as error:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk does not say which
        raise


def remove_whole(folder: Path) -> None:
    """Removes a folder: its name first, so that no part of it is ever seen under that name.

    Raises:
        OSError: it cannot be renamed.
    """
    shutil.rmtree(folder.replace(_partial(folder)), ignore_errors=True)


def remove_partial(folder: Path) -> None:
    """Removes what `written_whole` and `remove_whole` left in `folder` where they were killed."""
    for path in folder.glob(".*.partial"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(partial_name(path.name, os.getpid()))


def _flush(path: Path) -> None:
    """Waits until a file, or a folder with all that lies in it, has reached the disk."""
    if path.is_dir():
        for inside in path.iterdir():
            _flush(inside)
    _flush_one(path)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems flush folders by themselves and do not know the call.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
