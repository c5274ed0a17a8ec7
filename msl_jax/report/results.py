"""The evaluations of a run: its results or, before it is finished, those in its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ml_collections.config_dict import ConfigDict

from msl_jax.methods.variants import variant_of
from msl_jax.runs.checkpoints import METRICS, Checkpoints
from msl_jax.runs.workdir import ADAPT_STAGE, BASELINE, RESULTS, SOURCE_STAGE
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import read_json

# Metrics of each domain, as in results.json; None for a domain without labels.
Metrics = dict[str, Any]


class MetricsOfTask(Protocol):
    """The part of a `TaskReport` that knows the task's metrics."""

    task: str
    metrics: str

    def values(self, measured: dict[str, Any]) -> list[float]:
        """See `TaskReport`."""
        ...


class Measured(NamedTuple):
    """The evaluation of one network.

    Attributes:
        title: which network.
        step: of its stage, None where it is not known.
        metrics: ``{"target": M, "source": M}``.
    """

    title: str
    step: int | None
    metrics: Metrics


class Results(NamedTuple):
    """The evaluations of a run.

    Attributes:
        state: whether the run is finished, one sentence.
        before: of the source-only network, with which the adaptation began; None if there was none.
        after: of the final network; in an unfinished run, of the one evaluated last.
        best: the best one, chosen on target labels.
    """

    state: str
    before: Measured | None = None
    after: Measured | None = None
    best: Measured | None = None


def read_results(workdir: Path, config: ConfigDict, task: MetricsOfTask) -> Results:
    """Reads the results of a run, or the newest checkpoint's where it is not finished.

    Args:
        workdir: of the run.
        config: complete.
        task: knows the metrics of the run's task.

    Raises:
        UserError: a file is damaged, or holds the results of something else.
    """
    path = workdir / RESULTS
    if not path.exists():
        return _unfinished(workdir, config, task)
    found = read_json(path)
    try:
        final, best, before = found["final"], found["best"], found["source_only"]
        return Results(
            f"Finished after step {final['step']}.",
            before and Measured("source-only", None, _checked(task, path, before)),
            Measured("final", final["step"], _checked(task, path, final)),
            best and Measured("best", best["step"], _checked(task, path, best)),
        )
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not as a training writes it ({error}); copy it again, or move it away and"
            " repeat the training command, which writes it again from the checkpoints"
        ) from error


def _unfinished(workdir: Path, config: ConfigDict, task: MetricsOfTask) -> Results:
    variant = variant_of(config)
    baseline = workdir / BASELINE
    adapting, before = variant.adapt and baseline.exists(), None
    if adapting and (metrics := read_json(baseline)) is not None:
        before = Measured("source-only", None, _checked(task, baseline, metrics))
    stage = ADAPT_STAGE if adapting else SOURCE_STAGE
    name = "adaptation" if adapting else "oracle" if variant.oracle else "source-only stage"
    steps = config.steps if adapting else config.source_steps
    checkpoints = Checkpoints(workdir / stage)
    step = checkpoints.latest
    if step is None:
        return Results(f"Not finished: nothing of the {name} has been evaluated yet.", before)
    try:
        metrics, best = checkpoints.metrics(step), checkpoints.best()
    except DamagedError as error:
        return Results(f"Not finished; {error}.", before)
    path = checkpoints.folder / str(step) / METRICS
    return Results(
        f"Not finished: evaluated up to step {step} of {steps} of the {name}.",
        before,
        Measured(f"step {step}", step, _checked(task, path, metrics)),
        best
        and Measured("best so far", best[0], _checked(task, path, {"target": best[1]["target"]})),
    )


def _checked(task: MetricsOfTask, path: Path, metrics: Any) -> Metrics:
    """The metrics of both domains.

    Raises:
        UserError: they are not those of the task.
    """
    try:
        domains = {"target": metrics["target"], "source": metrics.get("source")}
        for measured in domains.values():
            if measured is not None and not all(0 <= v <= 1 for v in task.values(measured)):
                raise ValueError("values out of [0, 1]")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path} does not hold the metrics of a {task.task} ({task.metrics} in [0, 1]), which"
            f" the report needs: {type(error).__name__} {error}"
        ) from error
    return domains
