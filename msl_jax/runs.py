"""A run's folder: its configuration, results, checkpoints, and how paths to them are written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import config_dict

from msl_jax import config as configuration
from msl_jax.checkpoints import Checkpoints
from msl_jax.errors import UserError
from msl_jax.files import written_whole

CONFIG, RESULTS, BASELINE = "config.json", "results.json", "source_only.json"
SOURCE_STAGE, ADAPT_STAGE = "source", "adapt"


class CheckpointPath(NamedTuple):
    """Where weights lie: a stage's folder, a step in it, and the run's configuration.

    `which` is what stood behind the workdir's colon: "best", "source", a step, or nothing.
    """

    folder: Path
    step: int
    config: dict[str, Any]
    which: str


def default_workdir(config: config_dict.ConfigDict) -> Path:
    """``runs/NAME-VARIANT-seedS``, below ``runs/small`` where the run is shrunk."""
    return _runs_root(config) / f"{config.name}-{config.variant}-seed{config.seed}"


def _runs_root(config: config_dict.ConfigDict) -> Path:
    return Path("runs/small") if config.shrink else Path("runs")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    with written_whole(path) as partial:
        partial.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def make_folder(folder: Path, flag: str) -> None:
    """Makes a folder that a flag names.

    Raises:
        UserError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{flag} {folder}: cannot be written ({error.strerror})") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"{flag} {folder}: cannot be written (permission denied)")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        UserError: the file cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def finished_results(workdir: Path, config: config_dict.ConfigDict) -> dict[str, Any] | None:
    """Looks whether `workdir` can take this run; writes nothing.

    Returns:
        The results of a run that is finished, else None.

    Raises:
        UserError: the folder holds a run of another configuration (the keys that differ are
            listed), or files that are no run's.
    """
    path = workdir / CONFIG
    if path.exists():
        old = read_json(path)
        if not isinstance(old, dict):
            raise UserError(
                f"{path}: a run's configuration expected, found a {type(old).__name__}. Give"
                " another --workdir; nothing there has been changed."
            )
        lines = configuration.differences(old, json.loads(configuration.as_json(config)))
        if lines:
            raise UserError(
                f"{workdir} holds a run of another configuration; it differs in\n"
                + "\n".join(lines)
                + "\nGive the same command as before to continue it, or another --workdir."
            )
        results = workdir / RESULTS
        return read_json(results) if results.exists() else None
    if workdir.exists() and (not workdir.is_dir() or any(workdir.iterdir())):
        raise UserError(
            f"{workdir} exists and is no run of this program ({CONFIG} is missing in it). Give"
            " another --workdir; nothing there has been changed."
        )
    return None


def claim_workdir(workdir: Path, config: config_dict.ConfigDict) -> None:
    """Makes the folder and writes the configuration into it, unless it is there already.

    Raises:
        UserError: the folder cannot be written.
    """
    path = workdir / CONFIG
    if not path.exists():
        try:
            write_text(path, configuration.as_json(config))
        except OSError as error:
            raise UserError(f"cannot write to --workdir {workdir}: {error}") from error


def newest_run(config: config_dict.ConfigDict, root: Path | None = None) -> Path:
    """The folder of the run of this configuration and variant that was started or ended last.

    Raises:
        UserError: there is none.
    """
    root = root or _runs_root(config)
    prefix = f"{config.name}-{config.variant}-seed"
    found = [path.parent for path in root.glob(f"{prefix}*/{CONFIG}")]
    if not found:
        raise UserError(
            f"no run of {config.name}:{config.variant} below {root.absolute()}; train one first"
            f" (python train.py --config configs/{config.name}.py:{config.variant}) or give"
            " --checkpoint."
        )

    def changed(run: Path) -> float:
        # Not the folder's own time: an evaluation that is written into an old run changes that.
        return max(file.stat().st_mtime for name in (CONFIG, RESULTS) for file in run.glob(name))

    return max(found, key=changed)


def find_checkpoint(path: str | Path) -> CheckpointPath:
    """Reads a checkpoint's path as the command lines take it.

    Args:
        path: a run's workdir for its latest checkpoint, with ``:best``, ``:STEP`` or ``:source``
            (the end of the source-only stage) behind it for another.

    Raises:
        UserError: no such run or checkpoint; those that exist are listed.
    """
    text = str(path)
    folder, _, which = text.rpartition(":")
    if not folder or Path(text).exists():
        folder, which = text, ""
    workdir = Path(folder)
    if not (workdir / CONFIG).is_file():
        raise UserError(
            f"{workdir} is no run: expected a folder with {CONFIG}, as train.py writes it, one"
            " written by python -m msl_jax.convert, or a .pth or .safetensors file"
            + ("" if workdir.exists() else " (it does not exist)")
        )
    asked = which
    stages: tuple[str, ...] = (ADAPT_STAGE, SOURCE_STAGE)
    if which == SOURCE_STAGE:
        stages, which = (SOURCE_STAGE,), ""
    for name in stages:
        stage = workdir / name
        checkpoints = Checkpoints(stage)
        steps, best = checkpoints.steps, checkpoints.best()
        checkpoints.close()
        if steps:
            break
    else:
        raise UserError(f"{text}: no checkpoint yet in {' or '.join(stages)} of {workdir}")
    if which == "":
        step = steps[-1]
    elif which == "best" and best is not None:
        step = best[0]
    elif which.isdigit() and int(which) in steps:
        step = int(which)
    else:
        raise UserError(
            f"{text}: no checkpoint {which!r} in {stage}; choose a step of {steps}, 'best' or"
            " 'source', or give the workdir alone for the latest"
        )
    return CheckpointPath(stage, step, read_json(workdir / CONFIG), asked)
