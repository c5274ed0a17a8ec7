"""A file that TensorBoard shows."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import RecordWriter, summary
from tensorboardX.proto.event_pb2 import Event, SessionLog

# A kill loses what came in so many seconds; each flush waits for the disk.
_FLUSH_SECONDS = 1.0


class EventFile:
    """A new event file of one process.

    It is written here and not by tensorboardX's `SummaryWriter`, whose thread ends when the disk is
    full; the training would then wait for it forever.
    """

    def __init__(self, folder: Path, start: int) -> None:
        """Opens the file; in its name is the time, by which TensorBoard orders files.

        Args:
            folder: must exist.
            start: step that the stage continues from: TensorBoard forgets what earlier files have
                after it, or everything if the stage begins.

        Raises:
            OSError: the file cannot be made.
        """
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
        self._records = RecordWriter(str(folder / name))
        self._flushed = time.monotonic()
        repeated = start + 1 if start else 0
        self._add(repeated, file_version="brain.Event:2")
        self._add(repeated, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds scalars.

        Raises:
            OSError: they cannot be written.
        """
        for name, value in values.items():
            self._add(step, summary=summary.scalar(name, value))
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self.flush()

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Adds a picture uint8 `[H, W, 3]`.

        Raises:
            OSError: it cannot be written.
        """
        self._add(step, summary=summary.image(name, picture, dataformats="HWC"))

    def flush(self) -> None:
        """Waits until everything has reached the disk.

        Raises:
            OSError: it cannot be written.
        """
        self._records.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Writes what is left.

        Raises:
            OSError: it cannot be written; the file is closed all the same.
        """
        self._records.close()

    def _add(self, step: int, **content: Any) -> None:
        event = Event(wall_time=time.time(), step=step, **content)
        self._records.write(event.SerializeToString())
