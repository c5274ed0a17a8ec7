"""Frames of video files, read by imageio and its ffmpeg: the extra `video`."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from msl_jax.runtime import extras
from msl_jax.runtime.errors import UserError

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


class Video:
    """A video file that can be read.

    Attributes:
        path: the file.
        size: (height, width) of its frames.
        frames: their number.
    """

    def __init__(self, path: Path) -> None:
        """Counts the frames.

        Raises:
            UserError: the extra is not installed, or the file cannot be read.
        """
        self.path = path
        with _opened(path) as reader:
            width, height = reader.get_meta_data()["size"]
            self.size, self.frames = (height, width), int(reader.count_frames())

    def read(self) -> Iterator[np.ndarray]:
        """Yields the frames in order, uint8 `[H, W, 3]`.

        Raises:
            UserError: the file cannot be read to its end.
        """
        with _opened(self.path) as reader:
            for frame in reader:
                yield np.asarray(frame)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    # Otherwise it is started by Python code in a fork, which with JAX's threads may block.
    os.environ.setdefault("IMAGEIO_FFMPEG_NO_PREVENT_SIGINT", "1")
    try:
        imageio = importlib.import_module("imageio.v2")
        importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise UserError(
            f"{path}: videos are read by imageio with ffmpeg, which are not installed:"
            f" {extras.command('video')}"
        ) from error
    try:
        # Each frame as it is stored. By default ffmpeg repeats and drops some where their distance
        # changes, as in the videos of telephones: then numbers would not be those that are counted.
        passed = ["-fps_mode", "passthrough"]
        with imageio.get_reader(path, "ffmpeg", output_params=passed) as reader:
            yield reader
    except (OSError, ValueError, IndexError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[-1]  # after all that ffmpeg says of itself
        raise UserError(f"{path}: not a readable video ({reason}).") from error
