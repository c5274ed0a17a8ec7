"""`python train.py`: trains a configuration in a workdir, or continues there."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
from ml_collections import config_dict
from rich.console import Console

from msl_jax import parts, runs
from msl_jax.evaluation.report import print_results
from msl_jax.experiment import Experiment


def train(config: config_dict.ConfigDict, workdir: str | None = None) -> dict:
    """Trains, evaluates, writes everything into the workdir and prints the table.

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
    folder = Path(workdir) if workdir else runs.default_workdir(config)
    start = parts.starting_weights(config)
    config = parts.complete(config, start)
    console = Console(stderr=True)
    if config.debug:
        jax.config.update("jax_debug_nans", True)
    results = runs.finished_results(folder, config)
    if results is not None:
        console.print(f"{folder} holds a finished run; here is its table again.", markup=False)
    else:
        if start is not None:
            print(f"init_from {start.path}: {start.title}", file=sys.stderr)
        experiment = Experiment(config, folder, start)
        runs.claim_workdir(folder, config)  # only now: a run that could not start leaves nothing
        results = experiment.run()
    print_results(results)
    print(f"Results, checkpoints, logs and pictures: {folder}")
    return results
