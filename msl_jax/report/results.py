"""What a run has measured so far: its results, or what an unfinished one has kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ml_collections.config_dict import ConfigDict

from msl_jax.methods.variants import variant_of
from msl_jax.runs import workdir as runs
from msl_jax.runs.checkpoints import METRICS, Checkpoints
from msl_jax.runtime.errors import DamagedError, UserError

# Metrics of each domain, as in results.json; None for a domain without labels.
Metrics = dict[str, Any]


class MetricsOfTask(Protocol):
    """What the metrics of a task are, of a `TaskReport`."""

    task: str
    metrics: str

    def values(self, measured: dict[str, Any]) -> list[float]:
        """See `TaskReport`."""
        ...


class Measured(NamedTuple):
    """The evaluation of one network.

    Attributes:
        title: which network.
        step: of its stage; None where that is not known.
        metrics: ``{"target": M, "source": M}``.
    """

    title: str
    step: int | None
    metrics: Metrics


class Results(NamedTuple):
    """The evaluations of a run.

    Attributes:
        state: whether the run is finished, one sentence.
        before: source-only, what the adaptation began with.
        after: the final network; of an unfinished run the one evaluated last.
        best: of those evaluated, chosen on target labels.
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
        task: tells the metrics of the run's task.

    Raises:
        UserError: a file is damaged, or holds the results of something else.
    """
    path = workdir / runs.RESULTS
    if not path.exists():
        return _unfinished(workdir, config, task)
    found = runs.read_json(path)
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
            f"{path} is not as train.py writes it ({error}); copy it again, or move it away and"
            " give the same training command, which writes it anew from the checkpoints"
        ) from error


def _unfinished(workdir: Path, config: ConfigDict, task: MetricsOfTask) -> Results:
    variant = variant_of(config)
    baseline = workdir / runs.BASELINE
    before = None
    if variant.adapt and baseline.exists():
        metrics = _checked(task, baseline, runs.read_json(baseline))
        before = Measured("source-only", None, metrics)
    stage = runs.ADAPT_STAGE if before else runs.SOURCE_STAGE
    name = "adaptation" if before else "oracle" if variant.oracle else "source-only stage"
    steps = config.steps if before else config.source_steps
    checkpoints = Checkpoints(workdir / stage)
    step = checkpoints.latest
    if step is None:
        return Results(f"Not finished: nothing of the {name} has been evaluated yet.", before)
    try:
        metrics, best = checkpoints.metrics(step), checkpoints.best()
    except DamagedError as error:
        return Results(f"Not finished, and {error}.", before)
    path = checkpoints.folder / str(step) / METRICS
    return Results(
        f"Not finished: evaluated up to step {step} of {steps} of the {name}.",
        before,
        Measured(f"step {step}", step, _checked(task, path, metrics)),
        best
        and Measured("best so far", best[0], _checked(task, path, {"target": best[1]["target"]})),
    )


def _checked(task: MetricsOfTask, path: Path, metrics: Any) -> Metrics:
    """The metrics of the domains, which are as the task's page needs them.

    Raises:
        UserError: they are not.
    """
    try:
        domains = {"target": metrics["target"], "source": metrics.get("source")}
        for measured in domains.values():
            if measured is not None and not all(0 <= v <= 1 for v in task.values(measured)):
                raise ValueError("values out of [0, 1]")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path} holds no metrics of a {task.task} ({task.metrics} in [0, 1]), which the report"
            f" shows: {type(error).__name__} {error}"
        ) from error
    return domains
