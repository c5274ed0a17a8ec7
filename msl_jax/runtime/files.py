"""Files and folders: errors that tell a user what is wrong, and atomic writing and removal."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msl_jax.runtime.errors import UserError


def expect_readable(path: Path) -> None:
    """Checks that a file can be opened.

    Raises:
        UserError: it does not exist, is a folder, or may not be read.
    """
    try:
        open_file(path).close()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def open_file(path: Path) -> io.BufferedReader:
    """Opens a file to read bytes; never waits for one that is a pipe.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        OSError: as `open_file`.
        ValueError: it is not UTF-8.
    """
    with open_file(path) as file:
        return file.read().decode()


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        UserError: the file cannot be read or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


# Bytes of arrays for one of a file. Arrays may be compressed, share storages and repeat elements,
# but files that unfold beyond this are made to fill the memory.
_MOST_UNFOLDED = 4


def expect_plausible(claimed: int, size: int, allowed: int, name: str, advice: str) -> None:
    """Checks how large arrays are said to be, before memory is asked for.

    Args:
        claimed: bytes of the arrays.
        size: bytes of the files that hold them.
        allowed: bytes that any file may claim on top.
        name: what the message begins with.
        advice: what it ends with.

    Raises:
        UserError: they claim more than the files can honestly hold.
    """
    if claimed > _MOST_UNFOLDED * size + allowed:
        raise UserError(
            f"{name}refused. Its arrays are said to take {claimed:,} bytes, but on disk there are"
            f" {size:,}; expected at most {_MOST_UNFOLDED} times as many. {advice}"
        )


def make_folder(folder: Path, flag: str) -> None:
    """Creates a folder that a flag names, unless it exists.

    Raises:
        UserError: it cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot be written ({error.strerror})") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"{flag} {folder}: cannot be written (permission denied)")


_LONGEST = 230  # bytes of a name in that of its partial file
_PARTIAL = re.compile(r"\.(?P<start>.+)\.[0-9a-f]{8}\.partial", re.DOTALL)


def partial_name(name: str, token: str) -> str:
    """What a file is called while it is written: a name of at most 255 bytes.

    Args:
        name: what it will be called.
        token: 8 hexadecimal digits, which tell the writers of one file apart.
    """
    return f".{_start(name)}.{token}.partial"


def _start(name: str) -> str:
    return os.fsencode(name)[:_LONGEST].decode(errors="ignore")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path for a file or a folder, which is renamed to `path` at the end.

    By then all of it has reached the disk, so that not even a power cut leaves an incomplete
    `path`. After an error nothing is left behind, and what a killed process has left of an earlier
    attempt is removed first. An existing file is replaced; an existing folder is not, unless it is
    empty.
    """
    new = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        with _writing(path):
            yield partial
            flush(partial)
            partial.replace(path)
        for folder in (path, *new):  # names are kept in the folders above
            flush_one(folder.parent)
    except BaseException as error:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # the error of a full disk does not name the file
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a file completely or not at all, in UTF-8 wherever it runs."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON completely or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def atomic_remove(folder: Path) -> None:
    """Removes a folder, renamed first, so that nothing incomplete ever has its name.

    Raises:
        OSError: it cannot be renamed.
    """
    shutil.rmtree(folder.replace(_partial(folder)), ignore_errors=True)


def remove_partial(folder: Path, names: Iterable[str] | None = None) -> None:
    """Removes what `atomic_write` and `atomic_remove` left in `folder` when they were killed.

    Args:
        folder: in which nobody writes now.
        names: of files and folders; default: of all.
    """
    wanted = None if names is None else set(map(_start, names))
    for path in folder.iterdir() if folder.is_dir() else ():
        ours = _PARTIAL.fullmatch(path.name)
        if ours is None or not (wanted is None or ours["start"] in wanted):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Removes what killed processes have left of `path`.

    Who writes holds a shared lock on the folder. Where nobody does, an unfinished file belongs to
    nobody either. Process numbers would not tell: those of containers repeat.

    Who holds it alone is either removing, which takes a moment, or another program, such as
    `flock FOLDER COMMAND`, for which nobody waits: nothing is removed either while it does.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # somebody writes there, or there are no locks
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_partial(path.parent, [path.name])
        with contextlib.suppress(OSError):
            for _ in range(10):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    break
                time.sleep(0.01)
        yield
    finally:
        os.close(folder)


def _partial(path: Path) -> Path:
    # Not the number of the process: the first one of every container has number 1.
    return path.with_name(partial_name(path.name, uuid.uuid4().hex[:8]))


def flush(path: Path) -> None:
    """Waits until a file, or a folder with everything in it, has reached the disk."""
    if path.is_dir():
        for inside in path.iterdir():
            flush(inside)
    flush_one(path)


def flush_one(path: Path) -> None:
    """Waits until a file, or the names in a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems flush folders themselves and do not support the call.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
