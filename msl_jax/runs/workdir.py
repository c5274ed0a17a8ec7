"""A run's folder: configuration, results, and how far the run has got."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ml_collections import config_dict
from rich.console import Console

from msl_jax.config import keys, presets
from msl_jax.runs.lock import LOCK
from msl_jax.runs.metrics import are_metrics
from msl_jax.runs.table import print_results
from msl_jax.runtime import configs
from msl_jax.runtime.command_line import program
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import partial_name, read_json, write_text
from msl_jax.runtime.registration import expect_files

CONFIG, RESULTS, BASELINE = "config.json", "results.json", "source_only.json"
GIVEN = "config_as_given.json"  # written before CONFIG
SOURCE_STAGE, ADAPT_STAGE = "source", "adapt"
STOPPED = "stopped"  # with the same stages in it: see msl_jax.runs.resume


def default_workdir(config: config_dict.ConfigDict) -> Path:
    """``runs/NAME-VARIANT-seedS``, below ``runs/small`` where the run is shrunk."""
    return _runs_root(config) / f"{config.name}-{config.variant}-seed{config.seed}"


def _runs_root(config: config_dict.ConfigDict) -> Path:
    return Path("runs/small") if config.shrink else Path("runs")


def saved_config(workdir: Path) -> config_dict.ConfigDict | None:
    """The complete configuration of the run in `workdir`, None if there is no run.

    Raises:
        UserError: the file is damaged, or was written by a version with other keys.
    """
    values = saved_values(workdir)
    return None if values is None else presets.restored(values, str(workdir / CONFIG))


def saved_values(workdir: Path) -> Any:
    """What `saved_config` reads, as JSON.

    Raises:
        UserError: the file is damaged, or files have to be named that register what the run needs.
    """
    path = workdir / CONFIG
    if not path.exists():
        return None
    values = read_json(path)
    files = values.get("registered_by", ()) if isinstance(values, dict) else ()
    expect_files(files, str(path))
    return values


def was_shrunk(workdir: Path) -> bool:
    """Whether a run was asked to be small; its complete configuration says what came of that."""
    path = workdir / GIVEN
    given = read_json(path) if path.is_file() else {}
    return isinstance(given, dict) and given.get("shrink") is True


def run_around(path: Path) -> Path | None:
    """The run that a path is inside of, or of which it names a checkpoint by a colon."""
    places = (*path.parents, Path(str(path).rpartition(":")[0] or path))
    return next((place for place in places if (place / CONFIG).is_file()), None)


def run_near(path: Path) -> str:
    """Words that name the run around a path, empty where there is none."""
    run = run_around(path)
    return f"; the run is {run}" if run else ""


def has_checkpoint(workdir: Path, stage: str) -> bool:
    """Whether a stage has one, of an evaluation or of a stop."""
    folders = (workdir / stage, workdir / STOPPED / stage)
    return any(path.name.isdigit() for folder in folders for path in folder.glob("*"))


def adaptation_began(workdir: Path) -> bool:
    """Whether everything before the adaptation is finished and saved."""
    return (workdir / BASELINE).exists() and has_checkpoint(workdir, ADAPT_STAGE)


def needs_no_init_weights(workdir: Path) -> bool:
    """Whether a run is finished or has checkpoints of its own, so that it needs no other weights.

    An adaptation of given weights needs them again until its first checkpoint.
    """
    return (
        (workdir / RESULTS).exists()
        or has_checkpoint(workdir, SOURCE_STAGE)
        or adaptation_began(workdir)
    )


def finished_results(workdir: Path, given: config_dict.ConfigDict) -> dict[str, Any] | None:
    """Checks that this run can use `workdir`; writes nothing.

    Args:
        workdir: of the run, which need not exist.
        given: the configuration as the user gives it, with its open keys.

    Returns:
        The results if the run is finished, else None; also where its data are said to lie elsewhere
        now (see `moved`), which is to be checked first.

    Raises:
        UserError: the folder holds a run that was given another configuration (the keys that differ
            are listed), or something other than a run.
    """
    if (workdir / CONFIG).exists():
        _expect_the_same(workdir, given)
        return None if moved(workdir, given) else results_in(workdir)
    if workdir.exists() and not (workdir.is_dir() and _only_begun(workdir)):
        raise UserError(
            f"{workdir} exists and is not a run of this program (it has no {CONFIG})"
            f"{run_near(workdir)}. Give another --workdir; nothing there has been changed."
        )
    return None


def results_in(workdir: Path) -> dict[str, Any] | None:
    """The results of the run in `workdir`, None if it is not finished.

    Raises:
        UserError: the file is damaged.
    """
    path = workdir / RESULTS
    if not path.exists():
        return None
    found = read_json(path)
    try:
        print_results(found, Console(file=io.StringIO()))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{path} is damaged: expected the metrics of a finished run; copy it again, or remove"
            " it, and the same command makes it again from the checkpoints"
        ) from error
    return found


def baseline_in(workdir: Path) -> dict[str, Any] | None:
    """The metrics of the network with which the adaptation of the run in `workdir` began, if any.

    Raises:
        UserError: the file cannot be read, or is damaged.
    """
    path = workdir / BASELINE
    found = read_json(path)
    if found is not None and not are_metrics(found):
        raise UserError(
            f"{path} is damaged: expected the metrics of the source-only network; copy it again"
        )
    return found


def moved(workdir: Path, given: config_dict.ConfigDict) -> dict[str, tuple[str, str]]:
    """Where a run's data were said to lie, and where they are said to lie now.

    Args:
        workdir: of a run, which need not have begun.
        given: the configuration as the user gives it.

    Returns:
        Both values of each key of `PLACE_KEYS` that differs.
    """
    path = workdir / GIVEN
    if not path.exists() or not (workdir / CONFIG).exists():
        return {}
    differing = keys.differences(presets.from_json(read_json(path), str(path)), given)
    return {key: pair for key, pair in differing.items() if key in keys.PLACE_KEYS}


def keep_moved(
    workdir: Path, given: config_dict.ConfigDict, config: config_dict.ConfigDict
) -> None:
    """Writes where a run's data lie now into its configuration, for what needs the run alone.

    Args:
        workdir: of the run, whose data have been compared with those that it began with.
        given: the configuration as the user gave it.
        config: the complete one.
    """
    places = moved(workdir, given)
    for name, now in ((CONFIG, config), (GIVEN, given)) if places else ():
        values = {**read_json(workdir / name), **{key: now[key] for key in places}}
        write_text(workdir / name, keys.as_json(config_dict.ConfigDict(values)))


def _expect_the_same(workdir: Path, given: config_dict.ConfigDict) -> None:
    """Compares what the user gives now with what was given when the run began."""
    config, path = saved_config(workdir), workdir / GIVEN
    assert config is not None
    if not path.exists():
        raise UserError(
            f"{workdir} has no {GIVEN}, which says what its run was given: it can be evaluated, but"
            " not continued. Restore the file, or give another --workdir."
        )
    before = presets.from_json(read_json(path), str(path))
    decided = keys.flat(config)

    def note(key: str, value: Any) -> str:
        return f" (decided: {decided[key]!r})" if value is None and key in decided else ""

    lines = [
        f"  {key}: {old!r}{note(key, old)} -> {new!r}"
        for key, (old, new) in keys.differences(before, given).items()
        if key not in keys.PLACE_KEYS
    ]
    if lines:
        raise UserError(
            f"{workdir} holds a run of another configuration; it differs in\n"
            + "\n".join(lines)
            + "\nRun the same command as before to continue it, or give another --workdir."
        )


def _only_begun(workdir: Path) -> bool:
    """Whether a run was killed there before it had written its configuration."""
    ours = {LOCK, GIVEN, *_unfinished(workdir)}
    return all(path.name in ours for path in workdir.iterdir())


def _unfinished(workdir: Path) -> list[str]:
    """Names of the files that a killed run was writing."""
    return [
        path.name
        for name in (GIVEN, CONFIG, BASELINE, RESULTS)
        for path in workdir.glob(partial_name(name, "*"))
    ]


def claim_workdir(
    workdir: Path, given: config_dict.ConfigDict, config: config_dict.ConfigDict
) -> None:
    """Creates the folder and writes the configuration into it, unless it is there already.

    Deletes what a killed run was writing there: the caller must keep other runs out.

    Args:
        workdir: of the run.
        given: the configuration as the user gave it.
        config: the complete one.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        for name in _unfinished(workdir):
            (workdir / name).unlink()
        if not (workdir / CONFIG).exists():
            write_text(workdir / GIVEN, keys.as_json(given))
            write_text(workdir / CONFIG, keys.as_json(config))
    except OSError as error:
        raise UserError(f"cannot write to --workdir {workdir}: {error}") from error


def newest_run(config: config_dict.ConfigDict, root: Path | None = None) -> Path:
    """The folder of this configuration and variant's run that was started or finished last.

    Raises:
        UserError: there is none.
    """
    root = root or _runs_root(config)
    prefix = f"{config.name}-{config.variant}-seed"
    found = [path.parent for path in root.glob(f"{prefix}*/{CONFIG}")]
    if not found:
        packaged = config.name in configs.configurations()
        file = config.name if packaged else "FILE"  # of one's own, of any name
        raise UserError(
            f"no run of {config.name}:{config.variant} below {root.absolute()}; train one first"
            f" ({program('python train.py', 'train')} --config {file}:{config.variant}) or give"
            " --checkpoint."
        )

    def changed(run: Path) -> float:
        # Not the folder's own time, which changes when an evaluation is written into an old run.
        return max(file.stat().st_mtime for name in (CONFIG, RESULTS) for file in run.glob(name))

    return max(found, key=changed)
