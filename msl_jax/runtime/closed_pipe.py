"""Output that nobody can read any more: the work goes on.

Its reader has gone, as in ``python train.py | head -1``, or the disk that it goes to is full.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys

_STDERR = 2  # its descriptor


class _Output(io.FileIO):
    """Writes to a file descriptor; to nowhere once that fails."""

    def write(self, content: object) -> int:
        try:
            return super().write(content)  # type: ignore[arg-type]
        except OSError as error:
            if not isinstance(error, BrokenPipeError) and self.fileno() != _STDERR:
                note = f"note: stdout cannot be written ({error.strerror}); the work goes on\n"
                with contextlib.suppress(OSError):
                    os.write(_STDERR, note.encode())
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # for libraries too, which write there themselves
            os.close(nowhere)
            return super().write(content)  # type: ignore[arg-type]


def outlived() -> None:
    """From now on, a closed pipe behind stdout or stderr ends nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue  # replaced by a notebook or a test
        if isinstance(getattr(stream.buffer, "raw", None), _Output):
            continue
        stream.flush()
        raw = _Output(stream.fileno(), "w", closefd=False)
        new = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
        )
        setattr(sys, name, new)
