"""One stage of a run while it is trained: its evaluations, and its end before time."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn

from msl_jax.data.prefetch import Prefetch
from msl_jax.experiment.log import StageLog
from msl_jax.experiment.previews import Samples
from msl_jax.runs.metrics import headline
from msl_jax.runs.resume import Kept, Window
from msl_jax.runtime import parallel, stopping
from msl_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Stage:
    """One of the two stages of a run.

    Attributes:
        name: folder of its checkpoints.
        title: for the console.
        steps: its length.
        adapt: whether target images take part.
    """

    name: str
    title: str
    steps: int
    adapt: bool


@dataclasses.dataclass(frozen=True)
class StageRun:
    """What a stage does beside its steps.

    Attributes:
        stage: which.
        kept: its checkpoints.
        batches: what it trains on.
        log: where it reports.
        measure: gives the metrics of variables, see `experiment.evaluation.DomainEvaluation`.
        samples: makes pictures of variables.
    """

    stage: Stage
    kept: Kept
    batches: Prefetch
    log: StageLog
    measure: Callable[[Any], dict[str, Any]]
    samples: Samples

    def evaluate(self, state: TrainState) -> None:
        """Evaluates a state, reports and keeps it; all processes.

        Raises:
            Stopped: a signal asked for it meanwhile; the state is kept, to be evaluated later.
        """
        made, title = int(state.step), self.stage.title
        first, count = parallel.is_first(), parallel.share()[1]
        try:
            # Several processes evaluate together: none of them may leave the others alone.
            with stopping.at_once() if count == 1 else contextlib.nullcontext():
                metrics = self.measure(state.variables)
                pictures = self.samples(state.variables) if first else {}
        except stopping.Stopped:
            self.stop(state)
        measured = {domain: headline(m) for domain, m in metrics.items() if m}
        self.log.scalars(made, {f"{h.key}/{domain}": h.value for domain, h in measured.items()})
        for name, picture in pictures.items():
            self.log.picture(made, name, picture)
        self.log.flush()  # what belongs to the steps up to a checkpoint is not logged again
        parallel.by_first(lambda: self.kept.save(state, self.batches.get_state(), metrics))
        figures = "  ".join(f"{d} {h.title} {100 * h.value:.1f}" for d, h in measured.items())
        self.log.say(f"{title} {made}/{self.stage.steps}  {figures}")
        self.log.resume_clock(made)

    def stop(self, state: TrainState, window: Window = ()) -> NoReturn:
        """Keeps a state that the next start continues from; all processes.

        Args:
            state: not evaluated.
            window: metrics of the steps since the last log.

        Raises:
            Stopped: always.
        """
        made = int(state.step)
        if made > 0:
            place = self.batches.get_state()
            parallel.by_first(lambda: self.kept.save_stopped(state, place, window))
        raise stopping.Stopped(f"after step {made} of {self.stage.title}")
