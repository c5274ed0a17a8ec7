"""`python train.py`: trains a configuration in a workdir, or continues there."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import jax
from ml_collections.config_dict import ConfigDict
from rich.console import Console

from msl_jax import parts, presets, runs
from msl_jax.evaluation.report import print_results
from msl_jax.experiment import Experiment
from msl_jax.occupied import expect_free, occupied
from msl_jax.weights import Weights


def train(config: ConfigDict, workdir: str | None = None) -> dict:
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
        Stopped: a signal asked for it, see `msl_jax.stopping`.
    """
    folder = Path(workdir).expanduser() if workdir else runs.default_workdir(config)
    config, start = _prepared(config, folder)
    console = Console(stderr=True)
    results = runs.finished_results(folder, config)
    if results is not None:
        console.print(f"{folder} holds a finished run; here is its table again.", markup=False)
    else:
        expect_free(folder)
        if start is not None:
            print(f"init_from {start.path}: {start.title}", file=sys.stderr)
        experiment = Experiment(config, folder, start)
        # Only now: a run that could not start leaves nothing. The hosts of a run share its folder.
        with occupied(folder) if jax.process_index() == 0 else contextlib.nullcontext():
            runs.finished_results(folder, config)  # another run may have begun there meanwhile
            runs.claim_workdir(folder, config)
            results = experiment.run()
    print_results(results)
    print(f"Results, checkpoints, logs and pictures: {folder}")
    return results


def _prepared(config: ConfigDict, folder: Path) -> tuple[ConfigDict, Weights | None]:
    """The complete configuration, and the weights of `init_from` if the run still needs them.

    A run that has kept checkpoints of its own, or is finished, needs them no more.
    """
    saved = runs.saved_config(folder)
    if saved is not None and config.init_from and config.init_from == saved.init_from:
        config = parts.complete(presets.as_decided(config, saved), None)
        if runs.left_its_start(folder):
            return config, None
    start = parts.starting_weights(config)
    return parts.complete(config, start), start
