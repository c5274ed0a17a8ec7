"""What has been measured so far: a file that grows by a line with each case."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

FILE = "results.jsonl"


class Outcome(NamedTuple):
    """What became of a case.

    Attributes:
        name: of the case.
        result: what it gave; None where it gave nothing.
        problem: why it gave nothing; None where it did.
        seconds: that it took.
        revision: of the code that was measured; None where it is in no repository.
    """

    name: str
    result: Any
    problem: str | None
    seconds: float
    revision: str | None = None


class Results:
    """The outcomes in DIR/results.jsonl, each written as soon as it is there.

    A run that was cut off may have left half a last line: it is ended, and read over from then on.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the folder and ends a broken line."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / FILE
        if self._file.exists() and not self._file.read_bytes().endswith(b"\n"):
            self._append("\n")

    def add(self, outcome: Outcome) -> None:
        """Writes one more; it is on the disk when this returns."""
        self._append(json.dumps(outcome._asdict()) + "\n")

    def _append(self, text: str) -> None:
        with self._file.open("a") as lines:
            lines.write(text)
            lines.flush()
            os.fsync(lines.fileno())


def read(folder: Path) -> dict[str, Outcome]:
    """The newest outcome of each case; one with a result is not replaced by a later failure."""
    outcomes: dict[str, Outcome] = {}
    file = folder / FILE
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue  # cut off while it was written
        before = outcomes.get(outcome.name)
        if before is None or before.result is None or outcome.result is not None:
            outcomes[outcome.name] = outcome
    return outcomes
