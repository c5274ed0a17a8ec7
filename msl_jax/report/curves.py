"""Losses and evaluations over the steps of a run, from what it has logged and kept."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import NamedTuple

from ml_collections.config_dict import ConfigDict

from msl_jax.methods.variants import variant_of
from msl_jax.report.events import Points, read_scalars
from msl_jax.report.results import Metrics
from msl_jax.runs import workdir as runs
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runtime.errors import DamagedError

_LOSS = "loss/"


class StageCurves(NamedTuple):
    """The curves of one stage.

    Attributes:
        title: of the stage.
        steps: its length.
        evaluations: by domain, the task's metric in [0, 1].
        losses: by the name of the part.
    """

    title: str
    steps: int
    evaluations: dict[str, Points]
    losses: dict[str, Points]


def read_curves(
    workdir: Path, config: ConfigDict, metric: str, baseline: Metrics | None
) -> list[StageCurves]:
    """The curves of the stages that have begun, in their order.

    Args:
        workdir: of the run.
        config: complete.
        metric: of a `TaskReport`.
        baseline: metrics before the first step of the adaptation.
    """
    variant = variant_of(config)
    first = "oracle" if variant.oracle else "source-only"
    stages = [_stage(workdir, runs.SOURCE_STAGE, first, config.source_steps, metric, None)]
    if variant.adapt:
        stages.append(
            _stage(workdir, runs.ADAPT_STAGE, config.variant, config.steps, metric, baseline)
        )
    return [stage for stage in stages if stage.evaluations or stage.losses]


def _stage(
    workdir: Path, name: str, title: str, steps: int, metric: str, baseline: Metrics | None
) -> StageCurves:
    scalars = read_scalars(workdir / "logs" / name)
    # Not every run still has its logs: a few evaluations are in the checkpoints as well.
    measured = {0: baseline} if baseline else {}
    checkpoints = Checkpoints(workdir / name)
    for step in checkpoints.steps:
        with contextlib.suppress(DamagedError):
            measured[step] = checkpoints.metrics(step)
    evaluations = {}
    for domain in ("target", "source"):
        kept = {step: m[domain][metric] for step, m in measured.items() if m.get(domain)}
        points = _finite({**scalars.get(f"{metric}/{domain}", {}), **kept})
        if points:
            evaluations[domain] = points
    losses = {
        tag.removeprefix(_LOSS): _finite(points)
        for tag, points in sorted(scalars.items())
        if tag.startswith(_LOSS)
    }
    return StageCurves(
        title, steps, evaluations, {part: points for part, points in losses.items() if points}
    )


def _finite(points: Points) -> Points:
    return {step: points[step] for step in sorted(points) if math.isfinite(points[step])}
