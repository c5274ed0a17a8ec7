"""Frames of a video, where imageio and ffmpeg are installed."""

from __future__ import annotations

import builtins
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msl_jax.data.video import Video
from msl_jax.runtime.errors import UserError

# imageio leaves pipes to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def test_frames_in_order(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    imageio = importlib.import_module("imageio.v2")
    path = tmp_path / "drive.mp4"
    with imageio.get_writer(path, "ffmpeg", fps=10) as writer:
        for i in range(5):
            writer.append_data(np.full((64, 96, 3), 50 * i, np.uint8))
    video = Video(path)
    assert (video.size, video.frames) == ((64, 96), 5)
    frames = list(video.read())
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    assert [round(frame.mean() / 50) for frame in frames] == [0, 1, 2, 3, 4]


def test_frames_at_changing_distances(tmp_path: Path) -> None:
    """As many come as are counted: none is repeated where the next one is late."""
    pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    imageio = importlib.import_module("imageio.v2")
    late = ["-vf", "setpts=N/10/TB+gt(N\\,2)*3/TB", "-fps_mode", "vfr"]
    path = tmp_path / "drive.mkv"
    with imageio.get_writer(path, "ffmpeg", fps=10, output_params=late) as writer:
        for i in range(5):
            writer.append_data(np.full((64, 96, 3), 50 * i, np.uint8))
    video = Video(path)
    assert video.frames == 5
    assert [round(frame.mean() / 50) for frame in video.read()] == [0, 1, 2, 3, 4]


def test_file_that_is_no_video(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    (tmp_path / "drive.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"drive\.mp4: not a readable video"):
        Video(tmp_path / "drive.mp4")


def test_what_reads_videos_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.import_module

    def missing(name: str, *args: Any) -> Any:
        if name.startswith("imageio"):
            raise builtins.ModuleNotFoundError(name)
        return original(name, *args)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match=r'pip install -e "\.\[video\]"'):
        Video(tmp_path / "drive.mp4")
