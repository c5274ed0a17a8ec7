"""`python -m msl_jax.report`: a run as one HTML page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections.config_dict import ConfigDict

from msl_jax.data.datasets.registry import open_label_set
from msl_jax.data.labels import LabelSet
from msl_jax.data.splits import classes_file
from msl_jax.methods.variants import task_name
from msl_jax.report import output as output_file
from msl_jax.report.curves import read_curves
from msl_jax.report.networks import open_networks
from msl_jax.report.page import Report, page
from msl_jax.report.registry import REPORTS
from msl_jax.report.results import read_results
from msl_jax.report.settings import settings
from msl_jax.report.task_report import Predictions, TaskReport
from msl_jax.runs import workdir as runs
from msl_jax.runtime.errors import UserError

IMAGES = 24


def write_report(
    workdir: str | Path, output: str | Path | None = None, images: int = IMAGES
) -> Path:
    """Writes the report of a run, finished or not, and says on stderr what is missing in it.

    Args:
        workdir: the run's folder; nothing is changed in it but the report.
        output: an HTML file, default ``WORKDIR/report.html``. An earlier report there is replaced,
            if nobody has changed it since.
        images: how many evenly spaced target images the gallery shows; with 0 no network is loaded.

    Returns:
        The file.

    Raises:
        UserError: no run, damaged results, or an output that cannot be written or is something
            else.
    """
    workdir = Path(workdir).expanduser()
    config = runs.saved_config(workdir)
    if config is None:
        raise UserError(
            f"--workdir {workdir} is no run: expected a folder with {runs.CONFIG}, as train.py"
            " writes it" + ("" if workdir.exists() else " (it does not exist)")
        )
    task = REPORTS[task_name(config)]
    results = read_results(workdir, config, task)
    path = Path(output).expanduser() if output else workdir / "report.html"
    output_file.expect_writable(path)  # before the work, after what can be refused
    predictions, about, notes = _predictions(workdir, task, images)
    report = Report(
        title=f"{config.name}:{config.variant}, seed {config.seed}",
        place=str(workdir.resolve()),
        task=task,
        results=results,
        curves=read_curves(workdir, config, task.metric, results.before and results.before.metrics),
        settings=settings(config),
        label_set=_label_set(config),
        figures=predictions.figures,
        gallery=predictions.gallery,
        about=about,
        notes=notes,
    )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    size = output_file.write(path, page(report))
    print(f"Report: {path} ({size / 1e6:.1f} MB)")
    return path


def _predictions(
    workdir: Path, task: TaskReport, count: int
) -> tuple[Predictions, list[str], list[str]]:
    """What the networks predict, what is to be said of it, and what cannot be shown."""
    nothing = Predictions((), (), "")
    if count == 0:
        return nothing, ["No images were asked for."], []
    try:
        networks = open_networks(workdir)
        predictions = task.predictions(networks, count)
    except UserError as error:
        return nothing, [], [f"There is no {task.predicted}. {error}"]
    about = [predictions.about, f"{'; '.join(networks.described)}."]
    return predictions, about, networks.notes


def _label_set(config: ConfigDict) -> LabelSet | None:
    try:
        return open_label_set(config.target_eval, config.num_classes, classes_file(config))
    except UserError:  # such as a file of classes that has been moved: names are in the results
        return None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more, found {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m msl_jax.report",
        description="Writes one HTML page of a run: IoU or accuracy, curves, gallery of target"
        " images, configuration. It loads nothing from elsewhere.",
    )
    parser.add_argument("--workdir", required=True, help="the run's folder")
    parser.add_argument(
        "--output",
        help="HTML file, default WORKDIR/report.html; replaced where it is an unchanged report",
    )
    parser.add_argument(
        "--images",
        type=_count,
        default=IMAGES,
        help=f"evenly spaced target images in the gallery, default {IMAGES}; 0 loads no network",
    )
    options = parser.parse_args(arguments)
    write_report(options.workdir, options.output, options.images)
