"""`train.py` in its own process, with its progress read from what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.support.measuring import ROOT

# A line of msl_jax.experiment.log.StageLog: title, steps made, steps in all.
_PROGRESS = re.compile(r"(\S+) (\d+)/\d+  ")


class Progress(NamedTuple):
    """A line of progress: when it was printed, in which stage, after how many steps."""

    time: float
    stage: str
    step: int


class TrainingProcess:
    """A training run; a context manager, which kills it on exit.

    Attributes:
        started: time of the start, by `time.monotonic`.
        progress: its lines of progress so far.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Starts `train.py`.

        Args:
            arguments: of its command line.
            environment: variables in addition to those of this process.
        """
        self.started = time.monotonic()
        self.progress: list[Progress] = []
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *arguments],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> TrainingProcess:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kills the process if it is still running."""
        self._process.kill()
        self.wait()

    @property
    def pid(self) -> int:
        """ID of the process."""
        return self._process.pid

    @property
    def printed(self) -> str:
        """What it has printed to standard error."""
        return "".join(self._lines)

    def wait(self, seconds: float | None = None) -> int | None:
        """Waits for its end, up to a limit; returns its exit status, None while it is running."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reading.join()
        return status

    def expect_success(self, status: int | None) -> None:
        """Checks an exit status.

        Raises:
            RuntimeError: it is not 0; the message has what was printed.
        """
        if status != 0:
            raise RuntimeError(f"train.py ended with status {status}:\n{self.printed}")

    def send(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._lines.append(line)
                if match := _PROGRESS.match(line):
                    self.progress.append(Progress(time.monotonic(), match[1], int(match[2])))
