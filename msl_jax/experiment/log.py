"""What a run shows while it works: a progress bar, console lines and TensorBoard."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from tensorboardX import SummaryWriter

# A kill loses what TensorBoard would have shown of so many seconds.
_FLUSH_SECONDS = 1


class StageLog:
    """Log of one training stage; use as a context manager.

    On a terminal a bar shows step, steps a second, time left and loss parts; in a file one line
    every `log` call does. TensorBoard gets the same figures and the pictures.
    """

    def __init__(
        self, title: str, folder: str | Path, start: int, steps: int, *, shown: bool = True
    ) -> None:
        """Opens the TensorBoard file below `folder`.

        Args:
            title: name of the stage.
            folder: where TensorBoard files go.
            start: steps made before.
            steps: steps of the whole stage.
            shown: if False, nothing is shown or written: another process does it.
        """
        self.console = Console(stderr=True, quiet=not shown)
        self._title = title
        self._steps = steps
        # What an earlier process has logged of later steps is not shown: they are made again.
        self._writer = SummaryWriter(
            str(folder),
            purge_step=start + 1,
            flush_secs=_FLUSH_SECONDS,
            write_to_disk=shown,
        )
        self._clock, self._clock_step = time.monotonic(), start
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[parts]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._progress.add_task(
            title, total=steps, completed=start, speed="", parts=""
        )

    def __enter__(self) -> StageLog:
        """Shows the bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the bar and closes the TensorBoard file."""
        self._progress.stop()
        self._writer.close()

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        self._progress.update(self._task, completed=step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows and keeps mean metrics of the steps since the last call."""
        now = time.monotonic()
        rate = (step - self._clock_step) / max(now - self._clock, 1e-9)
        self._clock, self._clock_step = now, step
        parts = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        speed = f"{rate:.2f} steps/s"
        self._progress.update(self._task, completed=step, speed=speed, parts=parts)
        if not self.console.is_terminal:
            left = datetime.timedelta(seconds=int((self._steps - step) / max(rate, 1e-9)))
            self.say(f"{self._title} {step}/{self._steps}  {speed}  {left} left  {parts}")
        for name, value in metrics.items():
            self._writer.add_scalar(f"loss/{name}", value, step)
        self._writer.add_scalar("speed/steps_per_second", rate, step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keeps further figures."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Keeps a picture uint8 `[H, W, 3]`."""
        self._writer.add_image(name, picture, step, dataformats="HWC")

    def flush(self) -> None:
        """Writes what TensorBoard shows to the disk, except for what came in the last moment."""
        self._writer.flush()

    def resume_clock(self, step: int) -> None:
        """Leaves the time since the last call, e.g. of an evaluation, out of the speed."""
        self._clock, self._clock_step = time.monotonic(), step

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
