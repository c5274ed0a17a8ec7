"""Output whose reader has gone, as in ``python train.py | head -1``: the work goes on."""

from __future__ import annotations

import io
import os
import sys


class _Output(io.FileIO):
    """Writes to a file descriptor; to nowhere once nobody reads it any more."""

    def write(self, content: object) -> int:
        try:
            return super().write(content)  # type: ignore[arg-type]
        except BrokenPipeError:
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
