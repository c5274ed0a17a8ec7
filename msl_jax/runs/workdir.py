"""A run's folder: its configuration, results, checkpoints, and how paths to them are written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import config_dict

from msl_jax.config import keys, presets
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.lock import LOCK
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import partial_name, written_whole

CONFIG, RESULTS, BASELINE = "config.json", "results.json", "source_only.json"
SOURCE_STAGE, ADAPT_STAGE = "source", "adapt"
STOPPED = "stopped"  # with the same stages in it, see msl_jax.runs.resume


class CheckpointPath(NamedTuple):
    """Where weights lie: a stage's folder, a step in it, and the run's keys.

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


def saved_config(workdir: Path) -> config_dict.ConfigDict | None:
    """The complete configuration of the run in `workdir`, None where there is no run.

    Raises:
        UserError: the file is damaged, or of another version that has other keys.
    """
    path = workdir / CONFIG
    return presets.restored(read_json(path), str(path)) if path.exists() else None


def has_checkpoint(workdir: Path, stage: str) -> bool:
    """Whether a stage has one, be it that it was stopped there."""
    folders = (workdir / stage, workdir / STOPPED / stage)
    return any(path.name.isdigit() for folder in folders for path in folder.glob("*"))


def adaptation_began(workdir: Path) -> bool:
    """Whether all that comes before the adaptation is finished and kept."""
    return (workdir / BASELINE).exists() and has_checkpoint(workdir, ADAPT_STAGE)


def left_its_start(workdir: Path) -> bool:
    """Whether a run is finished or has checkpoints of its own, so that it needs no other weights.

    An adaptation that began with trained weights needs them again until its first checkpoint.
    """
    return (
        (workdir / RESULTS).exists()
        or has_checkpoint(workdir, SOURCE_STAGE)
        or adaptation_began(workdir)
    )


def finished_results(workdir: Path, config: config_dict.ConfigDict) -> dict[str, Any] | None:
    """Looks whether `workdir` can take this run; writes nothing.

    Returns:
        The results of a run that is finished, else None.

    Raises:
        UserError: the folder holds a run of another configuration (the keys that differ are
            listed), or files that are no run's.
    """
    saved = saved_config(workdir)
    if saved is not None:
        old, new = (json.loads(keys.as_json(values)) for values in (saved, config))
        lines = keys.differences(old, new, keys.free_keys(saved))
        if lines:
            raise UserError(
                f"{workdir} holds a run of another configuration; it differs in\n"
                + "\n".join(lines)
                + "\nGive the same command as before to continue it, or another --workdir."
            )
        results = workdir / RESULTS
        return read_json(results) if results.exists() else None
    if workdir.exists() and not (workdir.is_dir() and _only_begun(workdir)):
        raise UserError(
            f"{workdir} exists and is no run of this program ({CONFIG} is missing in it). Give"
            " another --workdir; nothing there has been changed."
        )
    return None


def _only_begun(workdir: Path) -> bool:
    """Whether a run was killed there before it had written its keys."""
    ours = {LOCK, *_unfinished(workdir)}
    return all(path.name in ours for path in workdir.iterdir())


def _unfinished(workdir: Path) -> list[str]:
    """Names of the files that a killed run was writing."""
    return [
        path.name
        for name in (CONFIG, BASELINE, RESULTS)
        for path in workdir.glob(partial_name(name, "*"))
    ]


def claim_workdir(workdir: Path, config: config_dict.ConfigDict) -> None:
    """Makes the folder and writes the configuration into it, unless it is there already.

    What a killed run was writing there goes: the caller keeps other runs out.

    Raises:
        UserError: the folder cannot be written.
    """
    path = workdir / CONFIG
    try:
        for name in _unfinished(workdir):
            (workdir / name).unlink()
        if not path.exists():
            write_text(path, keys.as_json(config))
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
        raise UserError(f"{error}; {_whole_ones(workdir)}") from error
    if step is None:
        raise UserError(
            f"{text}: no checkpoint {which!r} in {checkpoints.folder}; choose a step of"
            f" {checkpoints.steps}, 'best' or 'source', or give the workdir alone for the latest"
        )
    return CheckpointPath(workdir / name, step, read_json(workdir / CONFIG), asked)


def _step(checkpoints: Checkpoints, which: str) -> int | None:
    """The step that `which` means in a stage that has checkpoints, None where it has no such."""
    steps = checkpoints.steps
    if which == "":
        return steps[-1]
    if which == "best":
        checkpoints.check(steps[-1])  # it knows which one is best
        best = checkpoints.best()
        return best and best[0]
    return int(which) if which.isdecimal() and int(which) in steps else None


def _whole_ones(workdir: Path) -> str:
    """Names the checkpoints that can be taken instead of a damaged one."""
    adapted = Checkpoints(workdir / ADAPT_STAGE)
    source = Checkpoints(workdir / SOURCE_STAGE)
    if adapted.steps:
        names = [str(step) for step in adapted.whole()]
        if source.latest in source.whole():
            names.append(SOURCE_STAGE)
    else:
        names = [str(step) for step in source.whole()]
    if not names:
        return "no other of this run is whole; copy it again"
    return f"take {' or '.join(f'{workdir}:{name}' for name in names)}, or copy it again"
