"""A lock between processes that is gone when its holder ends, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], object]) -> Iterator[None]:
    """Holds a lock, for which others wait.

    On file systems that know no locks nothing waits: callers must not rely on being alone for more
    than to save work.

    Args:
        path: file of the lock, made with its folder where it is missing. The holder may delete it.
        on_wait: called before waiting for another process; what it raises ends the attempt.

    Raises:
        OSError: the file cannot be made.
    """
    with _acquire(path, on_wait):
        yield


def _acquire(path: Path, on_wait: Callable[[], object]) -> BinaryIO:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("ab")
        except FileNotFoundError:  # the holder has deleted the folder in the meantime
            continue
        with contextlib.ExitStack() as stack:
            stack.enter_context(file)
            _lock(file, on_wait)
            if _is_at(file, path):
                stack.pop_all()
                return file
            # else the file was deleted by the one that was waited for


def _lock(file: BinaryIO, on_wait: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):  # no locks here
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
