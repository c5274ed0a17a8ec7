"""What has been measured so far: a file that grows by a line with each case."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

FILE = "results.jsonl"


class Outcome(NamedTuple):
    """The outcome of a case.

    Attributes:
        name: of the case.
        result: what it returned, None if it failed.
        problem: why it failed, None if it did not.
        seconds: how long it took.
        revision: of the code that was measured, None outside a repository.
    """

    name: str
    result: Any
    problem: str | None
    seconds: float
    revision: str | None = None


class Results:
    """The outcomes in DIR/results.jsonl, each written as soon as it is known.

    An interrupted run may have left an incomplete last line: it is terminated, and then ignored.
    """

    def __init__(self, folder: Path) -> None:
        """Creates the folder and terminates an incomplete line."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / FILE
        if self._file.exists() and not self._file.read_bytes().endswith(b"\n"):
            self._append("\n")

    def add(self, outcome: Outcome) -> None:
        """Appends an outcome; it is on disk when this returns."""
        self._append(json.dumps(outcome._asdict()) + "\n")

    def _append(self, text: str) -> None:
        with self._file.open("a") as lines:
            lines.write(text)
            lines.flush()
            os.fsync(lines.fileno())


def read(folder: Path) -> dict[str, Outcome]:
    """The latest outcome of each case; a result is not replaced by a later failure."""
    outcomes: dict[str, Outcome] = {}
    file = folder / FILE
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue  # an incomplete line
        before = outcomes.get(outcome.name)
        if before is None or before.result is None or outcome.result is not None:
            outcomes[outcome.name] = outcome
    return outcomes
