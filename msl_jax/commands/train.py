"""`python train.py`: trains a configuration in a workdir, or continues there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ml_collections.config_dict import ConfigDict
from rich.console import Console

from msl_jax.config import presets
from msl_jax.experiment import setup
from msl_jax.experiment.run import Experiment
from msl_jax.methods.variants import variant_of
from msl_jax.runs import workdir as runs
from msl_jax.runs.lock import expect_free, occupied
from msl_jax.runs.table import print_results
from msl_jax.runtime import parallel
from msl_jax.weights.find import Weights

_ONE_HEAD = (
    "note: these weights have no trained low head; Multi starts with a random one. RUN:source of a"
    " run of a Multi variant has both"
)


def train(config: ConfigDict, workdir: str | None = None) -> dict:
    """Trains, evaluates, writes everything into the workdir and prints the table.

    Where several processes run it together (see `msl_jax.runtime.parallel`), the first one writes
    and prints.

    Args:
        config: every key of `msl_jax.config.base_config`; what is left at None is decided by the
            weights of `init_from` and by the preset.
        workdir: default ``runs/NAME-VARIANT-seedS``. A finished run prints its table again, an
            unfinished one is continued.

    Returns:
        The results, as in ``results.json``.

    Raises:
        UserError: anything that the user can put right.
        Stopped: a signal asked for it, see `msl_jax.runtime.stopping`.
    """
    parallel.connect()
    folder = Path(workdir).expanduser() if workdir else runs.default_workdir(config)
    with parallel.losses_explained():
        return _train(config, folder)


def _train(config: ConfigDict, folder: Path) -> dict:
    config, start = parallel.together(lambda: prepared(config, folder))
    console = Console(stderr=True, quiet=not parallel.is_first())
    results = parallel.by_first(lambda: runs.finished_results(folder, config))
    if results is not None:
        console.print(f"{folder} holds a finished run; here is its table again.", markup=False)
    else:
        parallel.by_first(lambda: expect_free(folder))
        if start is not None:
            console.print(f"init_from {start.path}: {start.title}", markup=False)
            if start.classifies and variant_of(config).multi and not start.two_heads:
                console.print(_ONE_HEAD, markup=False)
        # The first one prepares the records, the others find them.
        experiment = parallel.first_then_others(lambda: Experiment(config, folder, start))
        with contextlib.ExitStack() as stack:

            def claim() -> None:
                stack.enter_context(occupied(folder))
                runs.finished_results(folder, config)  # another run may have begun there meanwhile
                runs.claim_workdir(folder, config)

            parallel.by_first(claim)  # only now: a run that could not start leaves nothing
            results = experiment.run()
    if parallel.is_first():
        print_results(results)
        print(f"Results, checkpoints, logs and pictures: {folder}")
    return results


def prepared(config: ConfigDict, folder: Path) -> tuple[ConfigDict, Weights | None]:
    """The complete configuration, and the weights of `init_from` if the run still needs them.

    A run that has kept checkpoints of its own, or is finished, needs them no more.

    Args:
        config: as the user gave it.
        folder: of the run, which may not exist yet.

    Raises:
        UserError: wrong values, weights that do not fit or are not there, or a damaged run.
    """
    saved = runs.saved_config(folder)
    if saved is not None and config.init_from and config.init_from == saved.init_from:
        config = setup.complete(presets.as_decided(config, saved), None)
        if runs.left_its_start(folder):
            return config, None
    start = setup.starting_weights(config)
    return setup.complete(config, start), start
