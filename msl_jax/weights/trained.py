"""Trained weights with the configuration they are used under: for eval.py and predict.py."""

from __future__ import annotations

import sys
from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.config import presets
from msl_jax.config.keys import check_config
from msl_jax.methods.variants import variant_of
from msl_jax.runs import workdir
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
            f" with; start a training from it: train.py --config.init_from={path}"
        )
    if weights.run is None:
        known = {
            key: getattr(weights.network, field) for key, field in presets.NETWORK_KEYS.items()
        }
        # The configuration's own active rates belong to the heads of its own networks.
        known = {k: v for k, v in known.items() if v is not None or k == "model.active_rates"}
        config = config.copy_and_resolve_references()
        config.update_from_flattened_dict(known)
        if parallel.is_first():
            print(f"{path}: {weights.title}", file=sys.stderr)
    else:
        origin = str(weights.run.folder.parent / workdir.CONFIG)
        config = presets.restored(weights.run.config, origin)
    config.update_from_flattened_dict(overrides)
    config = presets.complete(config, weights.network, f"{path} ({weights.title})")
    check_config(config)
    if weights.run is not None:
        _say_which(weights.run)
    return weights, config


def _say_which(found: workdir.CheckpointPath) -> None:
    """Says so where the source-only stage stands in for an adaptation that has no checkpoint."""
    adapts = variant_of(found.config).adapt
    if adapts and found.folder.name == workdir.SOURCE_STAGE and parallel.is_first():
        print(f"note: step {found.step} of the source-only stage, not adapted", file=sys.stderr)
