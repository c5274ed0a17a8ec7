"""TensorBoard files of runs that were interrupted."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from msl_jax.experiment.log import StageLog


def _events(folder: Path) -> Iterator[Event]:
    (path,) = folder.iterdir()
    data = path.read_bytes()
    while data:  # length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


@pytest.mark.parametrize("start", [0, 7])
def test_steps_that_are_made_again_are_shown_once(tmp_path: Path, start: int) -> None:
    """The file begins by telling TensorBoard to forget later steps of earlier files."""
    with StageLog("a", tmp_path, start, 20) as log:
        log.log(start + 1, {"source/final": 0.5})
    events = list(_events(tmp_path))
    session = [event for event in events if event.HasField("session_log")]
    assert [(e.step, e.session_log.status) for e in session] == [(start + 1, SessionLog.START)]
    names = [value.tag for event in events for value in event.summary.value]
    assert names == ["loss/source/final", "speed/steps_per_second"]
    assert events.index(session[0]) < len(events) - 2
