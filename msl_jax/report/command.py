"""`python -m msl_jax.report`: a run as one HTML page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections.config_dict import ConfigDict

from msl_jax.report import output as output_file
from msl_jax.report.curves import read_curves
from msl_jax.report.made_images import made_images
from msl_jax.report.networks import open_networks
from msl_jax.report.page import Report, page
from msl_jax.report.registry import REPORTS
from msl_jax.report.results import read_results
from msl_jax.report.settings import settings
from msl_jax.report.task_report import Predictions, TaskReport
from msl_jax.runs.classes import saved_classes
from msl_jax.runs.workdir import CONFIG, run_around, saved_config, was_shrunk
from msl_jax.runtime import command_line
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.paths import absolute
from msl_jax.runtime.text import lines

IMAGES = 24
_ROOTS = ("data_root", "source_root", "target_root")
_MOVED = (
    " If they have moved, give the command that trained this run again, with"
    " --config.{key}=FOLDER: it compares them with what the run began with, and keeps their place."
)


def write_report(
    workdir: str | Path, output: str | Path | None = None, images: int = IMAGES
) -> Path:
    """Writes the report of a run, finished or not; what is missing from it is said on stderr.

    Args:
        workdir: the run's folder, or a part of it as other commands print it; nothing in it is
            changed but the report.
        output: an HTML file, default ``WORKDIR/report.html``. An earlier report there is replaced
            unless it was edited.
        images: how many evenly spaced target images the gallery shows; with 0 no network is loaded.

    Returns:
        The file.

    Raises:
        UserError: not a run, damaged results, or an output that cannot be written or is something
            else.
    """
    given = workdir = absolute(workdir)
    config = saved_config(workdir)
    run = run_around(workdir) if config is None else None
    if run and (workdir.exists() or str(workdir).startswith(f"{run}:")):  # as another printed it
        print(f"note: {workdir} is a part of {run}; the report is of that run", file=sys.stderr)
        workdir, config = run, saved_config(run)
    if config is None:
        raise UserError(
            f"--workdir {given} is not a run: expected a folder with {CONFIG}, as a training"
            f" writes it{'' if given.exists() else ' (it does not exist)'}"
        )
    task = REPORTS[config["task"]]
    results, known = read_results(workdir, config, task), saved_classes(workdir)
    path = absolute(output or workdir / "report.html")
    output_file.expect_writable(path)  # before the work, after all other checks
    predictions, about, notes = _predictions(workdir, config, task, images)
    report = Report(
        title=f"{config.name}:{config.variant}, seed {config.seed}",
        place=str(workdir.resolve()),
        task=task,
        results=results,
        curves=read_curves(workdir, config, task.metric, results.before and results.before.metrics),
        settings=settings(config, shrunk=was_shrunk(workdir)),
        label_set=known and known.classes,
        made=made_images(workdir),
        figures=predictions.figures,
        gallery=predictions.gallery,
        about=about,
        notes=notes,
    )
    for note in notes:
        print(f"note: {lines(note)}", file=sys.stderr)
    size = output_file.write(path, page(report))
    print(f"Report: {path} ({size / 1e6:.1f} MB)")
    return path


def _predictions(
    workdir: Path, config: ConfigDict, task: TaskReport, count: int
) -> tuple[Predictions, list[str], list[str]]:
    """The predictions, sentences about them, and notes on what cannot be shown."""
    nothing = Predictions((), (), "")
    if count == 0:
        return nothing, ["No images were asked for."], []
    try:
        networks = open_networks(workdir)
        predictions = task.predictions(networks, count)
    except UserError as error:
        gone = [key for key in _ROOTS if config[key] and not Path(config[key]).exists()]
        advice = _MOVED.format(key=gone[0]) if gone else ""
        return nothing, [], [f"This page has no {task.predicted}. {error}{advice}"]
    about = [predictions.about, f"{'; '.join(networks.described)}."]
    return predictions, about, networks.notes


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer of at least 0, found {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog=command_line.program("python -m msl_jax.report"),
        description="Writes a run as one HTML page: IoU or accuracy, curves, a gallery of target"
        " images, the configuration. The page loads nothing from elsewhere.",
    )
    parser.add_argument("--workdir", required=True, help="the run's folder")
    parser.add_argument(
        "--output",
        help="HTML file, default WORKDIR/report.html; an earlier report there is replaced unless it"
        " was edited",
    )
    parser.add_argument(
        "--images",
        type=_count,
        default=IMAGES,
        help=f"number of target images in the gallery, evenly spaced, default {IMAGES}; 0 loads no"
        " network",
    )
    options = parser.parse_args(arguments)
    write_report(options.workdir, options.output, options.images)
