"""A lock between processes, released when its holder ends, however that happens."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], object]) -> Iterator[None]:
    """Holds a lock, for which others wait.

    On file systems without locks nobody waits: callers may rely on being alone only to avoid doing
    work twice.

    Args:
        path: file of the lock; created, with its folder, if it is missing. The holder may delete
            it.
        on_wait: called before waiting for another process; what it raises ends the attempt.

    Raises:
        OSError: the file cannot be created, or something else is at its place, such as a link of
            either kind: the holder writes into it.
    """
    with _acquire(path, on_wait):
        yield


def _acquire(path: Path, on_wait: Callable[[], object]) -> BinaryIO:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Not through a link, and without waiting for the reader of a pipe.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            file = os.fdopen(os.open(path, flags, 0o666), "ab")
        except FileNotFoundError:  # the holder has deleted the folder in the meantime
            continue
        with contextlib.ExitStack() as stack:
            stack.enter_context(file)
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            if status.st_nlink > 1:
                raise OSError(errno.EMLINK, "a hard link to another file; remove it", str(path))
            _lock(file, on_wait)
            if _is_at(file, path):
                stack.pop_all()
                return file
            # Otherwise the previous holder has deleted the file.


def _lock(file: BinaryIO, on_wait: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):  # a file system without locks
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
