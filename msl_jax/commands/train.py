"""`python train.py`: trains a configuration in a workdir, or continues a run there."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections.config_dict import ConfigDict
from rich.console import Console

from msl_jax.config.keys import flat
from msl_jax.experiment import setup
from msl_jax.experiment.run import Experiment
from msl_jax.methods.variants import variant_of
from msl_jax.runs.classes import keep_classes, saved_classes_by_first
from msl_jax.runs.data import expect_same_data
from msl_jax.runs.lock import check_unlocked, workdir_lock
from msl_jax.runs.table import print_results
from msl_jax.runs.workdir import (
    ADAPT_STAGE,
    SOURCE_STAGE,
    claim_workdir,
    default_workdir,
    finished_results,
    keep_moved,
    moved,
    results_in,
    saved_values,
)
from msl_jax.runtime import parallel
from msl_jax.runtime.command_line import program
from msl_jax.runtime.connection import connect, lost_contact_explained
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.paths import storable
from msl_jax.runtime.registration import VARIABLE

_ONE_HEAD = (
    "note: these weights have no trained low head; Multi starts with a random one. RUN:source of a"
    " run of a Multi variant has both"
)


def train(
    config: ConfigDict, workdir: str | None = None, by_hand: Mapping[str, Any] | None = None
) -> dict:
    """Trains, evaluates, writes everything into the workdir and prints the table.

    Of several processes (see `msl_jax.runtime.parallel`), the first one writes and prints.

    Args:
        config: with every key of `msl_jax.config.base_config`; the weights of `init_from` and the
            preset decide those left at None.
        workdir: default ``runs/NAME-VARIANT-seedS``. A finished run prints its table again, an
            unfinished one is continued.
        by_hand: keys that the command line set, with their values; one that `shrink` would change
            is refused.

    Returns:
        The results, as in ``results.json``.

    Raises:
        UserError: anything that the user can fix.
        Stopped: a signal asked the training to stop, see `msl_jax.runtime.stopping`.
    """
    connect()
    folder = storable(workdir or default_workdir(config), "--workdir")
    with lost_contact_explained():
        parallel.expect_same("config.", flat(config))
        parallel.expect_same("--", {"workdir": workdir})
        return _train(config, folder, by_hand or {})


def _train(given: ConfigDict, folder: Path, by_hand: Mapping[str, Any]) -> dict:
    console = Console(stderr=True, quiet=not parallel.is_first())
    results = parallel.by_first(lambda: finished_results(folder, given))
    if results is not None:
        _say_finished(console, folder)
    else:
        parallel.by_first(lambda: check_unlocked(folder))
        config, start = setup.resolve(given, folder)
        if given.shrink:
            _expect_kept(by_hand, config)
        if start is not None:
            console.print(f"init_from {start.path}: {start.title}", markup=False)
            if start.classifies and variant_of(config).multi and not start.two_heads:
                console.print(_ONE_HEAD, markup=False)
        known = saved_classes_by_first(folder)
        # The first process prepares the records, the others find them.
        experiment = parallel.first_then_others(lambda: Experiment(config, folder, start, known))
        parallel.expect_same("the records of ", experiment.data)
        with contextlib.ExitStack() as stack:

            def claim() -> dict | None:
                stack.enter_context(workdir_lock(folder))
                finished_results(folder, given)  # another run may have begun there meanwhile
                kept = setup.with_photo_size(config, given, experiment.stretched)
                claim_workdir(folder, given, kept)
                expect_same_data(folder, experiment.data, moved(folder, given))
                keep_moved(folder, given, config)
                keep_classes(folder, experiment.evaluate.label_set, experiment.evaluate.lists)
                return results_in(folder)

            # Only now: a run that cannot start leaves nothing behind.
            results = parallel.by_first(claim)
            if results is None:
                console.print(_devices(), markup=False, highlight=False)
                results = experiment.run()
            else:
                _say_finished(console, folder)
    if parallel.is_first():
        print_results(results)
        print(_where_next(folder, saved_values(folder).get("registered_by", ())))
    return results


def _say_finished(console: Console, folder: Path) -> None:
    console.print(f"{folder} holds a finished run; here is its table again.", markup=False)


def _expect_kept(by_hand: Mapping[str, Any], config: ConfigDict) -> None:
    """Refuses keys that were set by hand and that `shrink` has changed."""
    values = flat(config)
    numbers = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in by_hand.items()
        if key != "shrink" and not isinstance(value, str)  # words stay, paths become absolute
    }
    changed = [
        f"\n  config.{key}: {value!r} was given, shrink makes it {values[key]!r}"
        for key, value in numbers.items()
        if values[key] != value
    ]
    if changed:
        raise UserError(
            "config.shrink=true decides sizes, steps and the network itself; leave it out, or"
            f" these keys:{''.join(changed)}"
        )


def _devices() -> str:
    """The devices in use: a fall-back to the CPU is to be noticed.

    >>> _devices()  # doctest: +ELLIPSIS
    'device: ...CPU (... cores), no GPU'
    """
    devices = jax.devices()
    if devices[0].platform == "cpu":
        count = f"{len(devices)} x " if len(devices) > 1 else ""
        return f"device: {count}CPU ({os.cpu_count()} cores), no GPU"
    return f"device: {len(devices)} x {devices[0].device_kind}"


def _where_next(folder: Path, registered_by: Sequence[str] = ()) -> str:
    """Where the results are, and the commands that go on from there.

    Args:
        folder: the run's.
        registered_by: users' own files, without which the run cannot be read.
    """
    run = shlex.quote(str(folder))
    stages = [f"{run}:{SOURCE_STAGE}"] if (folder / SOURCE_STAGE).exists() else []
    if (folder / ADAPT_STAGE).exists():
        stages.append(run)
    own = f"{VARIABLE}={shlex.quote(os.pathsep.join(registered_by))} " if registered_by else ""
    report = own + program("python -m msl_jax.report", "report")
    predict = own + program("python predict.py", "predict")
    unlabelled = own + program("python -m msl_jax.analysis.unlabelled", "unlabelled")
    return f"""Results, checkpoints, logs and pictures: {folder}

As a page:             {report} --workdir {run}
On photos of your own: {predict} --checkpoint {run} --input PHOTOS --output FOLDER
Without target labels: {unlabelled} {" ".join(stages)}"""
