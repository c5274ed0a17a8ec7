"""`python train.py`: trains a configuration in a workdir, or continues there."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
from ml_collections import config_dict
from rich.console import Console

from msl_jax import parallel, parts, runs
from msl_jax.evaluation.report import print_results
from msl_jax.experiment import Experiment


def train(config: config_dict.ConfigDict, workdir: str | None = None) -> dict:
    """Trains, evaluates, writes everything into the workdir and prints the table.

    Where several processes run it together (see `msl_jax.parallel`), the first one writes and
    prints.

    Args:
        config: every key of `msl_jax.config.base_config`; what is left at None is decided by the
            weights of `init_from` and by the preset.
        workdir: default ``runs/NAME-VARIANT-seedS``. A finished run prints its table again, an
            unfinished one is continued.

    Returns:
        The results, as in ``results.json``.

    Raises:
        UserError: anything that the user can put right.
    """
    parallel.connect()
    with parallel.losses_explained():
        return _train(config, Path(workdir) if workdir else runs.default_workdir(config))


def _train(config: config_dict.ConfigDict, folder: Path) -> dict:
    start = parallel.together(lambda: parts.starting_weights(config))
    config = parallel.together(lambda: parts.complete(config, start))
    console = Console(stderr=True, quiet=not parallel.is_first())
    if config.debug:
        jax.config.update("jax_debug_nans", True)
    results = parallel.by_first(lambda: runs.finished_results(folder, config))
    if results is not None:
        console.print(f"{folder} holds a finished run; here is its table again.", markup=False)
    else:
        if start is not None and parallel.is_first():
            print(f"init_from {start.path}: {start.title}", file=sys.stderr)
        # The first one prepares the records, the others find them.
        experiment = parallel.first_then_others(lambda: Experiment(config, folder, start))
        # Only now: a run that could not start leaves nothing.
        parallel.by_first(lambda: runs.claim_workdir(folder, config))
        results = experiment.run()
    if parallel.is_first():
        print_results(results)
        print(f"Results, checkpoints, logs and pictures: {folder}")
    return results
