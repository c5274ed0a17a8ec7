"""The figures in TensorBoard's event files, without TensorBoard."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

# A record is its length, a checksum of the length, the event, and a checksum of the event.
_HEAD, _TAIL = struct.Struct("<QI"), struct.Struct("<I")
_LARGEST = 4096  # bytes of an event with figures: larger ones hold pictures

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
    """The small events of a file, up to where a killed run or damage has cut it."""
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size
        while left >= _HEAD.size:
            head = file.read(_HEAD.size)
            length, checksum = _HEAD.unpack(head)
            left -= _HEAD.size + length + _TAIL.size
            if left < 0 or checksum != masked_crc32c(head[:8]):
                return
            if length > _LARGEST:
                file.seek(length + _TAIL.size, os.SEEK_CUR)
                continue
            content = file.read(length)
            if _TAIL.unpack(file.read(_TAIL.size)) != (masked_crc32c(content),):
                return
            yield Event.FromString(content)
