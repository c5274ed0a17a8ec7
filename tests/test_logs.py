"""Logs of stages that were interrupted, and logs that cannot be written."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from disks import fill
from tensorboardX.proto.event_pb2 import Event, SessionLog

from msl_jax.experiment.log import StageLog
from msl_jax.runs.scalars import read_scalars
from msl_jax.runtime.errors import UserError


def _events(path: Path) -> Iterator[Event]:
    data = path.read_bytes()
    while data:  # length, its checksum, the event, its checksum
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def _event_files(folder: Path) -> list[Path]:
    """In the order of TensorBoard."""
    return sorted(folder.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("start", [0, 7])
def test_steps_that_are_made_again_are_shown_once(tmp_path: Path, start: int) -> None:
    """The file begins by telling TensorBoard to forget later steps of earlier files."""
    with StageLog("a", tmp_path, 0, 20) as log:
        log.log(start + 1, {"source/final": 9.0}, 0.1)
    with StageLog("a", tmp_path, start, 20) as log:
        log.log(start + 1, {"source/final": 0.5}, 0.1)
    _, path = _event_files(tmp_path)
    events = list(_events(path))
    session = [event for event in events if event.HasField("session_log")]
    assert [(e.step, e.session_log.status) for e in session] == [
        (start + 1 if start else 0, SessionLog.START)
    ]
    values = {v.tag: v.simple_value for event in events for v in event.summary.value}
    assert values["loss/source/final"] == 0.5
    assert values["learning_rate"] == np.float32(0.1)
    assert set(values) == {"learning_rate", "loss/source/final", "speed/steps_per_second"}
    assert events.index(session[0]) < len(events) - 2
    assert read_scalars(tmp_path)["loss/source/final"] == {start + 1: 0.5}


def test_a_stage_that_begins_again_logs_its_beginning_once(tmp_path: Path) -> None:
    for value in (0.5, 0.25):
        with StageLog("a", tmp_path, 0, 20) as log:
            log.scalars(0, {"miou/target": value})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 0, "miou/target": 0.25}\n'


def test_both_files_hold_the_same_scalars(tmp_path: Path) -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    with StageLog("a", tmp_path, 0, 20) as log:
        for step in (5, 10):
            log.log(step, {"source/final": step / 3, "target/guided_share": step / 70}, 0.1)
        log.scalars(10, {"miou/target": 0.125, "teacher/iou/target/car": 0.25})
        log.picture(10, "target", picture)
        log.scalars(15, {})  # an evaluation without labels
    found: dict[str, dict[int, float]] = {}
    pictures = []
    for event in _events(_event_files(tmp_path)[0]):
        for value in event.summary.value:
            if value.HasField("image"):
                pictures.append((value.tag, value.image.height, value.image.width, event.step))
            else:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    assert pictures == [("target", 4, 6, 10)]
    scalars = read_scalars(tmp_path)
    assert found.keys() == scalars.keys()
    shares = {"miou/target", "teacher/iou/target/car", "target/guided_share"}
    assert (
        shares | {"learning_rate", "loss/source/final", "speed/steps_per_second"} == scalars.keys()
    )
    for name, points in scalars.items():
        factor = 100 if name in shares else 1  # TensorBoard shows percent
        expected = {step: np.float32(factor * value) for step, value in points.items()}
        assert found[name] == expected
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_metrics_of_classes_have_their_names(tmp_path: Path, capfd) -> None:
    """They are kept, and too many for the console."""
    with StageLog("a", tmp_path, 0, 20, classes=("road", "sky")) as log:
        log.log(5, {"mixed/final": 0.5, "teacher/labels/1_share": 0.25, "own/labels/x": 0}, 0.1)
    assert read_scalars(tmp_path)["teacher/labels/sky_share"] == {5: 0.25}
    assert read_scalars(tmp_path)["loss/own/labels/x"] == {5: 0}
    shown = capfd.readouterr().err
    assert "mixed/final 0.5" in shown
    assert "labels" not in shown


def test_a_kill_loses_no_scalar(tmp_path: Path) -> None:
    with StageLog("a", tmp_path, 0, 20) as log:
        log.log(5, {"source/final": 0.5}, 0.1)
        (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["loss/source/final"] == 0.5


def test_what_was_kept_before_a_checkpoint_is_in_both_files(tmp_path: Path) -> None:
    with StageLog("a", tmp_path, 0, 20) as log:
        log.scalars(5, {"miou/target": 0.5})
        log.flush()
        *_, event = _events(_event_files(tmp_path)[0])
    assert event.summary.value[0].tag == "miou/target"


def test_other_processes_write_nothing(tmp_path: Path, capfd) -> None:
    with StageLog("a", tmp_path / "logs", 0, 20, shown=False) as log:
        log.log(5, {"source/final": 0.5}, 0.1)
        log.picture(5, "target", np.zeros((4, 6, 3), np.uint8))
        log.flush()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


# What is written when the room ends: scalars are in `metrics.jsonl` first, pictures in the event
# file alone.
_WRITES = {
    "scalars": lambda log, step: log.scalars(step, {"miou/target": 0.5}),
    "pictures": lambda log, step: log.picture(step, "target", _NOISE),
    "flush": lambda log, step: (log.picture(step, "target", _NOISE[:8, :8]), log.flush()),
}
_NOISE = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)


@pytest.mark.parametrize("write", _WRITES)
def test_full_disk(mounted, capfd, write: str) -> None:
    """One message, at once; the same command continues when there is room."""
    folder = mounted("size=1m") / "logs"
    threads = threading.active_count()
    with StageLog("a", folder, 0, 20) as log:
        assert threading.active_count() == threads  # none that could die unseen
        log.scalars(1, {"miou/target": 0.25})

    def write_until_full(start: int) -> None:
        with StageLog("a", folder, start, 20) as log:
            fill(folder / "filler")
            for step in range(2, 200):
                _WRITES[write](log, step)

    for _ in range(2):
        with pytest.raises(UserError) as caught:
            write_until_full(1)
        place, _, said = str(caught.value).partition(": the log cannot be written ")
        assert place in {str(folder), f"{folder}/metrics.jsonl"}
        assert said.startswith("(No space left on device); once it can be")
    assert capfd.readouterr() == ("", "")
    (folder / "filler").unlink()
    with StageLog("a", folder, 1, 20) as log:
        log.scalars(2, {"miou/target": 0.75})
    assert read_scalars(folder)["miou/target"] == {1: 0.25, 2: 0.75}


def test_read_only_disk(mounted) -> None:
    folder = mounted("size=1m") / "logs"
    mounted("remount,ro")
    with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)"):
        StageLog("a", folder, 0, 9)
