"""The checkpoints of a stage of a run, and the point from which it resumes.

Each evaluation leaves a checkpoint in ``WORKDIR/STAGE``. A stage that was asked to stop between two
evaluations leaves one without metrics in ``WORKDIR/stopped/STAGE``, which is deleted when the next
evaluation has left its own: none of a run's final files shows whether it was stopped.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.workdir import STOPPED
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import DamagedError
from msl_jax.runtime.files import remove_partial
from msl_jax.training.state import TrainState

RecentMetrics = Sequence[dict[str, float]]


class ResumePoint(NamedTuple):
    """Where a stage resumes.

    Attributes:
        state: of the training.
        batches: position of the input iterator, None at the beginning.
        recent_metrics: of the steps since the last log line.
        evaluated: whether this state has been evaluated.
    """

    state: TrainState
    batches: Any
    recent_metrics: RecentMetrics
    evaluated: bool


class StageCheckpoints:
    """The checkpoints of a stage: those of its evaluations, and the one of a stop."""

    def __init__(self, workdir: Path, stage: str, *, keep_every: int = 0) -> None:
        """Finds those that exist; writes nothing. `keep_every`: see `Checkpoints`."""
        self.evaluated = Checkpoints(workdir / stage, keep_every=keep_every)
        self._folder = workdir / STOPPED / stage

    def restore(self, start: TrainState) -> ResumePoint:
        """The newest checkpoint, or the beginning; all processes call it, the first one reads.

        Args:
            start: the state before the first step.

        Raises:
            UserError: all evaluated checkpoints are damaged, or they belong to another network.
        """
        state, rest = parallel.read_by_first(lambda: self._newest(start), start)
        return ResumePoint(state, **rest)

    def _newest(self, start: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The state of a `ResumePoint`, and its other fields."""
        point = self._read_newest(start)
        self._remove_old(int(point[0].step))
        return point

    def _read_newest(self, start: TrainState) -> tuple[TrainState, dict[str, Any]]:
        stopped = Checkpoints(self._folder)
        step = stopped.latest
        if step is not None and step > (self.evaluated.latest or 0):
            try:
                self.evaluated.check_best()  # which the next evaluation is compared with
                state, batches = stopped.restore(step, start)
                recent = _recent(stopped, step)
                return state, {"batches": batches, "recent_metrics": recent, "evaluated": False}
            except DamagedError as error:  # the steps since the last evaluation are repeated
                aside = stopped.set_aside(step).name
                print(f"{error}; what a stop has left is kept as {aside}", file=sys.stderr)
        if (newest := self.evaluated.restore_newest(start)) is not None:
            state, batches = newest
            return state, {"batches": batches, "recent_metrics": [], "evaluated": True}
        return start, {"batches": None, "recent_metrics": [], "evaluated": False}

    def save(self, state: TrainState, batches: Any, metrics: dict[str, Any]) -> None:
        """Saves a state that was evaluated, as `Checkpoints.save` does; one process calls it."""
        self.evaluated.save(state, batches, metrics)
        self._remove_stopped()

    def _remove_old(self, step: int) -> None:
        """Removes what a process that was killed in its last moments could not, before `step`."""
        if self.evaluated.latest is not None:
            with contextlib.suppress(DamagedError):  # the next evaluation will find it
                self.evaluated.remove_old()
        remove_partial(self._folder)
        if step == self.evaluated.latest:
            self._remove_stopped()

    def _remove_stopped(self) -> None:
        """Removes the stop's checkpoint, which is no newer than the last evaluation."""
        stopped = Checkpoints(self._folder)
        with contextlib.suppress(OSError):  # a damaged one is there, or the other stage has one
            for step in stopped.steps:
                stopped.remove(step)
            self._folder.rmdir()
            self._folder.parent.rmdir()

    def save_stopped(self, state: TrainState, batches: Any, recent_metrics: RecentMetrics) -> None:
        """Saves a state that was not evaluated, unless it is there; one process calls it."""
        step = int(state.step)
        if step == self.evaluated.latest:
            return
        stopped = Checkpoints(self._folder)
        if step not in stopped.steps:
            self._folder.parent.mkdir(exist_ok=True)
            metrics = {"target": None, "recent_metrics": list(recent_metrics)}
            stopped.save(state, batches, metrics)

    def results(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Metrics of the last evaluation and of the best one, with their steps.

        There is no best one where the target has no labels.
        """
        last, best = self.evaluated.latest, self.evaluated.best()
        assert last is not None
        final = {**self.evaluated.metrics(last), "step": last}
        return final, best and {"target": best[1]["target"], "step": best[0]}


def _recent(stopped: Checkpoints, step: int) -> RecentMetrics:
    """The metrics that a stop has kept of the steps since the last log line.

    Raises:
        DamagedError: they are something else.
    """
    found = stopped.metrics(step).get("recent_metrics")
    if not isinstance(found, list) or not all(
        isinstance(of_step, dict) and all(isinstance(v, int | float) for v in of_step.values())
        for of_step in found
    ):
        raise DamagedError(f"checkpoint {stopped.folder / str(step)} is damaged (recent metrics)")
    return found
