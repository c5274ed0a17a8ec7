"""The figures in TensorBoard's event files, without TensorBoard."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboardX.proto.event_pb2 import Event, SessionLog

# A record is its length (8 bytes), a checksum of the length (4), the event, and its checksum (4).
_HEAD, _TAIL = struct.Struct("<Q4x"), 4

Points = dict[int, float]


def read_scalars(folder: Path) -> dict[str, Points]:
    """All figures below `folder`, as TensorBoard shows them.

    A file that begins a continued run makes later steps of earlier files void: they were made
    again.

    Args:
        folder: of event files; need not exist.

    Returns:
        Values by step for each name, steps ascending.

    Raises:
        OSError: a file cannot be read.
    """
    found: dict[str, Points] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):  # their names hold the time
        for event in _events(path):
            if event.session_log.status == SessionLog.START:
                for points in found.values():
                    for step in [step for step in points if step >= event.step]:
                        del points[step]
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, {})[event.step] = value.simple_value
    return {name: dict(sorted(points.items())) for name, points in found.items() if points}


def _events(path: Path) -> Iterator[Event]:
    """The events of a file up to its end, or up to where a killed run or damage has cut it."""
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size
        while left >= _HEAD.size:
            (length,) = _HEAD.unpack(file.read(_HEAD.size))
            left -= _HEAD.size + length + _TAIL
            if left < 0:
                return
            try:
                yield Event.FromString(file.read(length))
            except DecodeError:
                return
            file.read(_TAIL)
