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
from types import TracebackType
from typing import Any, NamedTuple

from msl_jax.checkpoints import Checkpoints
from msl_jax.errors import UserError
from msl_jax.runs import STOPPED
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
    """The checkpoints of a stage; use as a context manager."""

    def __init__(self, workdir: Path, stage: str) -> None:
        """Opens those that exist; writes nothing."""
        self.evaluated = Checkpoints(workdir / stage)
        self._folder = workdir / STOPPED / stage

    def __enter__(self) -> Kept:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Frees what the checkpoints hold."""
        self.evaluated.close()

    def restore(self, start: TrainState) -> Place:
        """The place of the newest checkpoint, or the beginning where there is none.

        Args:
            start: the state before the first step.

        Raises:
            UserError: the checkpoint is damaged.
        """
        latest = self.evaluated.latest
        with contextlib.closing(Checkpoints(self._folder)) as stopped:
            step = stopped.latest
            if step is not None and (latest is None or step > latest):
                try:
                    state, batches = stopped.restore(step, start)
                    return Place(state, batches, stopped.metrics(step)["window"], evaluated=False)
                except UserError as error:
                    if latest is None:
                        raise
                    print(f"{error}; continuing after step {latest} instead", file=sys.stderr)
        if latest is None:
            return Place(start, batches=None, window=(), evaluated=False)
        return Place(*self.evaluated.restore(latest, start), window=(), evaluated=True)

    def save(self, state: TrainState, batches: Any, metrics: dict[str, Any]) -> None:
        """Keeps a state that was evaluated; arguments as of `Checkpoints.save`."""
        self.evaluated.save(state, batches, metrics)
        shutil.rmtree(self._folder, ignore_errors=True)  # is older
        with contextlib.suppress(OSError):  # it holds the other stage
            self._folder.parent.rmdir()

    def save_stopped(self, state: TrainState, batches: Any, window: Window) -> None:
        """Keeps a state that was not evaluated, unless it is kept already."""
        step = int(state.step)
        if step == self.evaluated.latest:
            return
        with contextlib.closing(Checkpoints(self._folder)) as stopped:
            if step not in stopped.steps:
                stopped.save(state, batches, {"target": None, "window": list(window)})

    def results(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Metrics of the last evaluation and of the best one, with their steps.

        There is no best one where the target has no labels.
        """
        last, best = self.evaluated.latest, self.evaluated.best()
        assert last is not None
        final = {**self.evaluated.metrics(last), "step": last}
        return final, best and {"target": best[1]["target"], "step": best[0]}
