"""The paper's ablation and sensitivity tables for a configuration: all runs, then the tables.

python -m benchmarks.tables [--config configs/NAME.py] --workdir W [--seeds 0,1,2]
    [--rows ROW,ROW] [--sensitivity] [--dry_run] [--report_only] [--config.KEY=VALUE ...]

Runs train.py for every row of Table 4, with the control (target_statistics) and the oracle beside,
and for every seed; with --sensitivity for the values of Table 5 too. One run after the other, all
rows of a seed before the next seed. Runs that another begins from are made where they are missing:

    W/seedS/source                  one head; the next five begin from its network
    W/seedS/target_statistics, minent, minent_iw, max_square, max_square_iw
    W/seedS/max_square_multi        trains its own source-only network of two heads
    W/seedS/max_square_iw_multi     begins from that one
    W/seedS/oracle
    W/seedS/ROW-KEY=VALUE           with --sensitivity; the row's own value is not run again

The same command goes on after SIGTERM, Ctrl-C or a failed run: what is finished is not run again.
A failed run does not keep the others from being made; the exit status is 1 then.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from msl_jax.commands import command_line
from msl_jax.errors import UserError

# The sweep sets these keys itself.
_OURS = {"seed": "--seeds", "variant": "--rows"}


def main() -> None:
    """Runs the command."""
    # Defined here: flags are global, and other commands in a process have flags of these names.
    command_line.define_config()
    workdir = flags.DEFINE_string("workdir", None, "folder of all runs")
    seeds = flags.DEFINE_list("seeds", ["0", "1", "2"], "seeds of the runs")
    rows = flags.DEFINE_list("rows", None, "variants, default: all rows of Table 4")
    sensitivity = flags.DEFINE_bool("sensitivity", False, "vary the parameters of Table 5 too")
    dry_run = flags.DEFINE_bool("dry_run", False, "print the runs and write nothing")

    def command() -> None:
        if workdir.value is None:
            raise UserError("--workdir is missing: the folder of all runs")
        sweep(
            _config_file(),
            _folder(workdir.value),
            _seeds(seeds.value),
            rows.value,
            sensitivity=sensitivity.value,
            dry_run=dry_run.value,
        )

    command_line.run(command, __doc__, "the same command goes on with the run that was stopped")


def sweep(
    config_file: str,
    workdir: Path,
    seeds: Sequence[int],
    rows: Sequence[str] | None,
    *,
    sensitivity: bool,
    dry_run: bool,
) -> None:
    """Makes the runs.

    Args:
        config_file: ``configs/NAME.py``; keys are those of the command line.
        workdir: of all runs, absolute.
        seeds: of the runs.
        rows: variants, None for all.
        sensitivity: vary parameters too.
        dry_run: print the runs and write nothing.

    Raises:
        UserError: anything that the user can put right, or runs have failed.
        Stopped: a signal asked for it.
    """
    # Only now: --help shall not wait for the libraries.
    from benchmarks import table_runs
    from benchmarks.table_rows import PARAMETERS, ROWS, Run, plan
    from msl_jax import presets
    from msl_jax.occupied import occupied

    experiment = table_runs.Experiment(config_file, command_line.overrides(), workdir)
    own = None
    if sensitivity:
        own = {
            parameter.key: presets.complete(experiment.config(Run(parameter.row, 0)))[parameter.key]
            for parameter in PARAMETERS
        }
    planned = plan(seeds, rows or ROWS, own)
    if dry_run:
        table_runs.show(experiment, planned)
        return
    with occupied(workdir):
        failed = table_runs.run_all(experiment, planned, lambda: None)
    if failed:
        lines = [f"  seed {run.seed}, {run.row}: {why}" for run, why in failed.items()]
        raise UserError(
            f"{len(failed)} of {len(planned)} runs are missing:\n"
            + "\n".join(lines)
            + "\nThe others are kept; the same command tries these again."
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


def _folder(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _seeds(texts: Sequence[str]) -> list[int]:
    if not texts or not all(text.isdecimal() for text in texts):
        raise UserError(f"--seeds: expected integers like 0,1,2, found {','.join(texts)!r}")
    return [int(text) for text in texts]


if __name__ == "__main__":
    main()
