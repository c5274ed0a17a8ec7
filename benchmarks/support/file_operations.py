"""Sees the file operations that this process begins below a folder, each before it is done.

Opening a file to write, making, renaming and removing, by Python's audit events, and `os.fsync`.
What libraries write by their own C++ code lies between two such operations and is not seen itself.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Event -> places of its (path, descriptor of the folder that the path begins in).
_PATHS = {
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
}


def watch(root: Path, seen: Callable[[str, Path], None]) -> None:
    """Calls `seen(operation, path)` before each operation below `root`, from now to the end.

    One call at a time; other threads wait for it. Operations of `seen` itself are not seen.

    Args:
        root: absolute, without links.
        seen: may end the process.
    """
    lock, inside = threading.Lock(), threading.local()

    def notice(operation: str, paths: Iterator[str]) -> None:
        if getattr(inside, "now", False):
            return
        below = [path for path in paths if path.startswith(f"{root}/")]
        if not below:
            return
        with lock:
            inside.now = True
            try:
                seen(operation, Path(below[0]))
            finally:
                inside.now = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") or (mode is None and flags & _WRITES)
            if writes and isinstance(path, str | bytes | os.PathLike):
                notice("open", iter([os.path.abspath(os.fsdecode(path))]))
        elif event in _PATHS:
            notice(event.removeprefix("os."), _named(_PATHS[event], arguments))

    fsync = os.fsync

    def watched(file: Any) -> None:
        number = file if isinstance(file, int) else file.fileno()
        notice("fsync", iter([os.readlink(f"/proc/self/fd/{number}")]))
        fsync(file)

    os.fsync = cast(Any, watched)
    sys.addaudithook(hook)


def _named(places: Any, arguments: tuple[Any, ...]) -> Iterator[str]:
    """The absolute paths among the arguments of an event."""
    for place, folder in places:
        path = arguments[place]
        if isinstance(path, str | bytes | os.PathLike):
            descriptor = -1 if folder is None else arguments[folder]
            begins = os.readlink(f"/proc/self/fd/{descriptor}") if descriptor >= 0 else ""
            yield os.path.abspath(os.path.join(begins, os.fsdecode(path)))
