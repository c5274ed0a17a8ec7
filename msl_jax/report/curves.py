"""Losses and evaluations over the steps of a run, from its logs and checkpoints."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ml_collections.config_dict import ConfigDict

from msl_jax.methods.concerns import Concerns
from msl_jax.methods.registry import method_of
from msl_jax.methods.variants import variant_of
from msl_jax.report.results import Metrics
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.scalars import SHARE, Points, read_scalars
from msl_jax.runs.workdir import ADAPT_STAGE, SOURCE_STAGE
from msl_jax.runtime.errors import DamagedError

_LOSS = "loss/"


class StageCurves(NamedTuple):
    """The curves of one stage.

    Attributes:
        title: of the stage.
        steps: its length.
        evaluations: by domain, the task's metric in [0, 1].
        losses: by the name of the part.
        shares: of pixels, in [0, 1], by name.
        concerns: of the stage's method, with the step of each.
    """

    title: str
    steps: int
    evaluations: dict[str, Points]
    losses: dict[str, Points]
    shares: dict[str, Points]
    concerns: tuple[str, ...] = ()


def read_curves(
    workdir: Path, config: ConfigDict, metric: str, baseline: Metrics | None
) -> list[StageCurves]:
    """The curves of the stages that have begun, in order.

    Args:
        workdir: of the run.
        config: complete.
        metric: of a `TaskReport`.
        baseline: metrics before the first step of the adaptation.
    """
    variant = variant_of(config)
    first = "oracle" if variant.oracle else "source-only"
    stages = [_stage(workdir, SOURCE_STAGE, first, config.source_steps, metric, None)]
    if variant.adapt:
        adapt = _stage(workdir, ADAPT_STAGE, config.variant, config.steps, metric, baseline)
        logged = {**adapt.losses, **adapt.shares}
        stages.append(adapt._replace(concerns=_concerns(config, logged)))
    return [stage for stage in stages if stage.evaluations or stage.losses]


def _stage(
    workdir: Path, name: str, title: str, steps: int, metric: str, baseline: Metrics | None
) -> StageCurves:
    scalars = read_scalars(workdir / "logs" / name)
    # A run may have lost its logs; its checkpoints hold a few evaluations as well.
    measured = {0: baseline} if baseline else {}
    checkpoints = Checkpoints(workdir / name)
    for step in checkpoints.steps:
        with contextlib.suppress(DamagedError):
            measured[step] = checkpoints.metrics(step)
    evaluations = {}
    for domain in ("target", "source"):
        kept = {step: (m.get(domain) or {}).get(metric) for step, m in measured.items()}
        points = _finite({**scalars.get(f"{metric}/{domain}", {}), **kept})
        if points:
            evaluations[domain] = points
    found = {tag: _finite(points) for tag, points in sorted(scalars.items())}
    drawn = {tag: points for tag, points in found.items() if points}
    losses = {
        tag.removeprefix(_LOSS): points for tag, points in drawn.items() if tag.startswith(_LOSS)
    }
    shares = {tag: points for tag, points in drawn.items() if tag.endswith(SHARE)}
    return StageCurves(title, steps, evaluations, losses, shares)


def _concerns(config: ConfigDict, logged: Mapping[str, Points]) -> tuple[str, ...]:
    """What the method of the adaptation was concerned about."""
    watch = Concerns(functools.partial(method_of(config, adapt=True).concern, config))
    steps = sorted({step for points in logged.values() for step in points})
    rows = ({n: points[step] for n, points in logged.items() if step in points} for step in steps)
    found = zip(steps, map(watch, rows), strict=True)
    return tuple(f"step {step:,}: {concern}" for step, concern in found if concern)


def _finite(points: Mapping[int, float | None]) -> Points:
    known = {step: value for step, value in sorted(points.items()) if value is not None}
    return {step: value for step, value in known.items() if math.isfinite(value)}
