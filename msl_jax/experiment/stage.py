"""One stage of a run while it is trained: its evaluations, and an early stop."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from ml_collections.config_dict import ConfigDict

from msl_jax.data.prefetch import Prefetch
from msl_jax.experiment.log import StageLog
from msl_jax.experiment.previews import BatchPreview, Samples
from msl_jax.methods.concerns import Concerns
from msl_jax.methods.method import Training
from msl_jax.methods.registry import method_of
from msl_jax.runs.metrics import main_metric
from msl_jax.runs.resume import RecentMetrics, ResumePoint, StageCheckpoints
from msl_jax.runtime import parallel, stopping
from msl_jax.training.loop import evaluation_due, fit
from msl_jax.training.optimizer import stage_schedule
from msl_jax.training.state import TrainState
from msl_jax.training.step import TrainStep


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
    """What a stage does besides its steps.

    Attributes:
        stage: which.
        training: its method's.
        checkpoints: of the stage.
        batches: what it trains on.
        log: where it reports.
        measure: gives the metrics of variables, see `experiment.evaluation.DomainEvaluation`.
        samples: makes pictures of variables.
        preview: makes pictures of the next batch.
    """

    stage: Stage
    training: Training
    checkpoints: StageCheckpoints
    batches: Prefetch
    log: StageLog
    measure: Callable[[Any], dict[str, Any]]
    samples: Samples
    preview: BatchPreview

    def fit(self, step: TrainStep, point: ResumePoint, end: int, config: ConfigDict) -> ResumePoint:
        """Trains up to a step, which is evaluated; all processes.

        Args:
            step: the compiled step.
            point: where to start; its state is on the devices, its batches are those of the run.
            end: number of steps made at the end.
            config: complete.

        Raises:
            NotFinite: a loss or the network is not finite.
            Stopped: a signal asked for it; the state is kept.
        """
        state, start = point.state, int(point.state.step)
        stop = parallel.StopAgreement(stopping.requested)
        rate = stage_schedule(config, adapt=self.stage.adapt)

        concerns = Concerns(
            functools.partial(method_of(config, adapt=self.stage.adapt).concern, config)
        )

        def log(made: int, metrics: Mapping[str, float]) -> None:
            self.log.log(made, metrics, float(rate(made - 1)))
            if concern := concerns(metrics):
                self.log.say(f"warning: {self.stage.title} {made}: {concern}")

        with stopping.delayed():
            if not point.evaluated and evaluation_due(start, end, config.eval_every):
                self.evaluate(state)
            if start < end:
                self.log.compiling()
            state, recent_metrics = fit(
                state,
                step,
                self.batches,
                steps=end,
                log_every=config.log_every,
                eval_every=config.eval_every,
                on_step=self.log.advance,
                on_log=log,
                on_evaluate=self.evaluate,
                stop_requested=lambda made: stop(),
                recent_metrics=point.recent_metrics,
            )
            if int(state.step) < end:
                self.stop(state, recent_metrics)
        return ResumePoint(state, self.batches.get_state(), (), evaluated=True)

    def evaluate(self, state: TrainState) -> None:
        """Evaluates a state, reports and keeps it; all processes.

        Raises:
            Stopped: a signal asked for it meanwhile; the state is kept, to be evaluated later.
        """
        made, title = int(state.step), self.stage.title
        first, count = parallel.is_first(), parallel.share()[1]
        kept = self.training.recommended(state)
        try:
            # Several processes evaluate together: none of them may leave the others alone.
            with stopping.at_once() if count == 1 else contextlib.nullcontext():
                metrics = self.measure(kept.variables)
                others = {n: self.measure(v) for n, v in self.training.others(kept).items()}
                pictures = self.samples(kept.variables) | self.preview(state) if first else {}
        except stopping.Stopped:
            self.stop(state)
        self.log.scalars(made, logged(metrics))
        for name, found in others.items():
            self.log.scalars(made, {f"{name}/{key}": value for key, value in logged(found).items()})
        for name, picture in pictures.items():
            self.log.picture(made, name, picture)
        self.log.flush()  # what belongs to the steps up to a checkpoint is not logged again
        parallel.by_first(lambda: self.checkpoints.save(kept, self.batches.get_state(), metrics))
        measured = {domain: main_metric(m) for domain, m in metrics.items() if m}
        figures = "  ".join(f"{d} {h.title} {h.percent}" for d, h in measured.items())
        self.log.say(f"{title} {made}/{self.stage.steps}  {figures}")
        self.log.resume_clock(made)

    def stop(self, state: TrainState, recent_metrics: RecentMetrics = ()) -> NoReturn:
        """Keeps a state that the next start continues from; all processes.

        Args:
            state: not evaluated.
            recent_metrics: of the steps since the last log line.

        Raises:
            Stopped: always.
        """
        made = int(state.step)
        if made > 0:
            kept, position = self.training.recommended(state), self.batches.get_state()
            parallel.by_first(lambda: self.checkpoints.save_stopped(kept, position, recent_metrics))
        raise stopping.Stopped(f"after step {made} of {self.stage.title}")


def parts_left(ends: Sequence[int], point: ResumePoint) -> Iterator[tuple[int, int]]:
    """The parts of a stage that are to be trained: (number, steps made at its end) of each.

    At least the last one. A state that is still to be evaluated belongs to the part that it ends.

    >>> ends, state = (3, 6, 10), TrainState(6, {}, {}, {})
    >>> list(parts_left(ends, ResumePoint(state, None, [], evaluated=True)))
    [(2, 10)]
    >>> list(parts_left(ends, ResumePoint(state, None, [], evaluated=False)))
    [(1, 6), (2, 10)]
    """
    made = int(point.state.step)
    for number, end in enumerate(ends):
        if made < end or end == ends[-1] or (made == end and not point.evaluated):
            yield number, end


def logged(metrics: dict[str, Any]) -> dict[str, float]:
    """What was measured, by names of the log: the main metric of each domain, and its classes' IoU.

    >>> logged({"target": {"miou": 0.5, "iou": {"car": 0.5, "bus": None}}, "source": None})
    {'miou/target': 0.5, 'iou/target/car': 0.5}
    """
    found: dict[str, float | None] = {}
    for domain, measured in metrics.items():
        if measured:
            main = main_metric(measured)
            found[f"{main.key}/{domain}"] = main.value
            for name, value in measured.get("iou", {}).items():
                found[f"iou/{domain}/{name}"] = value
    return {name: value for name, value in found.items() if value is not None}
