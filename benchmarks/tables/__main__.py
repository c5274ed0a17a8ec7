"""The paper's tables for a configuration over its rows and seeds: all runs, then the tables.

python -m benchmarks.tables [--config configs/NAME.py] --workdir W [--seeds 0,1,2] [--rows ROW,ROW]
    [--tasks TASK,TASK] [--sensitivity] [--output DIR] [--dry_run] [--report_only]
    [--config.KEY=VALUE ...]
python -m benchmarks.tables --results DIR [--output DIR]

Runs train.py for every row and seed, one run at a time; all rows of a seed come before the next
seed. A run that others start from is added if it is missing. target_statistics is the control, and
target_statistics_multi the control of the Multi rows. Segmentation gives Table 4, and Table 5 with
--sensitivity:

    W/seedS/source                  one head; the next five start from its network
    W/seedS/target_statistics, minent, minent_iw, max_square, max_square_iw
    W/seedS/max_square_multi        trains its own source-only network with two heads
    W/seedS/target_statistics_multi, max_square_iw_multi     start from that network
    W/seedS/oracle
    W/seedS/adaptsegnet, advent ... with --rows; from the same networks as the others, or with
                                    source_steps=0 (configs/gta5.py) from config.init_from at once
    W/seedS/ROW-KEY=VALUE           with --sensitivity; the row's own value is not run again

Classification (configs/office31.py, configs/digits.py) gives Table 1, with a column for each task.
A task is one domain to another, such as amazon-webcam; default: all of the paper's tasks, or both
directions. All rows of a task come before the next task, all tasks of a seed before the next seed:

    W/TASK/seedS/source             the next four start from its network
    W/TASK/seedS/target_statistics, dann, minent, max_square
    W/TASK/seedS/oracle

After SIGTERM, Ctrl-C or a failed run the same command continues: finished runs are not repeated. A
failed run does not stop the others; the exit status is then 1. Several commands may run side by
side if each has its own workdir (for other seeds on another GPU, say). Copy all of their
ROW-seedS.json into one folder, with --sensitivity also own_values.json (the rows' own values of the
parameters), and --results makes the tables.

After each run its results are copied to DIR (default: W/tables) as ROW-seedS.json, or to DIR/TASK
for a task, and these files are rewritten:

    tables.md                       all tables; also printed at the end
    table.csv, differences.csv      and for segmentation classes.csv, sensitivity.csv
    table.png, sensitivity.png      and .svg, if matplotlib is installed

--report_only makes them from the finished runs in W, --results from such a DIR.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from benchmarks.tables.runs import seeds_of
from msl_jax.cli import flags as cli_flags
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.paths import absolute

# Keys that the sweep sets itself.
_OURS = {"seed": "--seeds", "variant": "--rows", "source": "--tasks", "target": "--tasks"}
# Keys that follow from the task.
_OF_TASK = ("name", "source_train", "source_eval", "target_train", "target_eval")


def main() -> None:
    """Runs the command."""
    # Not at import: flags are global, and other commands have flags of these names.
    cli_flags.define_config()
    workdir = flags.DEFINE_string("workdir", None, "folder of all runs")
    seeds = flags.DEFINE_list("seeds", ["0", "1", "2"], "seeds of the runs")
    rows = flags.DEFINE_list("rows", None, "variants, default: all in the table")
    tasks = flags.DEFINE_list("tasks", None, "classification: SOURCE-TARGET, default: all")
    sensitivity = flags.DEFINE_bool("sensitivity", False, "vary the parameters of Table 5 too")
    output = flags.DEFINE_string("output", None, "folder of the tables, default W/tables")
    dry_run = flags.DEFINE_bool("dry_run", False, "print the runs that are left, write nothing")
    report_only = flags.DEFINE_bool("report_only", False, "only make tables of the finished runs")
    results = flags.DEFINE_string("results", None, "only make tables of the results in this folder")

    def command() -> None:
        given = [flag for flag in (dry_run, report_only, results) if flag.value]
        if len(given) > 1:
            raise UserError(f"--{given[0].name} and --{given[1].name}: choose one of them")
        if results.value is not None:
            _report(absolute(results.value), absolute(output.value or results.value))
            return
        if workdir.value is None:
            raise UserError("--workdir is missing: the folder of all runs")
        folder = absolute(workdir.value)
        tables = absolute(output.value) if output.value else folder / "tables"
        if report_only.value:
            _report(tables, tables, folder)
            return
        _sweep(
            _config_file(),
            folder,
            tables,
            seeds_of(seeds.value),
            rows.value,
            tasks.value,
            sensitivity=sensitivity.value,
            dry_run=dry_run.value,
        )

    described = [workdir, seeds, rows, tasks, sensitivity, output, dry_run, report_only, results]
    interrupted = "the same command continues the run that was stopped"
    cli_flags.run(command, __doc__ or "", interrupted, described)


def _report(results: Path, output: Path, workdir: Path | None = None) -> None:
    """Makes and prints the tables, from `results` with those of the finished runs in `workdir`."""
    from benchmarks.tables import files

    if workdir is not None:
        files.copy_results(workdir, output)
    print(files.write_tables(files.read_results(results), output))


def _sweep(
    config_file: str,
    workdir: Path,
    output: Path,
    seeds: Sequence[int],
    rows: Sequence[str] | None,
    tasks: Sequence[str] | None,
    *,
    sensitivity: bool,
    dry_run: bool,
) -> None:
    """Runs everything, and makes the tables after each run; None means all rows or all tasks."""
    # Imported here so that --help does not wait for the libraries.
    from benchmarks.tables import files
    from benchmarks.tables import sweep as table_runs
    from benchmarks.tables.runs import Run, family, plan, tasks_of
    from msl_jax.runs.lock import workdir_lock

    experiment = table_runs.Experiment(config_file, cli_flags.overrides(), workdir)
    tasks = tasks_of(experiment.config(Run("source", 0)), tasks)
    if any(tasks):
        _expect_of_tasks(sensitivity)
        files.expect_tasks(workdir)
    own = experiment.own_values() if sensitivity else None
    planned = plan(seeds, rows, own, tasks, experiment.joint_rows())
    if dry_run:
        table_runs.show(experiment, planned)
        return

    def update() -> None:
        files.copy_results(workdir, output)
        files.write_tables(files.read_results(output), output)

    left = [run for run in planned if not experiment.finished(run)]
    name = family(experiment.config(planned[0]).name, planned[0].task)
    files.expect_room(output, left, name)
    with workdir_lock(workdir):  # only now, so that a sweep that cannot start leaves nothing behind
        if len(left) < len(planned):
            update()  # a fault in the tables must not show up hours later
        failed = table_runs.run_all(experiment, planned, update)
    if len(failed) < len(planned):
        _report(output, output, workdir)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(planned)} runs are missing:\n"
            + "".join(f"  {run.title}: {why}\n" for run, why in failed.items())
            + "The others are kept; the same command retries these."
        )


def _config_file() -> str:
    """The file of `--config`.

    Raises:
        UserError: the command line sets a variant or a key that the sweep sets itself.
    """
    file, _, variant = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    if variant:
        raise UserError(f"--config={file}:{variant}: give the file alone; --rows={variant} chooses")
    for key, flag in _OURS.items():
        if key in cli_flags.overrides():
            raise UserError(f"--config.{key}: here {flag} sets it")
    return file


def _expect_of_tasks(sensitivity: bool) -> None:
    """Checks that the command line suits a classification.

    Raises:
        UserError: it asks for Table 5, or gives all tasks the same data.
    """
    if sensitivity:
        raise UserError("--sensitivity: Table 5 is of segmentation; leave it out")
    for key in _OF_TASK:
        if key in cli_flags.overrides():
            raise UserError(f"--config.{key}: here each task of --tasks sets it")


if __name__ == "__main__":
    main()
