"""What a run shows and keeps while it works: a progress bar, console lines, scalars, pictures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from msl_jax.experiment.tensorboard import EventFile
from msl_jax.runs.metrics import TITLES
from msl_jax.runs.scalars import LABELS, SHARE, ScalarLog
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.progress import Bar, pace

# Parts of the names of metrics that are in [0, 1].
_METRICS = {*TITLES, "iou"}


def _in_percent(name: str) -> bool:
    return name.endswith(SHARE) or not _METRICS.isdisjoint(name.split("/")[:2])


class StageLog:
    """Log of one training stage; use as a context manager.

    On a terminal a bar shows step, steps a second and time left, and a line below it the loss
    parts; where the output is not a terminal, each `log` call prints a line. The same figures go to
    ``metrics.jsonl`` (see `msl_jax.runs.scalars`) and, with the pictures, to TensorBoard.

    Every method that keeps something raises UserError where it cannot be written.
    """

    def __init__(
        self,
        title: str,
        folder: str | Path,
        start: int,
        steps: int,
        *,
        shown: bool = True,
        classes: Sequence[str] = (),
    ) -> None:
        """Opens the files in `folder`. What an earlier process logged of steps after `start` goes.

        Args:
            title: name of the stage.
            folder: for the files; made if need be.
            start: steps made before.
            steps: steps of the whole stage.
            shown: if False, nothing is shown or written: another process does it.
            classes: their names, for metrics of single classes, which name their numbers.
        """
        self.console = Console(stderr=True, quiet=not shown)
        self._title, self._classes = title, classes
        self._steps = steps
        self._folder = Path(folder)
        self._scalars: ScalarLog | None = None
        self._events: EventFile | None = None
        if shown:
            with self._writing():
                self._scalars = ScalarLog(self._folder, start)
                self._events = EventFile(self._folder, start)
        self._clock, self._clock_step = time.monotonic(), start
        self._compiling = self._advanced = False
        self._bar = Bar(title, steps, done=start, unit="step", console=self.console)

    def __enter__(self) -> StageLog:
        """Shows the bar."""
        self._bar.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Removes the bar and closes the files."""
        self._bar.stop()
        # A disk that is full fails once more here: the first error is the one to be reported.
        with contextlib.suppress(OSError) if error else self._writing():
            if self._events:
                self._events.close()

    def compiling(self) -> None:
        """Says that the first step waits for the compiler; that is no part of the speed."""
        if self._advanced:  # it has been compiled
            return
        self._compiling = True
        self._bar.tell("compiling the first step")
        if not self.console.is_terminal:
            self.say(f"{self._title}: compiling the first step")

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        self._bar.move(step)
        self._advanced = True
        if self._compiling:
            self._compiling = False
            self._bar.tell("")
            self.resume_clock(step)

    def log(self, step: int, metrics: Mapping[str, float], learning_rate: float) -> None:
        """Shows and keeps mean metrics of the steps since the last call, and the rate of the last.

        There is no speed where the compiled step is the only one.
        """
        rate = (step - self._clock_step) / max(time.monotonic() - self._clock, 1e-9)
        self.resume_clock(step)
        metrics = {self._named(name): value for name, value in metrics.items()}
        shown = {name: value for name, value in metrics.items() if LABELS not in name}
        parts = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        self._bar.move(step)
        self._bar.tell(parts, rate or None)
        if not self.console.is_terminal:
            speed = pace(rate, self._steps - step, "step") + "  " if rate else ""
            self.say(f"{self._title} {step}/{self._steps}  {speed}{parts}")
        parts_of_loss = {
            name if name.endswith(SHARE) else f"loss/{name}": value
            for name, value in metrics.items()
        }
        speeds = {"speed/steps_per_second": rate} if rate else {}
        self.scalars(step, {**parts_of_loss, **speeds, "learning_rate": learning_rate})

    def _named(self, metric: str) -> str:
        before, found, number = metric.removesuffix(SHARE).partition(LABELS)
        if not found or not number.isdecimal():  # a metric of one's own method
            return metric
        return f"{before}{LABELS}{self._classes[int(number)]}{SHARE}"

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keeps further figures; TensorBoard shows metrics and shares in percent."""
        with self._writing():
            if self._scalars and values:
                self._scalars.write(step, values)
            if self._events:
                self._events.scalars(
                    step, {n: 100 * v if _in_percent(n) else v for n, v in values.items()}
                )

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Keeps a picture uint8 `[H, W, 3]`."""
        with self._writing():
            if self._events:
                self._events.picture(step, name, picture)

    def flush(self) -> None:
        """Waits until all that was kept has reached the disk."""
        with self._writing():
            if self._scalars and self._events:
                self._scalars.flush()
                self._events.flush()

    def resume_clock(self, step: int) -> None:
        """Leaves the time since the last call, e.g. of an evaluation, out of the speed."""
        self._clock, self._clock_step = time.monotonic(), step

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turns a failed write into one message."""
        try:
            yield
        except OSError as error:
            place = error.filename or self._folder
            raise UserError(
                f"{place}: the log cannot be written ({error.strerror}); once it can be, the same"
                " command continues from the last checkpoint"
            ) from error
