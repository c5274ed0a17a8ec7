"""What a stage of a run has kept of itself, and where it continues.

Evaluations leave checkpoints in ``WORKDIR/STAGE``. A stage that was asked to stop between two of
them leaves one without metrics in ``WORKDIR/stopped/STAGE``, which goes when the next evaluation
has left its own: whether a run was stopped can be seen in none of its final files.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.workdir import STOPPED
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import DamagedError
from msl_jax.training.state import TrainState

Window = Sequence[dict[str, float]]


class Place(NamedTuple):
    """Where a stage continues.

    Attributes:
        state: of the training.
        batches: place of the input iterator, None at the beginning.
        window: metrics of the steps since the last log.
        evaluated: whether there are metrics of an evaluation of this state.
    """

    state: TrainState
    batches: Any
    window: Window
    evaluated: bool


class Kept:
    """The checkpoints of a stage."""

    def __init__(self, workdir: Path, stage: str, *, keep_every: int = 0) -> None:
        """Looks at those that exist; writes nothing. `keep_every`: see `Checkpoints`."""
        self.evaluated = Checkpoints(workdir / stage, keep_every=keep_every)
        self._folder = workdir / STOPPED / stage

    def restore(self, start: TrainState) -> Place:
        """The place of the newest checkpoint, or the beginning; all processes, the first one reads.

        Args:
            start: the state before the first step.

        Raises:
            UserError: there are evaluated checkpoints, but all are damaged, or of another network.
        """
        state, rest = parallel.read_by_first(lambda: self._newest(start), start)
        return Place(state, **rest)

    def _newest(self, start: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The state of `Place`, and the rest of it."""
        stopped = Checkpoints(self._folder)
        step = stopped.latest
        if step is not None and step > (self.evaluated.latest or 0):
            try:
                state, batches = stopped.restore(step, start)
                window = stopped.metrics(step)["window"]
                return state, {"batches": batches, "window": window, "evaluated": False}
            except DamagedError as error:  # the steps before it are made once more
                print(f"{error}; kept as {stopped.set_aside(step).name}", file=sys.stderr)
        if (newest := self.evaluated.restore_newest(start)) is not None:
            state, batches = newest
            return state, {"batches": batches, "window": [], "evaluated": True}
        return start, {"batches": None, "window": [], "evaluated": False}

    def save(self, state: TrainState, batches: Any, metrics: dict[str, Any]) -> None:
        """Keeps a state that was evaluated, as `Checkpoints.save`; one process calls it."""
        self.evaluated.save(state, batches, metrics)
        shutil.rmtree(self._folder, ignore_errors=True)  # is older
        with contextlib.suppress(OSError):  # it holds the other stage
            self._folder.parent.rmdir()

    def save_stopped(self, state: TrainState, batches: Any, window: Window) -> None:
        """Keeps a state that was not evaluated, unless it is kept already; one process calls it."""
        step = int(state.step)
        if step == self.evaluated.latest:
            return
        stopped = Checkpoints(self._folder)
        if step not in stopped.steps:
            self._folder.parent.mkdir(exist_ok=True)
            stopped.save(state, batches, {"target": None, "window": list(window)})

    def results(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Metrics of the last evaluation and of the best one, with their steps.

        There is no best one where the target has no labels.
        """
        last, best = self.evaluated.latest, self.evaluated.best()
        assert last is not None
        final = {**self.evaluated.metrics(last), "step": last}
        return final, best and {"target": best[1]["target"], "step": best[0]}
