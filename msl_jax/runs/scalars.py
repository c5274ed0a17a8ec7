"""The scalars that a stage logs: one JSON object per line, in ``logs/STAGE/metrics.jsonl``.

A line has a step and values logged at it, by name: ``{"step": 20, "loss/source/final": 1.5}``. A
step may have several lines; a value that is not finite is null.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msl_jax.runtime.files import atomic_write, open_file, remove_partial

NAME = "metrics.jsonl"
# What the names of shares of pixels end with; they are no parts of the loss.
SHARE = "_share"
# Before the number or the name of a class in those of what a teacher gives each class.
LABELS = "/labels/"

_TOO_LARGE = 1e38  # for anything that is logged

Points = dict[int, float]


class ScalarLog:
    """Appends to the file of a stage."""

    def __init__(self, folder: Path, start: int) -> None:
        """Removes the lines of an earlier process after step `start`: these steps are repeated.

        A stage that begins, at 0, begins with an empty file.

        Args:
            folder: of the stage's logs; created if it is missing.
            start: step that the stage resumes from.

        Raises:
            OSError: the file cannot be written, or something else lies in its place.
        """
        self._path = folder / NAME
        if self._path.is_symlink():  # what it leads to is not ours
            raise OSError(errno.ELOOP, "a symbolic link; put a copy in its place", str(self._path))
        folder.mkdir(parents=True, exist_ok=True)
        remove_partial(folder)
        kept = b"".join(line.text + b"\n" for line in _lines(self._path) if line.step <= start > 0)
        if _content(self._path) != kept or not self._path.exists():
            with atomic_write(self._path) as partial:
                partial.write_bytes(kept)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a line; a kill of this process does not lose it.

        Raises:
            OSError: it cannot be written.
        """
        numbers = {name: value if math.isfinite(value) else None for name, value in values.items()}
        # Opened for each line, so that closing it shows whether all of it was written.
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **numbers}, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Waits until all lines have reached the disk, so that a power cut does not lose them."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


def read_scalars(folder: Path) -> dict[str, Points]:
    """All scalars of a stage.

    Incomplete lines, such as the last one of a killed run, are skipped.

    Args:
        folder: of the stage's logs; need not exist.

    Returns:
        Values by step for each name, steps ascending; without those that are no finite float32.

    Raises:
        OSError: the file cannot be read.
    """
    found: dict[str, Points] = {}
    for line in sorted(_lines(folder / NAME), key=lambda line: line.step):
        for name, value in line.values.items():
            if isinstance(value, int | float) and abs(value) < _TOO_LARGE:
                found.setdefault(name, {})[line.step] = value
    return found


class _Line(NamedTuple):
    text: bytes
    step: int
    values: dict[str, Any]


def _content(path: Path) -> bytes:
    """What a file holds, nothing if it does not exist."""
    if not path.exists():
        return b""
    with open_file(path) as file:
        return file.read()


def _lines(path: Path) -> list[_Line]:
    """The complete lines of a file; none if it does not exist."""
    found = []
    for text in _content(path).split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(text)  # a part of an object is not JSON
            step = values.pop("step", None) if isinstance(values, dict) else None
            if isinstance(step, int) and 0 <= step < _TOO_LARGE:
                found.append(_Line(text, step, values))
    return found
