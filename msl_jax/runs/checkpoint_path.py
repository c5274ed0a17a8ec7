"""Paths of checkpoints as the command lines take them: WORKDIR[:best|:STEP|:source].

WORKDIR/adapt/STEP and WORKDIR/source/STEP, the folders that eval.py prints, are such paths too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.workdir import ADAPT_STAGE, CONFIG, SOURCE_STAGE, run_near, saved_values
from msl_jax.runtime.errors import DamagedError, UserError


class CheckpointPath(NamedTuple):
    """Where weights are: a stage's folder, a step in it, and the run's configuration.

    `which` is what followed the workdir and a colon: "best", "source", a step, or nothing; of a
    folder of a step, its step, after "source-" if it is one of that stage.
    """

    folder: Path
    step: int
    config: dict[str, Any]
    which: str


def find_checkpoint(path: str | Path) -> CheckpointPath:
    """Finds a checkpoint by its path, as the command lines take it.

    Args:
        path: a run's workdir for its latest checkpoint, or followed by ``:best``, ``:STEP`` or
            ``:source`` (the end of the source-only stage) for another; or the folder of a step.

    Raises:
        UserError: no such run or checkpoint, or it is damaged; those that exist are listed.
    """
    text = str(path)
    folder, _, which = text.rpartition(":")
    if not folder or Path(text).exists():
        folder, which = text, ""
    workdir = Path(folder)
    stages: tuple[str, ...] = (ADAPT_STAGE, SOURCE_STAGE)
    asked = which
    run, stage = workdir.parent.parent, workdir.parent.name
    if not which and stage in stages and (run / CONFIG).is_file():
        workdir, stages, which = run, (stage,), workdir.name
        asked = which if stage == ADAPT_STAGE else f"{stage}-{which}"
    if not (workdir / CONFIG).is_file():
        raise UserError(
            f"{workdir} is not a run: expected a folder with {CONFIG}, as a training writes it,"
            " one written by msl-jax convert, or a .pth or .safetensors file"
            + (run_near(workdir) if workdir.exists() else " (it does not exist)")
        )
    if which == SOURCE_STAGE:
        stages, which = (SOURCE_STAGE,), ""
    for name in stages:
        checkpoints = Checkpoints(workdir / name)
        if checkpoints.steps:
            break
    else:
        raise UserError(f"{text}: no checkpoint yet in {' or '.join(stages)} of {workdir}")
    try:
        step = _step(checkpoints, which)
        if step is not None:
            checkpoints.check(step)
    except DamagedError as error:
        raise UserError(f"{error}; {_intact_ones(workdir)}") from error
    if step is None:
        raise UserError(
            f"{text}: no checkpoint {which!r} in {checkpoints.folder}; choose a step of"
            f" {checkpoints.steps}, 'best' or 'source', or give the workdir alone for the latest"
        )
    return CheckpointPath(workdir / name, step, saved_values(workdir), asked)


def _step(checkpoints: Checkpoints, which: str) -> int | None:
    """The step that `which` means in a stage that has checkpoints, None if it is not there."""
    steps = checkpoints.steps
    if which == "":
        return steps[-1]
    if which == "best":
        checkpoints.check(steps[-1])  # which says which one is best
        best = checkpoints.best()
        return best and best[0]
    return int(which) if which.isdecimal() and int(which) in steps else None


def _intact_ones(workdir: Path) -> str:
    """Names the checkpoints that can be used instead of a damaged one."""
    adapted = Checkpoints(workdir / ADAPT_STAGE)
    source = Checkpoints(workdir / SOURCE_STAGE)
    if adapted.steps:
        names = [str(step) for step in adapted.intact()]
        if source.latest in source.intact():
            names.append(SOURCE_STAGE)
    else:
        names = [str(step) for step in source.intact()]
    if not names:
        return "no other of this run is intact; copy it again"
    return f"use {' or '.join(f'{workdir}:{name}' for name in names)}, or copy it again"
