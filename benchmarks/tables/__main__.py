"""The paper's tables for a configuration over its rows and seeds: all runs, then the tables.

python -m benchmarks.tables [--config configs/NAME.py] --workdir W [--seeds 0,1,2] [--rows ROW,ROW]
    [--tasks TASK,TASK] [--sensitivity] [--output DIR] [--dry_run] [--report_only]
    [--config.KEY=VALUE ...]
python -m benchmarks.tables --results DIR [--output DIR]

Runs train.py for every row and seed, one run after the other, all rows of a seed before the next
seed. Runs that another begins from are made where they are missing. target_statistics is the
control, target_statistics_multi that of the Multi rows. Segmentation has Table 4, and with
--sensitivity the values of Table 5 too:

    W/seedS/source                  one head; the next five begin from its network
    W/seedS/target_statistics, minent, minent_iw, max_square, max_square_iw
    W/seedS/max_square_multi        trains its own source-only network of two heads
    W/seedS/target_statistics_multi, max_square_iw_multi     begin from that one
    W/seedS/oracle
    W/seedS/ROW-KEY=VALUE           with --sensitivity; the row's own value is not run again

Classification (configs/office31.py, configs/digits.py) has Table 1, a column for each task. A task
is one domain to another, such as amazon-webcam; default: all of the paper's, or both directions.
All rows of a task and seed come before the next task, all tasks of a seed before the next seed:

    W/TASK/seedS/source             the next four begin from its network
    W/TASK/seedS/target_statistics, dann, minent, max_square
    W/TASK/seedS/oracle

The same command goes on after SIGTERM, Ctrl-C or a failed run: what is finished is not run again.
A failed run does not keep the others from being made; the exit status is 1 then. Several commands
may run beside each other where each has a workdir of its own (other seeds, say, and another GPU);
--results then makes the tables of all their ROW-seedS.json, copied into one folder (with
--sensitivity own_values.json too, which has the rows' own values of the parameters).

After each run, DIR (default: W/tables) gets its results as ROW-seedS.json, those of a task in
DIR/TASK, and is written anew:

    tables.md                       all tables; also printed at the end
    table.csv, differences.csv      and for segmentation classes.csv, sensitivity.csv
    table.png, sensitivity.png      and .svg, where matplotlib is installed

--report_only makes them of the runs that are finished, --results of such a DIR alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from benchmarks.tables.runs import seeds_of
from msl_jax.runtime import command_line
from msl_jax.runtime.errors import UserError

# The sweep sets these keys itself.
_OURS = {"seed": "--seeds", "variant": "--rows", "source": "--tasks", "target": "--tasks"}
# They follow from the task, where there are several.
_OF_TASK = ("name", "source_train", "source_eval", "target_train", "target_eval")


def main() -> None:
    """Runs the command."""
    # Defined here: flags are global, and other commands in a process have flags of these names.
    command_line.define_config()
    workdir = flags.DEFINE_string("workdir", None, "folder of all runs")
    seeds = flags.DEFINE_list("seeds", ["0", "1", "2"], "seeds of the runs")
    rows = flags.DEFINE_list("rows", None, "variants, default: all of the table")
    tasks = flags.DEFINE_list("tasks", None, "classification: SOURCE-TARGET, default: all")
    sensitivity = flags.DEFINE_bool("sensitivity", False, "vary the parameters of Table 5 too")
    output = flags.DEFINE_string("output", None, "folder of the tables, default W/tables")
    dry_run = flags.DEFINE_bool("dry_run", False, "print the runs that are left, write nothing")
    report_only = flags.DEFINE_bool("report_only", False, "make tables of finished runs, run none")
    results = flags.DEFINE_string("results", None, "make tables of this folder's results, run none")

    def command() -> None:
        given = [flag for flag in (dry_run, report_only, results) if flag.value]
        if len(given) > 1:
            raise UserError(f"--{given[0].name} and --{given[1].name}: choose one of them")
        if results.value is not None:
            report(None, _folder(output.value or results.value), _folder(results.value))
            return
        if workdir.value is None:
            raise UserError("--workdir is missing: the folder of all runs")
        folder = _folder(workdir.value)
        tables = _folder(output.value) if output.value else folder / "tables"
        if report_only.value:
            report(folder, tables)
            return
        sweep(
            _config_file(),
            folder,
            tables,
            seeds_of(seeds.value),
            rows.value,
            tasks=tasks.value,
            sensitivity=sensitivity.value,
            dry_run=dry_run.value,
        )

    command_line.run(command, __doc__, "the same command goes on with the run that was stopped")


def report(workdir: Path | None, output: Path, results: Path | None = None) -> None:
    """Writes the tables of finished runs and prints them.

    Args:
        workdir: of all runs; None takes no new results.
        output: for the tables.
        results: folder of the results; default: `output`.

    Raises:
        UserError: there are no results, some are damaged, or the folder cannot be written.
    """
    from benchmarks.tables import files

    if workdir is not None:
        files.copy_results(workdir, output)
    print(files.write_tables(files.read_results(results or output), output))


def sweep(
    config_file: str,
    workdir: Path,
    output: Path,
    seeds: Sequence[int],
    rows: Sequence[str] | None,
    *,
    tasks: Sequence[str] | None = None,
    sensitivity: bool = False,
    dry_run: bool = False,
) -> None:
    """Makes the runs, and the tables after each.

    Args:
        config_file: ``configs/NAME.py``; keys are those of the command line.
        workdir: of all runs, absolute.
        output: for the tables.
        seeds: of the runs.
        rows: variants, None for all.
        tasks: of a classification, None for all.
        sensitivity: vary parameters too.
        dry_run: print the runs and write nothing.

    Raises:
        UserError: anything that the user can put right, or runs have failed.
        Stopped: a signal asked for it.
    """
    # Only now: --help shall not wait for the libraries.
    from benchmarks.tables import files
    from benchmarks.tables import sweep as table_runs
    from benchmarks.tables.runs import Run, family, plan, tasks_of
    from msl_jax.runs.lock import occupied

    experiment = table_runs.Experiment(config_file, command_line.overrides(), workdir)
    tasks = tasks_of(experiment.config(Run("source", 0)), tasks)
    if any(tasks):
        _expect_of_tasks(sensitivity)
        files.expect_tasks(workdir)
    planned = plan(seeds, rows, experiment.own_values() if sensitivity else None, tasks)
    if dry_run:
        table_runs.show(experiment, planned)
        return

    def update() -> None:
        files.copy_results(workdir, output)
        files.write_tables(files.read_results(output), output)

    left = [run for run in planned if not experiment.finished(run)]
    name = family(experiment.config(planned[0]).name, planned[0].task)
    files.expect_room(output, left, name)
    with occupied(workdir):  # only now: a sweep that could not start leaves nothing
        if len(left) < len(planned):
            update()  # what is wrong with the tables shall not come out after hours
        failed = table_runs.run_all(experiment, planned, update)
    if len(failed) < len(planned):
        report(workdir, output)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(planned)} runs are missing:\n"
            + "".join(f"  {run.title}: {why}\n" for run, why in failed.items())
            + "The others are kept; the same command tries these again."
        )


def _config_file() -> str:
    """The file of `--config`.

    Raises:
        UserError: a variant or a key is set that the sweep sets itself.
    """
    file, _, variant = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    if variant:
        raise UserError(f"--config={file}:{variant}: give the file alone; --rows={variant} chooses")
    for key, flag in _OURS.items():
        if key in command_line.overrides():
            raise UserError(f"--config.{key}: here {flag} sets it")
    return file


def _expect_of_tasks(sensitivity: bool) -> None:
    """Looks whether the command line fits a classification.

    Raises:
        UserError: it asks for what has no tasks, or would give all tasks the same data.
    """
    if sensitivity:
        raise UserError("--sensitivity: Table 5 is of segmentation; leave it out")
    for key in _OF_TASK:
        if key in command_line.overrides():
            raise UserError(f"--config.{key}: here each task of --tasks sets it")


def _folder(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


if __name__ == "__main__":
    main()
