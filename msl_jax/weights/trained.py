"""Trained weights with the configuration they are used under: for eval.py and predict.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.config import presets
from msl_jax.config.keys import check_config
from msl_jax.methods.variants import variant_of
from msl_jax.runs.checkpoint_path import CheckpointPath
from msl_jax.runs.workdir import CONFIG, SOURCE_STAGE, has_checkpoint
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import UserError
from msl_jax.weights.find import Weights, find


def open_trained(
    path: str, config: ConfigDict, overrides: dict[str, Any]
) -> tuple[Weights, ConfigDict]:
    """Finds weights and says on stderr what they are, where that is not plain.

    Args:
        path: as `msl_jax.weights.find.find` takes it.
        config: the command line's, with `overrides` in it. It counts for weights that belong to no
            run, except for what they themselves tell of their network.
        overrides: keys that the user set. They change a run's own configuration too.

    Returns:
        The weights, and the complete configuration.

    Raises:
        UserError: nothing there, weights without a trained classifier, or a wrong value.
    """
    weights = find(path).for_config(config)
    if not weights.classifies:
        raise UserError(
            f"{path} ({weights.title}) has no trained classifier, so there is nothing to predict"
            f" with; start a training from it: --config.init_from={path}"
        )
    if weights.run is None:
        # The configuration's own active dilations belong to the heads of its own networks.
        known = {"model.active_dilations": None, **weights.network.keys()}
        config = config.copy_and_resolve_references()
        config.update_from_flattened_dict(known)
        if parallel.is_first():
            print(f"{path}: {weights.title}", file=sys.stderr)
    else:
        origin = str(weights.run.folder.parent / CONFIG)
        config = presets.restored(weights.run.config, origin)
    config.update_from_flattened_dict(overrides)
    config = presets.complete(config, weights.network, f"{path} ({weights.title})")
    check_config(config)
    if weights.run is not None:
        _say_which(weights.run, weights.left_out)
    return weights, config


def open_several(
    paths: str, config: ConfigDict, overrides: dict[str, Any]
) -> list[tuple[Weights, ConfigDict]]:
    """As `open_trained`, for paths with commas between them.

    Args:
        paths: one or more; something that exists is one path, whatever its name.
        config: see `open_trained`.
        overrides: likewise.

    Raises:
        UserError: see `open_trained`; or there is nothing next to a comma.
    """
    place = Path(paths).expanduser()
    whole = place.exists() or (":" in paths and Path(paths.rpartition(":")[0]).exists())
    found = [paths] if whole else paths.split(",")
    if not all(found):
        raise UserError(f"--checkpoint {paths}: expected a path, or several: PATH,PATH")
    return [open_trained(path, config, overrides) for path in found]


def weights_before(workdir: Path, config: Any) -> Weights:
    """The trained weights that an adaptation began with.

    Args:
        workdir: of the run.
        config: its complete configuration.

    Raises:
        UserError: they are not there any more, or there were none.
    """
    if has_checkpoint(workdir, SOURCE_STAGE):
        return find(f"{workdir}:{SOURCE_STAGE}")
    if config.init_from:
        start = find(config.init_from)
        if start.classifies and not config.reinit_heads:
            find(workdir).expect_same_classes(start)
            return start
    if config.source_steps == 0:
        raise UserError(
            f"The adaptation of {workdir} began without a trained network (config.source_steps=0)."
        )
    raise UserError(f"{workdir} has no checkpoint of the {SOURCE_STAGE} stage any more.")


def _say_which(found: CheckpointPath, left_out: Sequence[str]) -> None:
    """Says so if the source-only stage stands in for an adaptation, or not everything is used."""
    if not parallel.is_first():
        return
    if variant_of(found.config).adapt and found.folder.name == SOURCE_STAGE:
        print(f"note: step {found.step} of the source-only stage, not adapted", file=sys.stderr)
    if left_out:
        print(f"note: {', '.join(left_out)} left out", file=sys.stderr)
